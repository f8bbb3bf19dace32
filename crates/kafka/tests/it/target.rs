//! The broker under test.

use kafka::{ClientConfig, Cluster};

/// A client of the broker that `GROCERY_TEST_BOOTSTRAP` names, without authentication.
pub(crate) async fn connect() -> Cluster {
    let bootstrap = std::env::var("GROCERY_TEST_BOOTSTRAP").expect("GROCERY_TEST_BOOTSTRAP names a broker");
    Cluster::connect(ClientConfig::new([bootstrap])).await.expect("the broker answers")
}

/// A name that no other test uses.
pub(crate) fn unique(name: &str) -> String {
    format!("{name}-{:08x}", fastrand::u32(..))
}
