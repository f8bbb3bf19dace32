use kafka::{ClientConfig, Cluster};

use crate::target::connect;

#[tokio::test]
async fn a_cluster_describes_its_brokers() {
    let described = connect().await.admin().describe_cluster().await.unwrap();
    assert!(!described.brokers.is_empty());
    assert!(!described.cluster_id.is_empty());
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused_before_any_connection() {
    let error = Cluster::connect(ClientConfig::new(["localhost"])).await.unwrap_err();
    assert!(error.is_configuration() && error.is_fatal(), "{error}");
}

#[tokio::test]
async fn an_outage_is_waited_out_for_a_bound_and_then_reported_as_such() {
    // Bound and dropped: nobody listens there.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut config = ClientConfig::new([free.to_string()]);
    config.api_timeout = std::time::Duration::from_millis(400);
    let error = Cluster::connect(config).await.unwrap_err();
    assert!(error.is_retriable() && !error.is_configuration(), "{error}");
    assert!(error.to_string().contains("bootstrap.servers"), "{error}");
    assert!(error.to_string().contains(&free.to_string()), "{error}");
}
