//! Handshakes between both providers, in memory, with certificates of a CA made for the test.

#![allow(clippy::unwrap_used)]

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use p256::ecdsa::signature::Signer;
use p256::elliptic_curve::sec1::ToEncodedPoint;
use p256::pkcs8::{EncodePrivateKey, LineEnding};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyIdMethod, KeyUsagePurpose, PublicKeyData, SigningKey,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConnection, ProtocolVersion, ServerConnection};
use tls::{Provider, TlsError, TlsOptions, server_config};

/// A P-256 key that rcgen can sign with; rcgen's own keys would bring ring.
struct Key {
    signing: p256::ecdsa::SigningKey,
    point: Vec<u8>,
}

impl Key {
    fn new() -> Self {
        let signing = p256::ecdsa::SigningKey::random(&mut p256::elliptic_curve::rand_core::OsRng);
        let point = signing.verifying_key().as_affine().to_encoded_point(false).as_bytes().to_vec();
        Self { signing, point }
    }

    fn pem(&self) -> String {
        self.signing.to_pkcs8_pem(LineEnding::LF).unwrap().to_string()
    }

    fn der(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.signing.to_pkcs8_der().unwrap().as_bytes().to_vec()))
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
fn parameters(names: Vec<String>) -> CertificateParams {
    static SERIAL: AtomicU64 = AtomicU64::new(1);
    let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
    let mut params = CertificateParams::new(names).unwrap();
    params.serial_number = Some(serial.into());
    params.key_identifier_method = KeyIdMethod::PreSpecified(serial.to_be_bytes().to_vec());
    params
}

struct Authority {
    issuer: Issuer<'static, Key>,
    certificate: rcgen::Certificate,
    folder: tempfile::TempDir,
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = Key::new();
        let mut params = parameters(Vec::new());
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let certificate = params.self_signed(&key).unwrap();
        Self { issuer: Issuer::new(params, key), certificate, folder: tempfile::tempdir().unwrap() }
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn ca_file(&self) -> PathBuf {
        self.write("ca.pem", &self.certificate.pem())
    }

    fn issue(&self, name: &str) -> (rcgen::Certificate, Key) {
        let key = Key::new();
        let certificate = parameters(vec![name.to_owned()]).signed_by(&key, &self.issuer).unwrap();
        (certificate, key)
    }

    fn trusting_client(&self) -> TlsOptions {
        TlsOptions { ca_file: Some(self.ca_file()), ..TlsOptions::default() }
    }
}

/// Runs the handshake to its end and returns both sides, or the first error of either.
fn shake_hands(
    client: Arc<rustls::ClientConfig>,
    server: Arc<rustls::ServerConfig>,
    name: &'static str,
) -> Result<(ClientConnection, ServerConnection), rustls::Error> {
    let mut client = ClientConnection::new(client, ServerName::try_from(name).unwrap())?;
    let mut server = ServerConnection::new(server)?;
    for _ in 0..10 {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets()?;
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets()?;
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok((client, server))
}

fn server_of(authority: &Authority, name: &str, provider: Provider) -> Arc<rustls::ServerConfig> {
    let (certificate, key) = authority.issue(name);
    server_config(vec![certificate.der().clone()], key.der(), None, provider).unwrap()
}

#[test]
fn both_providers_speak_with_each_other_in_both_versions() {
    let authority = Authority::new("store CA");
    // A CPU without graviola still tests RustCrypto with itself.
    let providers: Vec<_> = [Provider::Graviola, Provider::RustCrypto]
        .into_iter()
        .filter(|provider| tls::crypto_provider(*provider).is_ok())
        .collect();
    for client_side in &providers {
        for server_side in &providers {
            for version in [ProtocolVersion::TLSv1_3, ProtocolVersion::TLSv1_2] {
                let mut server = (*server_of(&authority, "broker.store", *server_side)).clone();
                if version == ProtocolVersion::TLSv1_2 {
                    let (certificate, key) = authority.issue("broker.store");
                    server = rustls::ServerConfig::builder_with_provider(tls::crypto_provider(*server_side).unwrap())
                        .with_protocol_versions(&[&rustls::version::TLS12])
                        .unwrap()
                        .with_no_client_auth()
                        .with_single_cert(vec![certificate.der().clone()], key.der())
                        .unwrap();
                }
                let options = TlsOptions { provider: *client_side, ..authority.trusting_client() };
                let (mut client, mut server) =
                    shake_hands(options.client_config().unwrap(), Arc::new(server), "broker.store").unwrap();
                assert_eq!(client.protocol_version(), Some(version), "{client_side:?} to {server_side:?}");

                client.writer().write_all(b"whole milk").unwrap();
                let mut wire = Vec::new();
                client.write_tls(&mut wire).unwrap();
                server.read_tls(&mut wire.as_slice()).unwrap();
                server.process_new_packets().unwrap();
                let mut heard = [0; 10];
                io::Read::read_exact(&mut server.reader(), &mut heard).unwrap();
                assert_eq!(&heard, b"whole milk");
            }
        }
    }
}

#[test]
fn an_ip_address_in_the_certificate_is_accepted() {
    let authority = Authority::new("store CA");
    let server = server_of(&authority, "127.0.0.1", Provider::Auto);
    shake_hands(authority.trusting_client().client_config().unwrap(), server, "127.0.0.1").unwrap();
}

#[test]
fn a_certificate_of_another_ca_is_refused() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let server = server_of(&theirs, "broker.store", Provider::Auto);
    let error = shake_hands(ours.trusting_client().client_config().unwrap(), server, "broker.store").unwrap_err();
    assert!(matches!(error, rustls::Error::InvalidCertificate(_)), "{error}");
}

#[test]
fn a_certificate_for_another_name_is_refused() {
    let authority = Authority::new("store CA");
    let server = server_of(&authority, "broker.store", Provider::Auto);
    let error =
        shake_hands(authority.trusting_client().client_config().unwrap(), server, "elsewhere.store").unwrap_err();
    assert!(error.to_string().contains("broker.store"), "{error}");
}

#[test]
fn mutual_tls_lets_in_only_who_shows_a_certificate() {
    let authority = Authority::new("store CA");
    let (certificate, key) = authority.issue("broker.store");
    let demanding = server_config(
        vec![certificate.der().clone()],
        key.der(),
        Some(CertificateDer::from(authority.certificate.der().to_vec())),
        Provider::Auto,
    )
    .unwrap();

    let stranger = authority.trusting_client();
    let error = shake_hands(stranger.client_config().unwrap(), Arc::clone(&demanding), "broker.store").unwrap_err();
    assert_eq!(error, rustls::Error::NoCertificatesPresented);

    let (certificate, key) = authority.issue("picklist-consumer");
    let known = TlsOptions {
        certificate_file: Some(authority.write("client.pem", &certificate.pem())),
        key_file: Some(authority.write("client.key", &key.pem())),
        ..stranger
    };
    shake_hands(known.client_config().unwrap(), demanding, "broker.store").unwrap();
}

#[test]
fn mistakes_in_files_name_the_file_and_the_key() {
    let authority = Authority::new("store CA");
    let missing = TlsOptions { ca_file: Some("/nowhere/ca.pem".into()), ..TlsOptions::default() };
    let error = missing.client_config().unwrap_err().to_string();
    assert!(error.contains("/nowhere/ca.pem") && error.contains("ssl.ca.location"), "{error}");

    let empty = TlsOptions { ca_file: Some(authority.write("empty.pem", "not PEM\n")), ..TlsOptions::default() };
    let error = empty.client_config().unwrap_err().to_string();
    assert!(error.contains("empty.pem") && error.contains("ssl.ca.location"), "{error}");

    let half = TlsOptions { certificate_file: Some(authority.ca_file()), ..TlsOptions::default() };
    assert!(matches!(half.client_config(), Err(TlsError::HalfIdentity { present: "ssl.certificate.location" })));

    let swapped = TlsOptions {
        certificate_file: Some(authority.ca_file()),
        key_file: Some(authority.ca_file()),
        ..TlsOptions::default()
    };
    let error = swapped.client_config().unwrap_err().to_string();
    assert!(error.contains("ssl.key.location"), "{error}");
}

#[test]
fn without_options_the_public_cas_are_trusted() {
    assert!(TlsOptions::default().client_config().is_ok());
}
