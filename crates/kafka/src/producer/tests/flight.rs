//! What is under way between a transactional producer and the brokers.

use bytes::Bytes;

use crate::producer::accumulator::PartitionKey;
use crate::producer::coordination::{Answer, Call};
use crate::producer::pipeline::{PartitionAnswer, RequestId};

/// A request on its way: once a broker has acted, its answer on the way back.
pub(super) enum Flight {
    Produce {
        id: RequestId,
        broker: i32,
        batches: Vec<(PartitionKey, Bytes)>,
        answer: Option<Vec<(PartitionKey, PartitionAnswer)>>,
    },
    Call {
        call: Call,
        answer: Option<Answer>,
    },
}

impl Flight {
    pub(super) fn is_answered(&self) -> bool {
        match self {
            Flight::Produce { answer, .. } => answer.is_some(),
            Flight::Call { answer, .. } => answer.is_some(),
        }
    }

    /// The leader that it is on its way to.
    pub(super) fn broker(&self) -> Option<i32> {
        match self {
            Flight::Produce { broker, .. } => Some(*broker),
            Flight::Call { .. } => None,
        }
    }
}
