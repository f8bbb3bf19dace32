//! The service: read orders, write a pick list for each, then say that the orders are done.

use std::collections::VecDeque;

use chrono::Utc;
use grocery_events::{Event, GroceryOrder, GroceryPicklist};
use kafka::{Consumer, ConsumerEvent, Delivery, DeliveryError, Position, Producer, Record, RecordBatch, Written};
use schema_registry::{AvroDeserializer, AvroSerializer};
use service_kit::{Commits, Context, LOOK, Lag, Outage, Progress, ServiceError, wait_out};
use tokio_util::sync::CancellationToken;

use crate::Args;
use crate::picklist::{pick_list, picker_for};
use crate::under_way::{Sent, Settled, UnderWay};

/// The group that shares the orders.
pub const GROUP: &str = "fulfillment-service-group";

/// With so many lists on their way, no more orders are read until some have arrived.
const MOST_UNDER_WAY: usize = 10_000;

/// Turns orders into pick lists until the shutdown. An order's position is committed only after the broker acknowledged its
/// pick list: after a crash an order may get its list twice, both with one id, but none is left without.
///
/// # Errors
/// What waiting does not mend.
pub async fn run(context: Context, args: Args) -> Result<(), ServiceError> {
    let registry = context.registry()?;
    let orders = AvroDeserializer::<GroceryOrder>::new(&registry, GroceryOrder::SUBJECT, GroceryOrder::SCHEMA)
        .map_err(ServiceError::Internal)?;
    let settings = context.config.consumer(GROUP, &[context.config.orders_topic()])?;
    let producing = context.config.producer()?;
    let lag = Lag::of(&context);
    let schema = context.readiness.condition("schema of pick lists");
    let Some(cluster) = context.connect().await? else { return Ok(()) };
    let picklists =
        context.serializer::<GroceryPicklist>(&registry, GroceryPicklist::SUBJECT, GroceryPicklist::SCHEMA).await?;
    let Some(picklists) = picklists else { return Ok(()) };
    schema.met();
    let consumer = cluster.consumer_with(settings).await?;
    let work = Work {
        producer: cluster.producer(producing)?,
        topic: context.config.picklists_topic().to_owned(),
        pickers: args.pickers,
        orders,
        picklists,
        context,
    };
    Fulfilment {
        work,
        consumer,
        under_way: UnderWay::new(),
        commits: Commits::default(),
        done: Progress::of("pick lists acknowledged"),
    }
    .run(lag)
    .await
}

/// Orders that are being turned into lists: reading, sending and committing go on at the same time.
struct Fulfilment {
    work: Work,
    consumer: Consumer,
    under_way: UnderWay<Delivery>,
    commits: Commits,
    done: Progress,
}

impl Fulfilment {
    async fn run(mut self, mut lag: Lag) -> Result<(), ServiceError> {
        let mut looks = tokio::time::interval(LOOK);
        let shutdown = self.work.context.shutdown.clone();
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                _ = looks.tick() => lag.look(&self.consumer),
                answer = self.commits.answer() => self.commits.settle(&self.consumer, answer)?,
                settled = self.under_way.settled(), if !self.under_way.is_empty() => self.settle(settled).await?,
                event = self.consumer.next_event(), if self.under_way.lists() < MOST_UNDER_WAY => match event? {
                    Some(event) => self.take(event).await?,
                    None => break,
                },
            }
        }
        self.finish().await?;
        tracing::info!("leaving the group after {} pick lists", self.done.total());
        self.consumer.close().await?;
        Ok(())
    }

    async fn take(&mut self, event: ConsumerEvent) -> Result<(), ServiceError> {
        match event {
            ConsumerEvent::Batch(batch) => {
                let (lists, next) = self.work.fulfil(&batch).await?;
                self.under_way.add(batch.topic_partition().clone(), next, lists);
            }
            ConsumerEvent::Revoking(revocation) => {
                self.finish().await?;
                drop(revocation);
            }
            ConsumerEvent::Lost(partitions) => {
                self.under_way.forget(&partitions);
                self.commits.forget(&partitions);
            }
            _ => {}
        }
        Ok(())
    }

    /// Counts and commits what has arrived; sends again what an outage outlasted.
    async fn settle(&mut self, settled: Settled<Delivery, DeliveryError>) -> Result<(), ServiceError> {
        self.work.context.metrics.records_out(settled.arrived);
        self.done.add(settled.arrived);
        if !settled.done.is_empty() {
            self.commits.done(&self.consumer, &settled.done);
        }
        if let Some((list, error)) = settled.failed {
            self.under_way.sent_again(self.work.send_again(list, error).await?);
        }
        Ok(())
    }

    /// Waits until everything that was sent has arrived and is committed.
    async fn finish(&mut self) -> Result<(), ServiceError> {
        while !self.under_way.is_empty() {
            let settled = self.under_way.settled().await;
            self.settle(settled).await?;
        }
        self.commits.all(&self.consumer).await
    }
}

/// What it takes to turn orders into lists on their way.
struct Work {
    context: Context,
    producer: Producer,
    topic: String,
    pickers: Vec<String>,
    orders: AvroDeserializer<GroceryOrder>,
    picklists: AvroSerializer<GroceryPicklist>,
}

impl Work {
    /// Sends the list of each order, and says where the orders go on after those: at the batch's end, unless a shutdown came
    /// while something was waited for.
    async fn fulfil(&self, batch: &RecordBatch) -> Result<(VecDeque<Sent<Delivery>>, Position), ServiceError> {
        let mut sent = VecDeque::with_capacity(batch.len());
        for record in batch {
            self.context.metrics.records_in(1);
            let at = batch.topic_partition();
            let Some(order) = self.context.read(&self.orders, at, record).await? else {
                if self.context.shutdown.is_cancelled() {
                    return Ok((sent, Position::at(record.offset())));
                }
                continue;
            };
            let picker = picker_for(&order.order_id, &self.pickers).ok_or_else(|| {
                ServiceError::Usage("nobody is on shift: name at least one picker (--pickers)".into())
            })?;
            let list = match order.validate().and_then(|()| pick_list(&order, picker, Utc::now())) {
                Ok(list) => list,
                Err(broken) => {
                    self.context.set_aside(at, record.offset(), &broken.to_string());
                    continue;
                }
            };
            let mut value = Vec::new();
            self.picklists.encode(&list, &mut value)?;
            let Some(delivery) = self.send(&list.order_id, &value, &self.context.shutdown).await? else {
                return Ok((sent, Position::at(record.offset())));
            };
            sent.push_back(Sent { key: list.order_id, value, delivery });
        }
        Ok((sent, batch.next_position()))
    }

    /// Hands a list to the producer, which waits for room. `None` if `stop` came first.
    async fn send(&self, key: &str, value: &[u8], stop: &CancellationToken) -> Result<Option<Delivery>, ServiceError> {
        let mut outage = Outage::of("the Kafka cluster", "bootstrap.servers");
        let attempt = || self.producer.send(Record::to(&self.topic).key(key.as_bytes()).value(value));
        Ok(wait_out(&mut outage, stop, kafka::ProducerError::is_retriable, attempt).await?)
    }

    /// Sends once more what an outage outlasted. A list that may have been written all the same has the same id again. A
    /// shutdown does not end this: the drain has a bound of its own.
    async fn send_again(&self, mut list: Sent<Delivery>, error: DeliveryError) -> Result<Sent<Delivery>, ServiceError> {
        self.context.metrics.error("delivery");
        if !error.is_retriable() {
            return Err(error.into());
        }
        let perhaps = if error.written() == Written::No { "" } else { "; it may be there twice then" };
        tracing::warn!(order = list.key, "the pick list is sent again{perhaps}: {error}");
        let never = CancellationToken::new();
        if let Some(delivery) = self.send(&list.key, &list.value, &never).await? {
            list.delivery = delivery;
        }
        Ok(list)
    }
}
