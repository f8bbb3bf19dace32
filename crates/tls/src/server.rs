//! The side that accepts: what the sandbox's listeners use.

use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use crate::{Provider, TlsError, crypto_provider};

/// Returns a configuration that shows `chain` (leaf first) and, with `client_ca`, demands a certificate of it from every client.
///
/// # Errors
/// When key and certificate do not fit, or the provider does not know their algorithm.
pub fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    client_ca: Option<CertificateDer<'static>>,
    provider: Provider,
) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = crypto_provider(provider)?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(ca) => {
            let mut roots = RootCertStore::empty();
            roots.add(ca)?;
            builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?,
            )
        }
    };
    Ok(Arc::new(builder.with_single_cert(chain, key)?))
}
