//! What keeps a schema from reading another one's records: in the registry's words, for agreement with it, and in words for
//! whoever has to mend it.

use std::fmt;

/// One thing that keeps a reader from reading what a writer wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incompatibility {
    /// Where in the reader's schema, as a JSON pointer.
    pub path: String,
    /// The field that it is about, from the outermost record inwards: `lines.quantity`. Empty for the schema as a whole.
    pub field: String,
    /// What it is.
    pub cause: Cause,
}

/// The kinds of incompatibility, by Avro's names, each with what exactly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// `NAME_MISMATCH`, by full names.
    NameMismatch {
        /// The reader's.
        reader: String,
        /// The writer's.
        writer: String,
    },
    /// `FIXED_SIZE_MISMATCH`, in bytes.
    FixedSizeMismatch {
        /// The reader's.
        reader: u64,
        /// The writer's.
        writer: u64,
    },
    /// `MISSING_ENUM_SYMBOLS`: those that the reader lacks.
    MissingEnumSymbols(Vec<String>),
    /// `READER_FIELD_MISSING_DEFAULT_VALUE`: the reader's field.
    ReaderFieldMissingDefaultValue(String),
    /// `TYPE_MISMATCH`, by Avro's names of types in capital letters.
    TypeMismatch {
        /// The reader's.
        reader: &'static str,
        /// The writer's.
        writer: &'static str,
    },
    /// `MISSING_UNION_BRANCH`
    MissingUnionBranch {
        /// The type that no branch of the reader's union reads.
        writer: &'static str,
    },
}

/// A version of a subject that cannot read what another one wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The version that reads.
    pub reader: i32,
    /// The version that wrote.
    pub writer: i32,
    /// What is in the way.
    pub obstacle: Incompatibility,
}

impl Cause {
    /// Avro's name of it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::NameMismatch { .. } => "NAME_MISMATCH",
            Self::FixedSizeMismatch { .. } => "FIXED_SIZE_MISMATCH",
            Self::MissingEnumSymbols(_) => "MISSING_ENUM_SYMBOLS",
            Self::ReaderFieldMissingDefaultValue(_) => "READER_FIELD_MISSING_DEFAULT_VALUE",
            Self::TypeMismatch { .. } => "TYPE_MISMATCH",
            Self::MissingUnionBranch { .. } => "MISSING_UNION_BRANCH",
        }
    }

    /// Avro's words for what exactly it is.
    #[must_use]
    pub fn detail(&self) -> String {
        match self {
            Self::NameMismatch { writer, .. } => format!("expected: {writer}"),
            Self::FixedSizeMismatch { reader, writer } => format!("expected: {writer}, found: {reader}"),
            Self::MissingEnumSymbols(symbols) => format!("[{}]", symbols.join(", ")),
            Self::ReaderFieldMissingDefaultValue(field) => field.clone(),
            Self::TypeMismatch { reader, writer } => {
                format!("reader type: {reader} not compatible with writer type: {writer}")
            }
            Self::MissingUnionBranch { writer } => format!("reader union lacking writer type: {writer}"),
        }
    }
}

impl fmt::Display for Incompatibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}: {}", self.cause.name(), self.path, self.cause.detail())
    }
}

impl Incompatibility {
    /// The registry's words for it; `reader` and `writer` are `new` and `old`, or the other way round.
    pub(super) fn message(&self, reader: &str, writer: &str) -> String {
        let Self { path, cause, .. } = self;
        let detail = cause.detail();
        let description = match cause {
            Cause::NameMismatch { .. } => format!("The name of the schema has changed (path '{path}')"),
            Cause::FixedSizeMismatch { .. } => format!(
                "The size of FIXED type field at path '{path}' in the {reader} schema does not match with the {writer} schema"
            ),
            Cause::MissingEnumSymbols(_) => format!(
                "The {reader} schema is missing enum symbols '{detail}' at path '{path}' in the {writer} schema"
            ),
            Cause::ReaderFieldMissingDefaultValue(_) => format!(
                "The field '{detail}' at path '{path}' in the {reader} schema has no default value and is missing in the \
                 {writer} schema"
            ),
            Cause::TypeMismatch { .. } => format!(
                "The type (path '{path}') of a field in the {reader} schema does not match with the {writer} schema"
            ),
            Cause::MissingUnionBranch { .. } => format!(
                "The {reader} schema is missing a type inside a union field at path '{path}' in the {writer} schema"
            ),
        };
        format!("{{errorType:'{}', description:'{description}', additionalInfo:'{detail}'}}", cause.name())
    }
}

impl Incompatibility {
    /// It in a sentence's second half, `writer` being what the other schema is called: `field "b" has no default and version 1
    /// does not write it`.
    #[must_use]
    pub fn in_words(&self, writer: &str) -> String {
        let Self { field, cause, .. } = self;
        let what = match cause {
            Cause::NameMismatch { .. } if field.is_empty() => "the record".to_owned(),
            _ if field.is_empty() => "the schema".to_owned(),
            _ => format!("field \"{field}\""),
        };
        match cause {
            Cause::NameMismatch { reader: name, writer: written } => {
                format!("{what} is {name} and {writer} writes {written}")
            }
            Cause::FixedSizeMismatch { reader: size, writer: written } => {
                format!("{what} has {size} bytes and {writer} writes {written}")
            }
            Cause::MissingEnumSymbols(symbols) => {
                format!("{what} has no symbol {}, which {writer} may write, and no default", symbols.join(", "))
            }
            Cause::ReaderFieldMissingDefaultValue(_) => {
                format!("{what} has no default and {writer} does not write it")
            }
            Cause::TypeMismatch { reader: kind, writer: written } => {
                format!("{what} is {} and {writer} writes {}", with_article(kind), with_article(written))
            }
            Cause::MissingUnionBranch { writer: written } => {
                format!("{what} is a union without {}, which {writer} may write", with_article(written))
            }
        }
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reader, writer, obstacle } = self;
        write!(f, "version {reader} cannot read version {writer}: {}", obstacle.in_words(&format!("version {writer}")))
    }
}

impl Conflict {
    /// What the author of the newer version can do about it.
    #[must_use]
    pub fn remedy(&self) -> String {
        let Self { reader, writer, obstacle } = self;
        let backward = reader > writer;
        let of_field = !obstacle.field.is_empty();
        match &obstacle.cause {
            Cause::ReaderFieldMissingDefaultValue(_) if backward => "give it a default".to_owned(),
            Cause::ReaderFieldMissingDefaultValue(_) => {
                format!("keep the field: only one that has a default in version {reader} may go")
            }
            Cause::NameMismatch { .. } if backward => "keep its name, or give it the old one as an alias".to_owned(),
            Cause::NameMismatch { .. } => "keep its name".to_owned(),
            Cause::MissingEnumSymbols(_) if backward => "keep every symbol, or give the enum a default".to_owned(),
            Cause::MissingEnumSymbols(_) => format!("add no symbol that version {reader} does not know"),
            Cause::MissingUnionBranch { .. } if backward => "keep every type that the union had".to_owned(),
            Cause::MissingUnionBranch { .. } => format!("add no type that the union of version {reader} lacks"),
            Cause::FixedSizeMismatch { .. } if of_field => {
                "keep its size, or add a field of another name with a default".to_owned()
            }
            Cause::TypeMismatch { .. } if of_field => {
                "keep its type, or add a field of another name with a default".to_owned()
            }
            Cause::FixedSizeMismatch { .. } => "keep its size: another one needs a topic of its own".to_owned(),
            Cause::TypeMismatch { .. } => "keep its type: another one needs a topic of its own".to_owned(),
        }
    }
}

/// A type as a sentence has it: `an int`, `a string`, `null`.
fn with_article(kind: &str) -> String {
    let name = kind.to_lowercase();
    match name.as_str() {
        "null" | "bytes" => name,
        "int" | "array" | "enum" => format!("an {name}"),
        _ => format!("a {name}"),
    }
}
