//! A transactional producer that ends its transactions as soon as this library can.
//!
//! `commit_transaction` of rdkafka flushes first, in steps of 100 ms that are slept to their end whether or not the records have
//! been acknowledged meanwhile: each transaction would take 100 ms. So a thread of the library serves the delivery reports here,
//! and the commit is asked for when the last one has come, when there is nothing left to flush.

use std::error::Error;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bench_common::cli::Server;
use rdkafka::client::ClientContext;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::topic_partition_list::TopicPartitionList;

use crate::{PATIENCE, producer};

/// What has become of a producer's records.
#[derive(Default)]
struct Settled {
    acknowledged: u64,
    failed: u64,
    /// How many somebody waits for.
    awaited: u64,
}

/// [`Settled`], and who waits for it.
#[derive(Clone, Default)]
struct Deliveries(Arc<(Mutex<Settled>, Condvar)>);

impl Deliveries {
    fn settled(&self) -> MutexGuard<'_, Settled> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until so many records are acknowledged or given up; how many were given up.
    fn wait(&self, records: u64) -> u64 {
        let mut settled = self.settled();
        settled.awaited = records;
        while settled.acknowledged + settled.failed < records {
            settled = self.0.1.wait(settled).unwrap_or_else(PoisonError::into_inner);
        }
        settled.failed
    }
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let mut settled = self.settled();
        match result {
            Ok(_) => settled.acknowledged += 1,
            Err(_) => settled.failed += 1,
        }
        if settled.acknowledged + settled.failed == settled.awaited {
            self.0.1.notify_one();
        }
    }
}

/// See the module.
pub(crate) struct Transactional {
    producer: ThreadedProducer<Deliveries>,
    deliveries: Deliveries,
    sent: u64,
}

impl Transactional {
    /// Begins where an earlier producer of this id ended. Records go out after `linger_ms` at the latest, since nothing flushes
    /// them.
    pub(crate) fn new(server: &Server, transactional_id: &str, linger_ms: u32) -> Result<Self, Box<dyn Error>> {
        let mut config = producer(server);
        config.set("transactional.id", transactional_id).set("linger.ms", linger_ms.to_string());
        // A transaction's first requests find the one before it unfinished (CONCURRENT_TRANSACTIONS) for about a millisecond.
        // AddPartitionsToTxn asks again after 20 ms whatever is set here, the others after this.
        config.set("retry.backoff.ms", "1").set("retry.backoff.max.ms", "20");
        let deliveries = Deliveries::default();
        let producer: ThreadedProducer<_> = config.create_with_context(deliveries.clone())?;
        producer.init_transactions(PATIENCE)?;
        Ok(Self { producer, deliveries, sent: 0 })
    }

    pub(crate) fn begin(&self) -> Result<(), Box<dyn Error>> {
        Ok(self.producer.begin_transaction()?)
    }

    /// Queues a record. The queue has room for many transactions.
    pub(crate) fn send(&mut self, topic: &str, key: &[u8], value: &[u8]) -> Result<(), Box<dyn Error>> {
        self.producer.send(BaseRecord::to(topic).key(key).payload(value)).map_err(|(error, _)| error)?;
        self.sent += 1;
        Ok(())
    }

    /// Makes the records visible and the positions the group's, both or neither.
    pub(crate) fn commit(
        &self,
        positions: &TopicPartitionList,
        group: &ConsumerGroupMetadata,
    ) -> Result<(), Box<dyn Error>> {
        // The records are under way meanwhile.
        self.producer.send_offsets_to_transaction(positions, group, PATIENCE)?;
        let failed = self.deliveries.wait(self.sent);
        if failed > 0 {
            return Err(format!("{failed} records were not written").into());
        }
        // The library counts a record as in flight until its report is freed, which is right after it was told.
        while self.producer.in_flight_count() > 0 {
            std::thread::sleep(Duration::from_micros(20));
        }
        Ok(self.producer.commit_transaction(PATIENCE)?)
    }
}
