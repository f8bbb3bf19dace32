use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::supervisor::ServiceSpec;
use crate::supervisor::lifecycle::State as ProcessState;

const POLITE: &str = r#"trap 'exit 0' TERM
echo '{"level":"INFO","fields":{"message":"started","http":"127.0.0.1:1"}}' >&2
while :; do sleep 0.05; done"#;

struct Page {
    address: SocketAddr,
    service: Supervised,
    snapshots: watch::Sender<SharedSnapshot>,
    ends: CancellationToken,
}

async fn page() -> Page {
    let service = Supervised::new(ServiceSpec {
        name: "order-producer",
        program: "/bin/sh".into(),
        arguments: Box::new(|_| vec!["-c".into(), POLITE.into()]),
        environment: vec![("PATH".into(), "/usr/bin:/bin".into())],
        inherits_stdin: false,
        stop_timeout: Duration::from_secs(5),
    });
    let (snapshots, receiver) = watch::channel(SharedSnapshot::default());
    let ends = CancellationToken::new();
    let dashboard = Dashboard { services: vec![service.clone()], snapshots: receiver, ends: ends.clone() };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, dashboard));
    Page { address, service, snapshots, ends }
}

impl Page {
    async fn ask(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!("{request} HTTP/1.0\r\nhost: {}\r\n\r\n", self.address);
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// Reads the event stream until it holds `wanted`.
    async fn stream_until(&self, wanted: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!("GET /api/events HTTP/1.1\r\nhost: {}\r\n\r\n", self.address);
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut seen = String::new();
        let mut piece = [0_u8; 4096];
        let read = async {
            while !seen.contains(wanted) {
                let length = stream.read(&mut piece).await.unwrap();
                assert!(length > 0, "the stream ended without {wanted}: {seen}");
                seen.push_str(&String::from_utf8_lossy(&piece[..length]));
            }
        };
        tokio::time::timeout(Duration::from_secs(10), read).await.expect("the event arrives");
        seen
    }
}

#[tokio::test]
async fn assets_are_served_with_headers_that_let_nothing_else_in() {
    let page = page().await;
    for (path, media_type) in
        [("/", "text/html"), ("/style.css", "text/css"), ("/app.js", "text/javascript"), ("/favicon.svg", "image/svg")]
    {
        let answer = page.ask(&format!("GET {path}")).await;
        assert!(answer.starts_with("HTTP/1.0 200") && answer.contains(media_type), "{path}: {answer}");
        assert!(answer.contains("default-src 'none'"), "{path}");
    }
}

#[test]
fn the_page_refers_to_nothing_outside() {
    let parts = [
        include_str!("../../assets/index.html"),
        include_str!("../../assets/style.css"),
        include_str!("../../assets/app.js"),
        include_str!("../../assets/favicon.svg"),
    ];
    for text in parts {
        let text = text.replace("http://www.w3.org/2000/svg", "");
        assert!(!text.contains("http://") && !text.contains("https://") && !text.contains("style=\""), "{text}");
    }
}

#[tokio::test]
async fn a_service_is_started_and_stopped_by_the_page() {
    let page = page().await;
    assert!(page.ask("POST /api/services/order-producer/start").await.starts_with("HTTP/1.0 204"));
    assert!(page.ask("POST /api/services/order-producer/start").await.starts_with("HTTP/1.0 409"));
    page.stream_until("started").await;
    let pid = page.service.status().lifecycle.pid.unwrap();
    assert!(page.ask("POST /api/services/order-producer/stop").await.starts_with("HTTP/1.0 204"));
    page.service.ended().await;
    assert_eq!(page.service.status().lifecycle.state, ProcessState::Stopped);
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "the process is gone");
    assert!(page.ask("POST /api/services/nobody/stop").await.starts_with("HTTP/1.0 404"));
    assert!(page.ask("GET /api/services/order-producer/stop").await.starts_with("HTTP/1.0 405"));
}

#[tokio::test]
async fn the_stream_carries_snapshots_and_logs_and_says_when_they_were_cleared() {
    let page = page().await;
    let mut snapshot = Snapshot::default();
    snapshot.flow.orders = 4711;
    page.snapshots.send_replace(Arc::new(snapshot));
    let seen = page.stream_until("\"orders\":4711").await;
    assert!(seen.contains("event: snapshot"), "{seen}");
    page.service.logs().push(crate::supervisor::logs::Line::from_stdout("a line"));
    page.stream_until("a line").await;
    assert!(page.ask("POST /api/services/order-producer/logs/clear").await.starts_with("HTTP/1.0 204"));
    let seen = page.stream_until("\"cleared\":true").await;
    assert!(!seen.contains("a line"), "{seen}");
}

#[tokio::test]
async fn the_server_ends_with_the_demo_though_a_page_is_open() {
    let page = page().await;
    let mut stream = TcpStream::connect(page.address).await.unwrap();
    let request = format!("GET /api/events HTTP/1.1\r\nhost: {}\r\n\r\n", page.address);
    stream.write_all(request.as_bytes()).await.unwrap();
    page.stream_until("snapshot").await;
    page.ends.cancel();
    let mut rest = Vec::new();
    tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await.expect("it ends").unwrap();
}
