//! Which seeds the simulations run.

use std::ops::Range;

/// `usual` seeds from `first` on, or those that the environment asks for: `SEED` is the first, `SEEDS` how many. `SEED` alone is one, which
/// is how a failure is run again.
pub(crate) fn seeds(first: u64, usual: u64) -> Range<u64> {
    let asked = |name| {
        let text = std::env::var(name).ok()?;
        Some(text.parse::<u64>().unwrap_or_else(|_| panic!("{name} is a number, not '{text}'")))
    };
    let seed = asked("SEED");
    let first = seed.unwrap_or(first);
    first..first.saturating_add(asked("SEEDS").unwrap_or(if seed.is_some() { 1 } else { usual }))
}
