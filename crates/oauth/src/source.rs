//! Where tokens come from, and the one place that holds the current one.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use secrecy::SecretString;
use secrecy::zeroize::Zeroize;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::error::source_fixed;
use crate::grant::Grant;
use crate::{ClientCredentials, Token, TokenError};

/// After a refresh that failed, with its own retries, the next one comes this much later (Java and librdkafka do the same).
const AFTER_FAILURE: Duration = Duration::from_secs(10);
/// A token this young is not replaced because someone would like one with more life: there is none.
const JUST_FETCHED: Duration = Duration::from_secs(1);
/// How often a token file is looked at: whoever keeps it fresh does not say when.
const FILE_PERIOD: Duration = Duration::from_secs(10);

/// Hands out access tokens. Cheap to clone; all clones share one token and one background refresh, which ends with the
/// last clone.
#[derive(Clone)]
pub struct TokenSource {
    inner: Arc<Inner>,
}

struct Inner {
    origin: Origin,
    held: Mutex<Held>,
    /// Told of each new token, for the background refresh.
    renewed: watch::Sender<Option<Token>>,
}

enum Origin {
    Grant(Box<Grant>),
    File(PathBuf),
    Fixed,
}

#[derive(Default)]
struct Held {
    token: Option<Token>,
    fetched: Option<Instant>,
    /// The fetch that is under way, for all who wait for it.
    flight: Option<Flight>,
    refreshing: bool,
}

type Flight = watch::Receiver<Option<Result<Token, TokenError>>>;

impl TokenSource {
    /// Tokens by the client-credentials grant. Nothing is fetched before the first is asked for.
    ///
    /// # Errors
    /// [`TokenError::Config`] for settings that cannot work.
    pub fn client_credentials(config: ClientCredentials) -> Result<Self, TokenError> {
        Ok(Self::new(Origin::Grant(Box::new(Grant::new(config)?)), None))
    }

    /// Whatever token the file holds, for platforms that keep one fresh there. Once a token was asked for, the file is
    /// looked at every 10 s; a file that cannot be read then leaves the old token in use while it lives.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::new(Origin::File(path.into()), None)
    }

    /// Always this token.
    pub fn fixed(token: SecretString) -> Self {
        Self::new(Origin::Fixed, Some(Token::new(token, None, SystemTime::now())))
    }

    fn new(origin: Origin, token: Option<Token>) -> Self {
        let held = Held { token, ..Held::default() };
        Self { inner: Arc::new(Inner { origin, held: Mutex::new(held), renewed: watch::Sender::new(None) }) }
    }

    /// A token that has not expired; from memory unless there is none.
    ///
    /// Cancel safe: a fetch that has begun goes on for whoever asks next. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// Why there is none, after the retries that the settings allow.
    pub async fn token(&self) -> Result<Token, TokenError> {
        self.token_with_life(Duration::ZERO).await
    }

    /// A token with at least `min` left, fetched anew if the current one has less. If no such token can be had, the one
    /// with the most life is returned.
    ///
    /// Cancel safe, as [`token`](Self::token) is.
    ///
    /// # Errors
    /// If there is none that has not expired.
    pub async fn token_with_life(&self, min: Duration) -> Result<Token, TokenError> {
        let (usable, flight) = {
            let mut held = self.inner.held();
            let now = SystemTime::now();
            let usable = held.token.clone().filter(|token| token.lives(Duration::ZERO, now));
            let young = held.fetched.is_some_and(|at| at.elapsed() < JUST_FETCHED);
            match usable {
                Some(token) if young || token.lives(min, now) => return Ok(token),
                usable => match &self.inner.origin {
                    Origin::Fixed => {
                        return usable.ok_or_else(|| TokenError::Expired { origin: source_fixed().to_owned() });
                    }
                    Origin::Grant(_) | Origin::File(_) => (usable, self.inner.flight(&mut held)),
                },
            }
        };
        match landed(flight).await {
            Ok(token) => Ok(token),
            // It is still good for a while, and the next refresh may fare better.
            Err(error) => usable.filter(|token| token.lives(Duration::ZERO, SystemTime::now())).ok_or(error),
        }
    }

    /// Says that a broker or registry did not accept `refused`: if it is still the current token it is forgotten, so that
    /// the next caller gets a new one.
    pub fn invalidate(&self, refused: &Token) {
        let mut held = self.inner.held();
        let is_current = held.token.as_ref().is_some_and(|token| token.secret() == refused.secret());
        if is_current && !matches!(self.inner.origin, Origin::Fixed) {
            held.token = None;
            held.fetched = None;
        }
    }

    /// When the current token ends, if there is one and it does; for metrics.
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.inner.held().token.as_ref().and_then(Token::expires_at)
    }
}

impl Inner {
    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The fetch under way, or a new one in a task of its own, so that nobody who stops waiting stops it for others.
    fn flight(self: &Arc<Self>, held: &mut Held) -> Flight {
        // A fetch that panicked has no sender any more, and nobody shall wait for it.
        if let Some(flight) = held.flight.as_ref().filter(|flight| flight.has_changed().is_ok()) {
            return flight.clone();
        }
        let (outcome, flight) = watch::channel(None);
        held.flight = Some(flight.clone());
        let inner = Arc::clone(self);
        tokio::spawn(async move {
            let fetched = inner.fetch().await;
            inner.land(&fetched);
            outcome.send_replace(Some(fetched));
        });
        flight
    }

    async fn fetch(&self) -> Result<Token, TokenError> {
        match &self.origin {
            Origin::Grant(grant) => grant.fetch().await,
            Origin::File(path) => read(path.clone()).await,
            Origin::Fixed => Err(TokenError::Expired { origin: source_fixed().to_owned() }),
        }
    }

    fn land(self: &Arc<Self>, fetched: &Result<Token, TokenError>) {
        let mut held = self.held();
        held.flight = None;
        let Ok(token) = fetched else { return };
        if held.token.as_ref().is_none_or(|old| old.secret() != token.secret()) {
            debug!(expires_at = ?token.expires_at(), "token fetched");
            if token.expires_at().is_none() {
                info!("the access token does not say when it ends: it is used until it is refused");
            }
        }
        held.token = Some(token.clone());
        held.fetched = Some(Instant::now());
        self.renewed.send_replace(Some(token.clone()));
        if !held.refreshing {
            held.refreshing = true;
            let (schedule, longest) = match &self.origin {
                Origin::Grant(grant) => (grant.schedule(), Duration::MAX),
                Origin::File(_) | Origin::Fixed => (crate::RefreshSchedule::default(), FILE_PERIOD),
            };
            tokio::spawn(refresh(Arc::downgrade(self), self.renewed.subscribe(), schedule, longest));
        }
    }
}

/// The token in a file.
async fn read(path: PathBuf) -> Result<Token, TokenError> {
    let file = |problem| TokenError::File { path: path.clone(), problem: Arc::new(problem) };
    let from = path.clone();
    let text = tokio::task::spawn_blocking(move || std::fs::read_to_string(from)).await;
    let mut text = text.map_err(std::io::Error::other).and_then(|text| text).map_err(file)?;
    let token = Token::new(SecretString::from(text.trim()), None, SystemTime::now());
    text.zeroize();
    if !token.lives(Duration::ZERO, SystemTime::now()) || token.secret().is_empty() {
        return Err(TokenError::Expired { origin: format!("token file {}", path.display()) });
    }
    Ok(token)
}

/// Replaces the token before it ends, and after `longest` in any case, until nobody can ask for it any more.
async fn refresh(
    inner: Weak<Inner>,
    mut renewed: watch::Receiver<Option<Token>>,
    schedule: crate::RefreshSchedule,
    longest: Duration,
) {
    let mut failed = false;
    loop {
        let token = renewed.borrow_and_update().clone();
        let due = token.and_then(|token| schedule.next_refresh(&token, SystemTime::now(), fastrand::f64()));
        let wait = match due {
            _ if failed => AFTER_FAILURE,
            Some(due) => due.duration_since(SystemTime::now()).unwrap_or_default(),
            None => Duration::MAX,
        };
        let wait = wait.min(longest);
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            changed = renewed.changed() => match changed {
                Ok(()) => {
                    failed = false;
                    continue;
                }
                Err(_) => return,
            },
        }
        let Some(strong) = inner.upgrade() else { return };
        let flight = strong.flight(&mut strong.held());
        drop(strong);
        match landed(flight).await {
            Ok(_) => failed = false,
            Err(error) => {
                failed = true;
                warn!(%error, "the token could not be refreshed, the old one is used while it lives");
            }
        }
    }
}

async fn landed(mut flight: Flight) -> Result<Token, TokenError> {
    match flight.wait_for(Option::is_some).await {
        Ok(outcome) => match &*outcome {
            Some(outcome) => outcome.clone(),
            None => Err(aborted()),
        },
        // Only a runtime that shuts down drops the task that fetches.
        Err(_) => Err(aborted()),
    }
}

fn aborted() -> TokenError {
    TokenError::Unavailable {
        url: "the token endpoint".to_owned(),
        attempts: 0,
        last: "the fetch was aborted".to_owned(),
    }
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSource").field("expires_at", &self.expires_at()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
