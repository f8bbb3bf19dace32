//! What is wrong with a schema, and how it is told: to people, to programs, and to GitHub's annotations.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use serde::Serialize;
use service_kit::ExitStatus;

/// How findings are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// For people
    #[default]
    Text,
    /// One JSON object
    Json,
    /// As text, with a line for each finding that makes GitHub show it beside the file's line
    Github,
}

/// What is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Rule {
    /// The folder is not laid out as it has to be, or a number is missing.
    Layout,
    /// A file is no Avro schema.
    Invalid,
    /// A version has another record's name.
    Renamed,
    /// Two versions are one schema.
    Repeated,
    /// A version that is in the history is another one now.
    Changed,
    /// A version does not fit those before it.
    Incompatible,
    /// The registry does not take a version.
    Refused,
    /// The registry has another schema, or one more, or will give a version another number.
    Registered,
    /// The registry's level is another one.
    Level,
}

/// Something that is wrong.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Finding {
    pub(super) rule: Rule,
    pub(super) subject: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) file: Option<PathBuf>,
    /// The field within the schema, `lines.quantity`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) field: Option<String>,
    pub(super) problem: String,
    /// What to do.
    pub(super) remedy: String,
}

impl Finding {
    pub(super) fn about(rule: Rule, subject: &str, problem: String, remedy: String) -> Self {
        Self { rule, subject: subject.to_owned(), version: None, file: None, field: None, problem, remedy }
    }

    /// The line of the file that names the field, from 1.
    fn line(&self) -> Option<usize> {
        let name = format!("\"{}\"", self.field.as_ref()?.rsplit('.').next()?);
        let text = fs::read_to_string(self.file.as_ref()?).ok()?;
        text.lines().position(|line| line.contains(&name)).map(|line| line + 1)
    }

    fn text(&self) -> String {
        let Self { subject, problem, remedy, file, .. } = self;
        let place = file.as_ref().map(|file| format!("{}: ", file.display())).unwrap_or_default();
        format!("{subject}: {problem}\n    {place}{remedy}\n")
    }

    /// A workflow command of GitHub's.
    fn github(&self) -> String {
        let property = |text: &str| escaped(text).replace(':', "%3A").replace(',', "%2C");
        let mut place = String::new();
        if let Some(file) = &self.file {
            let _ = write!(place, "file={},", property(&file.display().to_string()));
            if let Some(line) = self.line() {
                let _ = write!(place, "line={line},");
            }
        }
        let title = property(&format!("schema {}", self.subject));
        format!("::error {place}title={title}::{}\n", escaped(&format!("{}; {}", self.problem, self.remedy)))
    }
}

fn escaped(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// How a subject stands.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Standing {
    pub(super) subject: String,
    pub(super) compatibility: String,
    pub(super) versions: Vec<VersionStanding>,
}

/// How a version stands.
#[derive(Clone, Debug, Serialize)]
pub(super) struct VersionStanding {
    pub(super) version: i32,
    pub(super) file: PathBuf,
    /// The registry's id for it; `null` if it is not registered, or nobody asked.
    pub(super) id: Option<i32>,
}

/// What a check has found.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// The registry that was asked.
    pub(super) registry: Option<String>,
    pub(super) subjects: Vec<Standing>,
    pub(super) findings: Vec<Finding>,
    /// What was compared with what, and what was not.
    pub(super) notes: Vec<String>,
}

impl Report {
    /// Whoever changes the files can mend what breaks a rule; where they are right, the registry is what has to change.
    pub(super) fn status(&self) -> ExitStatus {
        let of_registry = |finding: &Finding| matches!(finding.rule, Rule::Registered | Rule::Level);
        match self.findings.as_slice() {
            [] => ExitStatus::Done,
            findings if findings.iter().all(of_registry) => ExitStatus::Resource,
            _ => ExitStatus::Unsatisfied,
        }
    }

    pub(super) fn print(&self, format: Format) -> String {
        match format {
            Format::Text => self.text(),
            Format::Json => {
                let report = serde_json::to_string_pretty(self).expect("a report always has a JSON form");
                format!("{report}\n")
            }
            Format::Github => self.text() + &self.findings.iter().map(Finding::github).collect::<String>(),
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for finding in &self.findings {
            text.push_str(&finding.text());
        }
        for Standing { subject, compatibility, versions } in &self.subjects {
            let faults = self.findings.iter().filter(|finding| finding.subject == *subject).count();
            let state = match faults {
                0 => "ok".to_owned(),
                1 => "1 finding".to_owned(),
                faults => format!("{faults} findings"),
            };
            let _ = write!(text, "{subject}: {} ({compatibility}), {state}", numbered(versions.iter()));
            if self.registry.is_some() {
                let missing: Vec<_> = versions.iter().filter(|version| version.id.is_none()).collect();
                let _ = match missing.as_slice() {
                    [] => write!(text, "; all registered"),
                    missing => write!(text, "; not registered yet: {}", numbered(missing.iter().copied())),
                };
            }
            text.push('\n');
        }
        for note in &self.notes {
            let _ = writeln!(text, "{note}");
        }
        text
    }
}

/// `version 1`, `versions 1 and 2`.
fn numbered<'a>(versions: impl Iterator<Item = &'a VersionStanding>) -> String {
    let mut numbers: Vec<String> = versions.map(|version| version.version.to_string()).collect();
    match numbers.pop() {
        None => "no version".to_owned(),
        Some(only) if numbers.is_empty() => format!("version {only}"),
        Some(last) => format!("versions {} and {last}", numbers.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(rule: Rule) -> Finding {
        Finding {
            field: Some("lines.quantity".to_owned()),
            ..Finding::about(rule, "orders-value", "50 % of it,\nis wrong".to_owned(), "mend it".to_owned())
        }
    }

    fn report(rules: &[Rule]) -> Report {
        let findings = rules.iter().map(|rule| finding(*rule)).collect();
        Report { registry: None, subjects: Vec::new(), findings, notes: Vec::new() }
    }

    #[test]
    fn files_at_fault_are_1_and_a_registry_at_fault_is_6() {
        assert_eq!(report(&[]).status(), ExitStatus::Done);
        assert_eq!(report(&[Rule::Level, Rule::Registered]).status(), ExitStatus::Resource);
        assert_eq!(report(&[Rule::Level, Rule::Incompatible]).status(), ExitStatus::Unsatisfied);
    }

    #[test]
    fn an_annotation_names_the_line_of_the_field_and_escapes_what_github_would_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("3.avsc");
        fs::write(&file, "{\n \"name\": \"lines\",\n \"name\": \"quantity\"\n}").unwrap();
        let annotation = Finding { file: Some(file.clone()), ..finding(Rule::Incompatible) }.github();
        let expected = format!(
            "::error file={},line=3,title=schema orders-value::50 %25 of it,%0Ais wrong; mend it\n",
            file.display()
        );
        assert_eq!(annotation, expected);
    }
}
