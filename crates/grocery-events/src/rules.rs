//! The rules that an event keeps, and the error that names a broken one.

use std::fmt;

use uuid::Uuid;

use crate::lines::{Disagreement, compare};
use crate::money::{self, Cents};
use crate::{Event, GroceryOrder, GroceryPicklist, time};

/// The most items of one order; a basket beyond that is a mistake, not a customer.
pub const MAX_ITEMS: usize = 1000;

/// The most bytes of one text: an item's name, a customer's id, a picker's name.
pub const MAX_TEXT_BYTES: usize = 256;

/// How much of a refused value an error shows, in characters.
const SHOWN_CHARS: usize = 60;

/// A rule that an event breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{record}.{field} {rule}{found}")]
pub struct InvalidEvent {
    /// The record's full name.
    pub record: &'static str,
    /// The field, with the place for an array's element: `items[3]`.
    pub field: String,
    /// What the field has to be.
    pub rule: String,
    found: Found,
}

/// What stood in the field, if showing it helps.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found(Option<String>);

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(found) => write!(f, ", found {found}"),
            None => Ok(()),
        }
    }
}

/// A field under examination.
struct Field<'a> {
    record: &'static str,
    /// Written out only when a rule is broken.
    name: &'a dyn fmt::Display,
}

impl Field<'_> {
    fn breaks(&self, rule: impl Into<String>, found: Option<String>) -> InvalidEvent {
        InvalidEvent { record: self.record, field: self.name.to_string(), rule: rule.into(), found: Found(found) }
    }

    fn uuid(&self, value: &str) -> Result<(), InvalidEvent> {
        // The `uuid` crate also reads braces, URNs and bare hexadecimal digits; keys must have one spelling.
        let hyphenated = value.len() == uuid::fmt::Hyphenated::LENGTH && Uuid::try_parse(value).is_ok();
        if hyphenated { Ok(()) } else { Err(self.breaks("must be a UUID with hyphens", Some(shown(value)))) }
    }

    fn text(&self, value: &str) -> Result<(), InvalidEvent> {
        if value.len() > MAX_TEXT_BYTES {
            let found = format!("{} bytes", value.len());
            return Err(self.breaks(format!("must have at most {MAX_TEXT_BYTES} bytes"), Some(found)));
        }
        // Most texts are plain, and need no look at what Unicode says of each character.
        let plain = value.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if plain && value.bytes().any(|byte| byte != b' ') {
            return Ok(());
        }
        if value.trim().is_empty() {
            return Err(self.breaks("must not be empty", Some(shown(value))));
        }
        if value.chars().any(char::is_control) {
            return Err(self.breaks("must not hold control characters", Some(shown(value))));
        }
        Ok(())
    }

    fn time(&self, value: &str) -> Result<(), InvalidEvent> {
        match time::parse(value) {
            Some(_) => Ok(()),
            None => Err(self.breaks("must be a time such as 2025-09-08 14:30:00", Some(shown(value)))),
        }
    }

    fn total(&self, value: f64) -> Result<(), InvalidEvent> {
        let rule = if !value.is_finite() {
            "must be a number".to_owned()
        } else if value < 0.0 {
            "must not be negative".to_owned()
        } else if value > money::MAX_TOTAL.as_f64() {
            format!("must be at most {}", money::MAX_TOTAL)
        } else if Cents::from_f64(value).is_none() {
            "must be whole cents".to_owned()
        } else {
            return Ok(());
        };
        Err(self.breaks(rule, Some(value.to_string())))
    }

    fn items(&self, items: &[String]) -> Result<(), InvalidEvent> {
        if items.is_empty() {
            return Err(self.breaks("must hold at least one item", None));
        }
        if items.len() > MAX_ITEMS {
            return Err(self.breaks(format!("must hold at most {MAX_ITEMS} items"), Some(items.len().to_string())));
        }
        items.iter().enumerate().try_for_each(|(place, item)| {
            Field { record: self.record, name: &format_args!("{}[{place}]", self.name) }.text(item)
        })
    }

    /// A text that may be left out.
    fn optional(&self, value: &str) -> Result<(), InvalidEvent> {
        if value.is_empty() { Ok(()) } else { self.text(value) }
    }

    fn currency(&self, value: &str) -> Result<(), InvalidEvent> {
        if is_currency(value) {
            return Ok(());
        }
        Err(self.breaks("must be three capital letters of ISO 4217 such as EUR", Some(shown(value))))
    }

    /// `count` lines, each an item and a quantity, say what the items say, or nothing. Whether a line's name is a good one need not
    /// be looked at: it is the name of an item.
    fn lines<'a>(
        &self,
        count: usize,
        line: impl Fn(usize) -> (&'a str, i32),
        items_name: &str,
        items: &[String],
    ) -> Result<(), InvalidEvent> {
        if count == 0 {
            return Ok(());
        }
        let quantity = |place: usize, rule: String| {
            let name = format_args!("{}[{place}].quantity", self.name);
            Err(Field { record: self.record, name: &name }.breaks(rule, Some(line(place).1.to_string())))
        };
        if let Some(place) = (0..count).find(|place| line(*place).1 < 1) {
            return quantity(place, "must be at least 1".to_owned());
        }
        match compare(count, &line, items) {
            Ok(()) => Ok(()),
            Err(Disagreement::Missing { piece }) => {
                let item = shown(&items[piece]);
                Err(self.breaks(format!("must have a line for each of {items_name}, and has none for {item}"), None))
            }
            Err(Disagreement::Quantity { line: place, pieces }) => {
                let item = line(place).0;
                let taken = (0..place).any(|earlier| line(earlier).0 == item);
                let item = shown(item);
                let rule = if taken {
                    format!("must not be there: {item} has a line already")
                } else {
                    format!("must be {pieces}, as often as {items_name} has {item}")
                };
                quantity(place, rule)
            }
        }
    }
}

/// Whether a currency is spelt as ISO 4217 spells them. Which of them are in use is not asked: that changes from year to year,
/// and an order in a currency that is newer than this program is an order all the same.
#[must_use]
pub fn is_currency(text: &str) -> bool {
    text.len() == 3 && text.bytes().all(|letter| letter.is_ascii_uppercase())
}

/// The value as an error shows it: quoted, control characters escaped, shortened.
fn shown(value: &str) -> String {
    let mut kept: String = value.chars().take(SHOWN_CHARS).collect();
    if kept.len() < value.len() {
        kept.push('…');
    }
    format!("{kept:?}")
}

pub(crate) fn order(order: &GroceryOrder) -> Result<(), InvalidEvent> {
    let field = |name| Field { record: GroceryOrder::RECORD, name };
    field(&"order_id").uuid(&order.order_id)?;
    field(&"customer_id").text(&order.customer_id)?;
    field(&"items").items(&order.items)?;
    field(&"order_total").total(order.order_total)?;
    field(&"order_time").time(&order.order_time)?;
    field(&"store_id").optional(&order.store_id)?;
    field(&"currency").currency(&order.currency)?;
    let line = |place: usize| (order.lines[place].item.as_str(), order.lines[place].quantity);
    field(&"lines").lines(order.lines.len(), line, "items", &order.items)
}

pub(crate) fn picklist(picklist: &GroceryPicklist) -> Result<(), InvalidEvent> {
    let field = |name| Field { record: GroceryPicklist::RECORD, name };
    field(&"picklist_id").uuid(&picklist.picklist_id)?;
    field(&"order_id").uuid(&picklist.order_id)?;
    field(&"items_to_pick").items(&picklist.items_to_pick)?;
    field(&"assigned_picker").text(&picklist.assigned_picker)?;
    field(&"created_time").time(&picklist.created_time)?;
    let line = |place: usize| (picklist.lines[place].item.as_str(), picklist.lines[place].quantity);
    field(&"lines").lines(picklist.lines.len(), line, "items_to_pick", &picklist.items_to_pick)?;
    picklist.lines.iter().enumerate().try_for_each(|(place, line)| {
        let name = format_args!("lines[{place}].aisle");
        Field { record: GroceryPicklist::RECORD, name: &name }.optional(&line.aisle)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{OrderLine, PickLine};

    fn an_order() -> GroceryOrder {
        GroceryOrder {
            order_id: "3d5f0c1e-8a52-4a7b-9d7c-0f6f3c2b1a90".into(),
            customer_id: "customer-0042".into(),
            items: vec!["whole milk".into(), "rolls/buns".into()],
            order_total: 1.54,
            order_time: "2025-09-08 14:30:00".into(),
            store_id: "store-7".into(),
            currency: "EUR".into(),
            lines: vec![line("whole milk", 1), line("rolls/buns", 1)],
        }
    }

    fn line(item: &str, quantity: i32) -> OrderLine {
        OrderLine { item: item.into(), quantity }
    }

    fn a_picklist() -> GroceryPicklist {
        GroceryPicklist {
            picklist_id: "5d3f0c1e-8a52-4a7b-9d7c-0f6f3c2b1a90".into(),
            order_id: "3d5f0c1e-8a52-4a7b-9d7c-0f6f3c2b1a90".into(),
            items_to_pick: vec!["whole milk".into()],
            assigned_picker: "Ada".into(),
            created_time: "2025-09-08 14:30:01".into(),
            lines: vec![PickLine { item: "whole milk".into(), quantity: 1, aisle: "dairy and eggs".into() }],
        }
    }

    fn refusal(change: impl FnOnce(&mut GroceryOrder)) -> String {
        let mut order = an_order();
        change(&mut order);
        order.validate().unwrap_err().to_string()
    }

    #[test]
    fn a_good_order_and_a_good_pick_list_pass() {
        assert_eq!(an_order().validate(), Ok(()));
        assert_eq!(a_picklist().validate(), Ok(()));
        let items = vec!["Käse 🧀".to_owned(); MAX_ITEMS];
        let lines = vec![line("Käse 🧀", 1000)];
        let unicode = GroceryOrder { items, lines, order_total: 0.0, ..an_order() };
        assert_eq!(unicode.validate(), Ok(()));
    }

    #[test]
    fn an_error_names_the_field_the_rule_and_what_was_found() {
        let cases = [
            (
                refusal(|o| o.order_id = "42".into()),
                r#"com.demo.GroceryOrder.order_id must be a UUID with hyphens, found "42""#,
            ),
            (
                refusal(|o| o.order_id = o.order_id.replace('-', "")),
                "com.demo.GroceryOrder.order_id must be a UUID with hyphens, found \"3d5f0c1e8a524a7b9d7c0f6f3c2b1a90\"",
            ),
            (
                refusal(|o| o.customer_id = " ".into()),
                "com.demo.GroceryOrder.customer_id must not be empty, found \" \"",
            ),
            (refusal(|o| o.items.clear()), "com.demo.GroceryOrder.items must hold at least one item"),
            (
                refusal(|o| o.items = vec!["x".into(); MAX_ITEMS + 1]),
                "com.demo.GroceryOrder.items must hold at most 1000 items, found 1001",
            ),
            (
                refusal(|o| o.items[1] = "a\nb".into()),
                r#"com.demo.GroceryOrder.items[1] must not hold control characters, found "a\nb""#,
            ),
            (
                refusal(|o| o.items[0] = "x".repeat(257)),
                "com.demo.GroceryOrder.items[0] must have at most 256 bytes, found 257 bytes",
            ),
            (refusal(|o| o.order_total = f64::NAN), "com.demo.GroceryOrder.order_total must be a number, found NaN"),
            (refusal(|o| o.order_total = -1.0), "com.demo.GroceryOrder.order_total must not be negative, found -1"),
            (refusal(|o| o.order_total = 1.005), "com.demo.GroceryOrder.order_total must be whole cents, found 1.005"),
            (
                refusal(|o| o.order_total = 1e9),
                "com.demo.GroceryOrder.order_total must be at most 10000000.00, found 1000000000",
            ),
            (
                refusal(|o| o.order_time = "yesterday".into()),
                r#"com.demo.GroceryOrder.order_time must be a time such as 2025-09-08 14:30:00, found "yesterday""#,
            ),
        ];
        for (message, expected) in cases {
            assert_eq!(message, expected);
        }
    }

    #[test]
    fn each_field_of_a_pick_list_has_its_rule() {
        let refused = |change: fn(&mut GroceryPicklist)| {
            let mut picklist = a_picklist();
            change(&mut picklist);
            picklist.validate().unwrap_err().field
        };
        assert_eq!(refused(|p| p.picklist_id.clear()), "picklist_id");
        assert_eq!(refused(|p| p.order_id = "x".repeat(36)), "order_id");
        assert_eq!(refused(|p| p.items_to_pick.clear()), "items_to_pick");
        assert_eq!(refused(|p| p.assigned_picker.clear()), "assigned_picker");
        assert_eq!(refused(|p| p.created_time.clear()), "created_time");
    }

    #[test]
    fn an_event_of_version_1_says_nothing_of_what_came_later() {
        let order = GroceryOrder { store_id: String::new(), lines: Vec::new(), ..an_order() };
        assert_eq!(order.validate(), Ok(()));
        assert_eq!(GroceryPicklist { lines: Vec::new(), ..a_picklist() }.validate(), Ok(()));
        let lost = GroceryPicklist { lines: vec![PickLine { aisle: "".into(), ..a_line() }], ..a_picklist() };
        assert_eq!(lost.validate(), Ok(()), "an aisle that nobody knows");
    }

    fn a_line() -> PickLine {
        a_picklist().lines.remove(0)
    }

    #[test]
    fn lines_say_what_the_items_say() {
        let milk = "com.demo.GroceryOrder.lines[0].quantity must be 1, as often as items has \"whole milk\", found 2";
        let cases = [
            (refusal(|o| o.lines[0].quantity = 2), milk),
            (
                refusal(|o| o.lines[1].quantity = 0),
                "com.demo.GroceryOrder.lines[1].quantity must be at least 1, found 0",
            ),
            (
                refusal(|o| o.lines.truncate(1)),
                r#"com.demo.GroceryOrder.lines must have a line for each of items, and has none for "rolls/buns""#,
            ),
            (
                refusal(|o| o.lines.push(line("soda", 1))),
                r#"com.demo.GroceryOrder.lines[2].quantity must be 0, as often as items has "soda", found 1"#,
            ),
            (
                refusal(|o| o.lines.push(line("whole milk", 1))),
                r#"com.demo.GroceryOrder.lines[2].quantity must not be there: "whole milk" has a line already, found 1"#,
            ),
            (
                refusal(|o| o.currency = "eur".into()),
                r#"com.demo.GroceryOrder.currency must be three capital letters of ISO 4217 such as EUR, found "eur""#,
            ),
            (refusal(|o| o.store_id = " ".into()), r#"com.demo.GroceryOrder.store_id must not be empty, found " ""#),
        ];
        for (message, expected) in cases {
            assert_eq!(message, expected);
        }
        let list = |line| GroceryPicklist { lines: vec![line], ..a_picklist() }.validate().unwrap_err().field;
        assert_eq!(list(PickLine { quantity: 3, ..a_line() }), "lines[0].quantity");
        assert_eq!(list(PickLine { item: "soda".into(), ..a_line() }), "lines");
        assert_eq!(list(PickLine { aisle: "\t".into(), ..a_line() }), "lines[0].aisle");
    }

    #[test]
    fn a_long_value_is_shortened_in_the_message() {
        let message = refusal(|o| o.order_time = "9".repeat(100_000));
        assert!(message.len() < 250, "{message}");
    }
}
