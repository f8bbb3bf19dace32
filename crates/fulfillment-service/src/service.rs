//! The service: read orders, write a pick list for each, then say that the orders are done.

use chrono::Utc;
use grocery_events::{Event, GroceryOrder, GroceryPicklist};
use kafka::{Consumer, Delivery, DeliveryError, Producer, Record, RecordBatch, Written};
use schema_registry::{AvroDeserializer, AvroSerializer};
use service_kit::{Context, LOOK, Lag, Outage, Progress, ServiceError, wait_out};

use crate::Args;
use crate::picklist::{pick_list, picker_for};

/// The group that shares the orders.
pub const GROUP: &str = "fulfillment-service-group";

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
    let mut lag = Lag::of(&context);
    let schema = context.readiness.condition("schema of pick lists");
    let Some(cluster) = context.connect().await? else { return Ok(()) };
    let picklists =
        context.serializer::<GroceryPicklist>(&registry, GroceryPicklist::SUBJECT, GroceryPicklist::SCHEMA).await?;
    let Some(picklists) = picklists else { return Ok(()) };
    schema.met();
    let mut consumer = cluster.consumer_with(settings).await?;
    let work = Work {
        producer: cluster.producer(producing)?,
        topic: context.config.picklists_topic().to_owned(),
        pickers: args.pickers,
        orders,
        picklists,
        context,
    };
    let done = Progress::of("pick lists acknowledged");
    let mut looks = tokio::time::interval(LOOK);
    loop {
        let batch = tokio::select! {
            biased;
            () = work.context.shutdown.cancelled() => break,
            _ = looks.tick() => {
                lag.look(&consumer);
                continue;
            }
            batch = consumer.next_batch() => batch,
        };
        let Some(batch) = batch? else { break };
        let Some(count) = work.fulfil(&batch).await? else { break };
        done.add(count);
        commit(&consumer, &batch).await?;
    }
    tracing::info!("leaving the group after {} pick lists", done.total());
    consumer.close().await?;
    Ok(())
}

/// What it takes to turn orders into acknowledged pick lists.
struct Work {
    context: Context,
    producer: Producer,
    topic: String,
    pickers: Vec<String>,
    orders: AvroDeserializer<GroceryOrder>,
    picklists: AvroSerializer<GroceryPicklist>,
}

/// A pick list on its way.
struct Sent {
    key: String,
    value: Vec<u8>,
    delivery: Delivery,
}

impl Work {
    /// Returns once every list of the batch is acknowledged; `None` if a shutdown came first, so that the batch must not be
    /// committed.
    async fn fulfil(&self, batch: &RecordBatch) -> Result<Option<u64>, ServiceError> {
        let mut sent = Vec::with_capacity(batch.len());
        for record in batch {
            self.context.metrics.records_in(1);
            let at = batch.topic_partition();
            let Some(order) = self.context.read(&self.orders, at, record.offset(), record.value()).await? else {
                if self.context.shutdown.is_cancelled() {
                    return Ok(None);
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
            let Some(delivery) = self.send(&list.order_id, &value).await? else { return Ok(None) };
            sent.push(Sent { key: list.order_id, value, delivery });
        }
        let count = sent.len() as u64;
        for list in sent {
            if !self.acknowledged(list).await? {
                return Ok(None);
            }
            self.context.metrics.records_out(1);
        }
        Ok(Some(count))
    }

    /// Hands a list to the producer, which waits for room. `None` if a shutdown came first.
    async fn send(&self, key: &str, value: &[u8]) -> Result<Option<Delivery>, ServiceError> {
        let mut outage = Outage::of("the Kafka cluster", "bootstrap.servers");
        let attempt = || self.producer.send(Record::to(&self.topic).key(key.as_bytes()).value(value));
        Ok(wait_out(&mut outage, &self.context.shutdown, kafka::ProducerError::is_retriable, attempt).await?)
    }

    /// Waits for the acknowledgement; sends once more what an outage outlasted. A list that may have been written all the same
    /// has the same id again.
    async fn acknowledged(&self, list: Sent) -> Result<bool, ServiceError> {
        let Sent { key, value, mut delivery } = list;
        loop {
            let error: DeliveryError = match delivery.await {
                Ok(_) => return Ok(true),
                Err(error) => error,
            };
            self.context.metrics.error("delivery");
            if !error.is_retriable() {
                return Err(error.into());
            }
            let perhaps = if error.written() == Written::No { "" } else { "; it may be there twice then" };
            tracing::warn!(order = key, "the pick list is sent again{perhaps}: {error}");
            let Some(again) = self.send(&key, &value).await? else { return Ok(false) };
            delivery = again;
        }
    }
}

async fn commit(consumer: &Consumer, batch: &RecordBatch) -> Result<(), ServiceError> {
    match consumer.commit(&consumer.positions_of(batch)).await {
        Ok(()) => Ok(()),
        Err(error) if error.is_rebalance() || error.is_retriable() => {
            tracing::warn!("{error}");
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}
