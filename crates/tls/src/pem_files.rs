//! Certificates and keys from PEM files, with errors that name the file and the configuration key.

use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;

/// Why no TLS configuration could be made. All of these are mistakes in configuration: waiting does not mend them.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file could not be read.
    #[error("cannot read {what} '{}': {source} (set by {key})", path.display())]
    Read {
        /// What the file should hold.
        what: &'static str,
        /// The configuration key that names the file.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file was read and does not hold what it should.
    #[error("'{}' holds no usable {what}: {reason} (set by {key}; PEM is expected)", path.display())]
    Content {
        /// What the file should hold.
        what: &'static str,
        /// The configuration key that names the file.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A client certificate without its key, or a key without its certificate.
    #[error("mutual TLS needs both ssl.certificate.location and ssl.key.location; only {present} is set")]
    HalfIdentity {
        /// The key that is set.
        present: &'static str,
    },
    /// Graviola was asked for by name on a CPU without the instructions that it needs.
    #[error(
        "this CPU lacks the instructions that the graviola TLS provider needs; leave the choice of the provider to 'auto'"
    )]
    UnsupportedCpu,
    /// Certificate and key do not fit each other, or the provider does not know their algorithm.
    #[error("the certificate or its key cannot be used: {0}")]
    Rustls(#[from] rustls::Error),
    /// The verifier of client certificates could not be built.
    #[error("the CA for client certificates cannot be used: {0}")]
    ClientVerifier(#[from] rustls::server::VerifierBuilderError),
}

/// What a file should hold and which key names it.
#[derive(Clone, Copy)]
pub(crate) struct Purpose {
    pub(crate) what: &'static str,
    pub(crate) key: &'static str,
}

pub(crate) const CA: Purpose = Purpose { what: "CA certificate", key: "ssl.ca.location" };
pub(crate) const CERTIFICATE: Purpose = Purpose { what: "client certificate", key: "ssl.certificate.location" };
pub(crate) const KEY: Purpose = Purpose { what: "private key", key: "ssl.key.location" };

impl Purpose {
    fn error(self, path: &Path, error: pem::Error) -> TlsError {
        let Purpose { what, key } = self;
        match error {
            pem::Error::Io(source) => TlsError::Read { what, key, path: path.into(), source },
            pem::Error::NoItemsFound => self.content(path, format!("no {what} section was found")),
            other => self.content(path, other.to_string()),
        }
    }

    fn content(self, path: &Path, reason: String) -> TlsError {
        TlsError::Content { what: self.what, key: self.key, path: path.into(), reason }
    }
}

/// Reads every certificate of the file; none is an error.
pub(crate) fn certificates(path: &Path, purpose: Purpose) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| purpose.error(path, error))?;
    if certificates.is_empty() {
        return Err(purpose.error(path, pem::Error::NoItemsFound));
    }
    Ok(certificates)
}

/// Reads the first private key of the file: PKCS#8, PKCS#1 or SEC1.
pub(crate) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| match error {
        pem::Error::NoItemsFound => KEY.content(path, "no unencrypted PRIVATE KEY section was found".to_owned()),
        other => KEY.error(path, other),
    })
}

/// Reads the certificates of the file as trust anchors.
pub(crate) fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, CA)? {
        roots.add(certificate).map_err(|error| CA.content(path, error.to_string()))?;
    }
    Ok(roots)
}
