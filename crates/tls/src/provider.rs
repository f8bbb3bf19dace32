//! The choice of the crypto provider, made from what the CPU says at run time.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

use crate::TlsError;

/// Where cryptography comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Provider {
    /// Graviola where this CPU can run it, RustCrypto elsewhere.
    #[default]
    Auto,
    /// Formally verified assembly: fast, on 64-bit x86 and ARM with AES instructions only.
    Graviola,
    /// Portable Rust: for older x86, Raspberry Pi class ARM and every 32-bit CPU.
    RustCrypto,
}

/// Returns the provider for `choice`.
///
/// # Errors
/// [`TlsError::UnsupportedCpu`] when graviola is asked for by name on a CPU that cannot run it. `Auto` never fails.
pub fn crypto_provider(choice: Provider) -> Result<Arc<CryptoProvider>, TlsError> {
    match choice {
        Provider::RustCrypto => Ok(Arc::new(rustls_rustcrypto::provider())),
        Provider::Graviola => graviola().ok_or(TlsError::UnsupportedCpu),
        Provider::Auto => Ok(graviola().unwrap_or_else(|| Arc::new(rustls_rustcrypto::provider()))),
    }
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn graviola() -> Option<Arc<CryptoProvider>> {
    // Graviola panics on first use where a feature is missing, so its own check comes before the choice.
    graviola::util::is_cpu_supported().then(|| Arc::new(rustls_graviola::default_provider()))
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn graviola() -> Option<Arc<CryptoProvider>> {
    None
}
