//! The framing of Confluent's serializers.
//!
//! A value starts with a magic byte: 0 and a schema id (big-endian, 4 bytes), or 1 and a schema GUID (16 bytes); the
//! body follows. From 8.0 on the GUID may stand, framed the same way, in a record header instead, and then the value is
//! the body alone. Source: Confluent's `SchemaId` and `DualSchemaIdDeserializer`.

use uuid::Uuid;

/// The header that names the schema of a record's value, if the value does not itself.
pub const VALUE_SCHEMA_HEADER: &str = "__value_schema_id";

/// The header that names the schema of a record's key, if the key does not itself.
pub const KEY_SCHEMA_HEADER: &str = "__key_schema_id";

/// Bytes before the body in the id format.
pub const PREFIX_BYTES: usize = 5;

const MAGIC_ID: u8 = 0;
const MAGIC_GUID: u8 = 1;

/// The name of the schema that wrote a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SchemaId {
    /// By the number that one registry gave it.
    Id(i32),
    /// By a name that is the same in every registry.
    Guid(Uuid),
}

impl std::fmt::Display for SchemaId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Id(id) => write!(f, "schema id {id}"),
            Self::Guid(guid) => write!(f, "schema GUID {guid}"),
        }
    }
}

/// A value that is not framed this way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// It has no bytes.
    #[error("it is empty, without a schema id")]
    Empty,
    /// It starts otherwise.
    #[error("it starts with byte {0:#04x}, where a schema id has 0x00 (or 0x01 before a GUID)")]
    Magic(u8),
    /// It ends too soon.
    #[error("it ends after {found} of the {needed} bytes that name its schema")]
    Short {
        /// How many there are.
        found: usize,
        /// How many there should be.
        needed: usize,
    },
}

/// Writes what stands before a body in the id format.
pub fn write_prefix(id: i32, out: &mut Vec<u8>) {
    out.push(MAGIC_ID);
    out.extend_from_slice(&id.to_be_bytes());
}

/// Takes a value apart: the schema's name and the body.
///
/// # Errors
/// It does not start with a schema's name.
pub fn split(value: &[u8]) -> Result<(SchemaId, &[u8]), FrameError> {
    let (&magic, rest) = value.split_first().ok_or(FrameError::Empty)?;
    let short = |needed: usize| FrameError::Short { found: value.len(), needed };
    match magic {
        MAGIC_ID => {
            let (id, body) = rest.split_first_chunk().ok_or(short(PREFIX_BYTES))?;
            Ok((SchemaId::Id(i32::from_be_bytes(*id)), body))
        }
        MAGIC_GUID => {
            let (guid, body) = rest.split_first_chunk().ok_or(short(1 + size_of::<Uuid>()))?;
            Ok((SchemaId::Guid(Uuid::from_bytes(*guid)), body))
        }
        other => Err(FrameError::Magic(other)),
    }
}

/// Takes a record apart whose header may name the schema. Of several headers of that name the last counts.
///
/// # Errors
/// Neither header nor value name a schema. As Confluent's deserializer does, a header that is none is passed over.
pub fn split_with_header<'a>(header: Option<&[u8]>, value: &'a [u8]) -> Result<(SchemaId, &'a [u8]), FrameError> {
    match header.map(split) {
        Some(Ok((id, []))) => Ok((id, value)),
        _ => split(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_from_the_prefix() {
        let mut value = Vec::new();
        write_prefix(0x0102_0304, &mut value);
        value.extend_from_slice(b"body");
        assert_eq!(value, [0, 1, 2, 3, 4, b'b', b'o', b'd', b'y']);
        assert_eq!(split(&value), Ok((SchemaId::Id(0x0102_0304), b"body".as_slice())));
        assert_eq!(split(&[0, 0, 0, 0, 7]), Ok((SchemaId::Id(7), [].as_slice())));
    }

    #[test]
    fn a_guid_is_read_from_the_value_or_from_the_header() {
        let guid = Uuid::parse_str("3d5f0c1e-8a52-4a7b-9d7c-0f6f3c2b1a90").unwrap();
        let framed = [&[1], guid.as_bytes().as_slice()].concat();
        assert_eq!(split(&[&framed, b"body".as_slice()].concat()), Ok((SchemaId::Guid(guid), b"body".as_slice())));
        assert_eq!(split_with_header(Some(&framed), b"body"), Ok((SchemaId::Guid(guid), b"body".as_slice())));
    }

    #[test]
    fn a_header_that_is_none_is_passed_over() {
        let value = [0, 0, 0, 0, 7, b'b'];
        let expected = Ok((SchemaId::Id(7), b"b".as_slice()));
        assert_eq!(split_with_header(None, &value), expected);
        assert_eq!(split_with_header(Some(b"text"), &value), expected);
        assert_eq!(split_with_header(Some(&[]), &value), expected);
    }

    #[test]
    fn what_is_not_framed_is_told_apart() {
        assert_eq!(split(b""), Err(FrameError::Empty));
        assert_eq!(split(b"{\"a\":1}"), Err(FrameError::Magic(b'{')));
        assert_eq!(split(&[0, 1, 2]), Err(FrameError::Short { found: 3, needed: 5 }));
        assert_eq!(split(&[1; 16]), Err(FrameError::Short { found: 16, needed: 17 }));
    }
}
