//! `grocery demo`.

use std::io::Write;

use super::page::Page;
use super::process::{Process, signal};

const SERVICES: [&str; 3] = ["fulfillment-service", "picklist-consumer", "order-producer"];

#[tokio::test]
async fn a_bounded_run_ends_by_itself_with_nothing_missing_and_nothing_doubled() {
    let ended = Process::start(["demo", "--orders", "500", "--rate", "max", "--headless"]).ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    for line in ["500  orders acknowledged", "500  orders whose list was shown", "0  missing", "0  duplicated"] {
        assert!(ended.said.contains(line), "{line:?} in:\n{}", ended.said);
    }
}

#[tokio::test]
async fn the_services_can_be_started_through_another_program_with_flags_of_its_own() {
    let mut demo = Process::start(["demo", "--rate", "max", "--orders", "50", "--headless", "--through", "env LANG=C"]);
    demo.says("50  orders whose list was shown").await;
    assert_eq!(demo.ended().await.code, Some(0));
    let ended = Process::start(["demo", "--orders", "1", "--headless", "--through", "no-such-launcher"]).ended().await;
    assert_ne!(ended.code, Some(0));
    assert!(ended.said.contains("no-such-launcher"), "{}", ended.said);
}

#[tokio::test]
async fn baskets_of_a_file_go_through_whatever_they_name() {
    let mut baskets = tempfile::NamedTempFile::new().unwrap();
    baskets.write_all(b"whole milk,rolls/buns\nunobtainium\nsoda,unobtainium\n").unwrap();
    let mut demo = Process::start([
        "demo".as_ref(),
        "--orders".as_ref(),
        "3".as_ref(),
        "--rate".as_ref(),
        "max".as_ref(),
        "--plaintext".as_ref(),
        "--headless".as_ref(),
        "--baskets".as_ref(),
        baskets.path().as_os_str(),
    ]);
    demo.says("3  orders whose list was shown").await;
    assert_eq!(demo.ended().await.code, Some(0));
}

#[tokio::test]
async fn a_service_that_was_killed_is_shown_as_crashed_and_goes_on_when_it_is_started_again() {
    let mut demo = Process::start(["demo", "--rate", "200", "--dashboard", "127.0.0.1:0", "--no-browser"]);
    let url = demo.says("dashboard").await;
    let mut page = Page::open(url.trim_start_matches("dashboard")).await;
    for name in SERVICES {
        let is_at_work = |service: &serde_json::Value| {
            service["state"] == "running" && service["ready"] == true && service["count"].as_u64() > Some(0)
        };
        let before = page.shows_service(name, is_at_work).await;
        let process = u32::try_from(before["pid"].as_u64().unwrap()).unwrap();
        signal(process, "KILL");
        let crashed = page.shows_service(name, |service| service["state"] == "crashed").await;
        assert!(crashed["detail"].as_str().unwrap().contains("SIGKILL"), "{crashed}");
        page.act(name, "start").await;
        let after = page.shows_service(name, is_at_work).await;
        assert_ne!(after["pid"], before["pid"]);
    }
    // Stopping really ends the process.
    page.act("picklist-consumer", "stop").await;
    let stopped = page.shows_service("picklist-consumer", |service| service["state"] == "stopped").await;
    assert!(stopped["pid"].is_null(), "{stopped}");
    page.act("picklist-consumer", "start").await;
    demo.signal("INT");
    let ended = demo.ended().await;
    assert!(ended.said.contains(" 0  missing"), "{}", ended.said);
    // A device may show a list again that it was showing when it was killed; there is one list for each order.
    assert!(!ended.said.contains("with more than one pick list"), "{}", ended.said);
}

#[tokio::test]
async fn instances_that_are_killed_all_the_time_lose_nothing_and_double_nothing() {
    let flags = ["--orders", "2500", "--rate", "400", "--headless", "--instances", "2", "--kill-every", "2s"];
    let ended = Process::start(["demo"].iter().chain(&flags)).ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert!(ended.said.matches("with SIGKILL").count() >= 2, "{}", ended.said);
    for line in ["2500  orders with a pick list", " 0  missing", " 0  duplicated"] {
        assert!(ended.said.contains(line), "{line:?} in:\n{}", ended.said);
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_named_with_the_flag_that_changes_it() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended = Process::start(["demo", "--dashboard", &address, "--no-browser"]).ended().await;
    assert_eq!(ended.code, Some(2), "{}", ended.said);
    assert!(ended.said.contains(&address) && ended.said.contains("--dashboard"), "{}", ended.said);
    assert_eq!(ended.said.lines().count(), 1, "{}", ended.said);
}
