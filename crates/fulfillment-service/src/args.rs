//! The flags of this service; what it shares with the others is in `service-kit`.

/// Who picks.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The pickers on shift; each order is given to one of them
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', default_values_t = crate::DEFAULT_PICKERS.map(String::from))]
    pub pickers: Vec<String>,
}
