//! What Apache Kafka 4.3.1 answered, on file: one line for an API, what is asked about and the error codes, with the versions it is so in.
//!
//! To record anew, name a Kafka and the folder, and for the refusals its listener with a login and its identity provider
//! (`scripts/peers/start` starts them):
//!
//!     GROCERY_TEST_RECORD=$PWD/crates/sandbox/tests/it GROCERY_TEST_BOOTSTRAP=… GROCERY_TEST_GUARDED=… GROCERY_TEST_TOKEN_URL=… \
//!         cargo test -p sandbox --test it -- kafka

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::requests::{About, Case};

/// Answers as they come in.
#[derive(Default)]
pub(crate) struct Answers(BTreeMap<String, Vec<String>>);

impl Answers {
    /// Adds what came back for `case`; `None` is a closed connection.
    pub(crate) fn add(&mut self, case: &Case, answer: Option<&str>) {
        let Case { api, version, about, .. } = case;
        let about = match about {
            About::Known => "what is there",
            About::Unknown => "what is not there",
            About::Nothing => "nothing",
        };
        let errors = answer.map_or_else(|| "closed".to_owned(), errors);
        let versions = self.0.entry(format!("API {api:2} about {about}: {errors}")).or_default();
        if !versions.contains(&version.to_string()) {
            versions.push(version.to_string());
        }
    }

    /// Compares with the file, or writes it where that is asked for.
    pub(crate) fn compare(self, file: &str, recorded: &str) {
        let lines = self.0.into_iter().map(|(line, versions)| format!("{line} in versions {}\n", versions.join(",")));
        let answered: String = lines.collect();
        compare(&answered, file, recorded);
    }
}

/// Compares lines, in any order, with those of a file, or writes the file where that is asked for.
pub(crate) fn compare(answered: &str, file: &str, recorded: &str) {
    if let Ok(folder) = std::env::var("GROCERY_TEST_RECORD") {
        return std::fs::write(Path::new(&folder).join(file), answered).unwrap();
    }
    let (answered, recorded): (BTreeSet<_>, BTreeSet<_>) = (answered.lines().collect(), recorded.lines().collect());
    let differences: Vec<_> = answered.symmetric_difference(&recorded).collect();
    assert!(differences.is_empty(), "{differences:#?}");
}

/// The error codes in an answer's `Debug` text, each once.
fn errors(answer: &str) -> String {
    let codes = answer.split("error_code: ").skip(1);
    let codes: BTreeSet<&str> =
        codes.filter_map(|rest| rest.split(|c: char| c != '-' && !c.is_ascii_digit()).next()).collect();
    if codes.is_empty() { "no error".to_owned() } else { codes.into_iter().collect::<Vec<_>>().join(",") }
}
