//! What the registry's calls send and answer.

use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

/// A schema as it is sent, with the other schemas that it builds on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SchemaText {
    /// The schema itself.
    pub schema: String,
    /// `AVRO` if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema_type: Option<String>,
    /// Schemas of other subjects that it names.
    #[serde(default, deserialize_with = "or_none", skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<SchemaReference>,
}

impl SchemaText {
    /// An Avro schema that stands alone.
    pub fn avro(schema: impl Into<String>) -> Self {
        Self { schema: schema.into(), ..Self::default() }
    }

    /// Whether it is an Avro schema.
    #[must_use]
    pub fn is_avro(&self) -> bool {
        self.schema_type.as_deref().is_none_or(|schema_type| schema_type == "AVRO")
    }
}

/// A schema of another subject, by the name under which it is used.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SchemaReference {
    /// For Avro the full name of the type.
    pub name: String,
    /// Where it is registered.
    pub subject: String,
    /// As which version.
    pub version: i32,
}

/// A version of a subject.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct SubjectVersion {
    /// The subject.
    pub subject: String,
    /// Its version, from 1.
    pub version: i32,
    /// The schema's id, the same for the same schema under other subjects.
    pub id: i32,
    /// The schema's GUID, the same in every registry; newer servers have it.
    #[serde(default)]
    pub guid: Option<Uuid>,
    /// The schema.
    #[serde(flatten)]
    pub text: SchemaText,
}

/// What registering answers.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Registered {
    /// The schema's id.
    pub id: i32,
    /// The version under the subject; newer servers say it.
    #[serde(default)]
    pub version: Option<i32>,
    /// The schema's GUID; newer servers say it.
    #[serde(default)]
    pub guid: Option<Uuid>,
}

/// Whether a schema would be accepted.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Compatibility {
    /// It would.
    pub is_compatible: bool,
    /// Why not, in the registry's words.
    #[serde(default, deserialize_with = "or_none")]
    pub messages: Vec<String>,
}

/// An empty list where a server writes `null`.
fn or_none<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    Option::deserialize(from).map(Option::unwrap_or_default)
}

/// What a registry, or a subject, lets be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[non_exhaustive]
pub enum Mode {
    /// Everything.
    ReadWrite,
    /// Nothing.
    ReadOnly,
    /// Nothing, whatever subjects say themselves.
    #[serde(rename = "READONLY_OVERRIDE")]
    ReadOnlyOverride,
    /// Registering with ids of one's own.
    Import,
    /// Forwarding to another registry.
    Forward,
}

/// Which versions a listing names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Listing {
    /// Those that are not deleted.
    #[default]
    Live,
    /// Those that are deleted, but not for good, as well.
    WithDeleted,
    /// Those alone.
    OnlyDeleted,
}

impl Listing {
    pub(crate) const fn query(self) -> &'static str {
        match self {
            Self::Live => "",
            Self::WithDeleted => "?deleted=true",
            Self::OnlyDeleted => "?deletedOnly=true",
        }
    }
}

/// Which version of a subject is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// The newest that is not deleted.
    Latest,
    /// This one.
    Number(i32),
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Latest => f.write_str("latest"),
            Self::Number(number) => number.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_writes_as_null_is_left_out() {
        let text =
            r#"{"subject":"s","version":1,"id":7,"guid":null,"schemaType":null,"schema":"{}","references":null}"#;
        let version: SubjectVersion = serde_json::from_str(text).unwrap();
        assert!(version.text.references.is_empty() && version.text.is_avro() && version.guid.is_none());
        let answer: Compatibility = serde_json::from_str(r#"{"is_compatible":true,"messages":null}"#).unwrap();
        assert!(answer.is_compatible && answer.messages.is_empty());
    }

    #[test]
    fn modes_are_spelt_as_the_registry_spells_them() {
        for (mode, text) in [
            (Mode::ReadWrite, "READWRITE"),
            (Mode::ReadOnly, "READONLY"),
            (Mode::ReadOnlyOverride, "READONLY_OVERRIDE"),
            (Mode::Import, "IMPORT"),
            (Mode::Forward, "FORWARD"),
        ] {
            assert_eq!(serde_json::to_string(&mode).unwrap(), format!("{text:?}"));
        }
    }
}
