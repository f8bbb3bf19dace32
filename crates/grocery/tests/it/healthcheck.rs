//! `grocery healthcheck` asks services that run, that wait, that are silent and that are not there.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use sandbox::{Part, Sandbox};

use super::alone::sandbox;
use super::process::{Ended, Process};

const VARIABLE: &str = "GROCERY_HTTP";

/// A port that nobody listens on now; asked for at once, so that hardly anybody else gets it.
fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

async fn check(arguments: &[&str], variables: &[(&str, &str)]) -> Ended {
    Process::start_with(["healthcheck"].iter().chain(arguments), variables).ended().await
}

async fn service_at(sandbox: &Sandbox, address: &str) -> Process {
    let properties = sandbox.client_properties("picklist-consumer");
    let arguments = ["picklist-consumer", "--config", properties.to_str().unwrap()];
    let mut service = Process::start_with(arguments, &[(VARIABLE, address)]);
    let line = service.says("started").await;
    assert!(line.contains(address), "{line}");
    service
}

#[tokio::test]
async fn a_service_and_its_health_check_find_each_other_by_the_environment_alone() {
    let sandbox = sandbox().await;
    let address = free_address();
    let variables = [(VARIABLE, &*address)];
    let mut service = service_at(&sandbox, &address).await;
    let ready = async {
        loop {
            let asked = check(&[], &variables).await;
            if asked.code == Some(0) {
                break asked.said;
            }
            assert_eq!(asked.code, Some(1), "{}", asked.said);
        }
    };
    let said = tokio::time::timeout(Duration::from_secs(60), ready).await.unwrap();
    assert_eq!(said, "ready");
    let alive = check(&["--live", &format!("http://{address}")], &[]).await;
    assert_eq!((alive.code, &*alive.said), (Some(0), "ok"));
    service.signal("TERM");
    service.says("done").await;
    let gone = check(&[], &variables).await;
    assert!(gone.code == Some(1) && gone.said.contains(&address), "{}", gone.said);
}

#[tokio::test]
async fn a_service_that_waits_is_alive_and_says_what_it_waits_for() {
    let sandbox = sandbox().await;
    sandbox.pause(Part::Issuer);
    let address = free_address();
    let service = service_at(&sandbox, &address).await;
    let waiting = check(&[&address], &[]).await;
    assert_eq!(waiting.code, Some(1), "{}", waiting.said);
    assert!(
        waiting.said.contains("not ready (503): waiting for: partitions of the consumer group"),
        "{}",
        waiting.said
    );
    assert_eq!(check(&["--live", &address], &[]).await.code, Some(0));
    drop(service);
}

#[tokio::test]
async fn whoever_is_silent_or_speaks_something_else_is_not_ready() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let silent = check(&[&address.to_string(), "--timeout", "200ms"], &[]).await;
    assert!(silent.code == Some(1) && silent.said.contains("no answer within 200ms"), "{}", silent.said);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, b"SSH-2.0-something\r\n\r\n").await;
        }
    });
    let other = check(&[&address.to_string()], &[]).await;
    assert_eq!(other.code, Some(1), "{}", other.said);
    let nonsense = check(&["https://localhost:1"], &[]).await;
    assert!(nonsense.code == Some(2) && nonsense.said.contains("http://"), "{}", nonsense.said);
}
