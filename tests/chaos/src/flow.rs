//! When the pipeline moves again: on every partition an order that was acknowledged after the fault has been shown.
//!
//! One order that comes through says little, because a broker leads a third of the partitions; so the slowest partition counts.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tokio::sync::watch;

/// Between two looks at the services' files.
const LOOK: Duration = Duration::from_millis(20);

/// Read at once.
const PIECE: usize = 64 * 1024;

/// Of a UUID's text. A line that does not begin with as many characters was torn when its writer was killed; nobody counts it.
pub(crate) const ORDER_ID_LENGTH: usize = 36;

/// What the two audit files say, and when they said it. Pure.
#[derive(Debug)]
pub(crate) struct Flow {
    /// Acknowledged and not shown yet.
    under_way: HashMap<String, Instant>,
    /// Shown before this side had read of the acknowledgement.
    early: HashMap<String, ()>,
    /// For each partition the latest acknowledgement of an order that has been shown.
    moved: Vec<Option<Instant>>,
    /// Counts.
    pub(crate) acknowledged: u64,
    /// Counts each order once.
    pub(crate) shown: u64,
}

impl Flow {
    /// Nothing has moved on these partitions.
    pub(crate) fn new(partitions: usize) -> Self {
        Self {
            under_way: HashMap::new(),
            early: HashMap::new(),
            moved: vec![None; partitions],
            acknowledged: 0,
            shown: 0,
        }
    }

    /// The producer wrote down that this order is acknowledged.
    pub(crate) fn acknowledged(&mut self, order: &str, now: Instant) {
        self.acknowledged += 1;
        if self.early.remove(order).is_none() {
            self.under_way.insert(order.to_owned(), now);
        }
    }

    /// The device wrote down that this order's list was shown.
    pub(crate) fn shown(&mut self, order: &str) {
        match self.under_way.remove(order) {
            Some(acknowledged) => {
                self.shown += 1;
                let partition = partition(order, self.moved.len());
                self.moved[partition] = self.moved[partition].max(Some(acknowledged));
            }
            None => {
                // An order that nobody acknowledged stays here; it is the audit's.
                if self.early.insert(order.to_owned(), ()).is_none() {
                    self.shown += 1;
                }
            }
        }
    }

    /// Orders that are acknowledged and not shown.
    pub(crate) fn under_way(&self) -> usize {
        self.under_way.len()
    }

    /// The moment up to which faults are overcome: every partition has shown an order that was acknowledged after it.
    pub(crate) fn overcome(&self) -> Option<Instant> {
        self.moved.iter().copied().min().flatten()
    }
}

/// Where an order lies: murmur2 of its key, as Kafka's default partitioner has it.
pub(crate) fn partition(key: &str, partitions: usize) -> usize {
    (murmur2(key.as_bytes()) & 0x7fff_ffff) as usize % partitions
}

fn murmur2(key: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ key.len() as u32;
    let (words, tail) = key.as_chunks::<4>();
    for word in words {
        let mut word = u32::from_le_bytes(*word).wrapping_mul(M);
        word = (word ^ (word >> 24)).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ word;
    }
    if !tail.is_empty() {
        let rest = tail.iter().rev().fold(0, |rest, byte| (rest << 8) | u32::from(*byte));
        hash = (hash ^ rest).wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^ (hash >> 15)
}

/// What the rest of the tool may ask about the flow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// See [`Flow::overcome`].
    pub(crate) overcome: Option<Instant>,
    /// Orders acknowledged.
    pub(crate) acknowledged: u64,
    /// Orders shown.
    pub(crate) shown: u64,
    /// Orders acknowledged and not shown.
    pub(crate) under_way: usize,
}

/// Follows the audit files of order-producer and picklist-consumer until nobody listens.
pub(crate) fn follow(acknowledged: PathBuf, shown: PathBuf, partitions: usize) -> watch::Receiver<Seen> {
    let (sender, receiver) = watch::channel(Seen::default());
    tokio::spawn(async move {
        let mut flow = Flow::new(partitions);
        let (mut producers, mut devices) = (Lines::of(&acknowledged), Lines::of(&shown));
        let mut looked = Instant::now();
        while !sender.is_closed() {
            // A line that is new was written after the look before; counted from now, it could pass for newer than a fault.
            let before = std::mem::replace(&mut looked, Instant::now());
            producers.read().await.iter().for_each(|order| flow.acknowledged(order, before));
            devices.read().await.iter().for_each(|order| flow.shown(order));
            let seen = Seen {
                overcome: flow.overcome(),
                acknowledged: flow.acknowledged,
                shown: flow.shown,
                under_way: flow.under_way(),
            };
            sender.send_if_modified(|last| std::mem::replace(last, seen) != seen);
            tokio::time::sleep(LOOK).await;
        }
    });
    receiver
}

/// The whole lines of a file as they are added to it.
struct Lines {
    path: Arc<Path>,
    file: Option<File>,
    torn: Vec<u8>,
}

impl Lines {
    fn of(path: &Path) -> Self {
        Self { path: path.into(), file: None, torn: Vec::new() }
    }

    /// The order of each line that was added; nothing when the file cannot be read (yet).
    async fn read(&mut self) -> Vec<String> {
        if self.file.is_none() {
            self.file = File::open(&self.path).await.ok();
        }
        let mut lines = Vec::new();
        let Some(file) = &mut self.file else { return lines };
        let mut piece = vec![0; PIECE];
        while let Ok(length @ 1..) = file.read(&mut piece).await {
            self.torn.extend_from_slice(&piece[..length]);
            let Some(end) = self.torn.iter().rposition(|byte| *byte == b'\n') else { continue };
            let whole: Vec<u8> = self.torn.drain(..=end).collect();
            let whole = String::from_utf8_lossy(&whole);
            let orders = whole.lines().filter_map(|line| line.split(' ').next());
            lines.extend(orders.filter(|order| order.len() == ORDER_ID_LENGTH).map(str::to_owned));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_kafkas() {
        for (key, hash) in [("21", -973_932_308), ("foobar", -790_332_482), ("abc", 479_470_107), ("", 275_646_681)] {
            assert_eq!(murmur2(key.as_bytes()) as i32, hash, "{key}");
        }
    }

    /// One key of each of two partitions.
    fn keys() -> [String; 2] {
        [0, 1].map(|wanted| (0..).map(|i: u32| i.to_string()).find(|key| partition(key, 2) == wanted).unwrap())
    }

    #[test]
    fn a_fault_is_overcome_when_every_partition_has_shown_a_newer_order() {
        let [one, other] = keys();
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut flow = Flow::new(2);
        flow.acknowledged(&one, at(1));
        flow.acknowledged(&other, at(2));
        assert_eq!((flow.overcome(), flow.under_way()), (None, 2));
        flow.shown(&other);
        assert_eq!(flow.overcome(), None);
        flow.shown(&one);
        assert_eq!((flow.overcome(), flow.under_way()), (Some(at(1)), 0));
    }

    #[test]
    fn an_order_whose_acknowledgement_was_read_late_does_not_count_as_newer() {
        let [one, other] = keys();
        let now = Instant::now();
        let mut flow = Flow::new(2);
        flow.shown(&one);
        flow.acknowledged(&one, now);
        flow.acknowledged(&other, now);
        flow.shown(&other);
        assert_eq!((flow.overcome(), flow.under_way(), flow.shown), (None, 0, 2));
        flow.shown(&other);
        assert_eq!(flow.overcome(), None);
    }

    #[tokio::test]
    async fn whole_lines_come_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit");
        let mut lines = Lines::of(&path);
        assert!(lines.read().await.is_empty());
        let [one, two, three] = ["1", "2", "3"].map(|digit| digit.repeat(ORDER_ID_LENGTH));
        let torn = &three[..7];
        std::fs::write(&path, format!("{one}\n{two} its-list\n{torn}")).unwrap();
        assert_eq!(lines.read().await, [one.as_str(), &two]);
        std::fs::write(&path, format!("{one}\n{two} its-list\n{three}\n{torn}{one}\n")).unwrap();
        assert_eq!(lines.read().await, [three]);
    }
}
