//! `grocery audit`: whether every order on the topic has become exactly one pick list, the right one.
//!
//! `books` compares, `topic` reads, `command` is what an operator or a deployment's gate calls. It needs the rights of the
//! operator: to read both topics and to see the group of fulfilment.

mod books;
mod command;
mod topic;

pub use books::{Books, Place, Violation, audit};
pub(crate) use command::{Args, main};
pub use topic::{Reading, ends, read};
pub(crate) use topic::{partitions, reached};
