//! The servers of a run: three brokers, an identity provider and a registry from `scripts/peers`, with a proxy before each.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use kafka::{ClientConfig, Cluster};
use rustix::process::Signal;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::ChaosError;
use crate::processes::signal;
use crate::proxy::Proxy;

/// Ports of proxies: below the kernel's ephemeral range and below those that `scripts/peers` takes.
const PROXY_PORTS: std::ops::Range<u16> = 15_000..17_900;

/// Tokens live so long, so that they expire all the time.
const TOKEN_SECONDS: &str = "20";

/// How long the cluster may take until every replica is in sync again.
const IN_SYNC_WITHIN: Duration = Duration::from_secs(120);

/// Kafka's settings that make a run short: how soon the controller and the coordinators notice that somebody is gone, and how often a
/// member of the consumer protocol hears what is new. Defaults are 9 s, 45 s, 10 s and 5 s.
const BROKER_SETTINGS: [&str; 7] = [
    "broker.session.timeout.ms=4000",
    "broker.heartbeat.interval.ms=500",
    "group.consumer.min.session.timeout.ms=8000",
    "group.consumer.session.timeout.ms=8000",
    "group.consumer.min.heartbeat.interval.ms=1000",
    "group.consumer.heartbeat.interval.ms=1000",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms=1000",
];

/// Where everything runs.
pub(crate) struct Place {
    peers: PathBuf,
    dir: PathBuf,
    endpoints: BTreeMap<String, String>,
    /// Before each broker.
    pub(crate) brokers: Vec<Proxy>,
    /// Before the identity provider.
    pub(crate) provider: Proxy,
    /// Before the registry.
    pub(crate) registry: Proxy,
    /// A client on the listener without login and without proxy.
    pub(crate) admin: Cluster,
    returning: Mutex<JoinSet<Result<(), ChaosError>>>,
}

impl Place {
    /// Starts everything in a new folder below `dir`.
    ///
    /// # Errors
    /// A script fails; the message is its own.
    pub(crate) async fn start(root: &Path, dir: &Path, brokers: usize, partitions: usize) -> Result<Self, ChaosError> {
        let peers = root.join("scripts/peers");
        let place = dir.join("place");
        let before_brokers = neighbours(brokers).await?;
        let before_provider = neighbours(1).await?.remove(0);
        let before_registry = neighbours(1).await?.remove(0);
        let url = |listener: &TcpListener| Ok::<_, ChaosError>(format!("http://{}", listener.local_addr()?));
        let mut start = Command::new(peers.join("start"));
        start.arg("--dir").arg(&place);
        let first = before_brokers[0].local_addr()?.port().to_string();
        let (brokers, partitions) = (brokers.to_string(), partitions.to_string());
        start.args(["--brokers", &brokers, "--partitions", &partitions, "--advertised-tls", &first]);
        start.args(["--token-seconds", TOKEN_SECONDS, "--token-url", &url(&before_provider)?]);
        start.args(["--registry-url", &url(&before_registry)?]);
        for setting in BROKER_SETTINGS {
            start.args(["--prop", setting]);
        }
        run(start, "starting the servers").await?;

        let endpoints = properties(&place.join("endpoints.env"))?;
        let mut proxies = Vec::new();
        for (index, listener) in before_brokers.into_iter().enumerate() {
            let settings = properties(&place.join(format!("kafka/broker-{}/server.properties", index + 1)))?;
            let target = settings.get("listeners").and_then(|listeners| listeners.split("TLS://").nth(1));
            let target = target.and_then(|rest| rest.split(',').next()).and_then(|address| address.parse().ok());
            let target =
                target.ok_or_else(|| ChaosError::Place(format!("broker {} has no TLS listener", index + 1)))?;
            proxies.push(Proxy::start(listener, target));
        }
        let provider = Proxy::start(before_provider, authority(&endpoints, "OAUTH_TOKEN_URL")?);
        let registry = Proxy::start(before_registry, authority(&endpoints, "SCHEMA_REGISTRY_URL")?);
        let bootstrap = endpoints.get("BOOTSTRAP_PLAINTEXT").cloned().unwrap_or_default();
        let admin = Cluster::connect(ClientConfig::new(bootstrap.split(',').map(str::to_owned))).await?;
        let returning = Mutex::default();
        Ok(Self { peers, dir: place, endpoints, brokers: proxies, provider, registry, admin, returning })
    }

    /// The configuration file of a client.
    pub(crate) fn properties(&self, client: &str) -> PathBuf {
        self.dir.join(format!("{client}.properties"))
    }

    /// A command of Kafka's own, for the listener without login.
    pub(crate) fn kafka_tool(&self, name: &str) -> Command {
        let mut command = Command::new(self.peers.join("kafka/kafka-tool"));
        let bootstrap = self.endpoints.get("BOOTSTRAP_PLAINTEXT").map_or("", String::as_str);
        command.args([name, "--bootstrap-server", bootstrap]);
        command
    }

    /// Sends a signal to a broker, counted from 0.
    ///
    /// # Errors
    /// The broker does not run.
    pub(crate) fn signal_broker(&self, broker: usize, with: Signal) -> Result<(), ChaosError> {
        let file = self.dir.join(format!("kafka/broker-{}/pid", broker + 1));
        let pid = std::fs::read_to_string(&file)?
            .trim()
            .parse()
            .map_err(|_| ChaosError::Place(format!("{} is no process id", file.display())))?;
        signal(pid, with)?;
        Ok(())
    }

    /// Starts a broker that is gone, after a while, without waiting for it; [`Self::in_sync`] does.
    pub(crate) async fn bring_back(&self, broker: usize, after: Duration) {
        let mut restart = Command::new(self.peers.join("kafka/restart"));
        restart.arg((broker + 1).to_string()).arg(self.dir.join("kafka"));
        self.returning.lock().await.spawn(async move {
            tokio::time::sleep(after).await;
            run(restart, "starting a broker again").await
        });
    }

    /// Ends a broker as an operator does and starts it again; returns when it serves.
    ///
    /// # Errors
    /// It does not come back.
    pub(crate) async fn restart(&self, broker: usize) -> Result<(), ChaosError> {
        let mut restart = Command::new(self.peers.join("kafka/restart"));
        restart.arg((broker + 1).to_string()).arg(self.dir.join("kafka"));
        run(restart, "restarting a broker").await
    }

    /// Waits until every broker is back and every replica of every partition in sync.
    ///
    /// # Errors
    /// A broker does not start, or the replicas do not catch up in time.
    pub(crate) async fn in_sync(&self) -> Result<(), ChaosError> {
        let mut returning = self.returning.lock().await;
        while let Some(returned) = returning.join_next().await {
            returned.map_err(|error| ChaosError::Place(error.to_string()))??;
        }
        let look = async {
            loop {
                let topics = self.admin.admin().list_topics().await;
                let whole = topics.is_ok_and(|topics| {
                    let partitions = topics.values().flat_map(|topic| &topic.partitions);
                    partitions.into_iter().all(|it| it.leader.is_some() && it.in_sync.len() == it.replicas.len())
                });
                if whole {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let waited = tokio::time::timeout(IN_SYNC_WITHIN, look).await;
        waited.map_err(|_| ChaosError::Place(format!("the replicas are not in sync after {IN_SYNC_WITHIN:?}")))
    }

    /// The broker, counted from 0, that coordinates a group or a transactional id: the leader of its partition of the topic that
    /// keeps them.
    ///
    /// # Errors
    /// Nobody leads it within a while.
    pub(crate) async fn coordinator(&self, topic: &str, id: &str) -> Result<usize, ChaosError> {
        for _ in 0..100 {
            let described = self.admin.admin().describe_topics([topic]).await;
            let topics = described.into_iter().flatten();
            let found = topics.filter_map(|(_, described)| described.ok()).find_map(|described| {
                let partition = java_hash(id).unsigned_abs() as usize % described.partitions.len().max(1);
                described.partition(partition as i32)?.leader
            });
            if let Some(leader) = found {
                return usize::try_from(leader - 1)
                    .map_err(|_| ChaosError::Place(format!("broker {leader} is unknown")));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err(ChaosError::Place(format!("{topic} has no leader for {id}")))
    }

    /// Ends everything.
    pub(crate) async fn stop(self) {
        self.returning.lock().await.abort_all();
        stop(&self.peers, &self.dir).await;
    }
}

/// Ends whatever `scripts/peers/start` has started in this folder.
async fn stop(peers: &Path, place: &Path) {
    let mut stop = Command::new(peers.join("stop"));
    stop.arg(place).arg("--kill");
    if let Err(error) = run(stop, "stopping the servers").await {
        eprintln!("chaos: {error}");
    }
}

/// `String.hashCode` of Java: decides which partition keeps a group or a transactional id. `i32::MIN` is 0 to Kafka.
fn java_hash(text: &str) -> i32 {
    let hash = text.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    if hash == i32::MIN { 0 } else { hash }
}

/// Listeners on ports that follow each other.
async fn neighbours(count: usize) -> Result<Vec<TcpListener>, ChaosError> {
    for _ in 0..200 {
        let first = fastrand::u16(PROXY_PORTS);
        let mut listeners = Vec::new();
        for port in first..first + count as u16 {
            match TcpListener::bind(("127.0.0.1", port)).await {
                Ok(listener) => listeners.push(listener),
                Err(_) => break,
            }
        }
        if listeners.len() == count {
            return Ok(listeners);
        }
    }
    Err(ChaosError::Place(format!("no {count} free ports between {} and {}", PROXY_PORTS.start, PROXY_PORTS.end)))
}

async fn run(mut command: Command, what: &str) -> Result<(), ChaosError> {
    let output = command.stdin(Stdio::null()).output().await?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    match output.status.code() {
        Some(3) => Err(ChaosError::MissingTool(said)),
        _ => Err(ChaosError::Place(format!("{what}: {}: {said}", output.status))),
    }
}

/// `NAME=VALUE` lines.
fn properties(path: &Path) -> Result<BTreeMap<String, String>, ChaosError> {
    let text = std::fs::read_to_string(path)?;
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    Ok(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

/// Host and port of a URL.
fn authority(endpoints: &BTreeMap<String, String>, name: &str) -> Result<SocketAddr, ChaosError> {
    let url = endpoints.get(name).and_then(|url| url.split("://").nth(1));
    let authority = url.and_then(|rest| rest.split('/').next()).and_then(|authority| authority.parse().ok());
    authority.ok_or_else(|| ChaosError::Place(format!("{name} is no URL of an address and a port")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_javas() {
        assert_eq!(java_hash(""), 0);
        assert_eq!(java_hash("a"), 97);
        assert_eq!(java_hash("hello"), 99_162_322);
        assert_eq!(java_hash("polygenelubricants"), 0, "i32::MIN in Java");
    }

    #[tokio::test]
    async fn neighbours_follow_each_other() {
        let ports: Vec<u16> =
            neighbours(3).await.unwrap().iter().map(|listener| listener.local_addr().unwrap().port()).collect();
        assert_eq!((ports[1] - ports[0], ports[2] - ports[1]), (1, 1));
    }
}
