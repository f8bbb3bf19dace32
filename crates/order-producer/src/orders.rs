//! From a basket to an order.

use std::borrow::Cow;
use std::collections::HashSet;

use chrono::{DateTime, Utc};
use fastrand::Rng;
use grocery_events::{Catalogue, Cents, Event, EventVersion, GroceryOrder, InvalidEvent, time};
use uuid::Uuid;

use crate::customers::Customers;

/// So many unknown items are remembered as reported; a file full of nonsense must not fill the memory or the log.
const MOST_REPORTED: usize = 1_000;

/// Makes orders: draws the customer, adds up the prices, gives the id.
#[derive(Debug)]
pub struct OrderMaker {
    catalogue: Cow<'static, Catalogue>,
    customers: Customers,
    rng: Rng,
    /// Whether order ids come from `rng` too: the same run again makes the same ids.
    seeded: bool,
    reported: HashSet<String>,
    kind: OrderKind,
}

/// What all orders of one maker have in common.
#[derive(Clone, Debug)]
pub struct OrderKind {
    /// The version in which they will be written: those of version 1 have no lines.
    pub version: EventVersion,
    /// The store that has to fulfil them; may be empty.
    pub store: String,
    /// What the catalogue's prices are in.
    pub currency: String,
}

impl OrderMaker {
    /// A maker that prices by this catalogue; with a seed everything but the time repeats.
    #[must_use]
    pub fn new(catalogue: Cow<'static, Catalogue>, seed: Option<u64>, kind: OrderKind) -> Self {
        let rng = seed.map_or_else(Rng::new, Rng::with_seed);
        let (customers, reported) = (Customers::default(), HashSet::new());
        Self { catalogue, customers, rng, seeded: seed.is_some(), reported, kind }
    }

    /// Makes the order for a basket.
    ///
    /// `unknown` is called for each item that the catalogue does not have, once an item over all orders.
    ///
    /// # Errors
    /// The basket breaks a rule of [`GroceryOrder`].
    pub fn order(
        &mut self,
        items: Vec<String>,
        now: DateTime<Utc>,
        mut unknown: impl FnMut(&str),
    ) -> Result<GroceryOrder, InvalidEvent> {
        let mut total = Cents::default();
        for item in &items {
            let stock = self.catalogue.stock(item);
            total = total + stock.price;
            if !stock.known && self.reported.len() < MOST_REPORTED && self.reported.insert(item.clone()) {
                unknown(item);
            }
        }
        let lines = match self.kind.version {
            EventVersion::One => Vec::new(),
            EventVersion::Two => GroceryOrder::lines_of(&items),
        };
        let order = GroceryOrder {
            order_id: self.id().hyphenated().to_string(),
            customer_id: self.customers.next(&mut self.rng),
            items,
            order_total: total.as_f64(),
            order_time: time::format(now),
            store_id: self.kind.store.clone(),
            currency: self.kind.currency.clone(),
            lines,
        };
        order.validate().map(|()| order)
    }

    fn id(&mut self) -> Uuid {
        if self.seeded {
            uuid::Builder::from_random_bytes(self.rng.u128(..).to_be_bytes()).into_uuid()
        } else {
            Uuid::new_v4()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn maker(seed: Option<u64>) -> OrderMaker {
        maker_of(seed, EventVersion::Two)
    }

    fn maker_of(seed: Option<u64>, version: EventVersion) -> OrderMaker {
        let kind = OrderKind { version, store: "store-7".into(), currency: "EUR".into() };
        OrderMaker::new(Cow::Borrowed(Catalogue::builtin()), seed, kind)
    }

    fn now() -> DateTime<Utc> {
        time::parse("2025-09-08 14:30:00").unwrap()
    }

    fn items(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn a_total_is_the_sum_of_the_prices_to_the_cent() {
        let order = maker(None).order(items(&["whole milk", "rolls/buns", "whole milk"]), now(), |_| ()).unwrap();
        assert_eq!(order.order_total, 2.63);
        assert_eq!(order.order_time, "2025-09-08 14:30:00");
        assert_eq!(Uuid::parse_str(&order.order_id).unwrap().get_version_num(), 4);
    }

    #[test]
    fn an_order_says_where_and_in_which_currency_and_how_much_of_what() {
        let basket = || items(&["whole milk", "rolls/buns", "whole milk"]);
        let order = maker(Some(7)).order(basket(), now(), |_| ()).unwrap();
        assert_eq!((order.store_id.as_str(), order.currency.as_str()), ("store-7", "EUR"));
        let lines: Vec<_> = order.lines.iter().map(|line| (line.item.as_str(), line.quantity)).collect();
        assert_eq!(lines, [("whole milk", 2), ("rolls/buns", 1)]);
        let first = maker_of(Some(7), EventVersion::One).order(basket(), now(), |_| ()).unwrap();
        assert_eq!(first, GroceryOrder { lines: Vec::new(), ..order });
    }

    #[test]
    fn an_unknown_item_has_the_default_price_and_is_reported_once() {
        let mut maker = maker(None);
        let mut reported = Vec::new();
        for _ in 0..3 {
            let basket = items(&["whole milk", "dragon fruit"]);
            let order = maker.order(basket, now(), |item| reported.push(item.to_owned())).unwrap();
            assert_eq!(order.order_total, 4.08);
        }
        assert_eq!(reported, ["dragon fruit"]);
    }

    #[test]
    fn a_basket_that_breaks_a_rule_is_no_order() {
        let refused = maker(None).order(vec![], now(), |_| ()).unwrap_err();
        assert_eq!(refused.field, "items");
        assert_eq!(maker(None).order(items(&["a\tb"]), now(), |_| ()).unwrap_err().field, "items[0]");
    }

    #[test]
    fn the_same_seed_makes_the_same_orders() {
        let orders = |seed| {
            let mut maker = maker(seed);
            (0..10).map(|_| maker.order(items(&["soda"]), now(), |_| ()).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(orders(Some(7)), orders(Some(7)));
        assert_ne!(orders(Some(7)), orders(Some(8)));
        assert_ne!(orders(None), orders(None));
        let first = orders(Some(7)).remove(0);
        assert_eq!(Uuid::parse_str(&first.order_id).unwrap().get_version_num(), 4);
    }
}
