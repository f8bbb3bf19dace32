//! From a batch of orders to the bytes of its pick lists.

use chrono::Utc;
use grocery_events::{Catalogue, EventVersion, GroceryOrder, GroceryPicklist, Versioned};
use kafka::{Position, Record, RecordBatch, Transaction, TransactionError};
use schema_registry::{AvroDeserializer, AvroSerializer};
use service_kit::{Context, ServiceError};

use crate::picklist::{pick_list, picker_for};

/// What it takes to turn orders into lists.
pub(crate) struct Work {
    pub(crate) context: Context,
    pub(crate) topic: String,
    pub(crate) pickers: Vec<String>,
    pub(crate) orders: AvroDeserializer<GroceryOrder>,
    pub(crate) picklists: AvroSerializer<Versioned<'static, GroceryPicklist>>,
    /// The version that `picklists` writes.
    pub(crate) version: EventVersion,
    /// Where items are shelved.
    pub(crate) catalogue: &'static Catalogue,
}

/// The pick lists of a batch of orders, encoded one behind the other.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    /// Each list's key, and where its bytes end.
    ends: Vec<(String, usize)>,
    bytes: Vec<u8>,
}

impl Lists {
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Makes them part of a transaction.
    pub(crate) async fn send(&self, topic: &str, transaction: &mut Transaction<'_>) -> Result<(), TransactionError> {
        transaction.send_all(Records { topic, ends: self.ends.iter(), bytes: &self.bytes, start: 0 }).await
    }
}

/// Lists as records, one after the other.
struct Records<'a> {
    topic: &'a str,
    ends: std::slice::Iter<'a, (String, usize)>,
    bytes: &'a [u8],
    start: usize,
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        let (key, end) = self.ends.next()?;
        let value = &self.bytes[self.start..*end];
        self.start = *end;
        Some(Record::to(self.topic).key(key.as_bytes()).value(value))
    }
}

impl Work {
    /// Makes the list of each order, and says where the orders go on after those: at the batch's end, unless a shutdown came
    /// while the registry was waited for. What is no order, or breaks a rule, is set aside.
    ///
    /// # Errors
    /// What waiting does not mend.
    pub(crate) async fn lists(&self, batch: &RecordBatch) -> Result<(Lists, Position), ServiceError> {
        let mut lists = Lists::default();
        let (at, now) = (batch.topic_partition(), Utc::now());
        self.context.metrics.records_in(batch.len() as u64);
        for record in batch {
            let Some(order) = self.context.read(&self.orders, at, record).await? else {
                if self.context.shutdown.is_cancelled() {
                    return Ok((lists, Position::at(record.offset())));
                }
                continue;
            };
            let picker = picker_for(&order.order_id, &self.pickers).ok_or_else(|| {
                ServiceError::Usage("nobody is on shift: name at least one picker (--pickers)".into())
            })?;
            match pick_list(order, picker, now, self.version, self.catalogue) {
                Ok(list) => {
                    self.picklists.encode(&self.version.of(&list), &mut lists.bytes)?;
                    lists.ends.push((list.order_id, lists.bytes.len()));
                }
                Err(broken) => self.context.set_aside(at, record.offset(), &broken.to_string()),
            }
        }
        Ok((lists, batch.next_position()))
    }
}
