//! What can go wrong between this client and a cluster, told apart by what the caller should do about it.

mod code;

pub use code::ErrorCode;

/// Whether a request may have taken effect although no answer says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Written {
    /// No byte of it reached a socket: sending it again cannot do anything twice.
    No,
    /// It was at least partly handed to the network: the broker may have acted on it.
    Maybe,
}
