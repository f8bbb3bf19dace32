//! Reads a request's body without believing its lengths.
//!
//! `kafka-protocol` decodes an array with `Vec::with_capacity(n)`, `n` being whatever the frame says: twenty bytes from anybody who
//! can connect would otherwise end the process. [`decode`] lets no array be allocated for more than [`MAX_ELEMENTS`] elements or
//! more than bytes are left (but for [`HARMLESS`] of them).
//!
//! - In the flexible encodings (KIP-482) lengths are varints, so each is seen as it is read. One above [`MAX_ELEMENTS`] can only be
//!   that of a string or of bytes, which the decoder takes with its next call: it is told 1, and the real length is honoured if that
//!   call asks for one byte.
//! - In the older encodings a length is four bytes like any other number. The body is read up to three times. First, doubtful
//!   numbers are told as 1, which finds those that are the lengths of bytes. Then all other doubtful ones are told as [`i32::MIN`]:
//!   a number does not mind, a length fails. What passes is read as it is. A body without doubtful numbers is read once.

use std::ops::Range;

use bytes::{Buf, Bytes, TryGetError};
use kafka_protocol::protocol::Request;
use kafka_protocol::protocol::buf::{ByteBuf, NotEnoughBytesError};

/// No array of a request is longer. With 100 partitions a topic, no honest client comes near.
const MAX_ELEMENTS: usize = 128 * 1024;
/// A number up to here is never doubted: as a length it allocates next to nothing.
const HARMLESS: usize = 1024;
/// Request headers from here on, and the bodies after them, are in the flexible encodings.
const FIRST_FLEXIBLE_HEADER: i16 = 2;

/// Decodes the whole of `body` as `M`; the error says what is wrong with it.
pub(super) fn decode<M: Request>(mut body: Bytes, version: i16) -> Result<M, String> {
    if M::header_version(version) >= FIRST_FLEXIBLE_HEADER {
        return Doubter::new(body, Pass::Flexible { continued: 0 }).decode(version).0;
    }
    let (first, look) =
        Doubter::new(body.clone(), Pass::Look { doubted: false, byte_lengths: Vec::new() }).decode(version);
    let message = first?;
    let Pass::Look { doubted: true, byte_lengths } = look else {
        return Ok(message);
    };
    drop(message);
    Doubter::new(body.clone(), Pass::Verify { byte_lengths }).decode::<M>(version).0?;
    M::decode(&mut body, version).map_err(|error| error.to_string())
}

enum Pass {
    /// Counts the continuation bytes of the varint that is being read.
    Flexible { continued: u8 },
    /// Finds the lengths of bytes, each told by how much of the body was left behind it.
    Look { doubted: bool, byte_lengths: Vec<usize> },
    /// Fails at every other doubtful length.
    Verify { byte_lengths: Vec<usize> },
}

/// Stands between the body and its decoder, and tells it other numbers than the body has where those are doubtful.
struct Doubter {
    body: Bytes,
    pass: Pass,
    /// The real length behind the 1 that the decoder was told last.
    withheld: Option<usize>,
    refused: Option<&'static str>,
}

const TOO_LONG: &str = "it has a length larger than what is left of it, or an array of more than 131072 elements";
const TOO_MANY: &str = "it has an array of more than 131072 elements";
const BAD_VARINT: &str = "it has a varint of more than five bytes, or one cut short";

impl Doubter {
    fn new(body: Bytes, pass: Pass) -> Self {
        Self { body, pass, withheld: None, refused: None }
    }

    fn decode<M: Request>(mut self, version: i16) -> (Result<M, String>, Pass) {
        let message = match M::decode(&mut self, version) {
            Err(error) => Err(self.refused.map_or_else(|| error.to_string(), str::to_owned)),
            Ok(_) if self.body.has_remaining() => Err(format!("{} bytes are left over", self.body.len())),
            Ok(message) => Ok(message),
        };
        (message, self.pass)
    }

    fn refuse(&mut self, why: &'static str) -> TryGetError {
        self.refused.get_or_insert(why);
        self.body.clear();
        self.withheld = None;
        TryGetError { requested: usize::MAX, available: 0 }
    }

    /// Every read comes through here first, but that of withheld bytes and of a varint's later bytes.
    fn plain_read(&mut self) -> Result<(), TryGetError> {
        let withheld = self.withheld.take();
        match &mut self.pass {
            Pass::Flexible { continued } => *continued = 0,
            // It was a number, or the length of an array: the next pass tells them apart.
            Pass::Look { .. } | Pass::Verify { .. } => return Ok(()),
        }
        if withheld.is_some() { Err(self.refuse(TOO_MANY)) } else { Ok(()) }
    }

    /// Looks at the varint that begins here, if one does, without taking it: its value and its length in bytes.
    fn peek_varint(&self) -> Option<(usize, usize)> {
        let mut value: u64 = 0;
        for (index, byte) in self.body.iter().take(5).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                return Some((usize::try_from(value).unwrap_or(usize::MAX), index + 1));
            }
        }
        None
    }
}

impl Buf for Doubter {
    fn remaining(&self) -> usize {
        self.body.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.body.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.body.advance(count);
    }

    fn try_copy_to_slice(&mut self, into: &mut [u8]) -> Result<(), TryGetError> {
        self.plain_read()?;
        self.body.try_copy_to_slice(into)
    }

    fn try_get_u8(&mut self) -> Result<u8, TryGetError> {
        let Pass::Flexible { continued } = self.pass else {
            self.plain_read()?;
            return self.body.try_get_u8();
        };
        let Some(&byte) = self.body.first() else {
            return Err(TryGetError { requested: 1, available: 0 });
        };
        let more = byte & 0x80 != 0;
        if continued == 0 {
            self.plain_read()?;
        }
        if continued == 0 && more {
            let Some((value, width)) = self.peek_varint() else {
                return Err(self.refuse(BAD_VARINT));
            };
            // Lengths are written one higher than they are.
            let length = value.saturating_sub(1);
            if length > HARMLESS.max(self.body.len() - width) {
                return Err(self.refuse(TOO_LONG));
            }
            if length > MAX_ELEMENTS {
                self.body.advance(width);
                self.withheld = Some(length);
                return Ok(2);
            }
        }
        self.pass = Pass::Flexible { continued: if more { continued + 1 } else { 0 } };
        self.body.advance(1);
        Ok(byte)
    }

    fn try_get_i8(&mut self) -> Result<i8, TryGetError> {
        self.plain_read()?;
        self.body.try_get_i8()
    }

    fn try_get_i16(&mut self) -> Result<i16, TryGetError> {
        self.plain_read()?;
        self.body.try_get_i16()
    }

    fn try_get_u16(&mut self) -> Result<u16, TryGetError> {
        self.plain_read()?;
        self.body.try_get_u16()
    }

    fn try_get_i32(&mut self) -> Result<i32, TryGetError> {
        self.plain_read()?;
        let value = self.body.try_get_i32()?;
        let left = self.body.len();
        let doubtful = |length: &usize| *length > HARMLESS && (*length > left || *length > MAX_ELEMENTS);
        let Some(length) = usize::try_from(value).ok().filter(doubtful) else {
            return Ok(value);
        };
        match &mut self.pass {
            Pass::Flexible { .. } => Ok(value),
            Pass::Look { doubted, .. } => {
                *doubted = true;
                self.withheld = Some(length);
                Ok(1)
            }
            Pass::Verify { byte_lengths } if byte_lengths.contains(&left) => Ok(value),
            Pass::Verify { .. } => {
                self.refused = Some(TOO_LONG);
                Ok(i32::MIN)
            }
        }
    }

    fn try_get_u32(&mut self) -> Result<u32, TryGetError> {
        self.plain_read()?;
        self.body.try_get_u32()
    }

    fn try_get_i64(&mut self) -> Result<i64, TryGetError> {
        self.plain_read()?;
        self.body.try_get_i64()
    }

    fn try_get_f64(&mut self) -> Result<f64, TryGetError> {
        self.plain_read()?;
        self.body.try_get_f64()
    }
}

impl ByteBuf for Doubter {
    fn peek_bytes(&mut self, range: Range<usize>) -> Bytes {
        self.body.slice(range)
    }

    fn get_bytes(&mut self, size: usize) -> Bytes {
        self.body.split_to(size)
    }

    fn try_get_bytes(&mut self, size: usize) -> Result<Bytes, NotEnoughBytesError> {
        let left = self.body.len();
        let size = match self.withheld.take() {
            Some(real) if size == 1 => {
                if let Pass::Look { byte_lengths, .. } = &mut self.pass {
                    byte_lengths.push(left);
                }
                real
            }
            Some(_) => {
                self.refuse(TOO_MANY);
                return Err(NotEnoughBytesError);
            }
            None => size,
        };
        if left < size { Err(NotEnoughBytesError) } else { Ok(self.body.split_to(size)) }
    }
}

#[cfg(test)]
mod tests;
