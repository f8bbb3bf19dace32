//! What the supermarket sells: `data/catalogue.csv`, or a file of the same form.
//!
//! | column | meaning |
//! | --- | --- |
//! | `item` | the name, unique |
//! | `aisle` | where it is shelved |
//! | `walk` | its place on the way through the store, unique: a picker meets the smallest first |
//! | `price` | for one piece, with at most two decimals |
//! | `popularity` | how many baskets of ten thousand hold it, 0 to 9999 |

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::{fs, io};

use crate::basket::{self, SplitError};
use crate::money::Cents;
use crate::rules::MAX_TEXT_BYTES;

/// What an item costs that the catalogue does not know.
pub const UNKNOWN_PRICE: Cents = Cents(299);

/// Where an item is shelved that the catalogue does not know: somebody has to be asked.
pub const UNKNOWN_AISLE: &str = "ask at the counter";

/// The place on the way of an item that the catalogue does not know: after everything else.
pub const UNKNOWN_WALK: u32 = u32::MAX;

/// The header line of a catalogue.
const COLUMNS: [&str; 5] = ["item", "aisle", "walk", "price", "popularity"];

/// Popularity is a share of so many baskets, and less than all of them: what everybody buys would leave no choice.
const BASKETS: u32 = 10_000;

/// The largest catalogue file that is read.
const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;

/// One item of the range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogueItem {
    /// The name, as orders carry it.
    pub name: String,
    /// Where it is shelved.
    pub aisle: String,
    /// Its place on the way through the store; the smallest comes first.
    pub walk: u32,
    /// What one piece costs.
    pub price: Cents,
    /// How many baskets of ten thousand hold it.
    pub popularity: u32,
}

/// What is known, or assumed, about an item by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stock<'a> {
    /// Where it is shelved.
    pub aisle: &'a str,
    /// Its place on the way through the store.
    pub walk: u32,
    /// What one piece costs.
    pub price: Cents,
    /// Whether the catalogue has it; otherwise the rest is [`UNKNOWN_AISLE`], [`UNKNOWN_WALK`] and [`UNKNOWN_PRICE`].
    pub known: bool,
}

/// The range of a supermarket.
#[derive(Clone, Debug)]
pub struct Catalogue {
    items: Vec<CatalogueItem>,
    by_name: HashMap<String, usize>,
}

/// Why a catalogue cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// The file cannot be read.
    #[error("cannot read the catalogue {} (--catalogue): {reason}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the operating system says.
        reason: io::Error,
    },
    /// The text is not a catalogue.
    #[error("the catalogue {origin} cannot be used: line {line}, {reason}")]
    Malformed {
        /// Where the text comes from.
        origin: String,
        /// The line, from 1.
        line: usize,
        /// The column, and what is wrong there.
        reason: String,
    },
    /// There is nothing to sell.
    #[error(
        "the catalogue {origin} cannot be used: no item in it has a popularity above 0, so there is nothing to sell"
    )]
    Empty {
        /// Where the text comes from.
        origin: String,
    },
}

impl Catalogue {
    /// The project's own catalogue, `data/catalogue.csv`.
    #[must_use]
    pub fn builtin() -> &'static Self {
        static BUILTIN: LazyLock<Catalogue> = LazyLock::new(|| {
            let text = include_str!("../../../data/catalogue.csv");
            Catalogue::parse(text, "data/catalogue.csv").expect("a test reads the catalogue that is compiled in")
        });
        &BUILTIN
    }

    /// Reads a catalogue from a file.
    ///
    /// # Errors
    /// The file cannot be read, or [`Catalogue::parse`] refuses it.
    pub fn read(path: &Path) -> Result<Self, CatalogueError> {
        let read = || {
            let size = fs::metadata(path)?.len();
            if size > MAX_FILE_BYTES {
                return Err(io::Error::other(format!("it has {size} bytes, at most {MAX_FILE_BYTES} are read")));
            }
            fs::read_to_string(path)
        };
        let text = read().map_err(|reason| CatalogueError::Unreadable { path: path.to_owned(), reason })?;
        Self::parse(&text, &path.display().to_string())
    }

    /// Reads a catalogue from the text of one; `origin` names it in errors. Empty lines are skipped.
    ///
    /// # Errors
    /// The first line that is not as described at the top of this module, with line and column.
    pub fn parse(text: &str, origin: &str) -> Result<Self, CatalogueError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
        let mut parser = Parser::default();
        let malformed = |line, reason| CatalogueError::Malformed { origin: origin.to_owned(), line, reason };

        let (number, header) = lines.find(|(_, line)| !line.trim().is_empty()).unwrap_or((1, ""));
        parser.header(header).map_err(|reason| malformed(number, reason))?;
        for (number, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
            parser.item(line).map_err(|reason| malformed(number, reason))?;
        }
        if parser.items.iter().all(|item| item.popularity == 0) {
            return Err(CatalogueError::Empty { origin: origin.to_owned() });
        }
        let mut items = parser.items;
        items.sort_by_key(|item| item.walk);
        let by_name = items.iter().enumerate().map(|(index, item)| (item.name.clone(), index)).collect();
        Ok(Self { items, by_name })
    }

    /// The items in walking order.
    #[must_use]
    pub fn items(&self) -> &[CatalogueItem] {
        &self.items
    }

    /// The item of this name; blanks around it do not matter.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&CatalogueItem> {
        self.by_name.get(name.trim()).map(|&index| &self.items[index])
    }

    /// What is known about the item of this name, or assumed about one that the catalogue does not have.
    #[must_use]
    pub fn stock(&self, name: &str) -> Stock<'_> {
        match self.find(name) {
            Some(item) => Stock { aisle: &item.aisle, walk: item.walk, price: item.price, known: true },
            None => Stock { aisle: UNKNOWN_AISLE, walk: UNKNOWN_WALK, price: UNKNOWN_PRICE, known: false },
        }
    }
}

/// The items read so far and what they must not repeat.
#[derive(Default)]
struct Parser {
    items: Vec<CatalogueItem>,
    names: HashSet<String>,
    places: HashSet<u32>,
}

impl Parser {
    fn header(&self, line: &str) -> Result<(), String> {
        let fields = basket::split(line).map_err(|error| error.to_string())?;
        if fields.iter().map(|field| field.text.as_ref()).eq(COLUMNS) {
            return Ok(());
        }
        Err(format!("column 1: the first line has to be `{}`", COLUMNS.join(",")))
    }

    fn item(&mut self, line: &str) -> Result<(), String> {
        let fields = basket::split(line).map_err(|error: SplitError| error.to_string())?;
        let [item, aisle, walk, price, popularity] = fields.as_slice() else {
            let count = fields.len();
            return Err(format!(
                "column 1: {} columns are needed ({}), here are {count}",
                COLUMNS.len(),
                COLUMNS.join(",")
            ));
        };
        let wrong = |field: &basket::Field<'_>, rule: &str| {
            let found: String = field.text.chars().take(60).collect();
            Err(format!("column {}: {rule}, found {found:?}", field.column))
        };

        for (field, what) in [(item, "the item's name"), (aisle, "the aisle")] {
            if field.text.is_empty() || field.text.len() > MAX_TEXT_BYTES || field.text.chars().any(char::is_control) {
                return wrong(
                    field,
                    &format!("{what} has to be 1 to {MAX_TEXT_BYTES} bytes without control characters"),
                );
            }
        }
        let Some(place) = walk.text.parse().ok().filter(|&place| place < UNKNOWN_WALK) else {
            return wrong(walk, "the place in the walking order has to be a whole number from 0");
        };
        let Some(cents) = Cents::parse(&price.text) else {
            return wrong(price, "the price has to be an amount such as 1.49");
        };
        let Some(share) = popularity.text.parse().ok().filter(|&share| share < BASKETS) else {
            return wrong(
                popularity,
                "the popularity has to be a whole number from 0 to 9999, of ten thousand baskets",
            );
        };
        if !self.names.insert(item.text.to_string()) {
            return wrong(item, "an item may be listed once only");
        }
        if !self.places.insert(place) {
            return wrong(walk, "a place in the walking order belongs to one item only");
        }
        self.items.push(CatalogueItem {
            name: item.text.to_string(),
            aisle: aisle.text.to_string(),
            walk: place,
            price: cents,
            popularity: share,
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
