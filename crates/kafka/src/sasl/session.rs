//! When a connection must log in again.
//!
//! Two clocks run: the session that the broker grants in SaslAuthenticate (KIP-368), and the token's own life. The broker
//! cuts a connection at the first request after its session ended and says nothing, so the new login comes at 85 to 95 %
//! of it, spread so that a fleet's connections do not come at once. A lifetime of 0 means that sessions do not end, or
//! that a token was accepted past its end thanks to the broker's allowance for clocks: then the token's life counts.

use std::time::Duration;

use tokio::time::Instant;

/// A broker takes a new login at the earliest a second after the previous one began; sooner it is an error.
const MIN_PERIOD: Duration = Duration::from_millis(1_100);
/// Nothing that is worth a timer lasts longer.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// A login that a broker accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Session {
    began: Instant,
    lifetime: Duration,
    token_left: Option<Duration>,
}

impl Session {
    /// `began` is when the exchange began, `lifetime` what the broker granted, `token_left` what the token had left then.
    pub(crate) fn new(began: Instant, lifetime: Duration, token_left: Option<Duration>) -> Self {
        Self { began, lifetime, token_left }
    }

    /// The lifetime that the broker granted, if any.
    pub(crate) fn lifetime(&self) -> Option<Duration> {
        (!self.lifetime.is_zero()).then_some(self.lifetime)
    }

    /// Whether the broker named an end. If not, it may not take a second login on the same connection at all.
    pub(crate) fn is_bounded_by_broker(&self) -> bool {
        !self.lifetime.is_zero()
    }

    /// When the session ends as far as anyone knows.
    pub(crate) fn end(&self) -> Option<Instant> {
        self.life().map(|life| self.began + life)
    }

    /// When to log in again; `None` if nothing ends. `jitter` is in `0.0..=1.0`.
    pub(crate) fn renewal(&self, jitter: f64) -> Option<Instant> {
        let share = 0.85 + 0.10 * jitter.clamp(0.0, 1.0);
        self.life().map(|life| self.began + life.mul_f64(share).max(MIN_PERIOD))
    }

    fn life(&self) -> Option<Duration> {
        let granted = (!self.lifetime.is_zero()).then_some(self.lifetime);
        granted.or(self.token_left).map(|life| life.min(LONGEST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(session: Session, jitter: f64) -> Option<f64> {
        session.renewal(jitter).map(|at| (at - session.began).as_secs_f64())
    }

    #[test]
    fn a_session_is_renewed_at_85_to_95_percent_of_its_life() {
        let session = Session::new(Instant::now(), Duration::from_secs(1000), Some(Duration::from_secs(5000)));
        assert_eq!(seconds(session, 0.0), Some(850.0));
        assert_eq!(seconds(session, 1.0), Some(950.0));
    }

    #[test]
    fn no_lifetime_and_a_token_without_end_never_renews() {
        assert_eq!(seconds(Session::new(Instant::now(), Duration::ZERO, None), 0.5), None);
    }

    #[test]
    fn a_lifetime_of_zero_with_a_token_that_ends_renews_before_the_token_does() {
        let session = Session::new(Instant::now(), Duration::ZERO, Some(Duration::from_secs(100)));
        assert_eq!(seconds(session, 0.0), Some(85.0));
        assert!(!session.is_bounded_by_broker());
    }

    #[test]
    fn a_renewal_is_never_sooner_than_the_broker_takes_it() {
        let session = Session::new(Instant::now(), Duration::from_millis(300), None);
        assert_eq!(seconds(session, 0.0), Some(MIN_PERIOD.as_secs_f64()));
    }

    #[test]
    fn an_absurd_lifetime_does_not_overflow_the_clock() {
        let session = Session::new(Instant::now(), Duration::from_millis(i64::MAX as u64), None);
        assert!(seconds(session, 1.0).unwrap() <= LONGEST.as_secs_f64());
    }
}
