//! The flags of this service; what it shares with the others is in `service-kit`.

use std::path::PathBuf;
use std::str::FromStr;

use grocery_events::{DEFAULT_CURRENCY, EventVersion, is_currency};

/// One order every two seconds, unless told otherwise.
const DEFAULT_RATE: Rate = Rate::PerSecond(0.5);

/// Faster than any broker; a larger number means a typing error.
const MAX_RATE: f64 = 10_000_000.0;

/// One order a day; anything slower is more likely a mistake.
const MIN_RATE: f64 = 1.0 / 86_400.0;

/// What orders are made of, how many and how fast.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Read baskets from FILE, one a line, item names separated by commas (`-`: standard input); without it a simulator
    /// draws them from the catalogue
    #[arg(long, value_name = "FILE")]
    pub baskets: Option<PathBuf>,

    /// Use this catalogue instead of the built-in one: item,aisle,walk,price,popularity
    #[arg(long, value_name = "FILE")]
    pub catalogue: Option<PathBuf>,

    /// Stop after N orders; a file with fewer baskets is read again from its start
    #[arg(long, value_name = "N")]
    pub orders: Option<u64>,

    /// Orders a second, or `max`
    #[arg(long, value_name = "R", default_value_t)]
    pub rate: Rate,

    /// Make the same baskets, customers and order ids as any other run with this number
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,

    /// The store that has to fulfil the orders, up to 256 bytes; without it they name none
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    pub store: String,

    /// The currency of the catalogue's prices, by ISO 4217
    #[arg(long, value_name = "CODE", default_value = DEFAULT_CURRENCY, value_parser = parse_currency)]
    pub currency: String,

    /// The version of their schema in which orders are written, 1 or 2; stronger than the key event.version, which is 2 by
    /// default. 1 until everybody who reads orders is new enough to read 2
    #[arg(long, value_name = "VERSION")]
    pub event_version: Option<EventVersion>,

    /// Append the id of each acknowledged order to FILE, one a line
    #[arg(long, value_name = "FILE")]
    pub audit: Option<PathBuf>,
}

/// How fast orders are made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rate {
    /// So many orders a second.
    PerSecond(f64),
    /// As fast as they are accepted.
    Max,
}

fn parse_currency(text: &str) -> Result<String, String> {
    if is_currency(text) { Ok(text.to_owned()) } else { Err("give three capital letters such as EUR".to_owned()) }
}

impl Default for Rate {
    fn default() -> Self {
        DEFAULT_RATE
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "max" {
            return Ok(Self::Max);
        }
        match text.parse::<f64>() {
            Ok(rate) if (MIN_RATE..=MAX_RATE).contains(&rate) => Ok(Self::PerSecond(rate)),
            _ => Err(format!("give orders a second, from one a day (0.0000116) to {MAX_RATE}, or `max`")),
        }
    }
}

impl std::fmt::Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::PerSecond(rate) => write!(f, "{rate}"),
            Self::Max => f.write_str("max"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_currency_is_three_capital_letters() {
        assert_eq!(parse_currency("CZK").as_deref(), Ok("CZK"));
        for text in ["", "czk", "EURO", "€", "E R"] {
            assert!(parse_currency(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_rate_is_a_number_or_max() {
        assert_eq!("max".parse(), Ok(Rate::Max));
        assert_eq!("0.5".parse(), Ok(Rate::PerSecond(0.5)));
        assert_eq!("1e4".parse(), Ok(Rate::PerSecond(10_000.0)));
        for text in ["", "0", "-1", "NaN", "inf", "1e9", "fast", "MAX "] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
        assert_eq!(Rate::default().to_string().parse(), Ok(Rate::default()));
    }
}
