//! What a pick list looks like on the device.

use std::fmt::Write as _;

use grocery_events::{Catalogue, GroceryPicklist, stops};

/// Columns of the device's screen.
const WIDTH: usize = 40;

/// A pick list as a picker walks it.
#[derive(Debug, PartialEq, Eq, serde::Serialize)]
pub struct Instructions<'a> {
    picklist_id: &'a str,
    order_id: &'a str,
    assigned_picker: &'a str,
    created_time: &'a str,
    /// In walking order.
    aisles: Vec<Aisle<'a>>,
}

/// A stop on the way.
#[derive(Debug, PartialEq, Eq, serde::Serialize)]
struct Aisle<'a> {
    aisle: &'a str,
    /// In walking order.
    items: Vec<Pick<'a>>,
}

/// What to take there.
#[derive(Debug, PartialEq, Eq, serde::Serialize)]
struct Pick<'a> {
    item: &'a str,
    count: usize,
}

impl<'a> Instructions<'a> {
    /// The list as its stops, which are the list's own where it has aisles (see [`stops`]).
    #[must_use]
    pub fn new(list: &'a GroceryPicklist, catalogue: &'a Catalogue) -> Self {
        let pick = |pick: grocery_events::Pick<'a>| Pick { item: pick.item, count: pick.count };
        let aisle = |stop: grocery_events::Stop<'a>| Aisle {
            aisle: stop.aisle,
            items: stop.picks.into_iter().map(pick).collect(),
        };
        let aisles = stops(list, catalogue).into_iter().map(aisle).collect();
        Self {
            picklist_id: &list.picklist_id,
            order_id: &list.order_id,
            assigned_picker: &list.assigned_picker,
            created_time: &list.created_time,
            aisles,
        }
    }

    /// Appends the list for people: 40 columns, one line an item, an empty line at the end.
    pub fn write_text(&self, screen: &mut String) {
        let pieces: usize = self.aisles.iter().flat_map(|aisle| &aisle.items).map(|pick| pick.count).sum();
        let noun = if pieces == 1 { "item" } else { "items" };
        screen.push_str(&"─".repeat(WIDTH));
        screen.push('\n');
        two_columns(screen, &format!("Pick for order {}", short(self.order_id)), &format!("{pieces} {noun}"));
        two_columns(screen, &format!("{} picks", self.assigned_picker), self.created_time);
        for aisle in &self.aisles {
            let _ = writeln!(screen, "{}", aisle.aisle.to_uppercase());
            for pick in &aisle.items {
                let count = if pick.count > 1 { format!("× {}", pick.count) } else { String::new() };
                two_columns(screen, &format!("  [ ] {}", pick.item), &count);
            }
        }
        screen.push('\n');
    }

    /// Appends the list as one line of JSON: `{"picklist_id", "order_id", "assigned_picker", "created_time", "aisles":
    /// [{"aisle", "items": [{"item", "count"}]}]}`.
    pub fn write_json(&self, screen: &mut String) {
        let line = serde_json::to_string(self).expect("strings and counts always have a JSON form");
        screen.push_str(&line);
        screen.push('\n');
    }
}

/// The first group of a UUID: enough for a person to tell two orders apart.
fn short(id: &str) -> &str {
    id.split('-').next().unwrap_or(id)
}

/// A line with a text on either side. What does not fit goes on below rather than being cut: nobody can pick half a name.
fn two_columns(screen: &mut String, left: &str, right: &str) {
    let (left_width, right_width) = (left.chars().count(), right.chars().count());
    if right.is_empty() {
        let _ = writeln!(screen, "{left}");
    } else if left_width + 1 + right_width <= WIDTH {
        let _ = writeln!(screen, "{left}{right:>rest$}", rest = WIDTH - left_width);
    } else {
        let _ = writeln!(screen, "{left}\n{right:>WIDTH$}");
    }
}

#[cfg(test)]
mod tests {
    use grocery_events::PickLine;

    use super::*;

    fn a_list(items: &[&str]) -> GroceryPicklist {
        GroceryPicklist {
            picklist_id: "a413fe0c-70d8-8a7b-a281-f00c0cd3ee6f".into(),
            order_id: "3d5f0c1e-8a52-4a7b-9d7c-0f6f3c2b1a90".into(),
            items_to_pick: items.iter().map(|&item| item.to_owned()).collect(),
            assigned_picker: "Ada".into(),
            created_time: "2025-09-08 14:30:01".into(),
            lines: Vec::new(),
        }
    }

    fn text(list: &GroceryPicklist) -> String {
        let mut screen = String::new();
        Instructions::new(list, Catalogue::builtin()).write_text(&mut screen);
        screen
    }

    #[test]
    fn items_are_grouped_by_aisle_in_walking_order_and_counted() {
        let list =
            a_list(&["shopping bags", "whole milk", "dragon fruit", "soda", "yogurt", "soda", "pip fruit", "soda "]);
        let expected = "\
────────────────────────────────────────
Pick for order 3d5f0c1e          8 items
Ada picks            2025-09-08 14:30:01
PRODUCE
  [ ] pip fruit
DAIRY AND EGGS
  [ ] whole milk
  [ ] yogurt
WATER AND SOFT DRINKS
  [ ] soda                           × 3
CHECKOUT
  [ ] shopping bags
ASK AT THE COUNTER
  [ ] dragon fruit

";
        assert_eq!(text(&list), expected);
    }

    #[test]
    fn a_list_of_version_2_is_shown_with_its_own_aisles_and_quantities() {
        let line =
            |item: &str, quantity, aisle: &'static str| PickLine { item: item.into(), quantity, aisle: aisle.into() };
        let lines = vec![line("soda", 2, "cellar"), line("whole milk", 1, "yard"), line("dragon fruit", 1, "")];
        let list = GroceryPicklist { lines, ..a_list(&["soda", "whole milk", "dragon fruit", "soda"]) };
        let expected = "\
────────────────────────────────────────
Pick for order 3d5f0c1e          4 items
Ada picks            2025-09-08 14:30:01
CELLAR
  [ ] soda                           × 2
YARD
  [ ] whole milk
ASK AT THE COUNTER
  [ ] dragon fruit

";
        assert_eq!(text(&list), expected);
    }

    #[test]
    fn no_line_is_wider_than_the_screen_for_any_item_of_the_range() {
        let range: Vec<&str> = Catalogue::builtin().items().iter().map(|item| item.name.as_str()).collect();
        let twice: Vec<&str> = range.iter().chain(&range).copied().collect();
        let screen = text(&a_list(&twice));
        assert!(screen.lines().all(|line| line.chars().count() <= WIDTH), "{screen}");
        for name in range {
            assert!(screen.contains(name));
        }
    }

    #[test]
    fn a_long_name_keeps_its_count_on_the_next_line() {
        let name = "a very long name of an unknown vegetable";
        let screen = text(&a_list(&[name, name]));
        assert!(screen.contains(&format!("  [ ] {name}\n{:>WIDTH$}\n", "× 2")), "{screen}");
    }

    #[test]
    fn json_is_one_line_with_the_same_grouping() {
        let mut screen = String::new();
        let list = a_list(&["soda", "\"quoted\"", "soda"]);
        Instructions::new(&list, Catalogue::builtin()).write_json(&mut screen);
        let expected = concat!(
            r#"{"picklist_id":"a413fe0c-70d8-8a7b-a281-f00c0cd3ee6f","order_id":"3d5f0c1e-8a52-4a7b-9d7c-0f6f3c2b1a90","#,
            r#""assigned_picker":"Ada","created_time":"2025-09-08 14:30:01","aisles":["#,
            r#"{"aisle":"water and soft drinks","items":[{"item":"soda","count":2}]},"#,
            r#"{"aisle":"ask at the counter","items":[{"item":"\"quoted\"","count":1}]}]}"#,
            "\n"
        );
        assert_eq!(screen, expected);
    }
}
