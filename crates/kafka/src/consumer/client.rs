//! The application's side of a consumer.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::batch::{ConsumerRecord, RecordBatch};
use super::config::{ConsumerConfig, StartFrom};
use super::error::{CommitError, ConsumerError};
use super::partitions::{ListedAt, Place, Want};
use super::positions::{Position, Positions};
use super::reading::Reading;
use super::shared::{Application, News, Shared, Standing};
use super::task::{Command, Task};
use crate::TopicPartition;
use crate::cluster::Cluster;
use crate::group::membership::Identity;
use crate::group::subscription::NO_GENERATION;

mod signing;

/// Reads topics as a member of a group, or partitions that it was given.
///
/// A task of its own fetches ahead, keeps the membership alive while the application works, and ends when the consumer is
/// closed or dropped. The application asks for batches, works on them and says what it has done:
///
/// ```no_run
/// # async fn example(cluster: kafka::Cluster) -> Result<(), Box<dyn std::error::Error>> {
/// let mut consumer = cluster.consumer("fulfillment-service-group", ["grocery.orders.v1"]).await?;
/// while let Some(batch) = consumer.next_batch().await? {
///     for record in &batch {
///         println!("{:?}", record.value());
///     }
///     consumer.commit(&consumer.positions_of(&batch)).await?;
/// }
/// consumer.close().await?;
/// # Ok(()) }
/// ```
///
/// # When partitions move
///
/// Before a partition goes to another member, the application is asked in its own time: calling
/// [`next_batch`](Self::next_batch) again means that it is done with what it got before, and the partition goes then, after
/// everything that was [stored](Self::store) is committed. An application that works on several batches at once uses
/// [`next_event`](Self::next_event) and holds on to the [`Revocation`] until it has committed what it must. The wait is
/// bounded by `max.poll.interval.ms`: after that the group goes on without this member.
pub struct Consumer {
    config: ConsumerConfig,
    shared: Arc<Shared>,
    commands: mpsc::UnboundedSender<Command>,
    reading: Option<Reading>,
    /// The end of the batch that the application got last, for `enable.auto.commit`.
    last: Option<(TopicPartition, u64, Position)>,
}

/// What [`Consumer::next_event`] returns.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConsumerEvent {
    /// Records.
    Batch(RecordBatch),
    /// These partitions are ours from now on.
    Assigned(Vec<TopicPartition>),
    /// These partitions go to another member as soon as the [`Revocation`] is dropped.
    Revoking(Revocation),
    /// These partitions are with another member already; nothing can be committed for them any more.
    Lost(Vec<TopicPartition>),
}

/// Partitions that are about to be given up. They stay ours, and can be committed, until this is dropped.
pub struct Revocation {
    partitions: Vec<TopicPartition>,
    number: u64,
    shared: Arc<Shared>,
}

impl Revocation {
    /// The partitions that go.
    pub fn partitions(&self) -> &[TopicPartition] {
        &self.partitions
    }
}

impl Drop for Revocation {
    fn drop(&mut self) {
        self.shared.give_up(self.number);
    }
}

impl fmt::Debug for Revocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Revocation").field(&self.partitions).finish()
    }
}

/// Marks the application as busy again however a wait for records ends, so that one that was given up counts as well.
struct Polling<'a>(&'a Shared);

impl<'a> Polling<'a> {
    fn begin(shared: &'a Shared) -> Self {
        shared.lock().application = Application::Polling;
        Self(shared)
    }
}

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        self.0.lock().application = Application::Processing { since: Instant::now() };
    }
}

impl Cluster {
    /// Joins `group` to read `topics` with Kafka's defaults and offsets committed by the application.
    ///
    /// Returns at once; joining goes on in the background. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// [`ConsumerError::Config`] if the settings cannot work.
    pub async fn consumer(
        &self,
        group: impl Into<String>,
        topics: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Consumer, ConsumerError> {
        self.consumer_with(ConsumerConfig::group(group, topics)).await
    }

    /// A consumer with settings of its own, also without a group.
    ///
    /// # Errors
    /// [`ConsumerError::Config`] if the settings cannot work.
    pub async fn consumer_with(&self, config: ConsumerConfig) -> Result<Consumer, ConsumerError> {
        config.validate()?;
        let shared = Arc::new(Shared::new(Instant::now()));
        for (partition, from) in &config.assignment {
            let place = place_of(*from);
            shared.lock().partitions.assign(partition.clone(), place);
        }
        if config.group_id.is_some() && !config.is_member() {
            let nobody = Identity { generation: NO_GENERATION, member_id: String::new(), instance_id: None };
            shared.stands(Standing { identity: Some(nobody), left: false });
        }
        let (commands, orders) = mpsc::unbounded_channel();
        let task = Task::new(config.clone(), self.clone(), Arc::clone(&shared), orders);
        tokio::spawn(task.run());
        Ok(Consumer { config, shared, commands, reading: None, last: None })
    }
}

fn place_of(from: StartFrom) -> Place {
    match from {
        StartFrom::Earliest => Place::Listed(ListedAt::Earliest),
        StartFrom::Latest => Place::Listed(ListedAt::Latest),
        StartFrom::Offset(offset) => Place::At(Position::at(offset)),
        StartFrom::Timestamp(timestamp) => Place::Listed(ListedAt::Timestamp(timestamp)),
        StartFrom::Committed => Place::Committed,
    }
}

impl Consumer {
    /// Waits for records. `None` means that the consumer is closed.
    ///
    /// A batch is of one partition; partitions take turns. Asking again means that the batches before are done with, see
    /// [`Consumer`].
    ///
    /// Cancel safe: what is not returned is returned by the next call.
    ///
    /// # Errors
    /// [`ConsumerError`]. Where [`is_fatal`](ConsumerError::is_fatal) does not hold, asking again goes on with the other
    /// partitions.
    pub async fn next_batch(&mut self) -> Result<Option<RecordBatch>, ConsumerError> {
        loop {
            match self.next_event().await? {
                Some(ConsumerEvent::Batch(batch)) => return Ok(Some(batch)),
                // Dropping a revocation is agreeing to it.
                Some(_) => {}
                None => return Ok(None),
            }
        }
    }

    /// Waits for records or for news of the assignment. Events come in the order in which they happened, and news of the
    /// assignment before any more records.
    ///
    /// Cancel safe: what is not returned is returned by the next call.
    ///
    /// # Errors
    /// As [`next_batch`](Self::next_batch).
    pub async fn next_event(&mut self) -> Result<Option<ConsumerEvent>, ConsumerError> {
        self.finish_last();
        let shared = Arc::clone(&self.shared);
        let polling = Polling::begin(&shared);
        let mut rung = false;
        loop {
            if let Some(news) = self.news()? {
                return Ok(Some(news));
            }
            if let Some(batch) = self.read()? {
                return Ok(Some(ConsumerEvent::Batch(batch)));
            }
            {
                let state = self.shared.lock();
                if let Some(error) = &state.expelled {
                    return Err(error.clone().into());
                }
                if state.ended {
                    return Ok(None);
                }
            }
            if !rung {
                // The task may have left the group because nobody asked for records.
                rung = true;
                self.shared.task.notify_one();
            }
            polling.0.application.notified().await;
        }
    }

    /// With `enable.auto.commit`, asking for more is what says that the last batch is done.
    fn finish_last(&mut self) {
        let Some((partition, stamp, position)) = self.last.take() else { return };
        let mut state = self.shared.lock();
        if state.partitions.is_assigned(&partition, stamp) {
            state.partitions.done(&[(partition, position)].into_iter().collect());
        }
    }

    fn news(&self) -> Result<Option<ConsumerEvent>, ConsumerError> {
        let news = self.shared.lock().news.pop_front();
        Ok(match news {
            None => None,
            Some(News::Assigned(partitions)) => Some(ConsumerEvent::Assigned(partitions)),
            Some(News::Lost(partitions)) => Some(ConsumerEvent::Lost(partitions)),
            Some(News::Revoking { number, partitions }) => {
                let shared = Arc::clone(&self.shared);
                Some(ConsumerEvent::Revoking(Revocation { partitions, number, shared }))
            }
            Some(News::Failed(error)) => return Err(error),
        })
    }

    /// The next batch at hand, if there is one.
    fn read(&mut self) -> Result<Option<RecordBatch>, ConsumerError> {
        loop {
            let current = |reading: &Reading, shared: &Shared| {
                let state = shared.lock();
                let partition = reading.partition();
                (state.partitions.is_current(partition, reading.stamp()), state.partitions.is_paused(partition))
            };
            let mut reading = match self.reading.take() {
                Some(reading) => match current(&reading, &self.shared) {
                    (true, false) => reading,
                    (true, true) => {
                        // Paused in the middle of a chunk: it goes back to where it was, to be fetched again when resumed.
                        let mut state = self.shared.lock();
                        state.partitions.seek(reading.partition(), Place::At(reading.position()));
                        continue;
                    }
                    (false, _) => continue,
                },
                None => {
                    let Some(chunk) = self.shared.lock().partitions.take() else { return Ok(None) };
                    // There is room for another fetch of it.
                    self.shared.task.notify_one();
                    Reading::new(chunk, self.config.queued_max_bytes)
                }
            };
            let outcome = reading.next(self.config.max_poll_records);
            let (partition, stamp) = (reading.partition().clone(), reading.stamp());
            let ours = self.shared.lock().partitions.handed_out(&partition, stamp, reading.position());
            match outcome {
                Ok(Some(batch)) if ours => {
                    if self.config.enable_auto_commit {
                        self.last = Some((partition, stamp, batch.next_position()));
                    }
                    self.reading = Some(reading);
                    return Ok(Some(batch));
                }
                Err(corrupt) if ours => {
                    let want = Want { partition: partition.clone(), stamp };
                    self.shared.lock().partitions.halt(&want);
                    let super::reading::Corrupt { offset, next_offset, problem } = corrupt;
                    let error = ConsumerError::Corrupt { partition, offset, next_offset, problem };
                    tracing::error!("{error}");
                    return Err(error);
                }
                Ok(_) | Err(_) => {}
            }
        }
    }

    /// The records one by one, each a value that shares the memory of the frame it came in. With `enable.auto.commit`, a
    /// record counts as done when its batch is.
    pub fn into_stream(mut self) -> impl Stream<Item = Result<ConsumerRecord, ConsumerError>> + Send {
        async_stream::stream! {
            loop {
                match self.next_batch().await {
                    Ok(Some(batch)) => {
                        for record in batch.owned() {
                            yield Ok(record);
                        }
                    }
                    Ok(None) => break,
                    Err(error) => {
                        let fatal = error.is_fatal();
                        yield Err(error);
                        if fatal {
                            break;
                        }
                    }
                }
            }
        }
    }

    /// What to commit when everything up to and including this batch is done.
    pub fn positions_of(&self, batch: &RecordBatch) -> Positions {
        [(batch.topic_partition().clone(), batch.next_position())].into_iter().collect()
    }

    /// Commits positions and waits for the coordinator's answer. Commits happen in the order in which they were asked for.
    ///
    /// While the group rebalances this waits for the new generation, and is an error only if the partitions went away.
    ///
    /// The commit is asked for by this call, not by the first poll, and the future borrows nothing: the application can read on
    /// meanwhile. Dropping it changes nothing about the commit.
    ///
    /// # Errors
    /// [`CommitError`]; [`CommitError::Rebalanced`] is nothing to stop for.
    pub fn commit(
        &self,
        positions: &Positions,
    ) -> impl Future<Output = Result<(), CommitError>> + Send + 'static + use<> {
        let (reply, answer) = oneshot::channel();
        let asked = self.send(Command::Commit(positions.clone(), reply));
        async move {
            asked.map_err(|_| CommitError::Closed)?;
            answer.await.unwrap_or(Err(CommitError::Closed))
        }
    }

    /// Says that a batch is done, without waiting: it is committed before its partition is given up, when the consumer is
    /// closed and, with `enable.auto.commit`, at the next interval.
    pub fn store(&self, batch: &RecordBatch) {
        let mut state = self.shared.lock();
        if state.partitions.is_assigned(batch.topic_partition(), batch.stamp) {
            state.partitions.done(&self.positions_of(batch));
        }
    }

    /// What the group has committed for these partitions; those without a commit are left out.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// [`ConsumerError::Config`] without a group, [`ConsumerError::Cluster`] if the coordinator cannot be asked.
    pub async fn committed(&self, partitions: &[TopicPartition]) -> Result<Positions, ConsumerError> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Committed(partitions.to_vec(), reply))?;
        answer.await.unwrap_or(Err(ConsumerError::Closed))
    }

    /// The partitions that are ours now.
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.shared.lock().partitions.names()
    }

    /// Where the application stands in a partition: the offset of the next record it gets. `None` while that is not known.
    pub fn position(&self, partition: &TopicPartition) -> Option<Position> {
        self.shared.lock().partitions.position(partition)
    }

    /// [`position`](Self::position) in every partition.
    pub fn positions(&self) -> Positions {
        self.shared.lock().partitions.positions()
    }

    /// Records between where the application stands and the end of the log, as of the last fetch; with `read_committed`, up to
    /// the last stable offset.
    pub fn lag(&self, partition: &TopicPartition) -> Option<i64> {
        self.shared.lock().partitions.lag(partition)
    }

    /// The sum of [`lag`](Self::lag) over the assigned partitions where it is known.
    pub fn total_lag(&self) -> i64 {
        let state = self.shared.lock();
        state.partitions.names().iter().filter_map(|partition| state.partitions.lag(partition)).sum()
    }

    /// Reads on from somewhere else. What was fetched before is dropped; a halted partition goes on.
    ///
    /// # Errors
    /// [`ConsumerError::NotAssigned`].
    pub fn seek(&mut self, partition: &TopicPartition, to: StartFrom) -> Result<(), ConsumerError> {
        if to == StartFrom::Committed && self.config.group_id.is_none() {
            let problem = Arc::from("is missing: only a group has committed offsets");
            return Err(ConsumerError::Config { key: "group.id", problem });
        }
        let assigned = self.shared.lock().partitions.seek(partition, place_of(to));
        if self.last.as_ref().is_some_and(|(last, ..)| last == partition) {
            self.last = None;
        }
        self.shared.task.notify_one();
        self.assigned_or_error(assigned, partition)
    }

    /// Hands out nothing more of these partitions until they are resumed. They stay ours, and what is fetched stays queued.
    ///
    /// # Errors
    /// [`ConsumerError::NotAssigned`] for the first that is not ours; the others are paused.
    pub fn pause(&self, partitions: &[TopicPartition]) -> Result<(), ConsumerError> {
        self.set_paused(partitions, true)
    }

    /// Goes on with paused partitions.
    ///
    /// # Errors
    /// [`ConsumerError::NotAssigned`] for the first that is not ours; the others are resumed.
    pub fn resume(&self, partitions: &[TopicPartition]) -> Result<(), ConsumerError> {
        self.set_paused(partitions, false)
    }

    fn set_paused(&self, partitions: &[TopicPartition], paused: bool) -> Result<(), ConsumerError> {
        let missing: Vec<&TopicPartition> = {
            let mut state = self.shared.lock();
            partitions.iter().filter(|partition| !state.partitions.pause(partition, paused)).collect()
        };
        self.shared.task.notify_one();
        self.shared.application.notify_one();
        missing.first().map_or(Ok(()), |partition| self.assigned_or_error(false, partition))
    }

    fn assigned_or_error(&self, assigned: bool, partition: &TopicPartition) -> Result<(), ConsumerError> {
        if assigned { Ok(()) } else { Err(ConsumerError::NotAssigned { partition: partition.clone() }) }
    }

    /// Commits what is stored, leaves the group (a static member stays on its books) and ends. Within
    /// [`close_timeout`](ConsumerConfig::close_timeout).
    ///
    /// Dropped half way, the closing goes on in the background.
    ///
    /// # Errors
    /// [`ConsumerError::Closed`] if the task had ended before.
    pub async fn close(mut self) -> Result<(), ConsumerError> {
        self.finish_last();
        let (reply, answer) = oneshot::channel();
        self.send(Command::Close(reply))?;
        // The task keeps its own bound; this one is for a task that is no longer there.
        const MARGIN: Duration = Duration::from_secs(5);
        let ended = tokio::time::timeout(self.config.close_timeout + MARGIN, answer).await;
        ended.ok().and_then(Result::ok).ok_or(ConsumerError::Closed)
    }

    fn send(&self, command: Command) -> Result<(), ConsumerError> {
        self.commands.send(command).map_err(|_| ConsumerError::Closed)
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("group_id", &self.config.group_id)
            .field("assignment", &self.assignment())
            .finish_non_exhaustive()
    }
}
