//! Which build this is.

/// The version and, in what is shipped, the commit that it was built from: `0.1.0 (0123456789ab)`.
///
/// `scripts/build-static` sets it. It comes from the environment of the build and not from a build script that asks git: that would
/// compile every crate above this one anew after each commit.
pub const VERSION: &str = match option_env!("GROCERY_VERSION") {
    Some(version) => version,
    None => concat!(env!("CARGO_PKG_VERSION"), " (a working tree)"),
};
