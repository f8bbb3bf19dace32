//! The dashboard as its page uses it: server-sent events in, POST requests out.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(60);

/// An open stream of snapshots.
pub(crate) struct Page {
    address: String,
    events: BufReader<TcpStream>,
}

impl Page {
    /// Opens the stream of the dashboard at this URL.
    pub(crate) async fn open(url: &str) -> Self {
        let address = url.trim().strip_prefix("http://").unwrap().replace("localhost", "127.0.0.1");
        // HTTP/1.0 has no chunks: the events come as they are.
        let events = BufReader::new(request(&address, "GET /api/events HTTP/1.0").await);
        Self { address, events }
    }

    /// Waits for a snapshot in which `find` finds something.
    pub(crate) async fn shows<T>(&mut self, what: &str, find: impl Fn(&Value) -> Option<T>) -> T {
        let mut last = String::new();
        let looking = async {
            let mut is_snapshot = false;
            loop {
                let mut line = String::new();
                assert_ne!(self.events.read_line(&mut line).await.unwrap(), 0, "the stream has ended");
                if let Some(event) = line.strip_prefix("event:") {
                    is_snapshot = event.trim() == "snapshot";
                } else if let (true, Some(data)) = (is_snapshot, line.strip_prefix("data:")) {
                    let snapshot: Value = serde_json::from_str(data).unwrap();
                    if let Some(found) = find(&snapshot) {
                        return found;
                    }
                    last = snapshot["services"].to_string();
                }
            }
        };
        let found = tokio::time::timeout(PATIENCE, looking).await;
        found.unwrap_or_else(|_| panic!("the page never shows {what}; last: {last}"))
    }

    /// Waits until a service is in this state, and returns what is shown of it.
    pub(crate) async fn shows_service(&mut self, name: &str, is: impl Fn(&Value) -> bool) -> Value {
        let service = |snapshot: &Value| {
            let services = snapshot["services"].as_array()?;
            services.iter().find(|service| service["name"] == name && is(service)).cloned()
        };
        self.shows(name, service).await
    }

    /// What a button of the page does.
    pub(crate) async fn act(&self, service: &str, action: &str) {
        let mut connection = request(&self.address, &format!("POST /api/services/{service}/{action} HTTP/1.0")).await;
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.unwrap();
        let status = answer.split(' ').nth(1).unwrap_or_default();
        assert!(status.starts_with('2'), "{action} {service}: {answer}");
    }
}

async fn request(address: &str, line: &str) -> TcpStream {
    let mut connection = TcpStream::connect(address).await.unwrap();
    let head = format!("{line}\r\nHost: {address}\r\nContent-Length: 0\r\n\r\n");
    connection.write_all(head.as_bytes()).await.unwrap();
    connection
}
