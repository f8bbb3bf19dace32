//! The one-binary front.
fn main() {}
