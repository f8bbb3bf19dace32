//! Reading.
mod partition;
pub use partition::TopicPartition;
