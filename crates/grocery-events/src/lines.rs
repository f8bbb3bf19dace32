//! Lines: how many pieces of which item, beside the names of all pieces.

use std::collections::HashMap;

/// Up to so many names are searched one by one, which is faster than hashing them.
const FEW: usize = 64;

/// Finds names among those that were added.
#[derive(Default)]
struct Places<'a> {
    names: Vec<&'a str>,
    /// Used once there are more than a few.
    hashed: HashMap<&'a str, usize>,
}

impl<'a> Places<'a> {
    fn find(&self, name: &str) -> Option<usize> {
        if self.names.len() <= FEW {
            self.names.iter().position(|known| *known == name)
        } else {
            self.hashed.get(name).copied()
        }
    }

    /// Adds a name; the first of two equal ones is the one that is found.
    fn add(&mut self, name: &'a str) {
        self.names.push(name);
        match self.names.len() - 1 {
            place if place < FEW => {}
            FEW => {
                for (place, name) in self.names.iter().enumerate() {
                    self.hashed.entry(name).or_insert(place);
                }
            }
            place => {
                self.hashed.entry(name).or_insert(place);
            }
        }
    }
}

/// Each distinct name with how often it is there, in the order of first appearance.
pub(crate) fn counted<'a>(pieces: impl IntoIterator<Item = &'a str>) -> Vec<(&'a str, i32)> {
    let mut places = Places::default();
    let mut counts: Vec<(&str, i32)> = Vec::new();
    for piece in pieces {
        match places.find(piece) {
            Some(place) => counts[place].1 += 1,
            None => {
                places.add(piece);
                counts.push((piece, 1));
            }
        }
    }
    counts
}

/// How lines and pieces say different things.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Disagreement {
    /// The quantity of this line is not that of its pieces, of which there are so many.
    Quantity { line: usize, pieces: i32 },
    /// This piece has no line.
    Missing { piece: usize },
}

/// Whether `count` lines name each item once, with as many pieces as there are of it. `line` gives the item and the quantity of
/// one, which is above zero.
pub(crate) fn compare<'a>(
    count: usize,
    line: impl Fn(usize) -> (&'a str, i32),
    pieces: &[String],
) -> Result<(), Disagreement> {
    let mut few = [0; FEW];
    let mut many = Vec::new();
    let mut places = Places::default();
    let found: &mut [i32] = if count <= FEW {
        &mut few[..count]
    } else {
        (0..count).for_each(|place| places.add(line(place).0));
        many.resize(count, 0);
        &mut many
    };
    for (piece, name) in pieces.iter().enumerate() {
        let place = if count <= FEW { (0..count).find(|place| line(*place).0 == name) } else { places.find(name) };
        found[place.ok_or(Disagreement::Missing { piece })?] += 1;
    }
    // The second of two lines of one item has no pieces left.
    match (0..count).find(|place| line(*place).1 != found[*place]) {
        None => Ok(()),
        Some(line) => Err(Disagreement::Quantity { line, pieces: found[line] }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn pieces_are_counted_in_the_order_of_their_first_appearance() {
        assert_eq!(counted(["b", "a", "b", "c", "b"]), [("b", 3), ("a", 1), ("c", 1)]);
        assert_eq!(counted([]), []);
        let names: Vec<String> = (0..300).map(|number| format!("item {}", number % 150)).collect();
        let counts = counted(names.iter().map(String::as_str));
        assert_eq!(counts.len(), 150);
        assert!(counts.iter().zip(&names).all(|((name, count), first)| name == first && *count == 2));
    }

    #[test]
    fn lines_agree_with_pieces_in_any_order_and_say_where_they_do_not() {
        let pieces = texts(&["a", "b", "a"]);
        let compared = |lines: &[(&'static str, i32)]| compare(lines.len(), |place| lines[place], &pieces);
        assert_eq!(compared(&[("b", 1), ("a", 2)]), Ok(()));
        assert_eq!(compared(&[("a", 2)]), Err(Disagreement::Missing { piece: 1 }));
        assert_eq!(compared(&[("a", 1), ("b", 1)]), Err(Disagreement::Quantity { line: 0, pieces: 2 }));
        assert_eq!(compared(&[("a", 2), ("b", 1), ("c", 1)]), Err(Disagreement::Quantity { line: 2, pieces: 0 }));
        assert_eq!(compared(&[("a", 2), ("b", 1), ("b", 1)]), Err(Disagreement::Quantity { line: 2, pieces: 0 }));
        assert_eq!(compared(&[("a", 1), ("a", 1), ("b", 1)]), Err(Disagreement::Quantity { line: 0, pieces: 2 }));
    }

    #[test]
    fn many_lines_are_compared_as_few_are() {
        let pieces: Vec<String> = (0..1_000).map(|number| format!("item {}", number % 500)).collect();
        let lines: Vec<(&str, i32)> = pieces[..500].iter().map(|piece| (piece.as_str(), 2)).collect();
        assert_eq!(compare(lines.len(), |place| lines[place], &pieces), Ok(()));
        let twice: Vec<(&str, i32)> = lines.iter().chain(&lines[..1]).copied().collect();
        assert_eq!(
            compare(twice.len(), |place| twice[place], &pieces),
            Err(Disagreement::Quantity { line: 500, pieces: 0 })
        );
        let short = &lines[..499];
        assert_eq!(compare(short.len(), |place| short[place], &pieces), Err(Disagreement::Missing { piece: 499 }));
    }
}
