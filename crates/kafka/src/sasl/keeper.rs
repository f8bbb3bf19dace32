//! Keeps an open connection logged in.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tracing::{debug, warn};

use super::{AuthenticationError, Login, Session};
use crate::connection::{CloseReason, Connection};
use crate::error::ErrorCode;

/// Between attempts to get a token while the session still runs; the token source has tried several times by then.
const TOKEN_RETRY: Duration = Duration::from_secs(1);

/// Starts the task that logs `connection` in again before each session ends. It ends with the connection.
pub(crate) fn keep_authenticated(connection: &Arc<Connection>, login: Arc<Login>, session: Session) {
    if session.renewal(0.5).is_some() {
        tokio::spawn(keep(Arc::downgrade(connection), connection.ended(), login, session));
    }
}

async fn keep(
    connection: Weak<Connection>,
    ended: impl Future<Output = CloseReason> + Send,
    login: Arc<Login>,
    mut session: Session,
) {
    let renewing = async {
        while let Some(at) = session.renewal(fastrand::f64()) {
            sleep_until(at).await;
            let min_life = Login::min_life(session.lifetime());
            // Fetched before the connection is held: an identity provider that is slow delays nobody's request.
            wait_for_token(&login, &session, min_life).await;
            let Some(connection) = connection.upgrade() else { return };
            match renew(&connection, &login, min_life).await {
                Ok(next) => {
                    debug!(broker = connection.broker(), lifetime = ?next.lifetime(), "authenticated again");
                    session = next;
                }
                Err(AuthenticationError::Handshake { code: ErrorCode::ILLEGAL_SASL_STATE, .. })
                    if !session.is_bounded_by_broker() =>
                {
                    // Its sessions really do not end, so it takes no second login and needs none.
                    debug!(broker = connection.broker(), "the broker's sessions do not end");
                    return;
                }
                Err(error) => {
                    warn!(broker = connection.broker(), %error, "authenticating again failed, the connection is closed");
                    connection.close(CloseReason::Reauthentication(error.to_string()));
                    return;
                }
            }
        }
    };
    tokio::select! {
        () = renewing => {}
        _ = ended => {}
    }
}

/// Tries for a token until the session's end; then the login itself says what is wrong.
async fn wait_for_token(login: &Login, session: &Session, min_life: Duration) {
    while let Err(error) = login.prepare(min_life).await {
        let retry_at = Instant::now() + TOKEN_RETRY;
        if !error.is_retriable() || session.end().is_none_or(|end| retry_at >= end) {
            return;
        }
        debug!(%error, "no token for the next session yet");
        sleep_until(retry_at).await;
    }
}

async fn renew(connection: &Connection, login: &Login, min_life: Duration) -> Result<Session, AuthenticationError> {
    let held = connection.hold().await;
    let token = login.prepare(min_life).await?;
    let outcome = login.authenticate(&held, token.as_ref()).await;
    if let (Err(AuthenticationError::Refused { .. }), Some(token)) = (&outcome, &token) {
        // The next connection begins with a new one.
        login.refused(token);
    }
    outcome
}
