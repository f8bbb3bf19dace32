//! Zig-zag varints as record batches use them: the protobuf form, at most 5 bytes for 32 bits and 10 for 64.

/// The longest encoding of an `i32`.
pub(super) const MAX_VARINT_BYTES: usize = 5;

/// The longest encoding of an `i64`.
pub(super) const MAX_VARLONG_BYTES: usize = 10;

/// Bytes that `value` takes as a varint.
pub(super) const fn varint_len(value: i32) -> usize {
    varlong_len(value as i64)
}

/// Bytes that `value` takes as a varlong.
pub(super) const fn varlong_len(value: i64) -> usize {
    let bits = 64 - (zigzag(value) | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// Writes `value` at the start of `out` and returns how many bytes it took. Panics if `out` is shorter than that.
#[inline]
pub(super) fn put_varlong(out: &mut [u8], value: i64) -> usize {
    let mut rest = zigzag(value);
    let mut at = 0;
    while rest >= 0x80 {
        out[at] = rest as u8 | 0x80;
        rest >>= 7;
        at += 1;
    }
    out[at] = rest as u8;
    at + 1
}

/// Appends `value` as a varint.
#[inline]
pub(super) fn push_varint(out: &mut Vec<u8>, value: i32) {
    let mut bytes = [0; MAX_VARINT_BYTES];
    let len = put_varlong(&mut bytes, i64::from(value));
    out.extend_from_slice(&bytes[..len]);
}

pub(super) const fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Takes a varlong off the front of `input`; `None` if it does not end there or does not fit into 64 bits.
///
/// Most lengths and deltas of a batch take one or two bytes, so these are looked at first.
#[inline]
pub(super) fn take_varlong(input: &mut &[u8]) -> Option<i64> {
    match **input {
        [first @ ..0x80, ref rest @ ..] => {
            *input = rest;
            Some(unzigzag(u64::from(first)))
        }
        [first, second @ ..0x80, ref rest @ ..] => {
            *input = rest;
            Some(unzigzag(u64::from(first & 0x7f) | u64::from(second) << 7))
        }
        _ => take_long_varlong(input),
    }
}

fn take_long_varlong(input: &mut &[u8]) -> Option<i64> {
    let mut value = 0u64;
    for (at, &byte) in input.iter().take(MAX_VARLONG_BYTES).enumerate() {
        let bits = u64::from(byte & 0x7f);
        if at == MAX_VARLONG_BYTES - 1 && bits > 1 {
            return None;
        }
        value |= bits << (7 * at);
        if byte & 0x80 == 0 {
            *input = &input[at + 1..];
            return Some(unzigzag(value));
        }
    }
    None
}

/// Takes a varint off the front of `input`; `None` if it does not end there or does not fit into 32 bits.
#[inline]
pub(super) fn take_varint(input: &mut &[u8]) -> Option<i32> {
    i32::try_from(take_varlong(input)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_is_protobufs() {
        // From the Protocol Buffers encoding guide, and Kafka's ByteUtilsTest for the limits.
        for (value, bytes) in [
            (0i64, &[0x00u8][..]),
            (-1, &[0x01]),
            (1, &[0x02]),
            (63, &[0x7e]),
            (-64, &[0x7f]),
            (64, &[0x80, 0x01]),
            (-65, &[0x81, 0x01]),
            (8191, &[0xfe, 0x7f]),
            (8192, &[0x80, 0x80, 0x01]),
            (i64::from(i32::MAX), &[0xfe, 0xff, 0xff, 0xff, 0x0f]),
            (i64::from(i32::MIN), &[0xff, 0xff, 0xff, 0xff, 0x0f]),
            (i64::MAX, &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
            (i64::MIN, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
        ] {
            let mut out = [0; MAX_VARLONG_BYTES];
            let len = put_varlong(&mut out, value);
            assert_eq!(&out[..len], bytes, "{value}");
            assert_eq!(varlong_len(value), len, "{value}");
            let mut input = bytes;
            assert_eq!(take_varlong(&mut input), Some(value));
            assert!(input.is_empty());
        }
    }

    #[test]
    fn what_does_not_end_or_does_not_fit_is_refused() {
        for mut input in [&[][..], &[0x80], &[0xff; 10], &[0xff; 11]] {
            assert_eq!(take_varlong(&mut input), None);
        }
        let mut too_large_for_32_bits = &[0x80u8, 0x80, 0x80, 0x80, 0x20][..];
        assert_eq!(take_varint(&mut too_large_for_32_bits), None);
    }
}
