//! Schemas that others registered: reading them, their canonical text, and who can read whom.

#![no_main]

use libfuzzer_sys::fuzz_target;
use schema_registry::canonical::canonical;
use schema_registry::compatibility::ParsedSchema;

fuzz_target!(|texts: &str| {
    let (one, other) = texts.split_once('\n').unwrap_or((texts, texts));
    let (Ok(first), Ok(second)) = (ParsedSchema::parse(one, &[]), ParsedSchema::parse(other, &[])) else { return };
    let _ = (first.cannot_read(&second), second.cannot_read(&first));
    // What it wrote itself it can read, and the canonical text is its own.
    assert!(first.cannot_read(&first).is_empty(), "{one}");
    if let Ok(text) = canonical(one) {
        assert_eq!(canonical(&text).unwrap(), text);
    }
});
