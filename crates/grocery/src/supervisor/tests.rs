use std::time::Duration;

use super::lifecycle::State;
use super::logs::Cursor;
use super::*;

fn shell(script: &str) -> Supervised {
    let script = script.to_owned();
    Supervised::new(ServiceSpec {
        name: "sh",
        program: "/bin/sh".into(),
        arguments: Box::new(move |_| vec!["-c".into(), script.clone().into()]),
        environment: vec![("PATH".into(), "/usr/bin:/bin".into())],
        inherits_stdin: false,
        stop_timeout: Duration::from_millis(300),
    })
}

async fn until(service: &Supervised, wanted: impl Fn(&Status) -> bool) -> Status {
    let mut status = service.status.clone();
    let waited = tokio::time::timeout(Duration::from_secs(10), status.wait_for(wanted)).await;
    waited.expect("the state is reached").unwrap().clone()
}

/// A service that announces itself as ours do, then works until SIGTERM.
const POLITE: &str = r#"trap 'echo bye; exit 0' TERM
echo '{"level":"INFO","fields":{"message":"started","http":"127.0.0.1:1"}}' >&2
while :; do sleep 0.05; done"#;

#[tokio::test]
async fn a_service_is_started_and_stopped_and_started_again() {
    let service = shell(POLITE);
    assert_eq!(service.status().lifecycle.state, State::Stopped);
    service.start().await.unwrap();
    let running = until(&service, |status| status.lifecycle.state == State::Running).await;
    assert_eq!(running.http, Some("127.0.0.1:1".parse().unwrap()));
    assert!(service.start().await.unwrap_err().contains("runs already"));

    service.stop().await.unwrap();
    service.ended().await;
    let stopped = service.status().lifecycle;
    assert_eq!((stopped.state, stopped.pid), (State::Stopped, None));
    assert!(service.stop().await.unwrap_err().contains("does not run"));

    service.start().await.unwrap();
    assert_eq!(until(&service, |status| status.lifecycle.state == State::Running).await.lifecycle.starts, 2);
}

#[tokio::test]
async fn kill_9_from_outside_shows_as_a_crash_and_leaves_no_zombie() {
    let service = shell(POLITE);
    service.start().await.unwrap();
    let pid = until(&service, |status| status.lifecycle.state == State::Running).await.lifecycle.pid.unwrap();
    let killed = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
    assert!(killed.success());
    let crashed = until(&service, |status| status.lifecycle.state == State::Crashed).await.lifecycle;
    assert!(crashed.detail.contains("SIGKILL"), "{}", crashed.detail);
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "it was waited for");
}

#[tokio::test]
async fn a_service_that_ignores_sigterm_is_killed_within_its_bound() {
    let service = shell(
        r#"trap '' TERM; echo '{"level":"INFO","fields":{"http":"127.0.0.1:1"}}' >&2; while :; do sleep 0.05; done"#,
    );
    service.start().await.unwrap();
    until(&service, |status| status.lifecycle.state == State::Running).await;
    service.stop().await.unwrap();
    let stopped = until(&service, |status| !status.lifecycle.is_alive()).await.lifecycle;
    assert_eq!(stopped.state, State::Stopped);
    assert!(stopped.detail.contains("killed"), "{}", stopped.detail);
}

#[tokio::test]
async fn both_streams_end_up_in_the_log() {
    let service = shell("echo to-stdout; echo to-stderr >&2; exit 3");
    service.start().await.unwrap();
    let crashed = until(&service, |status| status.lifecycle.state == State::Crashed).await.lifecycle;
    assert!(crashed.detail.contains("code 3"), "{}", crashed.detail);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    loop {
        let text = format!("{:?}", service.logs().unread(&mut Cursor::default()));
        if text.contains("to-stdout") && text.contains("to-stderr") && text.contains("process ended") {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "{text}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_program_that_does_not_exist_is_a_crash_with_a_reason() {
    let service = Supervised::new(ServiceSpec {
        name: "nothing",
        program: "/nowhere/at/all".into(),
        arguments: Box::new(|_| Vec::new()),
        environment: vec![("PATH".into(), "/usr/bin:/bin".into())],
        inherits_stdin: false,
        stop_timeout: Duration::from_secs(1),
    });
    assert!(service.start().await.unwrap_err().contains("could not be started"));
    assert_eq!(service.status().lifecycle.state, State::Crashed);
}
