//! `kafka-protocol` messages in rskafka's messenger.
//!
//! The messenger chooses a version from constants of a type and a map fixed before the first request, knows the API keys
//! of its own messages, and reads an answer through `std::io::Read`. This client caps versions a call at a time, speaks
//! newer APIs, and wants the answer as [`Bytes`] to slice. So every call is one of two types to the messenger, told apart by
//! the one thing that it must know, whether the answer's header carries tagged fields; both go under an API key that does
//! not exist, at version 0, and [`Call`] puts the real key and version into the header that the messenger wrote.

use std::collections::HashMap;
use std::io::Cursor;

use bytes::Bytes;
use kafka_protocol::protocol::Request;
use rskafka::protocol::api_key::ApiKey;
use rskafka::protocol::api_version::{ApiVersion, ApiVersionRange};
use rskafka::protocol::messages::{
    ReadVersionedError, ReadVersionedType, RequestBody, WriteVersionedError, WriteVersionedType,
};
use rskafka::protocol::primitives::Int16;
use rskafka::protocol::traits::WriteError;

use super::versions::is_flexible;

const PLACEHOLDER_KEY: ApiKey = ApiKey::Unknown(Int16(i16::MIN));
const PLACEHOLDER_VERSION: ApiVersion = ApiVersion(Int16(0));
const NEVER: ApiVersion = ApiVersion(Int16(i16::MAX));

/// The version map that lets every [`Call`] through.
pub(super) fn placeholder_ranges() -> HashMap<ApiKey, ApiVersionRange> {
    HashMap::from([(PLACEHOLDER_KEY, ApiVersionRange::new(PLACEHOLDER_VERSION, PLACEHOLDER_VERSION))])
}

/// A request at a version; `TAGGED` if its answer's header has tagged fields.
pub(super) struct Call<R, const TAGGED: bool> {
    pub(super) request: R,
    pub(super) version: i16,
}

impl<R, const TAGGED: bool> RequestBody for Call<R, TAGGED> {
    type ResponseBody = Reply;
    const API_KEY: ApiKey = PLACEHOLDER_KEY;
    const API_VERSION_RANGE: ApiVersionRange = ApiVersionRange::new(PLACEHOLDER_VERSION, PLACEHOLDER_VERSION);
    const FIRST_TAGGED_FIELD_IN_REQUEST_VERSION: ApiVersion = PLACEHOLDER_VERSION;
    const FIRST_TAGGED_FIELD_IN_RESPONSE_VERSION: ApiVersion = if TAGGED { PLACEHOLDER_VERSION } else { NEVER };
}

impl<R: Request, const TAGGED: bool> WriteVersionedType<Vec<u8>> for Call<R, TAGGED> {
    /// `writer` holds the header that the messenger wrote: key, version, correlation id, client id, no tagged fields.
    fn write_versioned(&self, writer: &mut Vec<u8>, _placeholder: ApiVersion) -> Result<(), WriteVersionedError> {
        let malformed = |detail: String| WriteVersionedError::WriteError(WriteError::Malformed(detail.into()));
        let Some(key_and_version) = writer.first_chunk_mut::<4>() else {
            return Err(malformed("the messenger wrote no request header".to_owned()));
        };
        key_and_version[..2].copy_from_slice(&R::KEY.to_be_bytes());
        key_and_version[2..].copy_from_slice(&self.version.to_be_bytes());
        if !is_flexible::<R>(self.version) {
            // Header version 1 ends before the tagged fields, of which there are none: one zero byte.
            writer.pop();
        }
        writer.reserve(self.request.compute_size(self.version).map_err(|e| malformed(e.to_string()))?);
        self.request.encode(writer, self.version).map_err(|e| malformed(e.to_string()))
    }
}

/// An answer's body, taken out of the messenger whole.
pub(super) struct Reply(pub(super) Bytes);

impl ReadVersionedType<Cursor<Vec<u8>>> for Reply {
    fn read_versioned(reader: &mut Cursor<Vec<u8>>, _placeholder: ApiVersion) -> Result<Self, ReadVersionedError> {
        let header = usize::try_from(reader.position()).unwrap_or(usize::MAX);
        // The messenger then finds an empty cursor at its end, which is what it wants of an answer that was read whole.
        let frame = std::mem::take(reader.get_mut());
        reader.set_position(0);
        let header = header.min(frame.len());
        Ok(Self(Bytes::from(frame).slice(header..)))
    }
}
