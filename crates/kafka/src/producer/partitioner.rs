//! Which partition a record goes to: what Java's built-in partitioner does, so that a key keeps its partition whoever
//! sends it.

/// The partition of a key: murmur2 without its sign bit, modulo the partitions (`BuiltInPartitioner.java`).
///
/// librdkafka's default is another hash; its `partitioner=murmur2_random` agrees with this.
pub(crate) fn partition_of_key(key: &[u8], partitions: usize) -> i32 {
    ((murmur2(key) & 0x7fff_ffff) as usize % partitions.max(1)) as i32
}

/// Kafka's murmur2 (`Utils.java`): 32 bits, little-endian words, a fixed seed.
fn murmur2(key: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    let mut hash = SEED ^ key.len() as u32;
    let mut words = key.chunks_exact(4);
    for word in &mut words {
        let mut k = u32::from_le_bytes([word[0], word[1], word[2], word[3]]).wrapping_mul(M);
        k = (k ^ (k >> 24)).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ k;
    }
    let tail = words.remainder();
    if !tail.is_empty() {
        for (at, &byte) in tail.iter().enumerate() {
            hash ^= u32::from(byte) << (8 * at);
        }
        hash = hash.wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^ (hash >> 15)
}

/// A partition for records without a key, kept until it has had its share of bytes (KIP-794).
///
/// Changing over does not close a batch, so under load all partitions have large ones; under light load a share is one
/// batch of a Java client's default size.
#[derive(Debug)]
pub(super) struct Sticky {
    partition: i32,
    left_bytes: usize,
}

/// What each partition gets before the next one's turn: Java's default `batch.size`.
pub(super) const STICKY_BYTES: usize = 16 * 1024;

impl Sticky {
    /// Before the first record.
    pub(super) fn new() -> Self {
        Self { partition: -1, left_bytes: 0 }
    }

    /// The partition for a record of `bytes`; `available` are those with a leader, out of `partitions`.
    pub(super) fn choose(
        &mut self,
        bytes: usize,
        available: &[i32],
        partitions: usize,
        random: &mut fastrand::Rng,
    ) -> i32 {
        if self.left_bytes == 0 || (!available.is_empty() && available.binary_search(&self.partition).is_err()) {
            self.partition = match available {
                [] => random.usize(..partitions.max(1)) as i32,
                [only] => *only,
                // Not the same one again: with two partitions that would be half of the turns.
                several => loop {
                    let next = several[random.usize(..several.len())];
                    if next != self.partition {
                        break next;
                    }
                },
            };
            self.left_bytes = STICKY_BYTES;
        }
        self.left_bytes = self.left_bytes.saturating_sub(bytes);
        self.partition
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_javas() {
        // The vectors of Kafka's UtilsTest.java, and the empty key.
        for (key, hash) in [
            ("21", -973932308),
            ("foobar", -790332482),
            ("a-little-bit-long-string", -985981536),
            ("a-little-bit-longer-string", -1486304829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
            ("abc", 479470107),
            ("", 275646681),
        ] {
            assert_eq!(murmur2(key.as_bytes()) as i32, hash, "{key}");
        }
        assert_eq!(partition_of_key(b"foobar", 3), ((-790332482i32 & 0x7fff_ffff) % 3));
    }

    #[test]
    fn records_without_a_key_spread_evenly_by_bytes_over_partitions_with_a_leader() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut sticky = Sticky::new();
        let mut bytes = [0usize; 4];
        let mut changes = 0;
        let mut last = -1;
        for _ in 0..200_000 {
            let partition = sticky.choose(100, &[0, 1, 3], 4, &mut random);
            bytes[partition as usize] += 100;
            changes += usize::from(partition != last);
            last = partition;
        }
        assert_eq!(bytes[2], 0);
        for partition in [0, 1, 3] {
            let share = bytes[partition] as f64 / 20_000_000.0;
            assert!((share - 1.0 / 3.0).abs() < 0.03, "{bytes:?}");
        }
        assert!(changes < 20_000_000 / STICKY_BYTES + 10, "{changes}");
    }

    #[test]
    fn a_partition_that_loses_its_leader_is_left_at_once() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut sticky = Sticky::new();
        let first = sticky.choose(10, &[0, 1], 2, &mut random);
        assert_eq!(sticky.choose(10, &[1 - first], 2, &mut random), 1 - first);
        assert_eq!(sticky.choose(10, &[], 2, &mut random), 1 - first, "with no leader at all it stays");
    }
}
