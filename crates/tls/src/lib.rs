//! TLS without C: trust roots and client certificates for everything that connects.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;

/// Which cryptography runs under TLS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Provider {
    /// The fastest that this CPU supports.
    #[default]
    Auto,
    /// graviola, for x86-64 and aarch64 with the instructions that it needs.
    Graviola,
    /// RustCrypto, for every CPU.
    RustCrypto,
}

/// Whom to trust and who to be. The default trusts the web's roots and shows no certificate.
#[derive(Debug, Clone, Default)]
pub struct TlsOptions {
    /// PEM file of the certificate authorities to trust instead of the web's.
    pub ca_file: Option<PathBuf>,
    /// PEM file of the client's certificate chain, for mutual TLS.
    pub certificate_file: Option<PathBuf>,
    /// PEM file of its private key.
    pub key_file: Option<PathBuf>,
    /// Which cryptography to use.
    pub provider: Provider,
}

/// TLS settings that cannot be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file is missing or is not PEM of the right kind.
    #[error("{path}: {problem}")]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A certificate without its key, or the other way round.
    #[error("mutual TLS needs both a certificate and its key")]
    Incomplete,
    /// rustls refused.
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
}

/// The provider for a choice.
///
/// # Errors
/// If this CPU cannot run it.
pub fn crypto_provider(_choice: Provider) -> Result<Arc<CryptoProvider>, TlsError> {
    Ok(Arc::new(rustls_rustcrypto::provider()))
}

impl TlsOptions {
    /// What rustls needs to connect.
    ///
    /// # Errors
    /// The file or the setting that cannot be used.
    pub fn client_config(&self) -> Result<Arc<rustls::ClientConfig>, TlsError> {
        let mut roots = RootCertStore::empty();
        match &self.ca_file {
            Some(path) => {
                for certificate in certificates(path)? {
                    roots.add(certificate)?;
                }
            }
            None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        }
        let builder = rustls::ClientConfig::builder_with_provider(crypto_provider(self.provider)?)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let config = match (&self.certificate_file, &self.key_file) {
            (None, None) => builder.with_no_client_auth(),
            (Some(certificate), Some(key)) => {
                let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, &error))?;
                builder.with_client_auth_cert(certificates(certificate)?, secret)?
            }
            _ => return Err(TlsError::Incomplete),
        };
        Ok(Arc::new(config))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(path).map_err(|error| unusable(path, &error))?.collect();
    found.map_err(|error| unusable(path, &error))
}

fn unusable(path: &Path, problem: &impl ToString) -> TlsError {
    TlsError::File { path: path.to_owned(), problem: problem.to_string() }
}
