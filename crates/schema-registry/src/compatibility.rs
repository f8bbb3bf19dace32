//! Whether a schema can read what another one wrote, in the registry's words.
//!
//! The rules are those of Avro's schema resolution as Java's `SchemaCompatibility` applies them, the words those of
//! Confluent's registry. Names are compared without their namespace, and logical types are ignored, as there.

mod obstacles;

use std::collections::HashSet;
use std::fmt;

use apache_avro::Schema;
use serde::{Deserialize, Serialize};

use crate::json_schema::{Field, Kind, Named, Primitive, Renames, Tree, Type};
pub use obstacles::{Cause, Conflict, Incompatibility};

/// How a subject's schemas have to fit each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Level {
    /// Not at all.
    None,
    /// The new schema can read what the latest one wrote. A registry's default.
    #[default]
    Backward,
    /// The new schema can read what any version wrote.
    BackwardTransitive,
    /// The latest schema can read what the new one writes.
    Forward,
    /// Any version can read what the new one writes.
    ForwardTransitive,
    /// Both, with the latest.
    Full,
    /// Both, with any version.
    FullTransitive,
}

/// Text that is not an Avro schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid Avro schema: {0}")]
pub struct InvalidSchema(pub String);

/// An Avro schema, ready to be compared.
#[derive(Clone, Debug)]
pub struct ParsedSchema {
    tree: Tree,
}

impl Level {
    const NAMES: [(Self, &'static str); 7] = [
        (Self::None, "NONE"),
        (Self::Backward, "BACKWARD"),
        (Self::BackwardTransitive, "BACKWARD_TRANSITIVE"),
        (Self::Forward, "FORWARD"),
        (Self::ForwardTransitive, "FORWARD_TRANSITIVE"),
        (Self::Full, "FULL"),
        (Self::FullTransitive, "FULL_TRANSITIVE"),
    ];

    /// The level of this name, as `/config` spells it.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.into_iter().find(|(_, known)| name.eq_ignore_ascii_case(known)).map(|(level, _)| level)
    }

    fn is_transitive(self) -> bool {
        matches!(self, Self::BackwardTransitive | Self::ForwardTransitive | Self::FullTransitive)
    }

    fn is_backward(self) -> bool {
        matches!(self, Self::Backward | Self::BackwardTransitive | Self::Full | Self::FullTransitive)
    }

    fn is_forward(self) -> bool {
        matches!(self, Self::Forward | Self::ForwardTransitive | Self::Full | Self::FullTransitive)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::NAMES.iter().find(|(level, _)| level == self).map_or("", |(_, name)| name))
    }
}

impl ParsedSchema {
    /// Reads a schema. `references` are the texts of the schemas that it builds on, each after those it needs itself.
    ///
    /// # Errors
    /// It is not an Avro schema; names and the defaults of fields are checked too.
    pub fn parse(text: &str, references: &[&str]) -> Result<Self, InvalidSchema> {
        Self::tree_of(text, references).map(|tree| Self { tree }).map_err(InvalidSchema)
    }

    fn tree_of(text: &str, references: &[&str]) -> Result<Tree, String> {
        let as_json = crate::json_schema::json(text)?.to_string();
        if references.is_empty() {
            Schema::parse_str(&as_json).map_err(|error| error.to_string())?;
        } else {
            Schema::parse_str_with_list(&as_json, references).map_err(|error| error.to_string())?;
        }
        Tree::parse(text, references.iter().copied())
    }

    /// The full name of a record, enum or fixed; other schemas have none.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self.tree.root {
            Type::Named(place) => Some(&self.tree.named[place].full_name),
            _ => None,
        }
    }

    /// What keeps this schema from reading what `writer` wrote; nothing if it can.
    #[must_use]
    pub fn cannot_read(&self, writer: &Self) -> Vec<Incompatibility> {
        self.compared_with(writer).found
    }

    /// What fields of the writer's records this schema knows by another name, because it has their names as aliases.
    ///
    /// # Errors
    /// A field would have two names.
    pub(crate) fn renames(&self, writer: &Self) -> Result<Renames, String> {
        let mut renames = Renames::new();
        for (record, from, to) in self.compared_with(writer).aliased {
            let record = &writer.tree.named[record].full_name;
            if let Some(other) = renames.insert((record.clone(), from.to_owned()), to.to_owned())
                && other != *to
            {
                return Err(format!("field {from} of {record} is an alias of both {other} and {to}"));
            }
        }
        Ok(renames)
    }

    fn compared_with<'a>(&'a self, writer: &'a Self) -> Comparison<'a> {
        let mut comparison = Comparison {
            reader: &self.tree,
            writer: &writer.tree,
            seen: HashSet::new(),
            unreadable: HashSet::new(),
            is_trial: false,
            path: Vec::new(),
            fields: Vec::new(),
            found: vec![],
            aliased: vec![],
        };
        comparison.compare(&self.tree.root, &writer.tree.root);
        comparison
    }
}

/// Why a subject with these versions, oldest first, does not take a new schema under this level; nothing if it does.
///
/// The messages are those that Confluent's registry answers when asked to be verbose.
#[must_use]
pub fn check<'a>(
    level: Level,
    new: &ParsedSchema,
    versions: impl DoubleEndedIterator<Item = (i32, &'a str, &'a ParsedSchema)>,
) -> Vec<String> {
    let most = if level.is_transitive() { usize::MAX } else { 1 };
    for (version, text, old) in versions.rev().take(most) {
        let mut messages = Vec::new();
        if level.is_backward() {
            messages.extend(new.cannot_read(old).iter().map(|found| found.message("new", "old")));
        }
        if level.is_forward() {
            messages.extend(old.cannot_read(new).iter().map(|found| found.message("old", "new")));
        }
        if !messages.is_empty() {
            messages.push(format!("{{oldSchemaVersion: {version}}}"));
            messages.push(format!("{{oldSchema: '{text}'}}"));
            messages.push(format!("{{compatibility: '{level}'}}"));
            return messages;
        }
    }
    Vec::new()
}

/// Which versions, oldest first, a new one with this number does not fit under this level, and why: everything that the level
/// asks for, where [`check`] ends with the first version that does not fit.
#[must_use]
pub fn conflicts<'a>(
    level: Level,
    number: i32,
    new: &ParsedSchema,
    versions: impl DoubleEndedIterator<Item = (i32, &'a ParsedSchema)>,
) -> Vec<Conflict> {
    let most = if level.is_transitive() { usize::MAX } else { 1 };
    let mut conflicts = Vec::new();
    for (version, old) in versions.rev().take(most) {
        let mut add = |reader, writer, found: Vec<Incompatibility>| {
            conflicts.extend(found.into_iter().map(|obstacle| Conflict { reader, writer, obstacle }));
        };
        if level.is_backward() {
            add(number, version, new.cannot_read(old));
        }
        if level.is_forward() {
            add(version, number, old.cannot_read(new));
        }
    }
    conflicts
}

/// A walk through a reader's and a writer's schema.
struct Comparison<'a> {
    reader: &'a Tree,
    writer: &'a Tree,
    /// Pairs of named types that are being compared or were: a type may hold itself.
    seen: HashSet<(usize, usize)>,
    /// Pairs that trials have found unreadable, so that none is tried twice: that would double with each union in a chain.
    unreadable: HashSet<(usize, usize)>,
    /// Whether this only asks if, and not what.
    is_trial: bool,
    path: Vec<String>,
    /// The reader's fields on the way.
    fields: Vec<&'a str>,
    found: Vec<Incompatibility>,
    /// The writer's record, its field, and the reader's name for that.
    aliased: Vec<(usize, &'a str, &'a str)>,
}

impl<'a> Comparison<'a> {
    fn compare(&mut self, reader: &'a Type, writer: &'a Type) {
        match (reader, writer) {
            (Type::Primitive(reader), Type::Primitive(writer)) if reads(*reader, *writer) => {}
            (Type::Array(reader), Type::Array(writer)) => self.at("items", |this| this.compare(reader, writer)),
            (Type::Map(reader), Type::Map(writer)) => self.at("values", |this| this.compare(reader, writer)),
            (Type::Named(reader), Type::Named(writer)) => self.named(*reader, *writer),
            (Type::Union(_), Type::Union(branches)) => {
                for (place, branch) in branches.iter().enumerate() {
                    self.at(&place.to_string(), |this| this.in_union(reader, branch));
                }
            }
            (_, Type::Union(branches)) => branches.iter().for_each(|branch| self.compare(reader, branch)),
            (Type::Union(_), _) => self.in_union(reader, writer),
            _ => self.type_mismatch(reader, writer),
        }
    }

    /// A union reads what one of its branches reads.
    fn in_union(&mut self, union: &'a Type, writer: &'a Type) {
        let Type::Union(branches) = union else { return };
        let readable = branches.iter().any(|branch| {
            // A pair that is being compared further up counts as readable here: if it is not, it is reported there.
            let mut trial = Comparison {
                reader: self.reader,
                writer: self.writer,
                seen: self.seen.clone(),
                unreadable: std::mem::take(&mut self.unreadable),
                is_trial: true,
                path: Vec::new(),
                fields: Vec::new(),
                found: Vec::new(),
                aliased: Vec::new(),
            };
            trial.compare(branch, writer);
            self.unreadable = trial.unreadable;
            let readable = trial.found.is_empty();
            if readable {
                // What was readable on the way is so for us as well. What was in a trial that failed may not be.
                self.seen = trial.seen;
                self.aliased.append(&mut trial.aliased);
            }
            readable
        });
        if !readable {
            self.report(Cause::MissingUnionBranch { writer: type_name(self.writer, writer) });
        }
    }

    fn named(&mut self, reader: usize, writer: usize) {
        if self.is_trial && self.unreadable.contains(&(reader, writer)) {
            return self.type_mismatch(&Type::Named(reader), &Type::Named(writer));
        }
        if !self.seen.insert((reader, writer)) {
            return;
        }
        let before = self.found.len();
        self.named_for_the_first_time(reader, writer);
        if self.is_trial && self.found.len() > before {
            self.unreadable.insert((reader, writer));
        }
    }

    fn named_for_the_first_time(&mut self, reader: usize, writer: usize) {
        let (tree, writer_tree) = (self.reader, self.writer);
        let (left, right) = (&tree.named[reader], &writer_tree.named[writer]);
        match (&left.kind, &right.kind) {
            (Kind::Record(fields), Kind::Record(written)) => {
                self.names(left, right);
                self.at("fields", |this| this.fields(fields, writer, written));
            }
            (Kind::Enum { symbols, has_default }, Kind::Enum { symbols: written, .. }) => {
                self.names(left, right);
                let missing: Vec<String> = written.iter().filter(|symbol| !symbols.contains(symbol)).cloned().collect();
                if !missing.is_empty() && !has_default {
                    self.at("symbols", |this| this.report(Cause::MissingEnumSymbols(missing)));
                }
            }
            (Kind::Fixed(size), Kind::Fixed(written)) => {
                self.names(left, right);
                if size != written {
                    let cause = Cause::FixedSizeMismatch { reader: *size, writer: *written };
                    self.at("size", |this| this.report(cause));
                }
            }
            _ => self.type_mismatch(&Type::Named(reader), &Type::Named(writer)),
        }
    }

    fn names(&mut self, reader: &Named, writer: &Named) {
        let same = reader.simple_name() == writer.simple_name() || reader.aliases.contains(&writer.full_name);
        if !same {
            let cause = Cause::NameMismatch { reader: reader.full_name.clone(), writer: writer.full_name.clone() };
            self.at("name", |this| this.report(cause));
        }
    }

    fn fields(&mut self, fields: &'a [Field], record: usize, written: &'a [Field]) {
        for (place, field) in fields.iter().enumerate() {
            let by_name = written.iter().find(|writer| writer.name == field.name);
            let writer = by_name.or_else(|| {
                let aliased = written.iter().find(|writer| field.aliases.contains(&writer.name))?;
                self.aliased.push((record, &aliased.name, &field.name));
                Some(aliased)
            });
            self.fields.push(&field.name);
            self.at(&place.to_string(), |this| match writer {
                Some(writer) => this.at("type", |this| this.compare(&field.field_type, &writer.field_type)),
                None if field.has_default => {}
                None => this.report(Cause::ReaderFieldMissingDefaultValue(field.name.clone())),
            });
            self.fields.pop();
        }
    }

    fn type_mismatch(&mut self, reader: &Type, writer: &Type) {
        let (reader, writer) = (type_name(self.reader, reader), type_name(self.writer, writer));
        self.report(Cause::TypeMismatch { reader, writer });
    }

    fn at(&mut self, step: &str, compare: impl FnOnce(&mut Self)) {
        self.path.push(step.to_owned());
        compare(self);
        self.path.pop();
    }

    fn report(&mut self, cause: Cause) {
        self.found.push(Incompatibility {
            path: format!("/{}", self.path.join("/")),
            field: self.fields.join("."),
            cause,
        });
    }
}

/// Avro's promotions.
fn reads(reader: Primitive, writer: Primitive) -> bool {
    use Primitive::{Bytes, Double, Float, Int, Long, String};
    reader == writer
        || matches!(
            (reader, writer),
            (Long, Int) | (Float, Int | Long) | (Double, Int | Long | Float) | (Bytes, String) | (String, Bytes)
        )
}

fn type_name(tree: &Tree, of: &Type) -> &'static str {
    match of {
        Type::Primitive(Primitive::Null) => "NULL",
        Type::Primitive(Primitive::Boolean) => "BOOLEAN",
        Type::Primitive(Primitive::Int) => "INT",
        Type::Primitive(Primitive::Long) => "LONG",
        Type::Primitive(Primitive::Float) => "FLOAT",
        Type::Primitive(Primitive::Double) => "DOUBLE",
        Type::Primitive(Primitive::Bytes) => "BYTES",
        Type::Primitive(Primitive::String) => "STRING",
        Type::Array(_) => "ARRAY",
        Type::Map(_) => "MAP",
        Type::Union(_) => "UNION",
        Type::Named(place) => match tree.named[*place].kind {
            Kind::Record(_) => "RECORD",
            Kind::Enum { .. } => "ENUM",
            Kind::Fixed(_) => "FIXED",
        },
    }
}

#[cfg(test)]
mod tests;
