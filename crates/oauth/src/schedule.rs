//! When to fetch the next token.
//!
//! The rule is Java's (`ExpiringCredentialRefreshingLogin`): at 80 to 85 % of the life, but not later than a buffer
//! before the end and not sooner than a minimum from now, unless the token is too short-lived for either.

use std::time::{Duration, SystemTime};

use crate::Token;

/// When a token is replaced.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RefreshSchedule {
    /// Share of the life after which to refresh.
    pub window_factor: f64,
    /// Up to this share is added at random, so that a fleet does not ask at once.
    pub window_jitter: f64,
    /// Never sooner than this from now, if the life allows it.
    pub min_period: Duration,
    /// Never later than this before the end, if the life allows it.
    pub buffer: Duration,
}

impl Default for RefreshSchedule {
    fn default() -> Self {
        Self {
            window_factor: 0.80,
            window_jitter: 0.05,
            min_period: Duration::from_secs(60),
            buffer: Duration::from_secs(300),
        }
    }
}

impl RefreshSchedule {
    /// When to replace `token`, which was got at `now`; `None` if it has no end. `jitter` is in `0.0..=1.0`.
    pub fn next_refresh(&self, token: &Token, now: SystemTime, jitter: f64) -> Option<SystemTime> {
        let expires_at = token.expires_at()?;
        let share = self.window_factor + self.window_jitter * jitter.clamp(0.0, 1.0);
        // A clock that is behind the issuer's would make the life look longer than it is.
        let start = token.issued_at().filter(|issued| *issued <= now).unwrap_or(now);
        let left = expires_at.duration_since(now).unwrap_or_default();
        if left < self.min_period + self.buffer {
            return Some(now + left.mul_f64(share));
        }
        let life = expires_at.duration_since(start).unwrap_or_default();
        let latest = expires_at - self.buffer;
        Some((start + life.mul_f64(share)).min(latest).max(now + self.min_period))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn refresh_of_life(seconds: u64, jitter: f64) -> u64 {
        let token = Token::new("opaque".to_owned().into(), Some(Duration::from_secs(seconds)), at(0));
        let next = RefreshSchedule::default().next_refresh(&token, at(0), jitter).unwrap();
        next.duration_since(at(0)).unwrap().as_secs()
    }

    #[test]
    fn a_token_is_replaced_at_80_to_85_percent_of_its_life() {
        assert_eq!(refresh_of_life(36_000, 0.0), 28_800);
        assert_eq!(refresh_of_life(36_000, 1.0), 30_600);
    }

    #[test]
    fn but_not_later_than_five_minutes_before_its_end() {
        assert_eq!(refresh_of_life(1_000, 1.0), 700);
    }

    #[test]
    fn a_short_lived_token_is_replaced_in_time_all_the_same() {
        assert_eq!(refresh_of_life(20, 0.0), 16);
        assert_eq!(refresh_of_life(300, 0.0), 240);
    }

    #[test]
    fn a_token_without_end_is_not_replaced() {
        let token = Token::new("opaque".to_owned().into(), None, at(0));
        assert_eq!(RefreshSchedule::default().next_refresh(&token, at(0), 0.5), None);
    }

    #[test]
    fn a_year_of_refreshes_never_leaves_a_gap() {
        let seed = 7;
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut now = at(0);
        while now < at(365 * 24 * 3600) {
            let life = Duration::from_secs(rng.u64(2..100_000));
            let token = Token::new("opaque".to_owned().into(), Some(life), now);
            let next = RefreshSchedule::default().next_refresh(&token, now, rng.f64()).unwrap();
            assert!(next > now && next < now + life, "life {life:?}, seed {seed}");
            now = next;
        }
    }
}
