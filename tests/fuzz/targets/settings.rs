//! Whatever is in client.properties: it is understood or refused with words.

#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use service_kit::config::{Config, Environment};
use service_kit::{Identity, Service};

/// One file, written again and again.
static FILE: LazyLock<PathBuf> =
    LazyLock::new(|| std::env::temp_dir().join(format!("fuzz-{}.properties", std::process::id())));

struct Nothing;

impl Environment for Nothing {
    fn variable(&self, _: &str) -> Option<String> {
        None
    }
}

fuzz_target!(|text: &[u8]| {
    std::fs::write(&*FILE, text).unwrap();
    let service = Service { name: "fuzz", identity: Identity::General };
    match Config::load(&[FILE.clone()], &[], &Nothing, service) {
        Ok(config) => {
            let _ = (
                config.kafka(),
                config.registry(),
                config.producer(),
                config.consumer("g", &["t"]),
                config.transactions("fuzz"),
            );
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
