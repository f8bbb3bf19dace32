//! A certificate authority that lives as long as the sandbox, and the certificates of its listeners.
//!
//! rcgen writes the certificates and `p256` makes and uses the keys: rcgen's own would bring ring, which compiles C.

use std::net::IpAddr;
use std::sync::Arc;

use p256::ecdsa::signature::Signer;
use p256::elliptic_curve::rand_core::OsRng;
use p256::elliptic_curve::sec1::ToEncodedPoint;
use p256::pkcs8::EncodePrivateKey;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod,
    KeyUsagePurpose, PublicKeyData, SerialNumber, SigningKey,
};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use thiserror::Error;

/// A certificate that could not be made.
#[derive(Debug, Error)]
pub enum CertificateError {
    /// rcgen refused.
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The key cannot be written.
    #[error("cannot write a key: {0}")]
    Key(#[from] p256::pkcs8::Error),
    /// rustls does not take it.
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
}

/// Signs the certificates of one sandbox.
pub struct CertificateAuthority {
    issuer: Issuer<'static, Key>,
    certificate: Certificate,
}

impl CertificateAuthority {
    /// Makes a new authority; nobody else can sign for it.
    ///
    /// # Errors
    /// If rcgen refuses.
    pub fn new() -> Result<Self, CertificateError> {
        let key = Key::new();
        let mut params = parameters(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, "grocery sandbox CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        let certificate = params.self_signed(&key)?;
        Ok(Self { issuer: Issuer::new(params, key), certificate })
    }

    /// The authority's certificate, for clients' `ssl.ca.location`.
    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// What a listener needs that is reached as `localhost`, by a loopback address or by any of `names`.
    ///
    /// # Errors
    /// If a name cannot be in a certificate.
    pub fn server_config(&self, names: &[String]) -> Result<Arc<rustls::ServerConfig>, CertificateError> {
        let mut all: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
        for name in names {
            // An address of "every interface" is nobody's name.
            let unspecified = name.parse::<IpAddr>().is_ok_and(|address| address.is_unspecified());
            if !unspecified && !all.contains(name) {
                all.push(name.clone());
            }
        }
        let key = Key::new();
        let mut params = parameters(all)?;
        params.distinguished_name.push(DnType::CommonName, "grocery sandbox");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let chain = vec![certificate.der().clone(), self.certificate.der().clone()];
        Ok(tls::server_config(chain, key.der()?, None, tls::Provider::Auto)?)
    }
}

/// A P-256 key that rcgen can sign with.
struct Key {
    signing: p256::ecdsa::SigningKey,
    point: Vec<u8>,
}

impl Key {
    fn new() -> Self {
        let signing = p256::ecdsa::SigningKey::random(&mut OsRng);
        let point = signing.verifying_key().as_affine().to_encoded_point(false).as_bytes().to_vec();
        Self { signing, point }
    }

    fn der(&self) -> Result<PrivateKeyDer<'static>, CertificateError> {
        let document = self.signing.to_pkcs8_der()?;
        Ok(PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(document.as_bytes().to_vec())))
    }
}

impl PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        &self.point
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

impl SigningKey for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signature: p256::ecdsa::DerSignature = self.signing.sign(message);
        Ok(signature.as_bytes().to_vec())
    }
}

/// Without its own cryptography rcgen cannot make up a serial number or hash a key into an identifier.
fn parameters(names: Vec<String>) -> Result<CertificateParams, CertificateError> {
    let random = uuid::Uuid::new_v4();
    let mut params = CertificateParams::new(names)?;
    params.serial_number = Some(SerialNumber::from_slice(&random.as_bytes()[..8]));
    params.key_identifier_method = KeyIdMethod::PreSpecified(random.as_bytes().to_vec());
    Ok(params)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_trusts_the_authority_reaches_a_listener_by_name_and_by_address() {
        let authority = CertificateAuthority::new().unwrap();
        let server = authority.server_config(&["broker.store".to_owned(), "0.0.0.0".to_owned()]).unwrap();
        let folder = std::env::temp_dir().join(format!("sandbox-ca-{}.pem", uuid::Uuid::new_v4()));
        std::fs::write(&folder, authority.pem()).unwrap();
        let options = tls::TlsOptions { ca_file: Some(folder.clone()), ..tls::TlsOptions::default() };
        let client = options.client_config().unwrap();
        std::fs::remove_file(folder).unwrap();
        for name in ["localhost", "127.0.0.1", "broker.store"] {
            let name = rustls_pki_types::ServerName::try_from(name).unwrap();
            let mut client = rustls::ClientConnection::new(Arc::clone(&client), name).unwrap();
            let mut server = rustls::ServerConnection::new(Arc::clone(&server)).unwrap();
            while client.is_handshaking() || server.is_handshaking() {
                let mut wire = Vec::new();
                client.write_tls(&mut wire).unwrap();
                server.read_tls(&mut wire.as_slice()).unwrap();
                server.process_new_packets().unwrap();
                let mut wire = Vec::new();
                server.write_tls(&mut wire).unwrap();
                client.read_tls(&mut wire.as_slice()).unwrap();
                client.process_new_packets().unwrap();
            }
        }
    }
}
