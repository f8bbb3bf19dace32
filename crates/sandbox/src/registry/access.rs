//! Who asks, and what they may.

use std::sync::Arc;
use std::time::SystemTime;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;

use super::fault::Fault;
use crate::access::{AccessRules, Operation, Principal, ResourceKind};
use crate::issuer::Issuer;

/// The header by which a token's holder says which registry of the cloud is meant.
const CLUSTER_HEADER: &str = "target-sr-cluster";

/// The header by which a token's holder says which pools' rules are to apply.
const POOL_HEADER: &str = "Confluent-Identity-Pool-Id";

/// What the registry asks about tokens and rules.
#[derive(Clone)]
pub struct RegistryAccess {
    /// Who signs tokens.
    pub issuer: Issuer,
    /// What each pool may do.
    pub rules: Arc<AccessRules>,
    /// The registry's own id, such as `lsrc-sandbox`.
    pub logical_cluster: String,
}

/// Whoever sent a request.
pub(crate) struct Caller<'a> {
    access: Option<&'a RegistryAccess>,
    principal: Principal,
}

impl<'a> Caller<'a> {
    /// Reads the token and the two headers beside it.
    pub(crate) fn identify(access: Option<&'a RegistryAccess>, headers: &HeaderMap) -> Result<Self, Fault> {
        let Some(access) = access else { return Ok(Self { access: None, principal: Principal::anonymous() }) };
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let token = text(AUTHORIZATION.as_str()).and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("Bearer").then_some(token.trim())
        });
        let token = token.ok_or_else(|| Fault::unauthorized("a Bearer token is needed"))?;
        let verified = access.issuer.verify(token, SystemTime::now()).map_err(Fault::unauthorized)?;
        match text(CLUSTER_HEADER) {
            Some(cluster) if cluster == access.logical_cluster => {}
            other => {
                let sent = other.unwrap_or("nothing");
                let needed = &access.logical_cluster;
                let message = format!(
                    "header {CLUSTER_HEADER} has to name {needed} (bearer.auth.logical.cluster), it names {sent}"
                );
                return Err(Fault::unauthorized(message));
            }
        }
        let principal =
            access.rules.principal_for(&verified.subject, text(POOL_HEADER)).map_err(Fault::unauthorized)?;
        Ok(Self { access: Some(access), principal })
    }

    /// Whether a rule allows this on the subject.
    pub(crate) fn may(&self, operation: Operation, subject: &str) -> bool {
        self.access.is_none_or(|access| access.rules.allows(&self.principal, ResourceKind::Subject, subject, operation))
    }

    pub(crate) fn needs(&self, operation: Operation, subject: &str) -> Result<(), Fault> {
        if self.may(operation, subject) {
            return Ok(());
        }
        Err(Fault::denied(&format!("{operation:?}"), &format!("Subject: {subject}")))
    }

    /// Settings of the registry as a whole are for whoever may change those of every subject.
    pub(crate) fn needs_globally(&self, operation: Operation) -> Result<(), Fault> {
        let allowed = self.access.is_none_or(|access| {
            access.rules.allows(&self.principal, ResourceKind::Cluster, "kafka-cluster", operation)
        });
        if allowed { Ok(()) } else { Err(Fault::denied(&format!("{operation:?}"), "Subject: __GLOBAL")) }
    }
}
