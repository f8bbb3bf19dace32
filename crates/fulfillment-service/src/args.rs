//! The flags of this service; what it shares with the others is in `service-kit`.

use std::path::PathBuf;
use std::time::Duration;

use grocery_events::EventVersion;

use crate::taken::Bounds;

/// Who picks, and how large transactions are.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The pickers on shift; each order is given to one of them
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', default_values_t = crate::DEFAULT_PICKERS.map(String::from))]
    pub pickers: Vec<String>,
    /// Use this catalogue's aisles and walking order instead of the built-in one's: item,aisle,walk,price,popularity
    #[arg(long, value_name = "FILE")]
    pub catalogue: Option<PathBuf>,
    /// The version of their schema in which pick lists are written, 1 or 2; stronger than the key event.version, which is 2 by
    /// default. 1 until every device is new enough to read 2; both are read by all
    #[arg(long, value_name = "VERSION")]
    pub event_version: Option<EventVersion>,
    /// The most orders of one transaction
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub transaction_orders: u32,
    /// The most bytes of pick lists of one transaction, give or take those of one read
    #[arg(long, value_name = "BYTES", default_value_t = 4_000_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub transaction_bytes: u32,
    /// How long a transaction waits for more orders before it is committed
    #[arg(long, value_name = "MS", default_value_t = 3, value_parser = clap::value_parser!(u32).range(0..=60_000))]
    pub transaction_linger_ms: u32,
}

impl Args {
    /// What bounds a transaction.
    pub(crate) fn bounds(&self) -> Bounds {
        Bounds {
            orders: self.transaction_orders as usize,
            bytes: self.transaction_bytes as usize,
            linger: Duration::from_millis(self.transaction_linger_ms.into()),
        }
    }
}
