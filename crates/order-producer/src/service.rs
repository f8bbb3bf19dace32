//! The service: baskets become orders at their pace, orders become events, acknowledged events are written down.

use std::borrow::Cow;
use std::time::Instant;

use chrono::Utc;
use grocery_events::{AuditLog, Catalogue, Event, GroceryOrder, UNKNOWN_AISLE, UNKNOWN_PRICE};
use kafka::{Delivery, Producer, Record, Written};
use schema_registry::AvroSerializer;
use service_kit::{Context, Outage, Progress, ServiceError, wait_out};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::orders::OrderMaker;
use crate::pace::Pacer;
use crate::source::{Next, Source};
use crate::{Args, Rate};

/// Orders that wait to be written down as acknowledged. The producer's own bound on bytes is the one that holds back.
const UNACKNOWLEDGED: usize = 100_000;

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
    let schema = context.readiness.condition("schema of orders");
    let producing = context.config.producer()?;
    let registry = context.registry()?;
    let Some(cluster) = context.connect().await? else { return Ok(()) };
    let events = context.serializer::<GroceryOrder>(&registry, GroceryOrder::SUBJECT, GroceryOrder::SCHEMA).await?;
    let Some(events) = events else { return Ok(()) };
    schema.met();
    let producer = cluster.producer(producing)?;

    let (sent, inbox) = mpsc::channel(UNACKNOWLEDGED);
    // Cancelled when writing down fails, so that no more orders are made in vain.
    let stop = context.shutdown.child_token();
    let bookkeeper = tokio::spawn(keep_books(context.clone(), inbox, audit, stop.clone()));
    let maker = Maker {
        orders: OrderMaker::new(catalogue, args.seed),
        pacer: Pacer::new(args.rate, Instant::now()),
        topic: context.config.orders_topic().to_owned(),
        left: args.orders,
        rate: args.rate,
        source,
        events,
        producer: &producer,
        sent,
        stop,
    };
    let made = maker.run().await;
    // The channel has ended with the maker: the books close once the last delivery is known.
    let kept = bookkeeper.await.map_err(|error| ServiceError::Internal(format!("the books: {error}")))?;
    made.and(kept)
}

/// Makes orders and hands them to the producer.
struct Maker<'a> {
    source: Source,
    orders: OrderMaker,
    pacer: Pacer,
    rate: Rate,
    left: Option<u64>,
    topic: String,
    events: AvroSerializer<GroceryOrder>,
    producer: &'a Producer,
    sent: mpsc::Sender<(String, Delivery)>,
    stop: CancellationToken,
}

impl Maker<'_> {
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
        self.events.encode(&order, &mut value)?;
        let mut outage = Outage::of("the Kafka cluster", "bootstrap.servers");
        let attempt = || {
            let record = Record::to(&self.topic).key(order.key().as_bytes()).value(value.as_slice());
            self.producer.send(record)
        };
        let delivery = wait_out(&mut outage, &self.stop, kafka::ProducerError::is_retriable, attempt).await?;
        let Some(delivery) = delivery else { return Ok(false) };
        if let Some(left) = &mut self.left {
            *left -= 1;
        }
        // The books end early only on an error, which they return.
        Ok(self.sent.send((order.order_id, delivery)).await.is_ok())
    }
}

/// Writes down every order that is acknowledged. An order that is not acknowledged in the end is an error that is told and
/// counted; it was never promised to anyone.
async fn keep_books(
    context: Context,
    mut inbox: mpsc::Receiver<(String, Delivery)>,
    mut audit: AuditLog,
    stop: CancellationToken,
) -> Result<(), ServiceError> {
    let _stop_on_error = stop.clone().drop_guard();
    let acknowledged = Progress::of("orders acknowledged");
    let unwritable = |error: grocery_events::AuditError| ServiceError::Usage(error.to_string());
    loop {
        let (order, delivery) = match inbox.try_recv() {
            Ok(next) => next,
            Err(_) => {
                audit.flush().map_err(unwritable)?;
                match inbox.recv().await {
                    Some(next) => next,
                    None => break,
                }
            }
        };
        match delivery.await {
            Ok(_) => {
                audit.line(&order).map_err(unwritable)?;
                acknowledged.add(1);
                context.metrics.records_out(1);
            }
            Err(error) if error.is_retriable() => {
                context.metrics.error("delivery");
                let perhaps = if error.written() == Written::No { "is not" } else { "may be" };
                tracing::error!(order, "not acknowledged, it {perhaps} on the topic: {error}");
            }
            Err(error) => return Err(error.into()),
        }
    }
    audit.flush().map_err(unwritable)?;
    tracing::info!("{} orders acknowledged, none under way", acknowledged.total());
    Ok(())
}
