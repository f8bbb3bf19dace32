//! Whether the markers of the transaction before have been written (transaction version 2).
//!
//! EndTxn answers when the outcome is decided, while its markers are still being written. A write of the next transaction
//! that arrives before they are finds the broker waiting for them: it looks again after
//! `add.partitions.to.txn.retry.backoff.ms`, 20 ms, holding the request back. So the coordinator is asked first
//! (DescribeTransactions): a transaction is complete when all its markers have been written. How long they take is the
//! cluster's affair (replication of `__transaction_state` and of the logs), so the time of the first question is learned;
//! meanwhile the application fills its batches.

use std::time::Duration;

use tokio::time::Instant;

/// Between questions, and twice as long after every [`QUESTIONS_A_GAP`] of them: a marker's broker may be away.
const GAP: Duration = Duration::from_micros(150);
const QUESTIONS_A_GAP: u32 = 4;

/// After so long the write goes anyway, and the broker waits instead.
const GIVE_UP: Duration = Duration::from_millis(100);

/// The most that is waited before the first question. Markers that take longer cost a few questions more.
const LONGEST: Duration = Duration::from_millis(10);

/// The share of itself by which a question that comes late enough makes the wait shorter, and of what was missing by which one that
/// comes too early makes it longer. About every fifth comes too early, which costs less than to wait for the slowest.
const SHORTER: u32 = 64;
const LONGER: u32 = 4;

/// For how many transactions a coordinator is left alone that refuses to be asked.
const REST: u32 = 256;

#[derive(Debug, Default)]
enum State {
    /// They are, or it is left to the broker to wait for them.
    #[default]
    Written,
    /// The coordinator is to be asked.
    Due { ended: Instant, at: Instant, asked: u32 },
    /// It has been asked.
    Asked { ended: Instant, at: Instant, asked: u32 },
}

/// What the coordinator said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Written,
    NotYet,
    /// Nothing, this time.
    Nothing,
    /// That it does not take such questions.
    Refused,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Markers {
    state: State,
    /// How long after the answer to EndTxn the first question goes.
    wait: Duration,
    resting: u32,
}

impl Markers {
    /// EndTxn was answered.
    pub(super) fn ended(&mut self, now: Instant) {
        self.state = match self.resting.checked_sub(1) {
            Some(resting) => {
                self.resting = resting;
                State::Written
            }
            None => State::Due { ended: now, at: now + self.wait, asked: 0 },
        };
    }

    /// There is nothing to wait for: the coordinator has granted an identity, or the first write is on its way.
    pub(super) fn settled(&mut self) {
        self.state = State::Written;
    }

    /// Whether the first write may go.
    pub(super) fn are_written(&self, now: Instant) -> bool {
        match self.state {
            State::Written => true,
            State::Due { ended, .. } | State::Asked { ended, .. } => now >= ended + GIVE_UP,
        }
    }

    /// When there is something to do, unless an answer comes before.
    pub(super) fn wakes_at(&self, now: Instant) -> Option<Instant> {
        if self.are_written(now) {
            return None;
        }
        match self.state {
            State::Written => None,
            State::Due { ended, at, .. } => Some(at.min(ended + GIVE_UP)),
            State::Asked { ended, .. } => Some(ended + GIVE_UP),
        }
    }

    /// Whether the coordinator is to be asked now, which counts as done.
    pub(super) fn ask(&mut self, now: Instant) -> bool {
        match self.state {
            State::Due { ended, at, asked } if at <= now && now < ended + GIVE_UP => {
                self.state = State::Asked { ended, at: now, asked: asked + 1 };
                true
            }
            _ => false,
        }
    }

    /// A question was answered. One of an earlier transaction that comes late is taken for this one's: at worst the broker waits.
    pub(super) fn told(&mut self, told: Told, now: Instant) {
        let State::Asked { ended, at, asked } = self.state else { return };
        self.state = match told {
            Told::Written if asked == 1 => {
                self.wait -= self.wait / SHORTER;
                State::Written
            }
            Told::Written => {
                let took = at.saturating_duration_since(ended).min(LONGEST);
                self.wait += took.saturating_sub(self.wait) / LONGER;
                State::Written
            }
            Told::NotYet => {
                let gap = GAP * (1 << (asked / QUESTIONS_A_GAP).min(16));
                State::Due { ended, at: now + gap, asked }
            }
            Told::Nothing => State::Written,
            Told::Refused => {
                self.resting = REST;
                State::Written
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// There and back.
    const ROUND_TRIP: Duration = Duration::from_micros(200);

    /// One transaction's end, whose markers take `takes`; returns when the next may write and how many questions that took.
    fn end(markers: &mut Markers, takes: Duration) -> (Duration, u32) {
        let ended = Instant::now();
        let (mut now, mut questions) = (ended, 0);
        markers.ended(now);
        while !markers.are_written(now) {
            now = markers.wakes_at(now).unwrap().max(now);
            if markers.ask(now) {
                questions += 1;
                let told = if now + ROUND_TRIP / 2 >= ended + takes { Told::Written } else { Told::NotYet };
                now += ROUND_TRIP;
                markers.told(told, now);
            }
        }
        (now - ended, questions)
    }

    #[test]
    fn nothing_is_written_before_the_markers_are_and_little_time_is_lost() {
        let mut markers = Markers::default();
        let takes = Duration::from_micros(1300);
        let (mut waited, mut questions) = (Duration::ZERO, 0);
        for transaction in 0..1_000 {
            let (this, asked) = end(&mut markers, takes);
            assert!(this >= takes, "transaction {transaction}: {this:?}");
            waited += this;
            questions += asked;
        }
        assert!(waited / 1_000 < takes + ROUND_TRIP, "{:?} on average", waited / 1_000);
        assert!(questions < 1_500, "{questions} of a thousand transactions");
    }

    #[test]
    fn it_follows_a_cluster_that_becomes_slower_and_faster_again() {
        let mut markers = Markers::default();
        let after = |markers: &mut Markers, count, takes| (0..count).map(|_| end(markers, takes)).last().unwrap();
        after(&mut markers, 100, Duration::from_millis(1));
        let (_, questions) = after(&mut markers, 30, Duration::from_millis(6));
        assert!(questions <= 2, "{questions}");
        let (waited, _) = after(&mut markers, 300, Duration::from_millis(1));
        assert!(waited < Duration::from_micros(1_500), "{waited:?}");
    }

    #[test]
    fn one_that_is_slow_for_once_is_waited_for_and_makes_the_next_wait_little_longer() {
        let mut markers = Markers::default();
        for _ in 0..100 {
            end(&mut markers, Duration::from_millis(1));
        }
        let (waited, _) = end(&mut markers, Duration::from_millis(40));
        assert!(waited >= Duration::from_millis(40) && waited < Duration::from_millis(60), "{waited:?}");
        let (waited, _) = end(&mut markers, Duration::from_millis(1));
        assert!(waited < Duration::from_millis(4), "{waited:?}");
    }

    #[test]
    fn markers_that_do_not_come_are_left_to_the_broker_after_few_questions() {
        let mut markers = Markers::default();
        let (waited, questions) = end(&mut markers, Duration::from_secs(5));
        assert!(waited <= GIVE_UP + ROUND_TRIP, "{waited:?}");
        assert!(questions < 40, "{questions}");
    }

    #[test]
    fn a_coordinator_that_refuses_is_left_alone_for_a_while() {
        let mut markers = Markers::default();
        let now = Instant::now();
        markers.ended(now);
        assert!(markers.ask(now));
        markers.told(Told::Refused, now);
        for _ in 0..REST {
            markers.ended(now);
            assert!(markers.are_written(now) && !markers.ask(now));
        }
        markers.ended(now);
        assert!(markers.ask(now));
    }

    #[test]
    fn a_question_without_an_answer_holds_nobody_up_for_long() {
        let mut markers = Markers::default();
        let now = Instant::now();
        markers.ended(now);
        assert!(markers.ask(now) && !markers.ask(now));
        assert!(!markers.are_written(now));
        let given_up = markers.wakes_at(now).unwrap();
        assert!(markers.are_written(given_up));
        assert_eq!(markers.wakes_at(given_up), None, "or it would be woken for nothing, for ever");
        markers.told(Told::Nothing, now);
        assert!(markers.are_written(now), "the broker will say");
    }
}
