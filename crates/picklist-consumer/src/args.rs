//! The flags of this service; what it shares with the others is in `service-kit`.

use std::path::PathBuf;

/// How pick lists are shown.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Args {
    /// How each pick list is shown on standard output
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub format: Format,

    /// Use this catalogue's aisles instead of the built-in one's, where a list does not say them itself:
    /// item,aisle,walk,price,popularity
    #[arg(long, value_name = "FILE")]
    pub catalogue: Option<PathBuf>,

    /// Append `ORDER-ID PICKLIST-ID` of each pick list shown to FILE, one a line
    #[arg(long, value_name = "FILE")]
    pub audit: Option<PathBuf>,
}

/// How a pick list is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For a picker: grouped by aisle in walking order
    #[default]
    Text,
    /// For a program: one JSON object a line, items grouped by aisle in walking order
    Json,
    /// Nothing is shown; the list counts as shown
    Quiet,
}
