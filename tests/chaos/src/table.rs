//! For every kind of fault: how many there were, and how long it took until the pipeline moved again. Pure.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::plan::Kind;

/// Recoveries of one run.
#[derive(Debug, Default)]
pub(crate) struct Table {
    recoveries: BTreeMap<Kind, Vec<Duration>>,
}

impl Table {
    /// A fault of this kind was overcome after this time.
    pub(crate) fn add(&mut self, kind: Kind, after: Duration) {
        self.recoveries.entry(kind).or_default().push(after);
    }

    /// How many faults were overcome.
    pub(crate) fn faults(&self) -> usize {
        self.recoveries.values().map(Vec::len).sum()
    }
}

/// The smallest of sorted values that at least `percent` of a hundred do not exceed.
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| fault | number | moves again after: p50 | p99 | max |")?;
        writeln!(f, "| --- | ---: | ---: | ---: | ---: |")?;
        let mut all = Vec::new();
        let line = |f: &mut fmt::Formatter<'_>, name: &dyn fmt::Display, times: &[Duration]| {
            let mut sorted = times.to_vec();
            sorted.sort();
            let seconds = |duration: Duration| format!("{:.1} s", duration.as_secs_f64());
            let [half, most, max] = [50, 99, 100].map(|percent| seconds(percentile(&sorted, percent)));
            writeln!(f, "| {name} | {} | {half} | {most} | {max} |", sorted.len())
        };
        for (kind, times) in &self.recoveries {
            line(f, kind, times)?;
            all.extend_from_slice(times);
        }
        line(f, &"all", &all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let times: Vec<Duration> = (1..=100).map(Duration::from_secs).collect();
        assert_eq!(percentile(&times, 50), Duration::from_secs(50));
        assert_eq!(percentile(&times, 99), Duration::from_secs(99));
        assert_eq!(percentile(&times[..1], 99), Duration::from_secs(1));
        assert_eq!(percentile(&[], 50), Duration::ZERO);
    }

    #[test]
    fn a_table_has_a_line_for_each_kind_and_one_for_all() {
        let mut table = Table::default();
        table.add(Kind::Cut, Duration::from_millis(300));
        table.add(Kind::Cut, Duration::from_millis(500));
        table.add(Kind::BrokerKilled, Duration::from_secs(4));
        let text = table.to_string();
        assert!(text.contains("| broker: kill -9 | 1 | 4.0 s | 4.0 s | 4.0 s |"), "{text}");
        assert!(text.contains("| connections: cut | 2 | 0.3 s | 0.5 s | 0.5 s |"), "{text}");
        assert!(text.contains("| all | 3 | 0.5 s | 4.0 s | 4.0 s |"), "{text}");
    }
}
