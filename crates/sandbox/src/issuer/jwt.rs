//! JSON Web Tokens signed with ES256 (RFC 7515, RFC 7518 section 3.4).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::ecdsa::signature::{Signer, Verifier};
use p256::ecdsa::{Signature, SigningKey, VerifyingKey};
use p256::elliptic_curve::rand_core::OsRng;
use p256::elliptic_curve::sec1::ToEncodedPoint;
use serde::{Deserialize, Serialize};

use super::TokenRefusal;

/// What a token says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Claims {
    pub(super) iss: String,
    pub(super) sub: String,
    pub(super) aud: String,
    pub(super) iat: u64,
    pub(super) exp: u64,
    pub(super) jti: String,
    pub(super) client_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) scope: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    typ: String,
    #[serde(default)]
    kid: String,
}

/// The issuer's only key.
pub(super) struct Keys {
    id: String,
    signing: SigningKey,
    verifying: VerifyingKey,
}

impl Keys {
    pub(super) fn new() -> Self {
        let signing = SigningKey::random(&mut OsRng);
        let verifying = *signing.verifying_key();
        Self { id: uuid::Uuid::new_v4().to_string(), signing, verifying }
    }

    pub(super) fn sign(&self, claims: &Claims) -> String {
        let header = Header { alg: "ES256".to_owned(), typ: "JWT".to_owned(), kid: self.id.clone() };
        let text = format!("{}.{}", encoded(&header), encoded(claims));
        let signature: Signature = self.signing.sign(text.as_bytes());
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
    }

    /// The claims, if this key signed them.
    pub(super) fn verify(&self, jwt: &str) -> Result<Claims, TokenRefusal> {
        let (text, signature) = jwt.rsplit_once('.').ok_or(TokenRefusal::Malformed)?;
        let (header, claims) = text.split_once('.').ok_or(TokenRefusal::Malformed)?;
        let header: Header = decoded(header)?;
        if header.alg != "ES256" {
            return Err(TokenRefusal::Algorithm(header.alg));
        }
        if header.kid != self.id {
            return Err(TokenRefusal::UnknownKey(header.kid));
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| TokenRefusal::Malformed)?;
        let signature = Signature::from_slice(&signature).map_err(|_| TokenRefusal::Signature)?;
        self.verifying.verify(text.as_bytes(), &signature).map_err(|_| TokenRefusal::Signature)?;
        decoded(claims)
    }

    /// The public key as a JWK set (RFC 7517).
    pub(super) fn jwks(&self) -> serde_json::Value {
        let point = self.verifying.as_affine().to_encoded_point(false);
        let coordinate = |bytes: Option<&p256::FieldBytes>| bytes.map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
        serde_json::json!({ "keys": [{
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.id,
            "x": coordinate(point.x()), "y": coordinate(point.y()),
        }]})
    }
}

fn encoded(part: &impl Serialize) -> String {
    // Plain structs of strings and numbers always have a JSON form.
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(part).unwrap_or_default())
}

fn decoded<T: for<'a> Deserialize<'a>>(part: &str) -> Result<T, TokenRefusal> {
    let json = URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenRefusal::Malformed)?;
    serde_json::from_slice(&json).map_err(|_| TokenRefusal::Malformed)
}
