//! The lines of all partitions, found by their place: topics and partitions are numbered from 0.

use super::line::Line;
use crate::producer::accumulator::PartitionKey;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Lines(Vec<Vec<Line>>);

/// A partition's number is at least 0, or no record would have been appended to it.
fn place(key: PartitionKey) -> usize {
    usize::try_from(key.partition).unwrap_or_default()
}

impl Lines {
    pub(super) fn get(&self, key: PartitionKey) -> Option<&Line> {
        self.0.get(key.topic)?.get(place(key))
    }

    pub(super) fn get_mut(&mut self, key: PartitionKey) -> Option<&mut Line> {
        self.0.get_mut(key.topic)?.get_mut(place(key))
    }

    /// The line of this partition, which is made if there is none.
    pub(super) fn of(&mut self, key: PartitionKey) -> &mut Line {
        if self.0.len() <= key.topic {
            self.0.resize_with(key.topic + 1, Vec::new);
        }
        let lines = &mut self.0[key.topic];
        if lines.len() <= place(key) {
            lines.resize_with(place(key) + 1, Line::default);
        }
        &mut lines[place(key)]
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Line> {
        self.0.iter_mut().flatten()
    }

    /// All lines, of which none is left.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Line> + use<> {
        std::mem::take(&mut self.0).into_iter().flatten()
    }
}
