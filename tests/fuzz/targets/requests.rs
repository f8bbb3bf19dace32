//! What a client may send to the sandbox's broker: frames in a row on one connection. It answers or closes, and is there for the next.

#![no_main]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::LazyLock;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use sandbox::access::AccessRules;
use sandbox::{Sandbox, SandboxConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

/// ApiVersions 0, correlation id 7, no client id.
const ARE_YOU_THERE: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff];

static SANDBOX: LazyLock<(Runtime, String, Sandbox)> = LazyLock::new(|| {
    let runtime = Runtime::new().unwrap();
    let rules = AccessRules::parse(include_str!("../../../tf/access.json")).unwrap();
    let mut config = SandboxConfig::new(rules);
    config.open = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let sandbox = runtime.block_on(Sandbox::start(config)).unwrap();
    let open = sandbox.endpoints().open.clone().unwrap();
    (runtime, open, sandbox)
});

fuzz_target!(|frames: &[u8]| {
    let (runtime, open, _) = &*SANDBOX;
    let talk = async {
        let mut stream = TcpStream::connect(open).await.unwrap();
        // The first byte of each frame is its length, so that most inputs are whole frames.
        let mut rest = frames;
        while let Some((length, after)) = rest.split_first() {
            let (frame, after) = after.split_at(usize::from(*length).min(after.len()));
            if stream.write_all(&(frame.len() as u32).to_be_bytes()).await.is_err()
                || stream.write_all(frame).await.is_err()
            {
                break;
            }
            rest = after;
        }
        let _ = stream.shutdown().await;
        let mut answers = Vec::new();
        let _ = stream.read_to_end(&mut answers).await;

        let mut next = TcpStream::connect(open).await.unwrap();
        next.write_all(&ARE_YOU_THERE).await.unwrap();
        let mut head = [0; 8];
        next.read_exact(&mut head).await.unwrap();
        assert_eq!(head[4..], [0, 0, 0, 7]);
    };
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(20), talk).await.expect("an answer or an end") });
});
