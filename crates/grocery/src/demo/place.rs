//! Where the demo's pipeline runs: a sandbox in this process, with the grocery's topics, schemas, clients and access rules.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sandbox::{Part, Sandbox};
use service_kit::ServiceError;
use tempfile::TempDir;

use super::Args;
use crate::dashboard::snapshot::{PartView, SandboxView};
use crate::sandbox_command::{grocery_sandbox, unusable};

/// A running sandbox and the folder of this run's files, deleted at the end.
pub(super) struct Place {
    sandbox: Arc<Sandbox>,
    folder: TempDir,
}

impl Place {
    pub(super) async fn start(args: &Args) -> Result<Self, ServiceError> {
        let folder = tempfile::Builder::new().prefix("grocery-demo-").tempdir();
        let folder = folder.map_err(|error| ServiceError::Usage(format!("no temporary folder (TMPDIR): {error}")))?;
        let mut config = grocery_sandbox()?;
        config.plaintext = args.plaintext;
        config.token_lifetime = args.token_lifetime;
        config.directory = Some(folder.path().to_owned());
        let sandbox = Sandbox::start(config).await.map_err(|error| unusable(&error))?;
        Ok(Self { sandbox: Arc::new(sandbox), folder })
    }

    /// Where files of this run may go.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The `client.properties` of a client.
    pub(super) fn properties(&self, client: &str) -> PathBuf {
        self.sandbox.client_properties(client)
    }

    /// What to tell people at the start.
    pub(super) fn introduction(&self) -> String {
        let at = self.sandbox.endpoints();
        format!(
            "sandbox       Kafka {}, Schema Registry {}, OpenID issuer {}\n\
             clients       {}/<client>.properties",
            at.kafka,
            at.registry_url,
            at.issuer_url,
            self.folder.path().display()
        )
    }

    /// A look at the sandbox's parts, as often as it is called.
    pub(super) fn view(&self) -> Box<dyn Fn() -> SandboxView + Send> {
        let sandbox = Arc::clone(&self.sandbox);
        Box::new(move || {
            let at = sandbox.endpoints();
            let status = sandbox.status();
            let denied = if status.denied > 0 { format!(", {} denied", status.denied) } else { String::new() };
            let broker = format!("{} connections, {} requests{denied}", status.connections, status.requests);
            let part = |part, address: &str, detail: String| PartView {
                state: if sandbox.is_on(part) { "up" } else { "down" },
                address: address.to_owned(),
                detail,
            };
            SandboxView {
                broker: part(Part::Broker, &at.kafka, broker),
                registry: part(Part::Registry, &at.registry_url, String::new()),
                issuer: part(Part::Issuer, &at.issuer_url, String::new()),
            }
        })
    }

    pub(super) async fn shutdown(self) {
        // Whoever still looks at it lets it end by dropping it.
        if let Ok(sandbox) = Arc::try_unwrap(self.sandbox) {
            sandbox.shutdown().await;
        }
    }
}
