//! Keeps a hostile length from becoming an allocation while an answer is decoded.
//!
//! `kafka-protocol` decodes an array with `Vec::with_capacity(n)`, `n` being whatever the frame says, up to 2^32 elements
//! of some hundred bytes: a broker that lies about one length would abort the process before the first element is
//! found missing. [`BoundedBytes`] stands between the decoder and the frame and sees every read.
//!
//! - In the flexible encodings (KIP-482) each length is an unsigned varint. One longer than [`MAX_ELEMENTS`] can only be
//!   a string's or a byte array's, and those are read next with one `get_bytes`. So the decoder is told the length 1, and
//!   the real length is honoured if, and only if, the next call asks for that one byte as bytes. Anything else was an
//!   array, and is refused. A varint above what is left of the frame is refused at once.
//! - The old encodings write an array's length as the same four bytes as any other number, which cannot be told apart
//!   from here. This client speaks flexible versions only ([`super::versions`]); the two APIs that have none
//!   (`SaslHandshake`, `OffsetDelete`) carry no other `i32` that could be large, so there any above the bytes left is refused.
//!
//! So no array is allocated for more elements than bytes are left in the frame, nor for more than [`MAX_ELEMENTS`].

use std::ops::Range;

use bytes::{Buf, Bytes, TryGetError};
use kafka_protocol::protocol::buf::{ByteBuf, NotEnoughBytesError};

/// No array in an answer is longer. The largest in practice, a topic's partitions, ends at some ten thousand.
pub(super) const MAX_ELEMENTS: usize = 128 * 1024;

/// A varint below this is never refused for being larger than what is left: it may be a tag's number, not a length, and
/// as a length it allocates next to nothing.
const HARMLESS: usize = 1024;

/// How the lengths in a frame are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// KIP-482: varints.
    Flexible,
    /// Before it: four bytes.
    Fixed,
}

/// A frame's body that refuses lengths which its own size cannot justify.
pub(super) struct BoundedBytes {
    frame: Bytes,
    encoding: Encoding,
    /// The real length behind the 1 that the decoder was told.
    withheld: Option<usize>,
    /// Continuation bytes of a varint read so far.
    continued: u8,
    refused: Option<&'static str>,
}

impl BoundedBytes {
    pub(super) fn new(frame: Bytes, encoding: Encoding) -> Self {
        Self { frame, encoding, withheld: None, continued: 0, refused: None }
    }

    /// What was refused, for the message: the decoder itself only reports missing bytes.
    pub(super) fn refused(&self) -> Option<&'static str> {
        self.refused
    }

    fn refuse(&mut self, why: &'static str) -> TryGetError {
        self.refused.get_or_insert(why);
        self.frame.clear();
        self.withheld = None;
        TryGetError { requested: usize::MAX, available: 0 }
    }

    /// Every read but that of a varint or of withheld bytes comes through here first.
    fn plain_read(&mut self) -> Result<(), TryGetError> {
        self.continued = 0;
        if self.withheld.is_some() {
            return Err(self.refuse("an array of more elements than this client accepts"));
        }
        Ok(())
    }

    /// Looks at the varint that begins here, if one does, without taking it: its value and its length in bytes.
    fn peek_varint(&self) -> Option<(usize, usize)> {
        let mut value: u64 = 0;
        for (index, byte) in self.frame.iter().take(5).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                return Some((usize::try_from(value).unwrap_or(usize::MAX), index + 1));
            }
        }
        None
    }
}

impl Buf for BoundedBytes {
    fn remaining(&self) -> usize {
        self.frame.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.frame.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.frame.advance(count);
    }

    fn try_copy_to_slice(&mut self, into: &mut [u8]) -> Result<(), TryGetError> {
        self.plain_read()?;
        self.frame.try_copy_to_slice(into)
    }

    fn try_get_u8(&mut self) -> Result<u8, TryGetError> {
        if self.encoding == Encoding::Fixed {
            return self.frame.try_get_u8();
        }
        if self.withheld.is_some() {
            return Err(self.refuse("an array of more elements than this client accepts"));
        }
        let Some(&byte) = self.frame.first() else {
            return Err(TryGetError { requested: 1, available: 0 });
        };
        if self.continued > 0 || byte & 0x80 == 0 {
            // A varint's later bytes, or one that is a single byte: at most 127, or looked at when it began.
            self.continued = if byte & 0x80 == 0 { 0 } else { self.continued + 1 };
            if self.continued == 5 {
                return Err(self.refuse("a varint of more than five bytes"));
            }
            self.frame.advance(1);
            return Ok(byte);
        }
        let Some((value, width)) = self.peek_varint() else {
            return Err(self.refuse("a varint of more than five bytes, or one cut short"));
        };
        let (length, left) = (value.saturating_sub(1), self.frame.len() - width);
        if length > left.max(HARMLESS) {
            return Err(self.refuse("a length larger than what is left of the frame"));
        }
        if length > MAX_ELEMENTS {
            self.frame.advance(width);
            self.withheld = Some(length);
            return Ok(2);
        }
        self.continued = 1;
        self.frame.advance(1);
        Ok(byte)
    }

    fn try_get_i8(&mut self) -> Result<i8, TryGetError> {
        self.plain_read()?;
        self.frame.try_get_i8()
    }

    fn try_get_i16(&mut self) -> Result<i16, TryGetError> {
        self.plain_read()?;
        self.frame.try_get_i16()
    }

    fn try_get_u16(&mut self) -> Result<u16, TryGetError> {
        self.plain_read()?;
        self.frame.try_get_u16()
    }

    fn try_get_i32(&mut self) -> Result<i32, TryGetError> {
        self.plain_read()?;
        let value = self.frame.try_get_i32()?;
        if self.encoding == Encoding::Fixed
            && usize::try_from(value).is_ok_and(|value| value > self.frame.len().max(HARMLESS))
        {
            return Err(self.refuse("a length larger than what is left of the frame"));
        }
        Ok(value)
    }

    fn try_get_u32(&mut self) -> Result<u32, TryGetError> {
        self.plain_read()?;
        self.frame.try_get_u32()
    }

    fn try_get_i64(&mut self) -> Result<i64, TryGetError> {
        self.plain_read()?;
        self.frame.try_get_i64()
    }

    fn try_get_f64(&mut self) -> Result<f64, TryGetError> {
        self.plain_read()?;
        self.frame.try_get_f64()
    }
}

impl ByteBuf for BoundedBytes {
    fn peek_bytes(&mut self, range: Range<usize>) -> Bytes {
        self.frame.slice(range)
    }

    fn get_bytes(&mut self, size: usize) -> Bytes {
        self.frame.split_to(size)
    }

    fn try_get_bytes(&mut self, size: usize) -> Result<Bytes, NotEnoughBytesError> {
        self.continued = 0;
        let size = match self.withheld.take() {
            Some(real) if size == 1 => real,
            Some(_) => {
                self.refuse("an array of more elements than this client accepts");
                return Err(NotEnoughBytesError);
            }
            None => size,
        };
        if self.frame.len() < size { Err(NotEnoughBytesError) } else { Ok(self.frame.split_to(size)) }
    }
}

#[cfg(test)]
mod tests;
