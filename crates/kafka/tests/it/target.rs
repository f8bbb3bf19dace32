//! The broker under test.

use std::time::Duration;

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

/// Asks again until `ask` has an answer: brokers learn of what the controller decided a moment later.
pub(crate) async fn eventually<T>(what: &str, ask: impl AsyncFn() -> Option<T>) -> T {
    const PATIENCE: Duration = Duration::from_secs(10);
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let Ok(answer) = tokio::time::timeout(PATIENCE, asking).await else { panic!("not within {PATIENCE:?}: {what}") };
    answer
}
