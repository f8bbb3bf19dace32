//! What the demo knows of every event: the reconciliation, running counts, and the latest of each kind.

use std::collections::VecDeque;

use grocery_events::{Catalogue, GroceryOrder, GroceryPicklist, Pick, Stop, stops};
use uuid::Uuid;

use crate::dashboard::snapshot::{AisleView, OrderView, PicklistView};
use crate::reconciliation::Reconciliation;

/// Events of each kind that the page shows.
const LATEST: usize = 12;

/// Written by the witnesses, read by the page and the line a second. Held under a lock that is never held across an await.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) reconciliation: Reconciliation,
    pub(super) acknowledged: u64,
    pub(super) orders: u64,
    pub(super) picklists: u64,
    pub(super) shown: u64,
    /// Events that could not be decoded, or carried an id that is none.
    pub(super) unreadable: u64,
    pub(super) latest_orders: VecDeque<OrderView>,
    pub(super) latest_picklists: VecDeque<PicklistView>,
}

impl Account {
    /// A line of order-producer's audit file: the id of an acknowledged order.
    pub(super) fn acknowledged_line(&mut self, line: &str) {
        // A process killed while it wrote leaves a torn line; the topic still has the order.
        let Ok(order) = Uuid::try_parse(line.trim()) else { return };
        self.acknowledged += 1;
        self.reconciliation.acknowledged(order.as_u128());
    }

    /// A line of picklist-consumer's audit file: order id and pick list id of a list that was shown.
    pub(super) fn shown_line(&mut self, line: &str) {
        let Some(order) = line.split_whitespace().next().and_then(|id| Uuid::try_parse(id).ok()) else { return };
        self.shown += 1;
        self.reconciliation.shown(order.as_u128());
    }

    /// An order on its topic.
    pub(super) fn order(&mut self, order: GroceryOrder, partition: i32, offset: i64) {
        let Ok(id) = Uuid::try_parse(&order.order_id) else {
            self.unreadable += 1;
            return;
        };
        self.orders += 1;
        self.reconciliation.written(id.as_u128());
        let view = OrderView {
            order_id: order.order_id,
            customer_id: order.customer_id,
            items: order.items,
            total: order.order_total,
            time: order.order_time,
            partition,
            offset,
        };
        keep(&mut self.latest_orders, view);
    }

    /// A pick list on its topic.
    pub(super) fn picklist(&mut self, list: GroceryPicklist) {
        let Ok(id) = Uuid::try_parse(&list.order_id) else {
            self.unreadable += 1;
            return;
        };
        self.picklists += 1;
        self.reconciliation.pick_list(id.as_u128());
        let view = PicklistView {
            aisles: by_aisle(&list),
            picklist_id: list.picklist_id,
            order_id: list.order_id,
            picker: list.assigned_picker,
            time: list.created_time,
        };
        keep(&mut self.latest_picklists, view);
    }

    /// A number that changes whenever anything arrives anywhere.
    pub(super) const fn progress(&self) -> u64 {
        self.acknowledged + self.orders + self.picklists + self.shown + self.unreadable
    }
}

fn keep<T>(latest: &mut VecDeque<T>, newest: T) {
    latest.truncate(LATEST - 1);
    latest.push_front(newest);
}

/// A list as the device shows it.
fn by_aisle(list: &GroceryPicklist) -> Vec<AisleView> {
    let item = |pick: &Pick<'_>| {
        if pick.count > 1 { format!("{} × {}", pick.count, pick.item) } else { pick.item.to_owned() }
    };
    let aisle =
        |stop: Stop<'_>| AisleView { aisle: stop.aisle.to_owned(), items: stop.picks.iter().map(item).collect() };
    stops(list, Catalogue::builtin()).into_iter().map(aisle).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "6f1d2a54-9c44-4c6e-8a51-0d9d3a3c2b10";

    fn order() -> GroceryOrder {
        GroceryOrder {
            order_id: ID.to_owned(),
            customer_id: "customer-1".to_owned(),
            items: vec!["whole milk".to_owned()],
            order_total: 1.0,
            order_time: "2025-09-08 14:30:00".to_owned(),
            store_id: String::new(),
            currency: "EUR".to_owned(),
            lines: Vec::new(),
        }
    }

    #[test]
    fn four_witnesses_settle_an_order() {
        let mut account = Account::default();
        account.acknowledged_line(ID);
        account.order(order(), 0, 7);
        account.picklist(GroceryPicklist {
            picklist_id: ID.to_owned(),
            order_id: ID.to_owned(),
            items_to_pick: vec!["whole milk".to_owned(), "whole milk".to_owned()],
            assigned_picker: "Ann".to_owned(),
            created_time: "2025-09-08 14:30:00".to_owned(),
            lines: Vec::new(),
        });
        account.shown_line(&format!("{ID} {ID}"));
        assert!(account.reconciliation.is_complete() && account.reconciliation.outcome().is_clean());
        assert_eq!(account.latest_orders[0].offset, 7);
        assert_eq!(account.latest_picklists[0].aisles[0].items, ["2 × whole milk"]);
        assert_eq!(account.progress(), 4);
    }

    #[test]
    fn a_torn_line_is_no_order_and_only_the_latest_are_kept() {
        let mut account = Account::default();
        account.acknowledged_line("6f1d2a54-9c44");
        assert_eq!(account.acknowledged, 0);
        for offset in 0..50 {
            account.order(order(), 0, offset);
        }
        assert_eq!((account.latest_orders.len(), account.latest_orders[0].offset), (LATEST, 49));
    }
}
