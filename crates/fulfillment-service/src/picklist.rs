//! From an order to its pick list.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use grocery_events::{
    Catalogue, Event, EventVersion, GroceryOrder, GroceryPicklist, InvalidEvent, OrderLine, PickLine, time,
};
use uuid::Uuid;

/// The pickers on shift unless told otherwise.
pub const DEFAULT_PICKERS: [&str; 6] = ["Ada", "Grace", "Linus", "Margaret", "Radia", "Tim"];

/// What tells a pick list's id from its order's.
const PICKLIST_MASK: u128 = 0x992e_f2ed_fa8a_0000_3ffd_ff63_cfef_74ff;

/// The pick list of an order, for the version of the schema in which it will be written.
///
/// Items stay as they were ordered: every one, in the order's sequence. The lines, which version 2 has, are in the catalogue's
/// walking order and say where each item is shelved, if the catalogue knows.
///
/// # Errors
/// The order breaks a rule.
pub fn pick_list(
    order: GroceryOrder,
    picker: &str,
    now: DateTime<Utc>,
    version: EventVersion,
    catalogue: &'static Catalogue,
) -> Result<GroceryPicklist, InvalidEvent> {
    order.validate()?;
    let lines = match version {
        EventVersion::One => Vec::new(),
        EventVersion::Two => {
            // An order of version 1 has none.
            let lines = if order.lines.is_empty() { GroceryOrder::lines_of(&order.items) } else { order.lines };
            pick_lines(lines, catalogue)
        }
    };
    Ok(GroceryPicklist {
        picklist_id: picklist_id(Uuid::parse_str(&order.order_id).expect("a valid order's id is a UUID")),
        order_id: order.order_id,
        items_to_pick: order.items,
        assigned_picker: picker.to_owned(),
        created_time: time::format(now),
        lines,
    })
}

fn pick_lines(lines: Vec<OrderLine>, catalogue: &'static Catalogue) -> Vec<PickLine> {
    let placed = lines.into_iter().map(|OrderLine { item, quantity }| {
        let stock = catalogue.stock(&item);
        // Empty rather than a guess: the device may have a catalogue that knows.
        let aisle = Cow::Borrowed(if stock.known { stock.aisle } else { "" });
        (stock.walk, PickLine { item, quantity, aisle })
    });
    let mut placed: Vec<(u32, PickLine)> = placed.collect();
    // Stable, so that what the catalogue does not know stays in the order's sequence.
    placed.sort_by_key(|(walk, _)| *walk);
    placed.into_iter().map(|(_, line)| line).collect()
}

/// The picker of an order: always the same one for the same order and the same shift, and all of them evenly.
///
/// `None` if nobody is on shift.
#[must_use]
pub fn picker_for<'a>(order_id: &str, pickers: &'a [String]) -> Option<&'a str> {
    // FNV-1a: the same on every machine and in every release, which the standard library's hasher does not promise.
    let hash = order_id
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let place = hash.checked_rem(pickers.len() as u64)?;
    pickers.get(place as usize).map(String::as_str)
}

/// The id of an order's pick list: a UUID of version 8 (RFC 9562) made of the order's id.
///
/// An order may be handled again after a crash between sending its list and committing its position. Because the id is
/// made of the order's, whoever reads both lists sees that they are one; two orders never share a list's id, since
/// the bits are only flipped, not hashed.
fn picklist_id(order_id: Uuid) -> String {
    uuid::Builder::from_custom_bytes((order_id.as_u128() ^ PICKLIST_MASK).to_be_bytes())
        .into_uuid()
        .hyphenated()
        .encode_lower(&mut [0; uuid::fmt::Hyphenated::LENGTH])
        .to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;

    fn an_order(order_id: Uuid) -> GroceryOrder {
        GroceryOrder {
            order_id: order_id.to_string(),
            customer_id: "customer-0042".into(),
            items: ["soda", "whole milk", "soda", "cream cheese "].map(String::from).to_vec(),
            order_total: 4.46,
            order_time: "2025-09-08 14:30:00".into(),
            store_id: "store-7".into(),
            currency: "EUR".into(),
            lines: [("soda", 2), ("whole milk", 1), ("cream cheese ", 1)]
                .map(|(item, quantity)| OrderLine { item: item.into(), quantity })
                .to_vec(),
        }
    }

    fn pick_list(order: GroceryOrder, picker: &str, now: DateTime<Utc>) -> Result<GroceryPicklist, InvalidEvent> {
        super::pick_list(order, picker, now, EventVersion::Two, Catalogue::builtin())
    }

    fn at(text: &str) -> DateTime<Utc> {
        time::parse(text).unwrap()
    }

    #[test]
    fn a_pick_list_holds_exactly_what_was_ordered() {
        let order = an_order(Uuid::new_v4());
        let list = pick_list(order.clone(), "Ada", at("2025-09-08 14:30:01")).unwrap();
        assert_eq!(list.items_to_pick, order.items);
        assert_eq!(list.order_id, order.order_id);
        assert_eq!((list.assigned_picker.as_str(), list.created_time.as_str()), ("Ada", "2025-09-08 14:30:01"));
        assert_eq!(list.validate(), Ok(()));
        assert_eq!(list.key(), order.key());
    }

    #[test]
    fn lines_are_in_walking_order_and_say_the_aisle() {
        let mut order = an_order(Uuid::new_v4());
        order.items.push("dragon fruit".into());
        order.lines.push(OrderLine { item: "dragon fruit".into(), quantity: 1 });
        let list = pick_list(order.clone(), "Ada", at("2025-09-08 14:30:01")).unwrap();
        let lines: Vec<_> = list.lines.iter().map(|line| (&*line.item, line.quantity, &*line.aisle)).collect();
        let expected = [
            ("whole milk", 1, "dairy and eggs"),
            ("cream cheese ", 1, "cheese"),
            ("soda", 2, "water and soft drinks"),
            ("dragon fruit", 1, ""),
        ];
        assert_eq!(lines, expected);
        assert_eq!(list.validate(), Ok(()));

        let of_version_1 = GroceryOrder { lines: Vec::new(), ..order };
        assert_eq!(pick_list(of_version_1, "Ada", at("2025-09-08 14:30:01")).unwrap(), list);
    }

    #[test]
    fn a_list_of_version_1_has_no_lines() {
        let (order, now) = (an_order(Uuid::new_v4()), at("2025-09-08 14:30:01"));
        let first = super::pick_list(order.clone(), "Ada", now, EventVersion::One, Catalogue::builtin()).unwrap();
        let second = pick_list(order, "Ada", now).unwrap();
        assert_eq!(first, GroceryPicklist { lines: Vec::new(), ..second });
    }

    #[test]
    fn the_same_order_gives_the_same_list_id_whenever_it_is_handled() {
        let order = an_order(Uuid::new_v4());
        let first = pick_list(order.clone(), "Ada", at("2025-09-08 14:30:01")).unwrap();
        let again = pick_list(order.clone(), "Tim", at("2025-09-08 15:00:00")).unwrap();
        assert_eq!(first.picklist_id, again.picklist_id);
        assert_ne!(first.picklist_id, order.order_id);
        let id = Uuid::parse_str(&first.picklist_id).unwrap();
        assert_eq!((id.get_version_num(), id.get_variant()), (8, uuid::Variant::RFC4122));
    }

    #[test]
    fn an_order_that_breaks_a_rule_gives_no_list() {
        let order = GroceryOrder { order_id: "42".into(), ..an_order(Uuid::new_v4()) };
        assert_eq!(pick_list(order.clone(), "Ada", at("2025-09-08 14:30:01")).unwrap_err().field, "order_id");
    }

    #[test]
    fn two_orders_never_share_a_list_id() {
        let orders: Vec<Uuid> = (0..10_000).map(|_| Uuid::new_v4()).collect();
        let ids: HashSet<_> = orders.iter().map(|id| picklist_id(*id)).collect();
        assert_eq!(ids.len(), orders.len());
    }

    #[test]
    fn pickers_share_the_work_evenly_and_keep_their_orders() {
        let pickers = DEFAULT_PICKERS.map(String::from);
        let mut shares: HashMap<&str, usize> = HashMap::new();
        for _ in 0..6_000 {
            let order_id = Uuid::new_v4().to_string();
            let picker = picker_for(&order_id, &pickers).unwrap();
            assert_eq!(picker_for(&order_id, &pickers), Some(picker));
            *shares.entry(picker).or_default() += 1;
        }
        assert_eq!(shares.len(), 6);
        assert!(shares.values().all(|share| (800..1_200).contains(share)), "{shares:?}");
        assert_eq!(picker_for("", &[]), None);
    }
}
