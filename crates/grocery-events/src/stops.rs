//! The way of a picker: a list's items by aisle, in walking order.

use std::collections::HashMap;

use crate::{Catalogue, GroceryPicklist};

/// An aisle on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop<'a> {
    /// Its name.
    pub aisle: &'a str,
    /// What to take there, in walking order.
    pub picks: Vec<Pick<'a>>,
}

/// What to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pick<'a> {
    /// The item's name, without blanks around it.
    pub item: &'a str,
    /// How many pieces.
    pub count: usize,
}

/// The stops of a list in walking order, equal items counted together.
///
/// A list of version 2 brings aisles and order along: they are those of the store that the list was made for, so they come
/// before this catalogue's. What the list does not know the aisle of, and every item of a list of version 1, is looked up, and
/// comes after the rest, in this catalogue's walking order; what that does not know either comes last, in alphabetical order.
#[must_use]
pub fn stops<'a>(list: &'a GroceryPicklist, catalogue: &'a Catalogue) -> Vec<Stop<'a>> {
    let mut stops = Stops::default();
    let mut unshelved: HashMap<&str, usize> = HashMap::new();
    for line in &list.lines {
        let (item, count) = (line.item.trim(), usize::try_from(line.quantity).unwrap_or(0));
        if line.aisle.is_empty() {
            *unshelved.entry(item).or_default() += count;
        } else {
            stops.add(&line.aisle, Pick { item, count });
        }
    }
    if list.lines.is_empty() {
        for item in &list.items_to_pick {
            *unshelved.entry(item.trim()).or_default() += 1;
        }
    }
    let mut unshelved: Vec<_> =
        unshelved.into_iter().map(|(item, count)| (catalogue.stock(item), Pick { item, count })).collect();
    unshelved.sort_unstable_by_key(|(stock, pick)| (stock.walk, pick.item));
    for (stock, pick) in unshelved {
        stops.add(stock.aisle, pick);
    }
    stops.0
}

#[derive(Default)]
struct Stops<'a>(Vec<Stop<'a>>);

impl<'a> Stops<'a> {
    fn add(&mut self, aisle: &'a str, pick: Pick<'a>) {
        // An aisle that the way crosses twice is one stop: at its first place.
        match self.0.iter_mut().find(|stop| stop.aisle == aisle) {
            None => self.0.push(Stop { aisle, picks: vec![pick] }),
            Some(stop) => match stop.picks.iter_mut().find(|known| known.item == pick.item) {
                Some(known) => known.count += pick.count,
                None => stop.picks.push(pick),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PickLine;

    fn a_list(items: &[&str], lines: &[(&'static str, i32, &'static str)]) -> GroceryPicklist {
        GroceryPicklist {
            picklist_id: String::new(),
            order_id: String::new(),
            items_to_pick: items.iter().map(|&item| item.to_owned()).collect(),
            assigned_picker: String::new(),
            created_time: String::new(),
            lines: lines
                .iter()
                .map(|&(item, quantity, aisle)| PickLine { item: item.to_owned(), quantity, aisle: aisle.into() })
                .collect(),
        }
    }

    fn told(list: &GroceryPicklist) -> Vec<String> {
        let stops = stops(list, Catalogue::builtin());
        let told = |stop: &Stop<'_>| {
            let picks: Vec<String> = stop.picks.iter().map(|pick| format!("{} {}", pick.count, pick.item)).collect();
            format!("{}: {}", stop.aisle, picks.join(", "))
        };
        stops.iter().map(told).collect()
    }

    #[test]
    fn a_list_of_version_1_is_looked_up_and_counted() {
        let list = a_list(&["soda", "dragon fruit", "whole milk", "soda ", "asparagus pie"], &[]);
        let expected = [
            "dairy and eggs: 1 whole milk",
            "water and soft drinks: 2 soda",
            "ask at the counter: 1 asparagus pie, 1 dragon fruit",
        ];
        assert_eq!(told(&list), expected);
    }

    #[test]
    fn a_list_of_version_2_keeps_its_own_aisles_and_their_order() {
        let lines = [("soda", 2, "cellar"), ("whole milk", 1, "yard"), ("soda ", 1, "cellar"), ("rolls/buns", 4, "")];
        let list = a_list(&["soda", "whole milk", "soda ", "soda"], &lines);
        assert_eq!(told(&list), ["cellar: 3 soda", "yard: 1 whole milk", "bakery: 4 rolls/buns"]);
    }
}
