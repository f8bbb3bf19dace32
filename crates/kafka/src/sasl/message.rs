//! The bytes that SASL mechanisms exchange.

use std::collections::BTreeMap;

use bytes::Bytes;
use secrecy::ExposeSecret;

use crate::config::{ConfigError, Sasl};

/// Separates the parts of an OAUTHBEARER message (RFC 7628, section 3.1).
const KVSEP: u8 = 0x01;

/// OAUTHBEARER's client-first message: no authorization identity, the token, the extensions in the order of their names.
pub(super) fn client_first(token: &str, extensions: &BTreeMap<String, String>) -> Bytes {
    let mut message = Vec::with_capacity(32 + token.len());
    message.extend_from_slice(b"n,,\x01auth=Bearer ");
    message.extend_from_slice(token.as_bytes());
    message.push(KVSEP);
    for (key, value) in extensions {
        message.extend_from_slice(key.as_bytes());
        message.push(b'=');
        message.extend_from_slice(value.as_bytes());
        message.push(KVSEP);
    }
    message.push(KVSEP);
    message.into()
}

/// PLAIN's only message (RFC 4616): no authorization identity, username, password.
pub(super) fn plain(username: &str, password: &str) -> Bytes {
    [b"\0", username.as_bytes(), b"\0", password.as_bytes()].concat().into()
}

/// Refuses what would break a message, by the name of its configuration key.
pub(crate) fn validate(sasl: &Sasl) -> Result<(), ConfigError> {
    match sasl {
        Sasl::Plain { username, password } => {
            let password = password.expose_secret();
            if username.is_empty() || password.is_empty() {
                return Err(ConfigError::PlainCredentials("the username and the password must not be empty"));
            }
            if username.contains('\0') || password.contains('\0') {
                return Err(ConfigError::PlainCredentials("a zero byte cannot be sent"));
            }
            Ok(())
        }
        Sasl::OauthBearer { extensions, .. } => {
            for (key, value) in extensions {
                if let Some(problem) = extension_problem(key, value) {
                    return Err(ConfigError::Extension { key: key.clone(), problem });
                }
            }
            Ok(())
        }
    }
}

/// The broker's grammar (`OAuthBearerClientInitialResponse`): a message outside of it is refused without a reason.
fn extension_problem(key: &str, value: &str) -> Option<&'static str> {
    if key.is_empty() || !key.bytes().all(|b| b.is_ascii_alphabetic()) {
        Some("a name is one or more ASCII letters")
    } else if key == "auth" {
        Some("the name auth is the token's")
    } else if value.is_empty() {
        Some("the value is empty")
    } else if !value.bytes().all(|b| matches!(b, 0x21..=0x7e | b' ' | b'\t' | b'\r' | b'\n')) {
        Some("a value is printable ASCII")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extensions<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
        pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn a_token_without_extensions_is_framed_as_java_frames_it() {
        assert_eq!(client_first("T", &BTreeMap::new()).as_ref(), b"n,,\x01auth=Bearer T\x01\x01");
    }

    #[test]
    fn extensions_follow_the_token_in_the_order_of_their_names() {
        let extensions = extensions([("logicalCluster", "lkc-1"), ("identityPoolId", "pool-2")]);
        assert_eq!(
            client_first("a.b.c", &extensions).as_ref(),
            b"n,,\x01auth=Bearer a.b.c\x01identityPoolId=pool-2\x01logicalCluster=lkc-1\x01\x01"
        );
    }

    #[test]
    fn plain_is_two_zero_bytes_with_the_credentials_behind_them() {
        assert_eq!(plain("KEY", "s3cret").as_ref(), b"\0KEY\0s3cret");
    }

    #[test]
    fn extensions_that_a_broker_would_refuse_are_refused_here() {
        assert_eq!(extension_problem("logicalCluster", "lkc-1"), None);
        for (key, value) in [
            ("", "x"),
            ("logical_cluster", "x"),
            ("auth", "x"),
            ("traceId", ""),
            ("traceId", "a\u{1}b"),
            ("traceId", "ü"),
        ] {
            assert!(extension_problem(key, value).is_some(), "{key}={value}");
        }
    }
}
