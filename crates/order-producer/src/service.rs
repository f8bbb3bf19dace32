//! The service: baskets become orders at their pace, orders become events, acknowledged events are written down.

use std::borrow::Cow;
use std::time::Instant;

use chrono::Utc;
use grocery_events::{AuditLog, Catalogue, Event, EventVersion, GroceryOrder, UNKNOWN_AISLE, UNKNOWN_PRICE, Versioned};
use kafka::{Delivery, Producer, Record, Written};
use schema_registry::AvroSerializer;
use service_kit::{Context, Outage, Progress, ServiceError, wait_out};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::orders::{OrderKind, OrderMaker};
use crate::pace::Pacer;
use crate::source::{Next, Source};
use crate::{Args, Rate};

/// Orders that wait to be written down as acknowledged.
const UNACKNOWLEDGED: usize = 20_000;

/// Makes and sends orders until their number is reached, the baskets end, or the shutdown; then waits until every order
/// that was sent is acknowledged.
///
/// # Errors
/// What waiting does not mend.
pub async fn run(context: Context, args: Args) -> Result<(), ServiceError> {
    let usage = |error: &dyn std::fmt::Display| ServiceError::Usage(error.to_string());
    let catalogue = match &args.catalogue {
        None => Cow::Borrowed(Catalogue::builtin()),
        Some(path) => Cow::Owned(Catalogue::read(path).map_err(|error| usage(&error))?),
    };
    let source = match &args.baskets {
        None => Source::simulator(&catalogue, args.seed),
        Some(path) => Source::file(path, args.orders.is_some()).map_err(|error| usage(&error))?,
    };
    let audit = AuditLog::append(args.audit.as_deref()).map_err(|error| usage(&error))?;
    let version = context.config.parsed("event.version", "a version of the events' schemas, 1 or 2")?;
    let version = args.event_version.or(version).unwrap_or_default();
    let schema = context.readiness.condition("schema of orders");
    let producing = context.config.producer()?;
    let registry = context.registry()?;
    let Some(cluster) = context.connect().await? else { return Ok(()) };
    let schema_text = version.schema::<GroceryOrder>();
    let events =
        context.serializer::<Versioned<'static, GroceryOrder>>(&registry, GroceryOrder::SUBJECT, schema_text).await?;
    let Some(events) = events else { return Ok(()) };
    schema.met();
    let producer = cluster.producer(producing)?;

    let (sent, inbox) = mpsc::channel(UNACKNOWLEDGED);
    // Cancelled when writing down fails, so that no more orders are made in vain.
    let stop = context.shutdown.child_token();
    let desk = Desk { producer, topic: context.config.orders_topic().to_owned() };
    let bookkeeper = tokio::spawn(keep_books(context.clone(), desk.clone(), inbox, audit, stop.clone()));
    let kind = OrderKind { version, store: args.store, currency: args.currency };
    let maker = Maker {
        version,
        orders: OrderMaker::new(catalogue, args.seed, kind),
        pacer: Pacer::new(args.rate, Instant::now()),
        left: args.orders,
        rate: args.rate,
        source,
        events,
        desk,
        sent,
        stop,
    };
    let made = maker.run().await;
    // The channel has ended with the maker: the books close once the last delivery is known.
    let kept = bookkeeper.await.map_err(|error| ServiceError::Internal(format!("the books: {error}")))?;
    made.and(kept)
}

/// Where orders are handed to the producer.
#[derive(Clone)]
struct Desk {
    producer: Producer,
    topic: String,
}

impl Desk {
    /// Waits for room, not for the broker. `None` if `stop` came first.
    async fn send(
        &self,
        order: &str,
        value: &[u8],
        stop: &CancellationToken,
    ) -> Result<Option<Delivery>, ServiceError> {
        let mut outage = Outage::of("the Kafka cluster", "bootstrap.servers");
        let attempt = || self.producer.send(Record::to(&self.topic).key(order.as_bytes()).value(value));
        Ok(wait_out(&mut outage, stop, kafka::ProducerError::is_retriable, attempt).await?)
    }
}

/// An order on its way: what to send again should it not arrive, and word of its arrival.
struct Sent {
    order_id: String,
    value: Vec<u8>,
    delivery: Delivery,
}

/// Makes orders and hands them to the producer.
struct Maker {
    source: Source,
    orders: OrderMaker,
    pacer: Pacer,
    rate: Rate,
    left: Option<u64>,
    events: AvroSerializer<Versioned<'static, GroceryOrder>>,
    /// The version that `events` writes.
    version: EventVersion,
    desk: Desk,
    sent: mpsc::Sender<Sent>,
    stop: CancellationToken,
}

impl Maker {
    async fn run(mut self) -> Result<(), ServiceError> {
        while self.left != Some(0) && self.due().await {
            let next = tokio::select! {
                next = self.source.next() => next.map_err(|error| ServiceError::Usage(error.to_string()))?,
                () = self.stop.cancelled() => break,
            };
            match next {
                Next::Basket(items) => {
                    if !self.order(items).await? {
                        break;
                    }
                }
                Next::BadLine(line) => tracing::warn!("{line}"),
                Next::Again(count) => tracing::info!("the {count} baskets of the file begin again"),
                Next::End => {
                    tracing::info!("the baskets are at their end");
                    break;
                }
            }
        }
        Ok(())
    }

    /// Waits for the next order's time; false if the shutdown came first.
    async fn due(&mut self) -> bool {
        while let Some(wait) = self.pacer.wait(Instant::now()) {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.stop.cancelled() => return false,
            }
        }
        if self.rate == Rate::Max {
            // Nothing else in this loop is sure to give others a turn.
            tokio::task::consume_budget().await;
        }
        !self.stop.is_cancelled()
    }

    /// Makes and sends one order; false if the shutdown came first.
    async fn order(&mut self, items: Vec<String>) -> Result<bool, ServiceError> {
        let unknown = |item: &str| {
            let (price, aisle) = (UNKNOWN_PRICE, UNKNOWN_AISLE);
            tracing::warn!(item, "not in the catalogue: priced at {price}, shelved at `{aisle}`; said once");
        };
        let order = match self.orders.order(items, Utc::now(), unknown) {
            Ok(order) => order,
            Err(broken) => {
                tracing::warn!("no order for this basket: {broken}");
                return Ok(true);
            }
        };
        let mut value = Vec::new();
        self.events.encode(&self.version.of(&order), &mut value)?;
        let Some(delivery) = self.desk.send(order.key(), &value, &self.stop).await? else { return Ok(false) };
        if let Some(left) = &mut self.left {
            *left -= 1;
        }
        // The books end early only on an error, which they return.
        Ok(self.sent.send(Sent { order_id: order.order_id, value, delivery }).await.is_ok())
    }
}

/// Writes down every order that is acknowledged. One that surely was not written is sent again; one that may have been is
/// not, since a second copy would be a second order: it is told and counted, and was never promised to anyone.
async fn keep_books(
    context: Context,
    desk: Desk,
    mut inbox: mpsc::Receiver<Sent>,
    mut audit: AuditLog,
    stop: CancellationToken,
) -> Result<(), ServiceError> {
    let _stop_on_error = stop.drop_guard();
    let acknowledged = Progress::of("orders acknowledged");
    let unwritable = |error: grocery_events::AuditError| ServiceError::Usage(error.to_string());
    loop {
        let sent = match inbox.try_recv() {
            Ok(next) => next,
            Err(_) => {
                audit.flush().map_err(unwritable)?;
                match inbox.recv().await {
                    Some(next) => next,
                    None => break,
                }
            }
        };
        if arrived(&context, &desk, &sent.order_id, &sent.value, sent.delivery).await? {
            audit.line(&sent.order_id).map_err(unwritable)?;
            acknowledged.add(1);
            context.metrics.records_out(1);
        }
    }
    audit.flush().map_err(unwritable)?;
    tracing::info!("{} orders acknowledged, none under way", acknowledged.total());
    Ok(())
}

/// Waits for an order's acknowledgement, and sends it again as long as it surely is not on the topic. A shutdown does not end
/// this: the drain has a bound of its own.
async fn arrived(
    context: &Context,
    desk: &Desk,
    order: &str,
    value: &[u8],
    mut delivery: Delivery,
) -> Result<bool, ServiceError> {
    loop {
        let Err(error) = delivery.await else { return Ok(true) };
        context.metrics.error("delivery");
        if !error.is_retriable() {
            return Err(error.into());
        }
        if error.written() == Written::Maybe {
            tracing::error!(order, "not acknowledged, and not sent again since it may be on the topic: {error}");
            return Ok(false);
        }
        tracing::warn!(order, "the order is sent again: {error}");
        match desk.send(order, value, &CancellationToken::new()).await? {
            Some(again) => delivery = again,
            None => return Ok(false),
        }
    }
}
