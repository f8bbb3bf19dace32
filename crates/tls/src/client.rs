//! The side that connects.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

use crate::pem_files::{self, CERTIFICATE};
use crate::{Provider, TlsError, crypto_provider};

/// How a client checks a server and shows itself.
///
/// The default trusts the public CAs that are compiled in (Mozilla's list), so that an empty container needs no CA file, and shows
/// no certificate. Host names and IP addresses are always verified.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// `ssl.ca.location`: trust the certificates of this PEM file, and no others.
    pub ca_file: Option<PathBuf>,
    /// `ssl.certificate.location`: the certificate chain to show, in PEM, leaf first (mutual TLS).
    pub certificate_file: Option<PathBuf>,
    /// `ssl.key.location`: the key of that certificate, in PEM, unencrypted.
    pub key_file: Option<PathBuf>,
    /// Where cryptography comes from.
    pub provider: Provider,
}

impl TlsOptions {
    /// Reads the files and returns a configuration for TLS 1.2 and 1.3.
    ///
    /// The files are read now and not again: call it anew to pick up a renewed certificate.
    ///
    /// # Errors
    /// Every error names the file and the configuration key. None of them passes by waiting.
    pub fn client_config(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let roots = match &self.ca_file {
            Some(path) => pem_files::roots(path)?,
            None => RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
        };
        let builder = ClientConfig::builder_with_provider(crypto_provider(self.provider)?)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let config = match (&self.certificate_file, &self.key_file) {
            (None, None) => builder.with_no_client_auth(),
            (Some(certificate), Some(key)) => {
                let chain = pem_files::certificates(certificate, CERTIFICATE)?;
                builder.with_client_auth_cert(chain, pem_files::private_key(key)?)?
            }
            (Some(_), None) => return Err(TlsError::HalfIdentity { present: CERTIFICATE.key }),
            (None, Some(_)) => return Err(TlsError::HalfIdentity { present: pem_files::KEY.key }),
        };
        Ok(Arc::new(config))
    }
}
