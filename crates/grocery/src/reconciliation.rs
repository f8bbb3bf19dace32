//! Whether every acknowledged order became one pick list that was shown once.
//!
//! Four witnesses report order ids, in any order and interleaving: the producer's list of acknowledgements, the orders
//! topic, the pick list topic, and the consumer's list of what it showed. An order on which all four agree is settled;
//! only the newest `SETTLED_KEPT` of those are remembered, so memory follows what is unsettled, not what ever was.

use std::collections::{HashMap, VecDeque};

/// Settled orders that are remembered in order to recognise a late duplicate as one.
const SETTLED_KEPT: usize = 1_000_000;

/// Ids shown of each kind of trouble.
const EXAMPLES: usize = 10;

/// An order id as a number: a quarter of its text's size.
pub type OrderId = u128;

/// Who saw an order, and how often.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    acknowledged: bool,
    written: u8,
    pick_lists: u8,
    shown: u8,
}

impl Seen {
    /// Went all the way, whether or not its acknowledgement was heard.
    const fn arrived(self) -> bool {
        self.written > 0 && self.pick_lists > 0 && self.shown > 0
    }

    const fn settled(self) -> bool {
        self.acknowledged && self.written == 1 && self.pick_lists == 1 && self.shown == 1
    }
}

/// The running account.
#[derive(Debug, Default)]
pub struct Reconciliation {
    orders: HashMap<OrderId, Seen>,
    settled: VecDeque<OrderId>,
    forgotten: u64,
    /// Orders that have not arrived, kept up to date because it is asked for often.
    under_way: u64,
    kept: Option<usize>,
}

/// What the account says now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Orders that the broker acknowledged to the producer.
    pub acknowledged: u64,
    /// Orders on the topic; may include some whose acknowledgement never reached a killed producer.
    pub written: u64,
    /// Orders with a pick list.
    pub pick_lists: u64,
    /// Orders whose pick list was shown.
    pub shown: u64,
    /// Acknowledged orders that are not on the topic.
    pub lost: u64,
    /// Orders on the topic without a pick list.
    pub without_pick_list: u64,
    /// Pick lists that were not shown.
    pub not_shown: u64,
    /// Orders that are on the topic more than once.
    pub duplicate_orders: u64,
    /// Orders with more than one pick list.
    pub duplicate_pick_lists: u64,
    /// Orders whose pick list was shown more than once.
    pub duplicate_shown: u64,
    /// Pick lists or showings of an order that is not on the topic.
    pub strays: u64,
    /// Some of the order ids in trouble, each with what is wrong.
    pub examples: Vec<(OrderId, &'static str)>,
}

impl Outcome {
    /// Orders that did not reach the end.
    #[must_use]
    pub const fn missing(&self) -> u64 {
        self.lost + self.without_pick_list + self.not_shown
    }

    /// Orders that are somewhere more often than once.
    #[must_use]
    pub const fn duplicated(&self) -> u64 {
        self.duplicate_orders + self.duplicate_pick_lists + self.duplicate_shown + self.strays
    }

    /// Whether nothing is missing or duplicated.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.missing() == 0 && self.duplicated() == 0
    }
}

impl Reconciliation {
    /// The producer was told that this order is written.
    pub fn acknowledged(&mut self, order: OrderId) {
        self.see(order, |seen| seen.acknowledged = true);
    }

    /// The orders topic has this order.
    pub fn written(&mut self, order: OrderId) {
        self.see(order, |seen| seen.written = seen.written.saturating_add(1));
    }

    /// The pick list topic has a list for this order.
    pub fn pick_list(&mut self, order: OrderId) {
        self.see(order, |seen| seen.pick_lists = seen.pick_lists.saturating_add(1));
    }

    /// A store device showed the list of this order.
    pub fn shown(&mut self, order: OrderId) {
        self.see(order, |seen| seen.shown = seen.shown.saturating_add(1));
    }

    fn see(&mut self, order: OrderId, update: impl FnOnce(&mut Seen)) {
        let seen = self.orders.entry(order).or_insert_with(|| {
            self.under_way += 1;
            Seen::default()
        });
        let before = *seen;
        update(seen);
        if seen.arrived() && !before.arrived() {
            self.under_way -= 1;
        }
        if seen.settled() && !before.settled() {
            self.settled.push_back(order);
            if self.settled.len() > self.kept.unwrap_or(SETTLED_KEPT) {
                self.forget_oldest();
            }
        }
    }

    /// An order that got into trouble after it was settled stays.
    fn forget_oldest(&mut self) {
        let Some(oldest) = self.settled.pop_front() else { return };
        if self.orders.get(&oldest).is_some_and(|seen| seen.settled()) {
            self.orders.remove(&oldest);
            self.forgotten += 1;
        }
    }

    /// Whether every order on the topic has been shown and every acknowledged one is on the topic.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.under_way == 0
    }

    /// The account as it stands.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        let settled = self.forgotten;
        let mut outcome = Outcome {
            acknowledged: settled,
            written: settled,
            pick_lists: settled,
            shown: settled,
            ..Outcome::default()
        };
        for (order, seen) in &self.orders {
            outcome.count(*order, *seen);
        }
        outcome.examples.sort_unstable();
        outcome
    }
}

impl Outcome {
    fn count(&mut self, order: OrderId, seen: Seen) {
        self.acknowledged += u64::from(seen.acknowledged);
        self.written += u64::from(seen.written > 0);
        self.pick_lists += u64::from(seen.pick_lists > 0);
        self.shown += u64::from(seen.shown > 0);
        let troubles = [
            (seen.acknowledged && seen.written == 0, &mut self.lost, "acknowledged, but not on the topic"),
            (seen.written > 0 && seen.pick_lists == 0, &mut self.without_pick_list, "has no pick list"),
            (seen.pick_lists > 0 && seen.shown == 0, &mut self.not_shown, "its pick list was not shown"),
            (seen.written > 1, &mut self.duplicate_orders, "is on the topic more than once"),
            (seen.pick_lists > 1, &mut self.duplicate_pick_lists, "has more than one pick list"),
            (seen.shown > 1, &mut self.duplicate_shown, "was shown more than once"),
            (
                seen.written == 0 && !seen.acknowledged,
                &mut self.strays,
                "has a pick list, but no order is on the topic",
            ),
        ];
        for (holds, counter, what) in troubles {
            if holds {
                *counter += 1;
                if self.examples.len() < EXAMPLES {
                    self.examples.push((order, what));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settle(account: &mut Reconciliation, order: OrderId) {
        account.acknowledged(order);
        account.written(order);
        account.pick_list(order);
        account.shown(order);
    }

    #[test]
    fn an_order_that_everybody_saw_once_is_clean() {
        let mut account = Reconciliation::default();
        settle(&mut account, 7);
        let outcome = account.outcome();
        assert!(outcome.is_clean() && account.is_complete());
        assert_eq!((outcome.acknowledged, outcome.written, outcome.pick_lists, outcome.shown), (1, 1, 1, 1));
    }

    #[test]
    fn witnesses_may_report_in_any_order() {
        let mut account = Reconciliation::default();
        account.shown(7);
        account.pick_list(7);
        account.written(7);
        account.acknowledged(7);
        assert!(account.outcome().is_clean());
    }

    #[test]
    fn what_did_not_arrive_is_missing_at_the_step_where_it_stopped() {
        let mut account = Reconciliation::default();
        account.acknowledged(1);
        account.acknowledged(2);
        account.written(2);
        account.acknowledged(3);
        account.written(3);
        account.pick_list(3);
        let outcome = account.outcome();
        assert_eq!((outcome.lost, outcome.without_pick_list, outcome.not_shown), (1, 1, 1));
        assert_eq!(outcome.missing(), 3);
        assert_eq!(outcome.examples[0], (1, "acknowledged, but not on the topic"));
        assert!(!account.is_complete());
    }

    #[test]
    fn what_came_twice_is_duplicated_also_after_it_was_settled() {
        let mut account = Reconciliation::default();
        settle(&mut account, 1);
        account.pick_list(1);
        settle(&mut account, 2);
        account.shown(2);
        settle(&mut account, 3);
        account.written(3);
        let outcome = account.outcome();
        assert_eq!((outcome.duplicate_orders, outcome.duplicate_pick_lists, outcome.duplicate_shown), (1, 1, 1));
        assert_eq!((outcome.missing(), outcome.duplicated()), (0, 3));
    }

    #[test]
    fn an_order_whose_acknowledgement_was_lost_with_its_producer_is_no_trouble() {
        let mut account = Reconciliation::default();
        account.written(1);
        account.pick_list(1);
        account.shown(1);
        let outcome = account.outcome();
        assert!(outcome.is_clean());
        assert_eq!((outcome.acknowledged, outcome.written), (0, 1));
    }

    #[test]
    fn a_pick_list_for_an_order_that_nobody_wrote_is_a_stray() {
        let mut account = Reconciliation::default();
        account.pick_list(9);
        account.shown(9);
        assert_eq!((account.outcome().strays, account.outcome().duplicated()), (1, 1));
    }

    #[test]
    fn settled_orders_are_forgotten_but_counted() {
        let mut account = Reconciliation { kept: Some(10), ..Reconciliation::default() };
        for order in 0..100 {
            settle(&mut account, order);
        }
        assert_eq!(account.orders.len(), 10);
        let outcome = account.outcome();
        assert!(outcome.is_clean());
        assert_eq!((outcome.acknowledged, outcome.shown), (100, 100));
        account.shown(3);
        assert_eq!(account.outcome().strays, 1, "shown again long after it was settled");
    }
}
