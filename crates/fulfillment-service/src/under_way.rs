//! Pick lists that were sent and are not acknowledged yet, oldest first, and what may be committed once they are.

use std::collections::VecDeque;
use std::future::Future;

use futures::FutureExt;
use kafka::{Position, Positions, TopicPartition};

/// A pick list on its way: what to send again should it not arrive, and word of its arrival.
#[derive(Debug)]
pub(crate) struct Sent<D> {
    pub(crate) key: String,
    pub(crate) value: Vec<u8>,
    pub(crate) delivery: D,
}

/// The lists of one batch of orders that are on their way.
#[derive(Debug)]
struct Batch<D> {
    partition: TopicPartition,
    /// Where the orders go on after this batch; none if the partition went to another member.
    next: Option<Position>,
    lists: VecDeque<Sent<D>>,
}

/// What is on its way. Lists are waited for in the order in which they were sent, so that the positions of a partition are
/// done in order as well.
#[derive(Debug)]
pub(crate) struct UnderWay<D> {
    batches: VecDeque<Batch<D>>,
    lists: usize,
}

impl<D, M, E> UnderWay<D>
where
    D: Future<Output = Result<M, E>> + Unpin,
{
    pub(crate) fn new() -> Self {
        Self { batches: VecDeque::new(), lists: 0 }
    }

    /// How many lists are on their way.
    pub(crate) fn lists(&self) -> usize {
        self.lists
    }

    /// Whether nothing is waited for: no list, and no batch whose orders became none.
    pub(crate) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// The orders of a batch became these lists.
    pub(crate) fn add(&mut self, partition: TopicPartition, next: Position, lists: VecDeque<Sent<D>>) {
        self.lists += lists.len();
        self.batches.push_back(Batch { partition, next: Some(next), lists });
    }

    /// Waits until the oldest list has arrived or will not, and takes all that have arrived by then.
    ///
    /// Returns how many arrived, what is done with them, and the list that did not arrive, which is no longer under way.
    ///
    /// Cancel safe.
    pub(crate) async fn settled(&mut self) -> Settled<D, E> {
        let mut settled = Settled { arrived: 0, done: Positions::new(), failed: None };
        while let Some(batch) = self.batches.front_mut() {
            while let Some(oldest) = batch.lists.front_mut() {
                let outcome = if settled.is_empty() {
                    (&mut oldest.delivery).await
                } else if let Some(outcome) = (&mut oldest.delivery).now_or_never() {
                    outcome
                } else {
                    return settled;
                };
                let list = batch.lists.pop_front();
                self.lists -= 1;
                match outcome {
                    Ok(_) => settled.arrived += 1,
                    Err(error) => {
                        settled.failed = list.map(|list| (list, error));
                        return settled;
                    }
                }
            }
            if let Some(next) = batch.next {
                settled.done.advance(&[(batch.partition.clone(), next)].into_iter().collect());
            }
            self.batches.pop_front();
        }
        settled
    }

    /// Takes up the oldest list again, which was sent once more.
    pub(crate) fn sent_again(&mut self, list: Sent<D>) {
        if let Some(batch) = self.batches.front_mut() {
            batch.lists.push_front(list);
            self.lists += 1;
        }
    }

    /// These partitions went to another member: their lists are still waited for, but nothing is committed for them.
    pub(crate) fn forget(&mut self, partitions: &[TopicPartition]) {
        for batch in &mut self.batches {
            if partitions.contains(&batch.partition) {
                batch.next = None;
            }
        }
    }
}

/// What [`UnderWay::settled`] found.
#[derive(Debug)]
pub(crate) struct Settled<D, E> {
    pub(crate) arrived: u64,
    pub(crate) done: Positions,
    pub(crate) failed: Option<(Sent<D>, E)>,
}

impl<D, E> Settled<D, E> {
    fn is_empty(&self) -> bool {
        self.arrived == 0 && self.done.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use futures::channel::oneshot;

    use super::*;

    type Word = Result<(), &'static str>;
    type Way = UnderWay<futures::future::BoxFuture<'static, Word>>;

    /// A batch of partition `number` up to `next`, and the words on its lists.
    fn add(way: &mut Way, number: i32, next: i64, lists: usize) -> Vec<oneshot::Sender<Word>> {
        let (words, sent) = (0..lists)
            .map(|list| {
                let (word, heard) = oneshot::channel::<Word>();
                let delivery = async move { heard.await.unwrap() }.boxed();
                (word, Sent { key: format!("{number}-{next}-{list}"), value: Vec::new(), delivery })
            })
            .unzip();
        way.add(TopicPartition::new("orders", number), Position::at(next), sent);
        words
    }

    fn offset(done: &Positions, number: i32) -> Option<i64> {
        done.get(&TopicPartition::new("orders", number)).map(|position| position.offset)
    }

    #[test]
    fn a_batch_is_done_when_its_last_list_has_arrived() {
        let mut way = Way::new();
        let mut words = add(&mut way, 0, 10, 2).into_iter();
        words.next().unwrap().send(Ok(())).unwrap();
        let settled = way.settled().now_or_never().unwrap();
        assert_eq!((settled.arrived, settled.done.is_empty(), way.lists()), (1, true, 1));
        words.next().unwrap().send(Ok(())).unwrap();
        let settled = way.settled().now_or_never().unwrap();
        assert_eq!((settled.arrived, offset(&settled.done, 0), way.is_empty()), (1, Some(10), true));
    }

    #[test]
    fn what_arrived_out_of_turn_is_done_in_its_turn() {
        let mut way = Way::new();
        let first = add(&mut way, 0, 10, 1);
        let second = add(&mut way, 0, 20, 1);
        let other = add(&mut way, 1, 7, 1);
        for word in second.into_iter().chain(other) {
            word.send(Ok(())).unwrap();
        }
        assert!(way.settled().now_or_never().is_none());
        for word in first {
            word.send(Ok(())).unwrap();
        }
        let settled = way.settled().now_or_never().unwrap();
        assert_eq!((settled.arrived, offset(&settled.done, 0), offset(&settled.done, 1)), (3, Some(20), Some(7)));
    }

    #[test]
    fn nothing_is_done_over_a_list_that_did_not_arrive() {
        let mut way = Way::new();
        for (word, outcome) in add(&mut way, 0, 10, 3).into_iter().zip([Ok(()), Err("timed out"), Ok(())]) {
            word.send(outcome).unwrap();
        }
        let settled = way.settled().now_or_never().unwrap();
        let (list, error) = settled.failed.unwrap();
        assert_eq!((settled.arrived, settled.done.is_empty(), error), (1, true, "timed out"));
        assert_eq!((list.key.as_str(), way.lists()), ("0-10-1", 1));
        way.sent_again(Sent { delivery: async { Ok(()) }.boxed(), ..list });
        let settled = way.settled().now_or_never().unwrap();
        assert_eq!((settled.arrived, offset(&settled.done, 0)), (2, Some(10)));
    }

    #[test]
    fn a_batch_whose_orders_became_no_lists_is_done_in_its_turn() {
        let mut way = Way::new();
        let words = add(&mut way, 0, 10, 1);
        add(&mut way, 0, 20, 0);
        assert!(way.settled().now_or_never().is_none());
        for word in words {
            word.send(Ok(())).unwrap();
        }
        assert_eq!(offset(&way.settled().now_or_never().unwrap().done, 0), Some(20));
        add(&mut way, 0, 30, 0);
        let settled = way.settled().now_or_never().unwrap();
        assert_eq!((settled.arrived, offset(&settled.done, 0)), (0, Some(30)));
    }

    #[test]
    fn a_partition_that_went_away_is_waited_for_but_not_committed() {
        let mut way = Way::new();
        let words: Vec<_> = add(&mut way, 0, 10, 1).into_iter().chain(add(&mut way, 1, 20, 1)).collect();
        way.forget(&[TopicPartition::new("orders", 0)]);
        for word in words {
            word.send(Ok(())).unwrap();
        }
        let settled = way.settled().now_or_never().unwrap();
        assert_eq!((settled.arrived, offset(&settled.done, 0), offset(&settled.done, 1)), (2, None, Some(20)));
    }
}
