//! The login of one connection, as a state machine: SaslHandshake, SaslAuthenticate, session life, re-authentication (KIP-368).
//!
//! Source: Kafka's `SaslServerAuthenticator`, `OAuthBearerSaslServer` and `OAuthBearerClientInitialResponse`.

use std::time::{Duration, SystemTime};

use kafka_protocol::error::ResponseError;

use crate::access::{AccessRules, Principal};

use super::VerifyToken;
use crate::client_files::LOGICAL_CLUSTER;

pub(super) const MECHANISM: &str = "OAUTHBEARER";
/// Kafka treats a handshake sooner than this after the last one as an ordinary request, which it then refuses.
const MIN_REAUTHENTICATION_PERIOD: Duration = Duration::from_secs(1);
const REFUSED: &[u8] = br#"{"status":"invalid_token"}"#;
/// What a client answers to a refusal, so that the server can end the exchange with an error.
const KVSEP: &[u8] = b"\x01";

#[derive(Debug, Clone)]
struct Session {
    principal: Principal,
    expires_at: SystemTime,
    began: SystemTime,
}

#[derive(Debug)]
enum Stage {
    /// Only ApiVersions and SaslHandshake are allowed.
    Handshake,
    Authenticate,
    /// The token was refused; the client owes a single 0x01.
    Refused,
    Open,
    /// The next request ends the connection.
    Failed,
}

/// What an ordinary request meets.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Gate {
    /// Go on as this principal.
    Open(Principal),
    /// The connection is closed without an answer.
    Close(&'static str),
}

/// An answer to SaslAuthenticate.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) error: Option<ResponseError>,
    pub(super) message: Option<String>,
    pub(super) bytes: Vec<u8>,
    pub(super) session_lifetime: Duration,
}

impl Outcome {
    fn failed(error: ResponseError, message: impl Into<String>) -> Self {
        Self { error: Some(error), message: Some(message.into()), bytes: Vec::new(), session_lifetime: Duration::ZERO }
    }
}

/// The login of one connection.
#[derive(Debug)]
pub(super) struct Login {
    stage: Stage,
    session: Option<Session>,
    /// Why the last token was refused, for the log; clients are not told.
    pub(super) refusal: Option<String>,
    /// ApiVersions was answered: before the login, once is all there is.
    versions_told: bool,
    /// The handshake was of version 0: what follows is the mechanism's own bytes, with a length in front and nothing else.
    bare: bool,
}

impl Login {
    /// A connection that must log in.
    pub(super) fn required() -> Self {
        Self { stage: Stage::Handshake, session: None, refusal: None, versions_told: false, bare: false }
    }

    /// Whether ApiVersions may be answered without a session. `answered` says that this answer is no refusal of the version.
    pub(super) fn tells_versions(&mut self, answered: bool) -> bool {
        let tells = matches!(self.stage, Stage::Handshake) && !self.versions_told;
        self.versions_told |= tells && answered;
        tells
    }

    /// After a handshake of version 0.
    pub(super) fn expect_bare_tokens(&mut self) {
        self.bare = matches!(self.stage, Stage::Authenticate);
    }

    /// Whether the next frame is the mechanism's own bytes instead of a request.
    pub(super) fn expects_bare_token(&self) -> bool {
        self.bare && matches!(self.stage, Stage::Authenticate | Stage::Refused)
    }

    /// The login failed and its client was told: there is nothing more to say.
    pub(super) fn has_failed(&self) -> bool {
        matches!(self.stage, Stage::Failed)
    }

    /// Whether a request other than SASL's own may pass.
    pub(super) fn gate(&self, now: SystemTime) -> Gate {
        match (&self.stage, &self.session) {
            (Stage::Open, Some(session)) if session.expires_at > now => Gate::Open(session.principal.clone()),
            (Stage::Open, _) => Gate::Close("its session has expired and it did not re-authenticate"),
            (Stage::Handshake, _) => Gate::Close("it sent a request before logging in"),
            _ => Gate::Close("it sent another request in the middle of a login"),
        }
    }

    /// SaslHandshake. `None` closes the connection.
    pub(super) fn handshake(&mut self, mechanism: &str, now: SystemTime) -> Option<Result<(), ResponseError>> {
        match (&self.stage, &self.session) {
            (Stage::Handshake, _) => {}
            (Stage::Open, Some(session)) => {
                let since = now.duration_since(session.began).unwrap_or_default();
                if since < MIN_REAUTHENTICATION_PERIOD {
                    return Some(Err(ResponseError::IllegalSaslState));
                }
            }
            _ => return None,
        }
        self.bare = false;
        if mechanism == MECHANISM {
            self.stage = Stage::Authenticate;
            Some(Ok(()))
        } else {
            self.stage = Stage::Failed;
            Some(Err(ResponseError::UnsupportedSaslMechanism))
        }
    }

    /// SaslAuthenticate. `None` closes the connection.
    pub(super) fn authenticate(
        &mut self,
        bytes: &[u8],
        verify: &VerifyToken,
        rules: &AccessRules,
        now: SystemTime,
    ) -> Option<Outcome> {
        match self.stage {
            Stage::Authenticate => {}
            Stage::Refused => {
                self.stage = Stage::Failed;
                let text =
                    if bytes == KVSEP { String::from_utf8_lossy(REFUSED).into_owned() } else { INVALID.to_owned() };
                return Some(Outcome::failed(ResponseError::SaslAuthenticationFailed, text));
            }
            Stage::Open => return Some(Outcome::failed(ResponseError::IllegalSaslState, "SaslHandshake comes first")),
            Stage::Handshake | Stage::Failed => return None,
        }
        let Some(message) = ClientMessage::parse(bytes) else {
            self.stage = Stage::Failed;
            self.refusal = Some("the client's first message is malformed".to_owned());
            return Some(Outcome::failed(ResponseError::SaslAuthenticationFailed, INVALID));
        };
        let checked = verify(message.token, now).and_then(|token| {
            if let Some(other) = message.extension("logicalCluster").filter(|named| *named != LOGICAL_CLUSTER) {
                return Err(format!("the client wants cluster '{other}', and this is '{LOGICAL_CLUSTER}'"));
            }
            let pool = message.extension("identityPoolId");
            let principal = rules.principal_for(&token.subject, pool).map_err(|error| error.to_string())?;
            if !message.authzid.is_empty() && message.authzid != principal.name {
                return Err(format!("authzid '{}' is not the token's '{}'", message.authzid, principal.name));
            }
            match &self.session {
                Some(session) if session.principal.name != principal.name => {
                    Err(format!("the connection belongs to '{}', not to '{}'", session.principal.name, principal.name))
                }
                _ => Ok((principal, token.expires_at)),
            }
        });
        match checked {
            Err(reason) => {
                self.stage = Stage::Refused;
                self.refusal = Some(reason);
                Some(Outcome { error: None, message: None, bytes: REFUSED.to_vec(), session_lifetime: Duration::ZERO })
            }
            Ok((principal, expires_at)) => {
                self.stage = Stage::Open;
                self.session = Some(Session { principal, expires_at, began: now });
                let session_lifetime = expires_at.duration_since(now).unwrap_or_default();
                Some(Outcome { error: None, message: None, bytes: Vec::new(), session_lifetime })
            }
        }
    }
}

/// What Kafka says of a malformed message.
const INVALID: &str =
    "Authentication failed during authentication due to invalid credentials with SASL mechanism OAUTHBEARER";

/// `n,[a=authzid],` 0x01 `auth=Bearer token` 0x01 (`key=value` 0x01)* 0x01, as RFC 7628 and Kafka have it.
#[derive(Debug, PartialEq, Eq)]
struct ClientMessage<'a> {
    authzid: String,
    token: &'a str,
    extensions: Vec<(&'a str, &'a str)>,
}

impl<'a> ClientMessage<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let (authzid, pairs) = text.strip_prefix("n,")?.split_once(",\x01")?;
        let authzid = match authzid {
            "" => String::new(),
            named => {
                let name = named.strip_prefix("a=")?;
                let decoded = name.replace("=2C", ",").replace("=3D", "=");
                (!name.is_empty() && !name.contains(',')).then_some(decoded)?
            }
        };
        let mut message = Self { authzid, token: "", extensions: Vec::new() };
        for pair in pairs.strip_suffix("\x01\x01")?.split('\x01') {
            let (key, value) = pair.split_once('=')?;
            if key == "auth" {
                let (scheme, token) = value.split_once(' ')?;
                let token = token.trim_start_matches(' ');
                let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_~+/.=".contains(&byte);
                if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() || !token.bytes().all(is_token) {
                    return None;
                }
                message.token = token;
                continue;
            }
            let is_value = |byte: u8| matches!(byte, 0x21..=0x7e | b' ' | b'\t' | b'\r' | b'\n');
            if key.is_empty()
                || !key.bytes().all(|byte| byte.is_ascii_alphabetic())
                || value.is_empty()
                || !value.bytes().all(is_value)
            {
                return None;
            }
            message.extensions.push((key, value));
        }
        (!message.token.is_empty()).then_some(message)
    }

    fn extension(&self, name: &str) -> Option<&'a str> {
        self.extensions.iter().find(|(key, _)| *key == name).map(|(_, value)| *value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::issuer::VerifiedToken;

    const RULES: &str = include_str!("../../../../tf/access.json");
    const LIFE: Duration = Duration::from_secs(20);

    fn start() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000)
    }

    /// A token is its subject here; "expired" is refused.
    fn verify(token: &str, now: SystemTime) -> Result<VerifiedToken, String> {
        if token == "expired" {
            return Err("it has expired".to_owned());
        }
        Ok(VerifiedToken { subject: token.to_owned(), expires_at: now + LIFE })
    }

    fn authenticate(login: &mut Login, token: &str, now: SystemTime) -> Option<Outcome> {
        let message = format!("n,,\x01auth=Bearer {token}\x01logicalCluster=lkc-sandbox\x01\x01");
        login.authenticate(message.as_bytes(), &verify, &AccessRules::parse(RULES).unwrap(), now)
    }

    fn logged_in() -> Login {
        let mut login = Login::required();
        assert_eq!(login.handshake(MECHANISM, start()), Some(Ok(())));
        let outcome = authenticate(&mut login, "order-producer", start()).unwrap();
        assert_eq!((outcome.error, outcome.session_lifetime), (None, LIFE));
        login
    }

    #[test]
    fn a_session_lasts_as_long_as_its_token_and_then_closes() {
        let login = logged_in();
        assert!(matches!(login.gate(start() + LIFE / 2), Gate::Open(principal) if principal.name == "order-producer"));
        assert!(matches!(login.gate(start() + LIFE), Gate::Close(_)));
    }

    #[test]
    fn versions_are_told_once_before_the_login() {
        let mut login = Login::required();
        assert!(login.tells_versions(false), "a version that is not offered is answered with those that are");
        assert!(login.tells_versions(true));
        assert!(!login.tells_versions(true));
        assert!(!logged_in().tells_versions(true), "then the session decides");
    }

    #[test]
    fn a_handshake_of_version_0_is_followed_by_bare_tokens() {
        let mut login = Login::required();
        login.handshake(MECHANISM, start());
        login.expect_bare_tokens();
        assert!(login.expects_bare_token());
        authenticate(&mut login, "order-producer", start()).unwrap();
        assert!(!login.expects_bare_token());
        assert!(matches!(login.gate(start()), Gate::Open(_)));
    }

    #[test]
    fn a_connection_can_log_in_again_but_not_at_once_and_not_as_another() {
        let mut login = logged_in();
        let soon = start() + Duration::from_millis(900);
        assert_eq!(login.handshake(MECHANISM, soon), Some(Err(ResponseError::IllegalSaslState)));
        let later = start() + Duration::from_secs(17);
        assert_eq!(login.handshake(MECHANISM, later), Some(Ok(())));
        assert!(matches!(login.gate(later), Gate::Close(_)), "nothing else may come in between");
        assert_eq!(authenticate(&mut login, "order-producer", later).unwrap().error, None);
        assert!(matches!(login.gate(later + LIFE / 2), Gate::Open(_)));

        assert_eq!(login.handshake(MECHANISM, later + LIFE / 2), Some(Ok(())));
        assert_eq!(authenticate(&mut login, "operator", later + LIFE / 2).unwrap().bytes, REFUSED);
    }

    #[test]
    fn a_refusal_takes_two_steps_and_ends_with_error_58() {
        let mut login = Login::required();
        login.handshake(MECHANISM, start());
        let first = authenticate(&mut login, "expired", start()).unwrap();
        assert_eq!((first.error, first.bytes.as_slice()), (None, REFUSED));
        let rules = AccessRules::parse(RULES).unwrap();
        let second = login.authenticate(KVSEP, &verify, &rules, start()).unwrap();
        assert_eq!(second.error, Some(ResponseError::SaslAuthenticationFailed));
        assert_eq!(second.message.as_deref(), Some(r#"{"status":"invalid_token"}"#));
        assert_eq!(login.authenticate(KVSEP, &verify, &rules, start()), None);
        assert!(matches!(login.gate(start()), Gate::Close(_)));
    }

    #[test]
    fn other_mechanisms_are_refused() {
        let mut login = Login::required();
        assert_eq!(login.handshake("SCRAM-SHA-512", start()), Some(Err(ResponseError::UnsupportedSaslMechanism)));
        assert_eq!(authenticate(&mut login, "order-producer", start()), None);
    }

    #[test]
    fn the_first_message_follows_kafkas_grammar() {
        let parse = |text: &'static str| ClientMessage::parse(text.as_bytes());
        let message =
            parse("n,a=o=3Dp=2Cq,\x01auth=bearer  a.b-c_~+/=\x01identityPoolId=pool-1,pool-2\x01\x01").unwrap();
        assert_eq!((message.authzid.as_str(), message.token), ("o=p,q", "a.b-c_~+/="));
        assert_eq!(message.extension("identityPoolId"), Some("pool-1,pool-2"));
        for malformed in [
            "",
            "n,,",
            "y,,\x01auth=Bearer t\x01\x01",
            "n,,\x01auth=Bearer t\x01",
            "n,,\x01auth=Basic t\x01\x01",
            "n,,\x01auth=Bearer \x01\x01",
            "n,,\x01auth=Bearer t\x01key1=v\x01\x01",
            "n,,\x01auth=Bearer t\x01key=\x01\x01",
            "n,a=,\x01auth=Bearer t\x01\x01",
            "n,,\x01key=value\x01\x01",
        ] {
            assert_eq!(parse(malformed), None, "{malformed:?}");
        }
    }
}
