//! What the registry's calls send and answer.

use serde::{Deserialize, Serialize};
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
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
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
    #[serde(default)]
    pub messages: Vec<String>,
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
