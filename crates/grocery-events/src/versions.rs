//! The versions of the events' schemas: every text that was ever registered, and in which of them an event is written.
//!
//! Version 2 adds to an order its store, its currency and its lines, and to a pick list its lines; every new field has a
//! default. `items` and `items_to_pick` stay as they were, one name each piece: a reader of version 1 knows nothing else, and
//! has to pick the same. The lines therefore say the same once more, in the shape that will be left when nobody reads
//! version 1 any longer: a record for each item, because a record can grow (a price, a substitute) as long as each new field
//! has a default, and a list of numbers beside the names cannot.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::{Event, GroceryOrder, GroceryPicklist};

/// Which version of its schema an event is written in. Every version is read, whoever writes which.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventVersion {
    /// One name for each piece, and nothing else.
    One,
    /// With lines, store and currency.
    #[default]
    Two,
}

impl EventVersion {
    /// All of them, the oldest first.
    pub const ALL: [Self; 2] = [Self::One, Self::Two];

    /// Its number under the registry's subject.
    #[must_use]
    pub const fn number(self) -> i32 {
        self as i32 + 1
    }

    /// An event to be written in this version.
    pub const fn of<E: Event>(self, event: &E) -> Versioned<'_, E> {
        Versioned { event, version: self }
    }

    /// The text of this version of an event's schema.
    #[must_use]
    pub const fn schema<E: Event>(self) -> &'static str {
        E::VERSIONS[self as usize]
    }
}

impl fmt::Display for EventVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number().fmt(f)
    }
}

impl FromStr for EventVersion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|version| version.to_string() == text);
        known.ok_or_else(|| format!("`{text}` is no version of the events' schemas; there are 1 and 2"))
    }
}

/// An event as one version of its schema has it: without the fields that came later.
#[derive(Clone, Copy, Debug)]
pub struct Versioned<'a, E> {
    event: &'a E,
    version: EventVersion,
}

impl<E: Event> Serialize for Versioned<'_, E> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.event.serialize_as(self.version, to)
    }
}

/// A subject of the registry, and what `schemas/` holds of it.
#[derive(Clone, Copy, Debug)]
pub struct SubjectSchemas {
    /// The subject's name, which is the folder's.
    pub subject: &'static str,
    /// The texts of its versions, the oldest first.
    pub versions: &'static [&'static str],
}

/// `schemas/` as it was when this program was built.
pub const SCHEMAS: [SubjectSchemas; 2] = [
    SubjectSchemas { subject: GroceryOrder::SUBJECT, versions: &GroceryOrder::VERSIONS },
    SubjectSchemas { subject: GroceryPicklist::SUBJECT, versions: &GroceryPicklist::VERSIONS },
];

/// `schemas/subjects.json` as it was when this program was built: the compatibility level of each subject.
pub const SUBJECTS_JSON: &str = include_str!("../../../schemas/subjects.json");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_known_by_its_number() {
        for (version, number) in EventVersion::ALL.into_iter().zip(1..) {
            assert_eq!((version.number(), version.to_string().parse()), (number, Ok(version)));
        }
        for text in ["", "0", "3", "two", "1 "] {
            assert!(text.parse::<EventVersion>().unwrap_err().contains("there are 1 and 2"), "{text}");
        }
        assert_eq!(EventVersion::default().schema::<GroceryOrder>(), GroceryOrder::SCHEMA);
    }

    #[test]
    fn what_is_compiled_in_is_all_that_the_folder_holds() {
        let folder = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../schemas"));
        let mut subjects: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.file_type().unwrap().is_dir())
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect();
        subjects.sort();
        assert_eq!(subjects, SCHEMAS.map(|schemas| schemas.subject));
        for SubjectSchemas { subject, versions } in SCHEMAS {
            assert_eq!(std::fs::read_dir(folder.join(subject)).unwrap().count(), versions.len());
            for (text, number) in versions.iter().zip(1..) {
                let file = folder.join(subject).join(format!("{number}.avsc"));
                assert_eq!(std::fs::read_to_string(file).unwrap(), *text);
            }
        }
    }
}
