//! What the benchmark's Rust clients share: the command line, the orders to send, and the line that each prints.

pub mod cli;
pub mod picking;

use std::fmt::Write as _;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

/// Keys and values of a file, to be sent in turn.
#[derive(Debug)]
pub struct Orders {
    bytes: Vec<u8>,
    /// Where each key and value is.
    places: Vec<(Range<usize>, Range<usize>)>,
}

impl Orders {
    /// Reads a file of a key's length (u32, big endian), the key, the value's length, the value, over and over.
    ///
    /// # Errors
    /// The file cannot be read, ends within an entry, or has none.
    pub fn read(path: &Path) -> io::Result<Self> {
        let bytes = std::fs::read(path)?;
        let mut places = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let key = part(&bytes, at)?;
            let value = part(&bytes, key.end)?;
            at = value.end;
            places.push((key, value));
        }
        if places.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the file of orders is empty"));
        }
        Ok(Self { bytes, places })
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Always false: a file without orders is refused.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Key and value of each, beginning again after the last.
    pub fn cycle(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.places.iter().cycle().map(|(key, value)| (&self.bytes[key.clone()], &self.bytes[value.clone()]))
    }
}

/// Where the bytes are whose length stands at `at`.
fn part(bytes: &[u8], at: usize) -> io::Result<Range<usize>> {
    let length = bytes.get(at..).and_then(|rest| rest.first_chunk()).map(|length| u32::from_be_bytes(*length) as usize);
    let range = length.map(|length| at + 4..at + 4 + length).filter(|range| range.end <= bytes.len());
    range.ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "the file of orders ends within an entry"))
}

/// Prints a client's figures as one line of JSON.
pub fn report(figures: &[(&str, f64)]) {
    let mut line = String::new();
    for (name, figure) in figures {
        let separator = if line.is_empty() { "" } else { "," };
        let _ = write!(line, "{separator}\"{name}\":{figure}");
    }
    println!("{{{line}}}");
}

/// How long things took, one by one.
#[derive(Debug, Default)]
pub struct Times(Vec<Duration>);

impl Times {
    /// One more.
    pub fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// The time that a share of them, from 0 to 1, did not exceed (nearest rank); zero of none.
    pub fn percentile(&mut self, share: f64) -> Duration {
        self.0.sort_unstable();
        let rank = (share * self.0.len() as f64).ceil() as usize;
        self.0.get(rank.saturating_sub(1)).or(self.0.last()).copied().unwrap_or_default()
    }

    /// Prints how many records, how long all took together, and the percentiles in milliseconds.
    pub fn report(mut self, records: usize) {
        let seconds = self.0.iter().sum::<Duration>().as_secs_f64();
        let mut milliseconds = |share| self.percentile(share).as_secs_f64() * 1e3;
        report(&[
            ("records", records as f64),
            ("seconds", seconds),
            ("p50_ms", milliseconds(0.5)),
            ("p99_ms", milliseconds(0.99)),
            ("p999_ms", milliseconds(0.999)),
            ("max_ms", milliseconds(1.0)),
        ]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_the_least_time_that_so_many_did_not_exceed() {
        let mut times = Times::default();
        (1..=200).rev().for_each(|milliseconds| times.add(Duration::from_millis(milliseconds)));
        assert_eq!(times.percentile(0.5), Duration::from_millis(100));
        assert_eq!(times.percentile(0.99), Duration::from_millis(198));
        assert_eq!(times.percentile(0.999), Duration::from_millis(200));
        assert_eq!(times.percentile(1.0), Duration::from_millis(200));
        assert_eq!(Times::default().percentile(0.5), Duration::ZERO);
    }
}
