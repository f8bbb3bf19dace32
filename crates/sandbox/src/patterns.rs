//! Patterns that clients send for names of topics and transactional ids.

use regex_lite::{Error, Regex, RegexBuilder};

/// A compiled pattern may take this much memory.
const MAX_BYTES: usize = 1 << 20;

/// Compiles a pattern that has to match the whole of a name. Kafka takes RE2's patterns, this crate those of RE2's family; both read
/// a name as ASCII and never take more than linear time.
pub(crate) fn whole_name(pattern: &str) -> Result<Regex, Error> {
    let compiled = |pattern: &str| RegexBuilder::new(pattern).size_limit(MAX_BYTES).build();
    // Alone first: put into a group, `a)|(b` would pass.
    compiled(pattern)?;
    compiled(&format!(r"\A(?:{pattern})\z"))
}
