//! Bytes as a whole value: Confluent's serializers write them as they are, where Avro has their length first.

/// The body of such a record, as Avro has it.
pub(crate) fn with_length(body: &[u8]) -> Vec<u8> {
    let mut framed = Vec::with_capacity(body.len() + 5);
    // A length is a zig-zag varint; it is not negative.
    let mut rest = (body.len() as u64) << 1;
    while rest >= 0x80 {
        framed.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    framed.push(rest as u8);
    framed.extend_from_slice(body);
    framed
}

/// Takes the length out of `out` that Avro has written at `start`.
pub(crate) fn strip_length(out: &mut Vec<u8>, start: usize) {
    let length = out[start..].iter().take_while(|byte| **byte >= 0x80).count() + 1;
    out.drain(start..(start + length).min(out.len()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_comes_and_goes() {
        for size in [0, 1, 63, 64, 8_191, 8_192, 100_000] {
            let body = vec![7; size];
            let framed = with_length(&body);
            let schema = apache_avro::Schema::Bytes;
            let read = apache_avro::reader::datum::GenericDatumReader::builder(&schema).build().unwrap();
            let value = read.read_value(&mut framed.as_slice()).unwrap();
            assert_eq!(value, apache_avro::types::Value::Bytes(body.clone()), "{size}");
            let mut out = [b"prefix".as_slice(), &framed].concat();
            strip_length(&mut out, 6);
            assert_eq!(out, [b"prefix".as_slice(), &body].concat(), "{size}");
        }
    }
}
