//! TLS without C: which crypto provider this CPU gets, which certificates are trusted, and which one we show.
//!
//! Tokens, Kafka and the Schema Registry are all reached over TLS, and the sandbox accepts it. This crate gives all of them
//! the same answer: rustls, with graviola's assembly where the CPU has what it needs and RustCrypto's portable code elsewhere.
//! It knows files and CPUs; it opens no socket.

mod client;
mod distrust;
mod pem_files;
mod provider;
mod server;

pub use client::TlsOptions;
pub use distrust::distrust;
pub use pem_files::TlsError;
pub use provider::{Provider, crypto_provider};
pub use server::server_config;
