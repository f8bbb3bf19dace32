//! What can be wrong with a configuration. Every message names the key and where it came from, none a secret.

use std::path::PathBuf;

use super::Origin;

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file named by `--config` or by a `*_FILE` variable cannot be read.
    #[error("{} (named by {named_by}) cannot be read: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The flag, key or variable that names it.
        named_by: String,
        /// What the operating system said.
        reason: String,
    },
    /// A line is not `key=value`.
    #[error("{}:{line}: {reason}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from one.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// `--set` without `=`.
    #[error("--set `{given}` is not KEY=VALUE")]
    Flag {
        /// What was given, without a value.
        given: String,
    },
    /// A key that nothing knows.
    #[error("unknown key `{key}` ({origin}){}", nearest.as_ref().map(|n| format!("; did you mean `{n}`?")).unwrap_or_default())]
    Unknown {
        /// The key as written.
        key: String,
        /// Where it was written.
        origin: Origin,
        /// The known key that looks most like it.
        nearest: Option<&'static str>,
    },
    /// Two settings that cannot both hold.
    #[error("`{key}` ({origin}) contradicts {other}: {reason}")]
    Contradiction {
        /// One key.
        key: String,
        /// Where it was written.
        origin: Origin,
        /// The other key, and where that was written.
        other: String,
        /// What to do.
        reason: String,
    },
    /// A value that its key does not take.
    #[error("`{key}` ({origin}): {reason}")]
    Value {
        /// The key as written.
        key: String,
        /// Where it was written.
        origin: Origin,
        /// What is accepted.
        reason: String,
    },
    /// A key that is needed and nowhere set.
    #[error("`{key}` is not set; {reason}")]
    Missing {
        /// The key.
        key: &'static str,
        /// Why it is needed and how else it can be set.
        reason: String,
    },
    /// Values that the Kafka client refuses; the message names the key.
    #[error("{0}")]
    Client(String),
}
