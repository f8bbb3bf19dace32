//! What the registry knows, apart from how it is asked.

use std::collections::BTreeMap;
use std::sync::Arc;

use schema_registry::compatibility::{self, InvalidSchema, ParsedSchema};
use schema_registry::{Level, SchemaReference, SchemaText, Version, canonical};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::fault::Fault;

/// Bounds on what a client can make the sandbox keep.
const MOST_SCHEMAS: usize = 10_000;
const MOST_SUBJECTS: usize = 10_000;
const MOST_VERSIONS: usize = 1_000;

/// Whether a subject takes new versions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Mode {
    #[default]
    ReadWrite,
    ReadOnly,
}

/// A schema, known by one id under however many subjects.
#[derive(Debug)]
pub(crate) struct Schema {
    pub(crate) id: i32,
    pub(crate) guid: Uuid,
    /// In the registry's form.
    pub(crate) text: SchemaText,
    parsed: ParsedSchema,
}

/// A version of a subject, as answers have it.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) subject: String,
    pub(crate) version: i32,
    pub(crate) schema: Arc<Schema>,
}

#[derive(Debug, Default)]
struct Subject {
    /// Oldest first; a permanently deleted one is gone, its number is not used again.
    versions: Vec<Stored>,
    last_number: i32,
    level: Option<Level>,
    mode: Option<Mode>,
}

#[derive(Debug)]
struct Stored {
    number: i32,
    schema: Arc<Schema>,
    deleted: bool,
}

/// Subjects, schemas and settings.
#[derive(Debug, Default)]
pub(crate) struct Store {
    subjects: BTreeMap<String, Subject>,
    /// The schema with id `n` is at `n - 1`.
    schemas: Vec<Arc<Schema>>,
    level: Level,
    mode: Mode,
}

impl Subject {
    fn live(&self) -> impl DoubleEndedIterator<Item = &Stored> {
        self.versions.iter().filter(|version| !version.deleted)
    }
}

impl Store {
    /// Adds a version, unless the subject has the schema already: then that one is returned.
    pub(crate) fn register(&mut self, subject: &str, text: &SchemaText) -> Result<Found, Fault> {
        if subject.is_empty() || subject.chars().any(char::is_control) {
            return Err(Fault::invalid_subject(subject));
        }
        let (text, parsed) = self.read(text)?;
        if let Some(found) = self.find(subject, &text, false) {
            return Ok(found);
        }
        if self.mode(Some(subject), true)? == Mode::ReadOnly {
            return Err(Fault::read_only(subject));
        }
        let obstacles = self.obstacles(subject, &parsed, None);
        if !obstacles.is_empty() {
            return Err(Fault::incompatible(subject, &obstacles));
        }
        let schema = self.schema(text, parsed)?;
        if !self.subjects.contains_key(subject) && self.subjects.len() >= MOST_SUBJECTS {
            return Err(Fault::full("subjects"));
        }
        let entry = self.subjects.entry(subject.to_owned()).or_default();
        if entry.versions.len() >= MOST_VERSIONS {
            return Err(Fault::full("versions of this subject"));
        }
        entry.last_number += 1;
        entry.versions.push(Stored { number: entry.last_number, schema: Arc::clone(&schema), deleted: false });
        Ok(Found { subject: subject.to_owned(), version: entry.last_number, schema })
    }

    /// The version under which the subject has this schema.
    pub(crate) fn lookup(&self, subject: &str, text: &SchemaText, deleted: bool) -> Result<Found, Fault> {
        self.versions(subject, deleted)?;
        let (text, _) = self.read(text)?;
        self.find(subject, &text, deleted).ok_or_else(Fault::no_schema)
    }

    pub(crate) fn by_id(&self, id: i32) -> Result<&Arc<Schema>, Fault> {
        let place = usize::try_from(id).ok().and_then(|id| id.checked_sub(1));
        place.and_then(|place| self.schemas.get(place)).ok_or_else(|| Fault::no_schema_id(id))
    }

    pub(crate) fn by_guid(&self, guid: Uuid) -> Result<&Arc<Schema>, Fault> {
        self.schemas.iter().find(|schema| schema.guid == guid).ok_or_else(|| Fault::no_schema_id(guid))
    }

    /// Where a schema is used.
    pub(crate) fn uses(&self, id: i32, deleted: bool) -> Vec<(&str, i32)> {
        self.subjects
            .iter()
            .flat_map(|(name, subject)| subject.versions.iter().map(move |version| (name.as_str(), version)))
            .filter(|(_, version)| version.schema.id == id && (deleted || !version.deleted))
            .map(|(name, version)| (name, version.number))
            .collect()
    }

    /// Subjects with at least one version; with `deleted` also those that have only deleted ones.
    pub(crate) fn subjects(&self, deleted: bool) -> impl Iterator<Item = &str> {
        self.subjects
            .iter()
            .filter(move |(_, subject)| subject.live().next().is_some() || (deleted && !subject.versions.is_empty()))
            .map(|(name, _)| name.as_str())
    }

    pub(crate) fn versions(&self, subject: &str, deleted: bool) -> Result<Vec<i32>, Fault> {
        let known = self.subjects.get(subject);
        let numbers: Vec<i32> = known
            .into_iter()
            .flat_map(|subject| &subject.versions)
            .filter(|version| deleted || !version.deleted)
            .map(|version| version.number)
            .collect();
        if numbers.is_empty() { Err(Fault::no_subject(subject)) } else { Ok(numbers) }
    }

    pub(crate) fn version(&self, subject: &str, version: Version, deleted: bool) -> Result<Found, Fault> {
        self.versions(subject, deleted)?;
        let stored = self.subjects.get(subject).ok_or_else(|| Fault::no_subject(subject))?;
        let mut candidates = stored.versions.iter().filter(|stored| deleted || !stored.deleted);
        let found = match version {
            Version::Latest => candidates.next_back(),
            Version::Number(number) => candidates.find(|stored| stored.number == number),
        };
        let found = found.ok_or_else(|| Fault::no_version(version))?;
        Ok(Found { subject: subject.to_owned(), version: found.number, schema: Arc::clone(&found.schema) })
    }

    /// The ids of schemas that refer to a version.
    pub(crate) fn referenced_by(&self, subject: &str, version: i32) -> Vec<i32> {
        let refers = |reference: &SchemaReference| reference.subject == subject && reference.version == version;
        let used = |id| !self.uses(id, false).is_empty();
        self.schemas
            .iter()
            .filter(|schema| schema.text.references.iter().any(refers) && used(schema.id))
            .map(|schema| schema.id)
            .collect()
    }

    /// Whether registering would be refused, and why; against one version if it is given.
    pub(crate) fn check(
        &self,
        subject: &str,
        version: Option<Version>,
        text: &SchemaText,
    ) -> Result<Result<Vec<String>, Fault>, Fault> {
        // An unknown subject takes anything, except when a version of it is asked for by number.
        if let Some(number @ Version::Number(_)) = version {
            self.version(subject, number, false).map_err(|_| Fault::no_version(number))?;
        }
        Ok(self.read(text).map(|(_, parsed)| self.obstacles(subject, &parsed, version)))
    }

    /// Marks a subject's versions as deleted, or removes them for good.
    pub(crate) fn delete_subject(&mut self, subject: &str, permanent: bool) -> Result<Vec<i32>, Fault> {
        let all = self.versions(subject, true)?;
        let live = self.versions(subject, false).unwrap_or_default();
        if let Some(&used) = all.iter().find(|&&version| !self.referenced_by(subject, version).is_empty()) {
            return Err(Fault::referenced(subject, used));
        }
        match (permanent, live.is_empty()) {
            (false, true) => return Err(Fault::subject_deleted(subject)),
            (true, false) => return Err(Fault::subject_not_deleted(subject)),
            _ => {}
        }
        if let Some(stored) = self.subjects.get_mut(subject) {
            if permanent {
                stored.versions.clear();
            } else {
                stored.versions.iter_mut().for_each(|version| version.deleted = true);
                (stored.level, stored.mode) = (None, None);
            }
        }
        Ok(if permanent { all } else { live })
    }

    /// Marks a version as deleted, or removes it for good.
    pub(crate) fn delete_version(&mut self, subject: &str, version: Version, permanent: bool) -> Result<i32, Fault> {
        let number = self.version(subject, version, true)?.version;
        if !self.referenced_by(subject, number).is_empty() {
            return Err(Fault::referenced(subject, number));
        }
        let stored = self.subjects.get_mut(subject).ok_or_else(|| Fault::no_subject(subject))?;
        for version in stored.versions.iter_mut().filter(|version| version.number == number) {
            match (permanent, version.deleted) {
                (false, true) => return Err(Fault::version_deleted(subject, number)),
                (true, false) => return Err(Fault::version_not_deleted(subject, number)),
                _ => version.deleted = true,
            }
        }
        if permanent {
            stored.versions.retain(|version| version.number != number);
        }
        Ok(number)
    }

    /// The level of the registry, or of a subject; `or_global` if the subject has none.
    pub(crate) fn level(&self, subject: Option<&str>, or_global: bool) -> Result<Level, Fault> {
        let Some(name) = subject else { return Ok(self.level) };
        let own = self.subjects.get(name).and_then(|subject| subject.level);
        own.or(or_global.then_some(self.level)).ok_or_else(|| Fault::no_subject_level(name))
    }

    /// Sets a level; `None` takes a subject's away, or sets the registry's back.
    pub(crate) fn set_level(&mut self, subject: Option<&str>, level: Option<Level>) -> Result<(), Fault> {
        match subject {
            None => self.level = level.unwrap_or_default(),
            Some(name) => self.settings(name)?.level = level,
        }
        Ok(())
    }

    pub(crate) fn mode(&self, subject: Option<&str>, or_global: bool) -> Result<Mode, Fault> {
        let Some(name) = subject else { return Ok(self.mode) };
        let own = self.subjects.get(name).and_then(|subject| subject.mode);
        own.or(or_global.then_some(self.mode)).ok_or_else(|| Fault::no_subject_mode(name))
    }

    pub(crate) fn set_mode(&mut self, subject: Option<&str>, mode: Option<Mode>) -> Result<(), Fault> {
        match subject {
            None => self.mode = mode.unwrap_or_default(),
            Some(name) => self.settings(name)?.mode = mode,
        }
        Ok(())
    }

    /// A subject may have settings before it has versions.
    fn settings(&mut self, name: &str) -> Result<&mut Subject, Fault> {
        if !self.subjects.contains_key(name) && self.subjects.len() >= MOST_SUBJECTS {
            return Err(Fault::full("subjects"));
        }
        Ok(self.subjects.entry(name.to_owned()).or_default())
    }

    /// A schema as it came, in the registry's form.
    fn read(&self, text: &SchemaText) -> Result<(SchemaText, ParsedSchema), Fault> {
        if !text.is_avro() {
            let kind = text.schema_type.as_deref().unwrap_or_default();
            return Err(Fault::invalid_schema(format!("schema type {kind}, the sandbox has AVRO only")));
        }
        let references = self.referenced(&text.references)?;
        let references: Vec<&str> = references.iter().map(|schema| schema.text.schema.as_str()).collect();
        let invalid = |error: InvalidSchema| Fault::invalid_schema(error.0);
        let parsed = ParsedSchema::parse(&text.schema, &references).map_err(invalid)?;
        let schema = canonical::canonical(&text.schema).map_err(invalid)?;
        Ok((SchemaText { schema, schema_type: None, references: text.references.clone() }, parsed))
    }

    /// The schemas that these name, each after those that it needs itself.
    fn referenced(&self, references: &[SchemaReference]) -> Result<Vec<Arc<Schema>>, Fault> {
        let mut found: Vec<Arc<Schema>> = Vec::new();
        for reference in references {
            let missing = |_| {
                let SchemaReference { name, subject, version } = reference;
                Fault::invalid_schema(format!(
                    "no schema reference found for subject {subject:?}, version {version} ({name})"
                ))
            };
            let version = Version::Number(reference.version);
            let schema = self.version(&reference.subject, version, false).map_err(missing)?.schema;
            // What a registered schema refers to was registered before it, so this ends.
            for schema in self.referenced(&schema.text.references)?.into_iter().chain([schema]) {
                if !found.iter().any(|known| known.id == schema.id) {
                    found.push(schema);
                }
            }
        }
        Ok(found)
    }

    fn find(&self, subject: &str, text: &SchemaText, deleted: bool) -> Option<Found> {
        let versions = &self.subjects.get(subject)?.versions;
        let mut candidates = versions.iter().rev().filter(|version| deleted || !version.deleted);
        let found = candidates.find(|version| version.schema.text == *text)?;
        Some(Found { subject: subject.to_owned(), version: found.number, schema: Arc::clone(&found.schema) })
    }

    fn obstacles(&self, subject: &str, new: &ParsedSchema, version: Option<Version>) -> Vec<String> {
        let Some(stored) = self.subjects.get(subject) else { return Vec::new() };
        let level = stored.level.unwrap_or(self.level);
        let last = stored.live().next_back().map(|version| version.number);
        let asked_for = move |stored: &&Stored| match version {
            None => true,
            Some(Version::Latest) => Some(stored.number) == last,
            Some(Version::Number(number)) => stored.number == number,
        };
        let versions = stored.live().filter(asked_for);
        let versions = versions.map(|old| (old.number, old.schema.text.schema.as_str(), &old.schema.parsed));
        compatibility::check(level, new, versions)
    }

    /// The schema of this text; the same text again has the same id.
    fn schema(&mut self, text: SchemaText, parsed: ParsedSchema) -> Result<Arc<Schema>, Fault> {
        if let Some(known) = self.schemas.iter().find(|schema| schema.text == text) {
            return Ok(Arc::clone(known));
        }
        if self.schemas.len() >= MOST_SCHEMAS {
            return Err(Fault::full("schemas"));
        }
        let id = i32::try_from(self.schemas.len() + 1).unwrap_or(i32::MAX);
        let schema = Arc::new(Schema { id, guid: guid(&text), text, parsed });
        self.schemas.push(Arc::clone(&schema));
        Ok(schema)
    }
}

/// A name for a schema that depends on nothing but its content: FNV-1a over text and references. Confluent's is an MD5 over
/// more than a client knows, so clients take it from answers, and any will do.
fn guid(text: &SchemaText) -> Uuid {
    let content = serde_json::to_string(text).unwrap_or_default();
    let hash = content.bytes().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128, |hash, byte| {
        (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
    });
    uuid::Builder::from_custom_bytes(hash.to_be_bytes()).into_uuid()
}

#[cfg(test)]
mod tests;
