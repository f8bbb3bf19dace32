//! The tables: the median of the rounds, with the least and the most, and how many times ours it is, round by round.

use std::fmt::Write as _;

use crate::clients::Client;
use crate::measure::Sample;
use crate::works::Rows;

/// Tables one below the other, in Markdown.
#[derive(Default)]
pub(crate) struct Tables {
    text: String,
}

/// Least, median and most.
fn spread(mut figures: Vec<f64>, digits: usize) -> String {
    figures.retain(|figure| figure.is_finite());
    figures.sort_by(f64::total_cmp);
    match (figures.first(), figures.get(figures.len() / 2), figures.last()) {
        (Some(least), Some(median), Some(most)) if figures.len() > 1 => {
            format!("{median:.digits$} ({least:.digits$} to {most:.digits$})")
        }
        (_, Some(only), _) => format!("{only:.digits$}"),
        _ => "–".to_owned(),
    }
}

pub(crate) fn megabytes(bytes: f64) -> String {
    format!("{:.0} MB", bytes / 1e6)
}

/// How many times ours a figure is, in each round that has both.
fn times_ours<K: Ord + Clone>(rows: &Rows<K>, row: &K, samples: &[Sample], figure: impl Fn(&Sample) -> f64) -> String {
    let ours = rows.get(&(row.clone(), Client::Ours)).map_or(&[][..], Vec::as_slice);
    spread(samples.iter().zip(ours).map(|(theirs, ours)| figure(theirs) / figure(ours)).collect(), 1)
}

fn per_second(sample: &Sample) -> f64 {
    let told = sample.told("records_per_second");
    if told.is_finite() { told } else { sample.told("records") / sample.told("seconds") }
}

fn each(samples: &[Sample], figure: impl Fn(&Sample) -> f64) -> Vec<f64> {
    samples.iter().map(figure).collect()
}

impl Tables {
    /// What records cost.
    pub(crate) fn rates<K: Ord + Clone + AsRef<str>>(&mut self, title: &str, what: &str, rows: &Rows<K>) {
        self.head(title, what);
        self.text
            .push_str("| | client | CPU µs a record | times ours | records/s | memory | instructions a record |\n");
        self.text.push_str("| --- | --- | ---: | ---: | ---: | ---: | ---: |\n");
        for ((row, client), samples) in rows {
            // Kafka's own tools do not tell how many, but all clients of a row do the same.
            let records = |sample: &Sample| {
                let of_ours = rows.get(&(row.clone(), Client::Ours)).and_then(|ours| ours.first());
                let told = sample.told("records");
                if told.is_finite() { told } else { of_ours.map_or(f64::NAN, |ours| ours.told("records")) }
            };
            let cpu = |sample: &Sample| sample.cpu.as_secs_f64() * 1e6 / records(sample);
            let counted = |sample: &Sample| sample.instructions.map_or(f64::NAN, |n| n as f64 / records(sample));
            let _ = writeln!(
                self.text,
                "| {} | {} | {} | {} | {} | {} | {} |",
                row.as_ref().trim(),
                client.name(),
                spread(each(samples, cpu), 2),
                times_ours(rows, row, samples, cpu),
                spread(each(samples, per_second), 0),
                megabytes(samples.iter().map(|sample| sample.rss_bytes).max().unwrap_or(0) as f64),
                spread(each(samples, counted), 0),
            );
        }
    }

    /// How long things take.
    pub(crate) fn times<K: Ord + Clone + AsRef<str>>(&mut self, title: &str, what: &str, rows: &Rows<K>) {
        self.head(title, what);
        self.text
            .push_str("| | client | p50 ms | p99 ms | p99.9 ms | p50 times ours | records/s | CPU µs a record |\n");
        self.text.push_str("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n");
        for ((row, client), samples) in rows {
            let cpu = |sample: &Sample| sample.cpu.as_secs_f64() * 1e6 / sample.told("records");
            let _ = writeln!(
                self.text,
                "| {} | {} | {} | {} | {} | {} | {} | {} |",
                row.as_ref().trim(),
                client.name(),
                spread(each(samples, |sample| sample.told("p50_ms")), 2),
                spread(each(samples, |sample| sample.told("p99_ms")), 2),
                spread(each(samples, |sample| sample.told("p999_ms")), 2),
                times_ours(rows, row, samples, |sample| sample.told("p50_ms")),
                spread(each(samples, per_second), 0),
                spread(each(samples, cpu), 1),
            );
        }
    }

    /// Lines that are ready.
    pub(crate) fn lines(&mut self, title: &str, lines: &[String]) {
        self.head(
            title,
            "until the first record, of a process from its start to its end; the service with nothing to do",
        );
        self.text.push_str("| client | first record | memory at rest |\n| --- | ---: | ---: |\n");
        for line in lines {
            let _ = writeln!(self.text, "{line}");
        }
    }

    pub(crate) fn text(self) -> String {
        self.text
    }

    fn head(&mut self, title: &str, what: &str) {
        let _ = write!(self.text, "\n### {title}\n\n{what}\n\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_the_median_between_the_least_and_the_most() {
        assert_eq!(spread(vec![3.0, 1.0, 2.0], 1), "2.0 (1.0 to 3.0)");
        assert_eq!(spread(vec![1.25], 2), "1.25");
        assert_eq!(spread(vec![f64::NAN], 2), "–");
    }
}
