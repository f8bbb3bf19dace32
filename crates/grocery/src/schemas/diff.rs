//! Two schemas side by side: which fields come, go and change, and who can read whom.

use std::fmt::Write as _;
use std::path::Path;

use schema_registry::compatibility::ParsedSchema;
use schema_registry::{RegistryClient, Version};
use serde::Serialize;
use serde_json::Value;
use service_kit::ServiceError;

use super::fields::{FieldText, fields};
use super::folder::{Folder, Subject};

/// One of the two.
#[derive(Debug)]
pub(super) struct Side {
    /// What it is called in sentences.
    name: String,
    text: String,
    parsed: ParsedSchema,
}

impl Side {
    /// A version by its number, the registry's newest by `registry`, or a file.
    ///
    /// # Errors
    /// There is none, or it is no schema.
    pub(super) async fn find(
        which: &str,
        folder: &Folder,
        subject: &str,
        registry: Option<&RegistryClient>,
    ) -> Result<Self, ServiceError> {
        let (name, text) = if let Ok(number) = which.parse::<i32>() {
            let subject = folder.subject(subject)?;
            let version = subject.versions.iter().find(|version| version.number == number);
            let version = version.ok_or_else(|| no_version(folder, subject, number))?;
            (format!("version {number}"), version.text.clone())
        } else if which == "registry" {
            let registry = registry.ok_or_else(|| {
                ServiceError::Usage("`registry` needs to know which: schema.registry.url (--config, --set)".to_owned())
            })?;
            let latest = registry.version(subject, Version::Latest).await?;
            (format!("the registry's version {}", latest.version), latest.text.schema)
        } else {
            let text = std::fs::read_to_string(Path::new(which)).map_err(|error| {
                ServiceError::Usage(format!("{which} is neither a number nor `registry` nor a file: {error}"))
            })?;
            (which.to_owned(), text)
        };
        let parsed = ParsedSchema::parse(&text, &[])
            .map_err(|error| ServiceError::Usage(format!("{subject}: {name} is {error}")))?;
        Ok(Self { name, text, parsed })
    }
}

fn no_version(folder: &Folder, subject: &Subject, number: i32) -> ServiceError {
    let numbers: Vec<String> = subject.versions.iter().map(|version| version.number.to_string()).collect();
    let (place, name) = (folder.place(), &subject.name);
    ServiceError::Usage(format!("{place} has no version {number} of {name}; it has {}", numbers.join(", ")))
}

/// What is different.
#[derive(Debug, Serialize)]
pub(super) struct Difference {
    subject: String,
    from: String,
    to: String,
    /// Whether they are one schema to a registry.
    equal: bool,
    changes: Vec<Change>,
    /// What keeps the second from reading what the first wrote.
    backward: Vec<String>,
    /// What keeps the first from reading what the second wrote.
    forward: Vec<String>,
}

/// A field that came, went or changed.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "change")]
enum Change {
    Added { field: String, is: String },
    Removed { field: String, was: String },
    Changed { field: String, was: String, is: String },
}

impl Difference {
    pub(super) fn between(subject: &str, from: &Side, to: &Side) -> Self {
        let form = |side: &Side| schema_registry::canonical::canonical(&side.text).ok();
        let obstacles = |reader: &Side, writer: &Side| {
            let found = reader.parsed.cannot_read(&writer.parsed);
            found.iter().map(|obstacle| obstacle.in_words(&writer.name)).collect()
        };
        Self {
            subject: subject.to_owned(),
            from: from.name.clone(),
            to: to.name.clone(),
            equal: form(from) == form(to),
            changes: changes(&listed(&from.text), &listed(&to.text)),
            backward: obstacles(to, from),
            forward: obstacles(from, to),
        }
    }

    pub(super) fn is_none(&self) -> bool {
        self.equal
    }

    pub(super) fn json(&self) -> String {
        let difference = serde_json::to_string_pretty(self).expect("a difference always has a JSON form");
        format!("{difference}\n")
    }

    pub(super) fn text(&self) -> String {
        let Self { subject, from, to, .. } = self;
        if self.equal {
            return format!("{subject}: {from} and {to} are one schema\n");
        }
        let mut text = format!("{subject}: from {from} to {to}\n");
        let width = self.changes.iter().map(|change| change.field().chars().count()).max().unwrap_or(0);
        for change in &self.changes {
            let _ = match change {
                Change::Added { field, is } => writeln!(text, "  + {field:<width$}  {is}"),
                Change::Removed { field, was } => writeln!(text, "  - {field:<width$}  {was}"),
                Change::Changed { field, was, is } => writeln!(text, "  ~ {field:<width$}  {was}, now {is}"),
            };
        }
        if self.changes.is_empty() {
            text.push_str("  no field differs; documentation, properties, names of types or the order of fields do\n");
        }
        told(&mut text, "backward", to, from, &self.backward, "consumers go first");
        told(&mut text, "forward", from, to, &self.forward, "programs that are not upgraded go on");
        text
    }
}

impl Change {
    fn field(&self) -> &str {
        match self {
            Self::Added { field, .. } | Self::Removed { field, .. } | Self::Changed { field, .. } => field,
        }
    }
}

/// Whether a direction works, and what is in its way.
fn told(text: &mut String, direction: &str, reader: &str, writer: &str, obstacles: &[String], then: &str) {
    let _ = match obstacles {
        [] => writeln!(text, "{direction} compatible: {reader} reads what {writer} wrote; {then}"),
        _ => writeln!(text, "not {direction} compatible: {reader} cannot read what {writer} wrote"),
    };
    for obstacle in obstacles {
        let _ = writeln!(text, "    {obstacle}");
    }
}

fn listed(text: &str) -> Vec<FieldText> {
    // It was parsed before; a bare name such as `string` is no JSON.
    fields(&serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.trim().to_owned())))
}

fn changes(from: &[FieldText], to: &[FieldText]) -> Vec<Change> {
    let find = |list: &[FieldText], path: &str| list.iter().find(|field| field.path == path).cloned();
    let mut changes = Vec::new();
    for field in to {
        let name = field.path.clone();
        match find(from, &field.path) {
            None => changes.push(Change::Added { field: name, is: in_words(field) }),
            Some(before) if before != *field => {
                changes.push(Change::Changed { field: name, was: in_words(&before), is: in_words(field) });
            }
            Some(_) => {}
        }
    }
    let gone = from.iter().filter(|field| find(to, &field.path).is_none());
    changes.extend(gone.map(|field| Change::Removed { field: field.path.clone(), was: in_words(field) }));
    changes
}

fn in_words(field: &FieldText) -> String {
    let mut words = field.kind.clone();
    if let Some(default) = &field.default {
        let _ = write!(words, " = {default}");
    }
    if !field.aliases.is_empty() {
        let _ = write!(words, ", once {}", field.aliases.join(", "));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(name: &str, fields: &str) -> Side {
        let text = format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#);
        let parsed = ParsedSchema::parse(&text, &[]).unwrap();
        Side { name: name.to_owned(), text, parsed }
    }

    const A: &str = r#"{"name":"a","type":"int"}"#;

    #[test]
    fn fields_that_come_go_and_change_are_told_and_who_reads_whom() {
        let one = side("version 1", &format!(r#"{A},{{"name":"old","type":"string"}}"#));
        let two = side(
            "version 2",
            r#"{"name":"a","type":"long"},{"name":"new","type":"string","default":"","aliases":["older"]}"#,
        );
        let expected = "\
s: from version 1 to version 2
  ~ a    int, now long
  + new  string = \"\", once older
  - old  string
backward compatible: version 2 reads what version 1 wrote; consumers go first
not forward compatible: version 1 cannot read what version 2 wrote
    field \"a\" is an int and version 2 writes a long
    field \"old\" has no default and version 2 does not write it
";
        assert_eq!(Difference::between("s", &one, &two).text(), expected);
    }

    #[test]
    fn one_schema_in_two_spellings_is_no_difference_and_documentation_is_one() {
        let one = side("version 1", A);
        let mut spaced = side("version 2", A);
        spaced.text = spaced.text.replace(':', " : ");
        assert!(Difference::between("s", &one, &spaced).is_none());
        spaced.text = spaced.text.replace(r#""R""#, r#""R","doc":"more""#);
        let difference = Difference::between("s", &one, &spaced);
        assert!(!difference.is_none() && difference.text().contains("no field differs; documentation"));
    }
}
