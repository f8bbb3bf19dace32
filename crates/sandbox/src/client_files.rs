//! The files that make a client ready: one `client.properties` each, in the names that Confluent's own clients use.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::sandbox::Endpoints;

/// The cluster and registry ids that clients must name, as in the cloud.
pub(crate) const LOGICAL_CLUSTER: &str = "lkc-sandbox";
pub(crate) const REGISTRY_CLUSTER: &str = "lsrc-sandbox";

/// Writes `name` into `directory`, readable by the owner only, for there are secrets in it.
pub(crate) fn write_private(directory: &Path, name: &str, text: &str) -> io::Result<PathBuf> {
    let path = directory.join(name);
    // A file that is there keeps its mode when it is opened again, so it is made anew.
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?.write_all(text.as_bytes())?;
    Ok(path)
}

/// The `client.properties` of one client.
pub(crate) fn client_properties(endpoints: &Endpoints, client_id: &str, secret: &str, pool: &str) -> String {
    let mut text = format!(
        "# Written by the sandbox for {client_id}; good until it ends.\n\
         bootstrap.servers={kafka}\n\
         security.protocol={protocol}\n\
         sasl.mechanism=OAUTHBEARER\n\
         sasl.oauthbearer.method=oidc\n\
         sasl.oauthbearer.token.endpoint.url={token}\n\
         sasl.oauthbearer.client.credentials.client.id={client_id}\n\
         sasl.oauthbearer.client.credentials.client.secret={secret}\n\
         sasl.oauthbearer.extensions=logicalCluster={LOGICAL_CLUSTER},identityPoolId={pool}\n\
         schema.registry.url={registry}\n\
         bearer.auth.credentials.source=OAUTHBEARER\n\
         bearer.auth.issuer.endpoint.url={token}\n\
         bearer.auth.client.id={client_id}\n\
         bearer.auth.client.secret={secret}\n\
         bearer.auth.logical.cluster={REGISTRY_CLUSTER}\n\
         bearer.auth.identity.pool.id={pool}\n",
        kafka = endpoints.kafka,
        protocol = if endpoints.ca_file.is_some() { "SASL_SSL" } else { "SASL_PLAINTEXT" },
        token = endpoints.token_url,
        registry = endpoints.registry_url,
    );
    if let Some(ca) = &endpoints.ca_file {
        let ca = ca.display();
        // The token endpoint stands under the same CA as the brokers.
        let _ = write!(text, "ssl.ca.location={ca}\nschema.registry.ssl.ca.location={ca}\n");
    }
    text
}
