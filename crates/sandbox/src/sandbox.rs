//! Starting all parts, switching one off and on, and ending them.

use std::collections::BTreeMap;
use std::future::IntoFuture;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use futures::future::BoxFuture;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::broker::{self, Broker, BrokerConfig, BrokerStatus, TopicSettings};
use crate::certificates::{CertificateAuthority, CertificateError};
use crate::client_files::{client_properties, write_private};
use crate::config::SandboxConfig;
use crate::issuer::{Issuer, IssuerConfig};
use crate::listener::HttpListener;
use crate::registry::{Registry, RegistryAccess};

const AUDIENCE: &str = "grocery";
/// Requests under way have this long when a part is switched off.
const CLOSING_TIME: Duration = Duration::from_secs(1);

/// Why a sandbox does not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// Somebody else listens there, or the address is not ours.
    #[error("cannot listen on {address} for the {part}: {source}")]
    Bind {
        /// Which part.
        part: Part,
        /// Where.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// The folder for the clients' files cannot be written.
    #[error("cannot write into '{}': {source}", path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// No certificate could be made.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// A schema of the configuration is not possible.
    #[error("the schema of subject '{subject}' cannot be registered: {reason}")]
    Subject {
        /// The subject.
        subject: String,
        /// The registry's words.
        reason: String,
    },
    /// A topic of the configuration is not possible.
    #[error("topic '{topic}' cannot be created: {reason}")]
    Topic {
        /// Its name.
        topic: String,
        /// Why.
        reason: String,
    },
}

/// The parts that can be switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// The Kafka-protocol broker, all its listeners.
    Broker,
    /// The Schema Registry.
    Registry,
    /// The OpenID issuer.
    Issuer,
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Broker => "Kafka broker",
            Self::Registry => "Schema Registry",
            Self::Issuer => "OpenID issuer",
        })
    }
}

/// Where everything is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoints {
    /// `bootstrap.servers` of the listener that wants a login.
    pub kafka: String,
    /// `bootstrap.servers` of the open listener.
    pub open: Option<String>,
    /// `schema.registry.url`.
    pub registry_url: String,
    /// `schema.registry.url` without authentication or access rules, where there is an open listener.
    pub open_registry_url: Option<String>,
    /// The issuer's own URL.
    pub issuer_url: String,
    /// Where clients get tokens.
    pub token_url: String,
    /// The CA of all three, unless they speak plaintext.
    pub ca_file: Option<PathBuf>,
    /// Where the clients' files are.
    pub directory: PathBuf,
}

/// A running sandbox. Dropping it ends it at once; [`shutdown`](Self::shutdown) lets connections finish.
pub struct Sandbox {
    endpoints: Endpoints,
    broker: Arc<Broker>,
    issuer: Issuer,
    registry: Registry,
    switches: [(Part, watch::Sender<bool>); 3],
    shutdown: CancellationToken,
    tasks: TaskTracker,
    /// Deletes the temporary folder at the end.
    _temporary: Option<TemporaryDirectory>,
}

impl Sandbox {
    /// Binds all parts, fills them and begins to serve.
    ///
    /// # Errors
    /// [`SandboxError`] names the address, folder or topic. Nothing is left running then.
    pub async fn start(config: SandboxConfig) -> Result<Self, SandboxError> {
        Self::starting(config).await
    }

    /// Boxed here, so that the servers are compiled in this crate and not anew in each that starts a sandbox.
    fn starting(config: SandboxConfig) -> BoxFuture<'static, Result<Self, SandboxError>> {
        Box::pin(Self::start_all(config))
    }

    async fn start_all(config: SandboxConfig) -> Result<Self, SandboxError> {
        let (directory, temporary) = directory(config.directory.as_deref())?;
        let bind = async |part, address| {
            TcpListener::bind(address).await.map_err(|source| SandboxError::Bind { part, address, source })
        };
        let kafka = bind(Part::Broker, config.kafka).await?;
        let open = match config.open {
            Some(address) => Some(bind(Part::Broker, address).await?),
            None => None,
        };
        let registry_socket = bind(Part::Registry, config.registry).await?;
        let open_registry_socket = match config.open {
            Some(address) => Some(bind(Part::Registry, SocketAddr::new(address.ip(), 0)).await?),
            None => None,
        };
        let issuer_socket = bind(Part::Issuer, config.issuer).await?;

        let in_directory = |source| SandboxError::Directory { path: directory.clone(), source };
        let host = |address: SocketAddr| config.advertised_host.clone().unwrap_or_else(|| host_of(address));
        let place = |listener: &TcpListener| -> Result<(String, u16), SandboxError> {
            let address = listener.local_addr().map_err(in_directory)?;
            Ok((host(address), address.port()))
        };
        let (kafka_at, registry_at, issuer_at) = (place(&kafka)?, place(&registry_socket)?, place(&issuer_socket)?);
        let open_at = open.as_ref().map(place).transpose()?;
        let open_registry_at = open_registry_socket.as_ref().map(place).transpose()?;

        let (tls, ca_file) = if config.plaintext {
            (None, None)
        } else {
            let authority = CertificateAuthority::new()?;
            let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
            names.extend(config.advertised_host.clone());
            let path = directory.join("ca.pem");
            std::fs::write(&path, authority.pem()).map_err(in_directory)?;
            (Some(authority.server_config(&names)?), Some(path))
        };
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = |(host, port): &(String, u16)| format!("{scheme}://{host}:{port}");

        let clients: BTreeMap<_, _> = config
            .rules
            .principals()
            .map(|client| (client.to_owned(), uuid::Uuid::new_v4().simple().to_string()))
            .collect();
        let issuer = Issuer::new(IssuerConfig {
            url: url(&issuer_at),
            audience: AUDIENCE.to_owned(),
            token_lifetime: config.token_lifetime,
            clients: clients.clone(),
        });
        let endpoints = Endpoints {
            kafka: authority_of(&kafka_at),
            open: open_at.as_ref().map(authority_of),
            registry_url: url(&registry_at),
            open_registry_url: open_registry_at.as_ref().map(|at| format!("http://{}", authority_of(at))),
            issuer_url: url(&issuer_at),
            token_url: issuer.token_url(),
            ca_file,
            directory: directory.clone(),
        };
        write_client_files(&endpoints, &config, &clients).map_err(in_directory)?;

        let shutdown = CancellationToken::new();
        let rules = Arc::new(config.rules);
        let verifier = issuer.clone();
        let broker = Broker::start(
            BrokerConfig {
                cluster_id: crate::client_files::LOGICAL_CLUSTER.to_owned(),
                max_log_bytes: config.max_log_bytes,
                group_settings: crate::groups::Settings {
                    consumer: config.consumer_groups,
                    ..crate::groups::Settings::default()
                },
                transactions: config.transactions,
                rules: Arc::clone(&rules),
                verify: Arc::new(move |jwt, now| verifier.verify(jwt, now).map_err(|refusal| refusal.to_string())),
            },
            &shutdown,
        );
        // From here on an error must end what was started.
        let sandbox = Self {
            endpoints,
            broker,
            issuer,
            registry: Registry::new(),
            switches: [Part::Broker, Part::Registry, Part::Issuer].map(|part| (part, watch::channel(true).0)),
            shutdown,
            tasks: TaskTracker::new(),
            _temporary: temporary,
        };
        for topic in &config.topics {
            sandbox.create_topic(topic)?;
        }
        for (subject, schema) in &config.subjects {
            let impossible = |reason| SandboxError::Subject { subject: subject.clone(), reason };
            sandbox.registry.register(subject, schema).map_err(impossible)?;
        }
        sandbox.serve_kafka(kafka, tls.clone().map(TlsAcceptor::from), true, kafka_at);
        if let (Some(open), Some(open_at)) = (open, open_at) {
            sandbox.serve_kafka(open, None, false, open_at);
        }
        sandbox.serve_http(Part::Issuer, issuer_socket, tls.clone(), sandbox.issuer.router());
        let access = RegistryAccess {
            issuer: sandbox.issuer.clone(),
            rules,
            logical_cluster: crate::client_files::REGISTRY_CLUSTER.to_owned(),
        };
        sandbox.serve_http(Part::Registry, registry_socket, tls, sandbox.registry.router(Some(access)));
        if let Some(socket) = open_registry_socket {
            sandbox.serve_http(Part::Registry, socket, None, sandbox.registry.router(None));
        }
        sandbox.tasks.close();
        Ok(sandbox)
    }

    fn create_topic(&self, topic: &crate::config::TopicSpec) -> Result<(), SandboxError> {
        let mut settings = TopicSettings::default();
        let impossible = |reason| SandboxError::Topic { topic: topic.name.clone(), reason };
        for (name, value) in &topic.settings {
            settings.set(name, value).map_err(impossible)?;
        }
        match self.broker.topics.create(&topic.name, topic.partitions, settings, false) {
            Ok(_) => Ok(()),
            Err(error) => Err(impossible(error.to_string())),
        }
    }

    fn switch(&self, part: Part) -> &watch::Sender<bool> {
        let (_, switch) = &self.switches[part as usize];
        switch
    }

    fn serve_kafka(&self, socket: TcpListener, tls: Option<TlsAcceptor>, secured: bool, advertised: (String, u16)) {
        let open = self.switch(Part::Broker).subscribe();
        let listener = broker::listener::Listener { socket, tls, secured, advertised, open };
        self.tasks.spawn(broker::listener::serve(listener, Arc::clone(&self.broker), self.shutdown.clone()));
    }

    /// Serves `router` while the part is on. Switched off, it does not listen at all, as a server that is down.
    fn serve_http(&self, part: Part, socket: TcpListener, tls: Option<Arc<rustls::ServerConfig>>, router: Router) {
        let mut switch = self.switch(part).subscribe();
        let shutdown = self.shutdown.clone();
        self.tasks.spawn(async move {
            let Ok(address) = socket.local_addr() else { return };
            let mut socket = Some(socket);
            loop {
                let bound = match socket.take() {
                    Some(bound) => bound,
                    None => match TcpListener::bind(address).await {
                        Ok(bound) => bound,
                        Err(error) => return warn!(%address, %error, "the {part} cannot come back"),
                    },
                };
                let Ok(listener) = HttpListener::new(bound, tls.clone()) else { return };
                let closing = CancellationToken::new();
                let server = axum::serve(listener, router.clone())
                    .with_graceful_shutdown(closing.clone().cancelled_owned())
                    .into_future();
                tokio::pin!(server);
                let ends = tokio::select! {
                    _ = &mut server => true,
                    () = shutdown.cancelled() => true,
                    switched = switch.wait_for(|on| !on) => switched.is_err(),
                };
                closing.cancel();
                let _ = tokio::time::timeout(CLOSING_TIME, server).await;
                if ends {
                    return;
                }
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    switched = switch.wait_for(|on| *on) => if switched.is_err() { return },
                }
            }
        });
    }

    /// Where everything is.
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// The ready `client.properties` of a client that the access rules know.
    pub fn client_properties(&self, client_id: &str) -> PathBuf {
        self.endpoints.directory.join(format!("{client_id}.properties"))
    }

    /// The secret of one of the issuer's clients.
    pub fn client_secret(&self, client_id: &str) -> Option<&str> {
        self.issuer.config().clients.get(client_id).map(String::as_str)
    }

    /// What the broker holds and does now.
    pub fn status(&self) -> BrokerStatus {
        self.broker.status()
    }

    /// The Schema Registry.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Whether a part is switched on.
    pub fn is_on(&self, part: Part) -> bool {
        *self.switch(part).borrow()
    }

    /// Takes a part down: its connections end and new ones are refused. What it holds is kept.
    pub fn pause(&self, part: Part) {
        let _ = self.switch(part).send_replace(false);
    }

    /// Brings a part back, on the same port.
    pub fn resume(&self, part: Part) {
        let _ = self.switch(part).send_replace(true);
    }

    /// Ends every part and waits for the connections to close, a few seconds at most.
    pub async fn shutdown(self) {
        self.shutdown.cancel();
        let _ = tokio::time::timeout(CLOSING_TIME * 3, self.tasks.wait()).await;
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// What clients are told for a listener on this address: an address that means "any" is of no use to them.
fn host_of(address: SocketAddr) -> String {
    if address.ip().is_unspecified() { "localhost".to_owned() } else { address.ip().to_string() }
}

fn authority_of((host, port): &(String, u16)) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn write_client_files(
    endpoints: &Endpoints,
    config: &SandboxConfig,
    secrets: &BTreeMap<String, String>,
) -> io::Result<()> {
    for (client, secret) in secrets {
        let pool = config.rules.pool_id(client).unwrap_or_default();
        let text = client_properties(endpoints, client, secret, &pool);
        write_private(&endpoints.directory, &format!("{client}.properties"), &text)?;
    }
    if let Some(open) = &endpoints.open {
        let mut text = format!("bootstrap.servers={open}\nsecurity.protocol=PLAINTEXT\n");
        if let Some(registry) = &endpoints.open_registry_url {
            text.push_str(&format!("schema.registry.url={registry}\n"));
        }
        write_private(&endpoints.directory, "open.properties", &text)?;
    }
    Ok(())
}

struct TemporaryDirectory(PathBuf);

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn directory(wanted: Option<&Path>) -> Result<(PathBuf, Option<TemporaryDirectory>), SandboxError> {
    use std::os::unix::fs::DirBuilderExt;
    let path = match wanted {
        // The clients' files hold absolute paths, whichever folder a client is started in.
        Some(path) => std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
        None => std::env::temp_dir().join(format!("grocery-sandbox-{}", uuid::Uuid::new_v4())),
    };
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&path)
        .map_err(|source| SandboxError::Directory { path: path.clone(), source })?;
    let temporary = wanted.is_none().then(|| TemporaryDirectory(path.clone()));
    Ok((path, temporary))
}
