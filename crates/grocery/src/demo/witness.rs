//! Those who saw an order: the producer's books, both topics, and the device's books.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use grocery_events::{Event, GroceryOrder, GroceryPicklist, ORDERS_TOPIC, PICKLISTS_TOPIC};
use kafka::{Cluster, ConsumerConfig, IsolationLevel, OffsetSpec, RecordBatch, StartFrom};
use schema_registry::{AvroDeserializer, RegistryClient};
use service_kit::ServiceError;
use service_kit::config::Config;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::account::Account;
use super::place::Place;
use super::services::AuditFiles;
use super::tail::Tail;
use crate::audit::{partitions, reached};
use crate::operator::{OPERATOR, offsets};

/// Between two looks at a file.
const LOOK: Duration = Duration::from_millis(100);

type Books = Arc<Mutex<Account>>;

/// Everybody who watches.
pub(super) struct Witnesses {
    tasks: Vec<JoinHandle<()>>,
    /// Cancelled once nothing new is written: then they read to the end and return.
    last_look: CancellationToken,
}

impl Witnesses {
    /// Waits until everything that was written has been seen, within `patience`.
    pub(super) async fn finish(self, patience: Duration) {
        self.last_look.cancel();
        let all = futures::future::join_all(self.tasks);
        if tokio::time::timeout(patience, all).await.is_err() {
            tracing::warn!("the topics could not be read to their end within {patience:?} (--drain-timeout)");
        }
    }
}

/// Begins to watch.
pub(super) fn start(place: &Place, audit: &AuditFiles, account: &Books) -> Result<Witnesses, ServiceError> {
    let config = Config::load(&[place.properties(OPERATOR.name)], &[], &BTreeMap::new(), OPERATOR)?;
    let last_look = CancellationToken::new();
    let acknowledged = Tail::new(audit.acknowledged.clone());
    let shown = Tail::new(audit.shown.clone());
    let topics = Topics::new(config, Arc::clone(account))?;
    let tasks = vec![
        tokio::spawn(follow(acknowledged, Arc::clone(account), Account::acknowledged_line, last_look.clone())),
        tokio::spawn(follow(shown, Arc::clone(account), Account::shown_line, last_look.clone())),
        tokio::spawn(reported("the topics", topics.read(last_look.clone()))),
    ];
    Ok(Witnesses { tasks, last_look })
}

async fn reported(what: &'static str, reading: impl Future<Output = Result<(), ServiceError>>) {
    if let Err(error) = reading.await {
        tracing::error!("{what} can no longer be read for the reconciliation: {error}");
    }
}

/// Follows a file, and reads it once more after the last look was asked for.
async fn follow(mut tail: Tail, account: Books, note: fn(&mut Account, &str), last_look: CancellationToken) {
    loop {
        let last = last_look.is_cancelled();
        let mut lines = Vec::new();
        if let Err(error) = tail.read(|line| lines.push(line.to_owned())).await {
            tracing::error!("an audit file cannot be read: {error}");
            return;
        }
        {
            let mut account = account.lock().unwrap_or_else(PoisonError::into_inner);
            lines.iter().for_each(|line| note(&mut account, line));
        }
        if last {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = last_look.cancelled() => {}
        }
    }
}

/// Reads both topics from their beginning, without a group.
struct Topics {
    config: Config,
    orders: AvroDeserializer<GroceryOrder>,
    picklists: AvroDeserializer<GroceryPicklist>,
    account: Books,
}

impl Topics {
    fn new(config: Config, account: Books) -> Result<Self, ServiceError> {
        let registry = RegistryClient::new(&config.registry()?)?;
        let orders = GroceryOrder::reader(&registry);
        let picklists = GroceryPicklist::reader(&registry);
        Ok(Self {
            config,
            orders: orders.map_err(ServiceError::Internal)?,
            picklists: picklists.map_err(ServiceError::Internal)?,
            account,
        })
    }

    async fn read(self, last_look: CancellationToken) -> Result<(), ServiceError> {
        let cluster = Cluster::connect(self.config.kafka()?).await?;
        let admin = cluster.admin();
        let partitions = partitions(&admin, &[ORDERS_TOPIC, PICKLISTS_TOPIC]).await?;
        let assigned = partitions.iter().map(|partition| (partition.clone(), StartFrom::Earliest));
        let mut settings = ConsumerConfig::assigned(assigned);
        settings.isolation_level = IsolationLevel::ReadCommitted;
        let mut consumer = cluster.consumer_with(settings).await?;
        loop {
            tokio::select! {
                batch = consumer.next_batch() => self.take(batch?).await,
                () = last_look.cancelled() => break,
            }
        }
        let ends = offsets(&admin, &partitions, OffsetSpec::Latest).await?;
        while !reached(&consumer, &ends) {
            let batch = consumer.next_batch().await?;
            self.take(batch).await;
        }
        Ok(())
    }

    async fn take(&self, batch: Option<RecordBatch>) {
        let Some(batch) = batch else { return };
        if batch.topic() == ORDERS_TOPIC {
            let read = decoded(&self.orders, &batch).await;
            let mut account = self.account.lock().unwrap_or_else(PoisonError::into_inner);
            account.unreadable += (batch.len() - read.len()) as u64;
            for (offset, order) in read {
                account.order(order, batch.partition(), offset);
            }
        } else {
            let read = decoded(&self.picklists, &batch).await;
            let mut account = self.account.lock().unwrap_or_else(PoisonError::into_inner);
            account.unreadable += (batch.len() - read.len()) as u64;
            for (_, list) in read {
                account.picklist(list);
            }
        }
    }
}

async fn decoded<T: serde::de::DeserializeOwned>(
    deserializer: &AvroDeserializer<T>,
    batch: &RecordBatch,
) -> Vec<(i64, T)> {
    let mut read = Vec::with_capacity(batch.len());
    for record in batch {
        let Some(value) = record.value() else { continue };
        // What cannot be read is counted by its absence; the services tell where it is.
        if let Ok(event) = deserializer.read(None, value).await {
            read.push((record.offset(), event));
        }
    }
    read
}
