//! Whether the promise was kept: every order one pick list, none twice, in sequence, with the order's items. Pure.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use grocery_events::{GroceryOrder, GroceryPicklist};

/// A place in a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.partition, self.offset)
    }
}

/// What everybody saw at the end of a run.
#[derive(Debug, Default)]
pub struct Books {
    /// The producer's list of acknowledged orders.
    pub acknowledged: Vec<String>,
    /// The topic of orders, read to its end.
    pub orders: Vec<(Place, GroceryOrder)>,
    /// The topic of pick lists, read to its end by a read_committed client.
    pub lists: Vec<(Place, GroceryPicklist)>,
    /// The device's list of orders whose pick list it showed; `None` when no device was asked.
    pub shown: Option<Vec<String>>,
}

/// Something that must not be.
#[expect(missing_docs, reason = "a variant's line says what its orders and places are")]
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Violation {
    /// An acknowledged order is not on the topic.
    Lost { order: String },
    /// An order is on its topic twice.
    OrderTwice { order: String, at: Vec<Place> },
    /// An order has no pick list.
    Missing { order: String, at: Place, acknowledged: bool },
    /// An order has more than one.
    Doubled { order: String, order_at: Place, lists_at: Vec<Place> },
    /// A pick list of an order that is not on the topic.
    Stray { order: String, list_at: Place },
    /// A pick list lies in another partition than its order, or before the list of an earlier order.
    Reordered { order: String, order_at: Place, list_at: Place, after: Place },
    /// A pick list has other items than its order.
    Changed { order: String, order_at: Place, list_at: Place },
    /// A pick list that no device showed.
    NotShown { order: String },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = |at: &[Place]| at.iter().map(Place::to_string).collect::<Vec<_>>().join(", ");
        match self {
            Self::Lost { order } => write!(f, "lost: order {order} was acknowledged and is not on the topic"),
            Self::OrderTwice { order, at } => write!(f, "order {order} is on its topic twice: at {}", places(at)),
            Self::Missing { order, at, acknowledged } => {
                let word = if *acknowledged { "acknowledged" } else { "unacknowledged" };
                write!(f, "missing: {word} order {order} at {at} has no pick list")
            }
            Self::Doubled { order, order_at, lists_at } => {
                write!(f, "doubled: order {order} at {order_at} has pick lists at {}", places(lists_at))
            }
            Self::Stray { order, list_at } => {
                write!(f, "stray: the pick list at {list_at} is of order {order}, which is not on the topic")
            }
            Self::Reordered { order, order_at, list_at, after } => write!(
                f,
                "reordered: the pick list of order {order} at {order_at} is at {list_at}, behind that of the order at {after}"
            ),
            Self::Changed { order, order_at, list_at } => {
                write!(f, "changed: the pick list at {list_at} has other items than its order {order} at {order_at}")
            }
            Self::NotShown { order } => write!(f, "the pick list of order {order} was not shown"),
        }
    }
}

/// Compares the books. Empty when every order has exactly one pick list, equal to it and in its place.
///
/// Both topics have the same keys and as many partitions, so lists must be in the same partition as their orders and in the same
/// sequence; with the order's id as the key that is more than the order within a key.
pub fn audit(books: &Books) -> Vec<Violation> {
    let acknowledged: HashSet<&str> = books.acknowledged.iter().map(String::as_str).collect();
    let mut orders: HashMap<&str, Vec<&(Place, GroceryOrder)>> = HashMap::new();
    for order in &books.orders {
        orders.entry(&order.1.order_id).or_default().push(order);
    }
    let mut lists: HashMap<&str, Vec<&(Place, GroceryPicklist)>> = HashMap::new();
    for list in &books.lists {
        lists.entry(&list.1.order_id).or_default().push(list);
    }
    let shown: Option<HashSet<&str>> = books.shown.as_ref().map(|shown| shown.iter().map(String::as_str).collect());

    let mut violations = Vec::new();
    let lost = acknowledged.iter().filter(|order| !orders.contains_key(**order));
    violations.extend(lost.map(|order| Violation::Lost { order: (*order).to_owned() }));
    for (order, written) in &orders {
        let order_at = written[0].0;
        let named = || (*order).to_owned();
        if written.len() > 1 {
            violations.push(Violation::OrderTwice { order: named(), at: written.iter().map(|(at, _)| *at).collect() });
        }
        match lists.get(order).map(Vec::as_slice) {
            None => {
                let acknowledged = acknowledged.contains(order);
                violations.push(Violation::Missing { order: named(), at: order_at, acknowledged });
            }
            Some([(list_at, list)]) => {
                if list.items_to_pick != written[0].1.items {
                    violations.push(Violation::Changed { order: named(), order_at, list_at: *list_at });
                }
                if shown.as_ref().is_some_and(|shown| !shown.contains(order)) {
                    violations.push(Violation::NotShown { order: named() });
                }
            }
            Some(several) => {
                let lists_at = several.iter().map(|(at, _)| *at).collect();
                violations.push(Violation::Doubled { order: named(), order_at, lists_at });
            }
        }
    }
    violations.extend(sequence(books, &orders));
    violations.sort();
    violations
}

/// Strays, and lists that are not in the sequence of their orders.
fn sequence(books: &Books, orders: &HashMap<&str, Vec<&(Place, GroceryOrder)>>) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut by_place: Vec<_> = books.lists.iter().collect();
    by_place.sort_by_key(|(at, _)| *at);
    let mut last: BTreeMap<i32, Place> = BTreeMap::new();
    for (list_at, list) in by_place {
        let order = list.order_id.clone();
        let Some(written) = orders.get(order.as_str()) else {
            violations.push(Violation::Stray { order, list_at: *list_at });
            continue;
        };
        let order_at = written[0].0;
        let after = last.get(&list_at.partition).copied();
        match after {
            // The second list of one order is a double, not a disorder.
            Some(after) if order_at < after => {
                violations.push(Violation::Reordered { order, order_at, list_at: *list_at, after });
            }
            _ if order_at.partition != list_at.partition => {
                violations.push(Violation::Reordered { order, order_at, list_at: *list_at, after: *list_at });
            }
            _ => {
                last.insert(list_at.partition, order_at);
            }
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(partition: i32, offset: i64) -> Place {
        Place { partition, offset }
    }

    /// Four orders in two partitions, all as it should be. A list's offset is beyond its order's: markers are between them.
    fn books() -> Books {
        let mut books = Books::default();
        for (index, order_id) in ["a", "b", "c", "d"].map(str::to_owned).into_iter().enumerate() {
            let (partition, offset) = ((index % 2) as i32, (index / 2) as i64);
            let items = vec![format!("soda {index}")];
            let order = GroceryOrder {
                order_id: order_id.clone(),
                customer_id: "customer".to_owned(),
                items: items.clone(),
                order_total: 1.0,
                order_time: "2025-09-08 14:30:00".to_owned(),
                store_id: String::new(),
                currency: "EUR".to_owned(),
                lines: Vec::new(),
            };
            let list = GroceryPicklist {
                picklist_id: format!("list of {order_id}"),
                order_id: order_id.clone(),
                items_to_pick: items,
                assigned_picker: "Ada".to_owned(),
                created_time: "2025-09-08 14:30:01".to_owned(),
                lines: Vec::new(),
            };
            books.orders.push((at(partition, offset), order));
            books.lists.push((at(partition, 3 * offset), list));
            books.acknowledged.push(order_id.clone());
            books.shown.get_or_insert_default().push(order_id);
        }
        books
    }

    #[test]
    fn books_that_agree_have_no_violation() {
        assert_eq!(audit(&books()), []);
    }

    #[test]
    fn an_order_that_nobody_acknowledged_still_gets_its_list() {
        let mut unheard = books();
        unheard.acknowledged.pop();
        assert_eq!(audit(&unheard), []);
        unheard.lists.pop();
        let missing = Violation::Missing { order: "d".to_owned(), at: at(1, 1), acknowledged: false };
        assert_eq!(audit(&unheard), [missing]);
    }

    #[test]
    fn a_lost_order_and_a_missing_list_are_told_apart() {
        let mut books = books();
        books.orders.remove(0);
        books.lists.retain(|(_, list)| list.order_id != "a" && list.order_id != "c");
        let missing = Violation::Missing { order: "c".to_owned(), at: at(0, 1), acknowledged: true };
        assert_eq!(audit(&books), [Violation::Lost { order: "a".to_owned() }, missing]);
    }

    #[test]
    fn a_doubled_list_is_found_with_its_places() {
        let mut books = books();
        let (_, list) = books.lists[1].clone();
        books.lists.push((at(1, 4), list));
        let found = audit(&books);
        let lists_at = vec![at(1, 0), at(1, 4)];
        assert!(
            found.contains(&Violation::Doubled { order: "b".to_owned(), order_at: at(1, 0), lists_at }),
            "{found:?}"
        );
    }

    #[test]
    fn a_doubled_order_is_found() {
        let mut books = books();
        let (_, order) = books.orders[0].clone();
        books.orders.push((at(0, 9), order));
        assert_eq!(audit(&books), [Violation::OrderTwice { order: "a".to_owned(), at: vec![at(0, 0), at(0, 9)] }]);
    }

    #[test]
    fn lists_in_another_sequence_than_their_orders_are_found() {
        let mut books = books();
        books.lists[0].0 = at(0, 7);
        let reordered =
            Violation::Reordered { order: "a".to_owned(), order_at: at(0, 0), list_at: at(0, 7), after: at(0, 1) };
        assert_eq!(audit(&books), [reordered]);
    }

    #[test]
    fn a_list_in_another_partition_is_found() {
        let mut books = books();
        books.lists[0].0 = at(1, 7);
        assert!(matches!(&audit(&books)[..], [Violation::Reordered { order, .. }] if order == "a"));
    }

    #[test]
    fn a_changed_list_is_found() {
        let mut books = books();
        books.lists[2].1.items_to_pick.push("soda".to_owned());
        let changed = Violation::Changed { order: "c".to_owned(), order_at: at(0, 1), list_at: at(0, 3) };
        assert_eq!(audit(&books), [changed]);
    }

    #[test]
    fn a_stray_list_and_one_that_was_not_shown_are_found() {
        let mut books = books();
        books.shown.as_mut().unwrap().retain(|order| order != "b");
        books.lists[0].1.order_id = "nobody".to_owned();
        let found = audit(&books);
        assert!(found.contains(&Violation::Stray { order: "nobody".to_owned(), list_at: at(0, 0) }), "{found:?}");
        assert!(found.contains(&Violation::NotShown { order: "b".to_owned() }), "{found:?}");
        assert!(found.iter().any(|violation| matches!(violation, Violation::Missing { order, .. } if order == "a")));
    }
}
