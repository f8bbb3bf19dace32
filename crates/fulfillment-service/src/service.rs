//! The service: read orders, write a pick list for each, and say that they are done, all in one transaction.

use std::time::Duration;

use grocery_events::{Catalogue, Event, GroceryOrder, GroceryPicklist, Versioned};
use kafka::{Consumer, ConsumerEvent, RecordBatch, Revocation, StartFrom, Transaction, TransactionError, Transactions};
use service_kit::{Context, LOOK, Lag, Outage, Progress, ServiceError, speak_of, wait_out};
use tokio::time::{Instant, sleep, sleep_until};

use crate::Args;
use crate::taken::{Bounds, Taken};
use crate::work::{Lists, Work};

/// The group that shares the orders.
pub const GROUP: &str = "fulfillment-service-group";

/// Between two attempts at the same orders, when the first came to nothing.
const PAUSE: Duration = Duration::from_millis(100);

/// Turns orders into pick lists until the shutdown. The lists of some orders and the group's position behind those orders are
/// one transaction: whoever reads committed lists sees each order's exactly once, whatever dies in between.
///
/// # Errors
/// What waiting does not mend.
pub async fn run(context: Context, args: Args) -> Result<(), ServiceError> {
    let catalogue = catalogue(&args)?;
    let version = context.config.parsed("event.version", "a version of the events' schemas, 1 or 2")?;
    let version = args.event_version.or(version).unwrap_or_default();
    let registry = context.registry()?;
    let orders = GroceryOrder::reader(&registry).map_err(ServiceError::Internal)?;
    let bounds = args.bounds();
    let mut settings = context.config.consumer(GROUP, &[context.config.orders_topic()])?;
    settings.max_poll_records = settings.max_poll_records.min(bounds.orders);
    settings.require_stable = true;
    let most_at_once = settings.max_poll_records;
    let transactional = context.config.transactions("fulfillment-service")?;
    let lag = Lag::of(&context);
    let schema = context.readiness.condition("schema of pick lists");
    let Some(cluster) = context.connect().await? else { return Ok(()) };
    let schema_text = version.schema::<GroceryPicklist>();
    let picklists = context
        .serializer::<Versioned<'static, GroceryPicklist>>(&registry, GroceryPicklist::SUBJECT, schema_text)
        .await?;
    let Some(picklists) = picklists else { return Ok(()) };
    schema.met();
    // Before the group, so that what an instance of this name left open is over when its positions are read.
    let mut outage = transactions_outage();
    let attempt = || cluster.transactions(transactional.clone());
    let taken_over = wait_out(&mut outage, &context.shutdown, TransactionError::is_retriable, attempt).await?;
    let Some(transactions) = taken_over else { return Ok(()) };
    let consumer = cluster.consumer_with(settings).await?;
    let topic = context.config.picklists_topic().to_owned();
    let work = Work { topic, pickers: args.pickers, orders, picklists, version, catalogue, context };
    let done = Progress::of("pick lists committed");
    Fulfilment { work, consumer, transactions, bounds, most_at_once, done, outage }.run(lag).await
}

/// The catalogue that says where items are shelved, for as long as the process lives: pick lists borrow its aisles.
fn catalogue(args: &Args) -> Result<&'static Catalogue, ServiceError> {
    let Some(path) = &args.catalogue else { return Ok(Catalogue::builtin()) };
    let read = Catalogue::read(path).map_err(|error| ServiceError::Usage(error.to_string()))?;
    Ok(Box::leak(Box::new(read)))
}

fn transactions_outage() -> Outage {
    Outage::of("the transaction coordinator", "bootstrap.servers")
}

struct Fulfilment {
    work: Work,
    consumer: Consumer,
    transactions: Transactions,
    bounds: Bounds,
    /// The most orders that one batch has.
    most_at_once: usize,
    done: Progress,
    outage: Outage,
}

/// How a transaction ended.
enum Ended {
    Committed,
    /// Nothing of it is visible: the same orders are to be done again.
    Aborted(TransactionError),
    /// As aborted: some of its partitions have gone to another member.
    Lost,
    /// Only the next [`Transactions::ready`] will tell.
    Unresolved,
}

impl Fulfilment {
    async fn run(mut self, mut lag: Lag) -> Result<(), ServiceError> {
        let mut looks = tokio::time::interval(LOOK);
        let shutdown = self.work.context.shutdown.clone();
        loop {
            let event = tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                _ = looks.tick() => {
                    lag.look(&self.consumer);
                    continue;
                }
                event = self.consumer.next_event() => event?,
            };
            match event {
                Some(ConsumerEvent::Batch(batch)) => self.fulfil(&batch, &mut lag).await?,
                // Between transactions nothing is open.
                Some(_) => {}
                None => break,
            }
        }
        tracing::info!("leaving the group after {} pick lists", self.done.total());
        self.consumer.close().await?;
        Ok(())
    }

    /// One transaction: this batch, and what comes within its bounds.
    async fn fulfil(&mut self, first: &RecordBatch, lag: &mut Lag) -> Result<(), ServiceError> {
        let (lists, next) = self.work.lists(first).await?;
        if !self.ready().await? {
            return Ok(());
        }
        let mut taken = Taken::default();
        taken.add(first.topic_partition(), first.first_offset(), next, lists.len(), lists.bytes());
        let mut revoking = None;
        match self.transact(lists, &mut taken, &mut revoking, lag).await? {
            Ended::Committed => self.committed(&taken),
            Ended::Aborted(error) => self.again(&taken, error).await?,
            Ended::Lost => self.go_back(&taken),
            Ended::Unresolved => self.resolve(&taken).await?,
        }
        drop(revoking);
        Ok(())
    }

    async fn transact(
        &mut self,
        lists: Lists,
        taken: &mut Taken,
        revoking: &mut Option<Revocation>,
        lag: &mut Lag,
    ) -> Result<Ended, ServiceError> {
        let Self { work, consumer, transactions, bounds, most_at_once, outage, .. } = self;
        let mut transaction = match transactions.begin().await {
            Ok(transaction) => transaction,
            Err(error) => return Ok(Ended::Aborted(error)),
        };
        let failed = match lists.send(&work.topic, &mut transaction).await {
            Ok(()) => {
                let more = More { work, consumer, bounds, most_at_once: *most_at_once };
                more.take(&mut transaction, taken, revoking, lag).await?
            }
            Err(error) => Some(Ended::Aborted(error)),
        };
        match failed {
            None => commit(transaction, consumer, taken, outage).await,
            Some(ended) => {
                give_up(transaction).await?;
                Ok(ended)
            }
        }
    }

    /// Waits until a transaction can begin; `false` if a shutdown came first.
    async fn ready(&mut self) -> Result<bool, ServiceError> {
        let Self { transactions, outage, work, .. } = self;
        let attempt = || transactions.ready();
        let ready = wait_out(outage, &work.context.shutdown, TransactionError::is_retriable, attempt).await?;
        Ok(ready.is_some())
    }

    fn committed(&mut self, taken: &Taken) {
        self.work.context.metrics.records_out(taken.lists);
        self.done.add(taken.lists);
    }

    /// Goes back to where the transaction began, unless what it failed of would only fail again.
    async fn again(&mut self, taken: &Taken, error: TransactionError) -> Result<(), ServiceError> {
        self.work.context.metrics.error("transaction");
        if error.is_fatal() {
            return Err(error.into());
        }
        tracing::warn!("{} pick lists are made again: {error}", taken.lists);
        self.go_back(taken);
        sleep(PAUSE).await;
        Ok(())
    }

    fn go_back(&mut self, taken: &Taken) {
        for (partition, from) in taken.beginnings() {
            // One that is no longer ours is done by its new owner, from the same place.
            let _ = self.consumer.seek(partition, StartFrom::Offset(from));
        }
    }

    /// Waits for the outcome of a commit that had none in time. After a shutdown nobody needs it: the next start begins where
    /// the group's position is, whichever that is.
    async fn resolve(&mut self, taken: &Taken) -> Result<(), ServiceError> {
        let Self { transactions, outage, work, .. } = self;
        let waits = |error: &TransactionError| matches!(error, TransactionError::Unavailable { .. });
        match wait_out(outage, &work.context.shutdown, waits, || transactions.ready()).await {
            Ok(Some(())) => self.committed(taken),
            Ok(None) => {}
            Err(error) => self.again(taken, error).await?,
        }
        Ok(())
    }
}

/// What a transaction goes on with after its first batch.
struct More<'a> {
    work: &'a Work,
    consumer: &'a mut Consumer,
    bounds: &'a Bounds,
    most_at_once: usize,
}

impl More<'_> {
    /// Takes orders until the transaction is full, has waited long enough, or has to end for another reason; returns that if
    /// it is one for which it cannot be committed.
    ///
    /// # Errors
    /// What the service cannot go on with.
    async fn take(
        self,
        transaction: &mut Transaction<'_>,
        taken: &mut Taken,
        revoking: &mut Option<Revocation>,
        lag: &mut Lag,
    ) -> Result<Option<Ended>, ServiceError> {
        let until = Instant::now() + self.bounds.linger;
        while taken.has_room(self.bounds, self.most_at_once) {
            let event = tokio::select! {
                biased;
                () = self.work.context.shutdown.cancelled() => break,
                event = self.consumer.next_event() => event?,
                () = sleep_until(until) => break,
            };
            match event {
                Some(ConsumerEvent::Batch(batch)) => {
                    let (lists, next) = self.work.lists(&batch).await?;
                    taken.add(batch.topic_partition(), batch.first_offset(), next, lists.len(), lists.bytes());
                    if let Err(error) = lists.send(&self.work.topic, transaction).await {
                        return Ok(Some(Ended::Aborted(error)));
                    }
                }
                // The partitions stay ours until this is dropped, which is when the transaction is over.
                Some(ConsumerEvent::Revoking(revocation)) => {
                    *revoking = Some(revocation);
                    break;
                }
                // They may have come back meanwhile, with work on them that another member has committed.
                Some(ConsumerEvent::Lost(partitions)) if taken.touches(&partitions) => return Ok(Some(Ended::Lost)),
                Some(_) => lag.look(self.consumer),
                None => break,
            }
        }
        Ok(None)
    }
}

/// Aborts a transaction. That the coordinator cannot be reached is for the next one to wait for.
async fn give_up(transaction: Transaction<'_>) -> Result<(), ServiceError> {
    match transaction.abort().await {
        Err(error) if error.is_fatal() => Err(error.into()),
        _ => Ok(()),
    }
}

/// Commits a transaction together with the group's positions, if its partitions are still ours.
async fn commit(
    transaction: Transaction<'_>,
    consumer: &Consumer,
    taken: &Taken,
    outage: &mut Outage,
) -> Result<Ended, ServiceError> {
    let group = speak_of(outage, "the group's coordinator does not answer", consumer.in_group()).await;
    let Some(group) = group.filter(|_| taken.is_within(&consumer.assignment())) else {
        give_up(transaction).await?;
        tracing::info!("{} pick lists are left to the new owners of their partitions", taken.lists);
        return Ok(Ended::Lost);
    };
    let outcome = transaction.commit_with(taken.positions(), &group);
    match speak_of(outage, "a commit has no answer", outcome).await {
        Ok(()) => {
            consumer.committed_elsewhere(taken.positions());
            Ok(Ended::Committed)
        }
        Err(TransactionError::Unresolved { .. }) => Ok(Ended::Unresolved),
        Err(error @ TransactionError::Aborted { .. }) => Ok(Ended::Aborted(error)),
        Err(error) => Err(error.into()),
    }
}
