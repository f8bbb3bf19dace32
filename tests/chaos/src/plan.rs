//! What happens when: a list of faults that its seed alone decides.
//!
//! Kinds are dealt from a shuffled deck, deck after deck, so that a long run has each of them as often as its weight says and a
//! short one a fair choice.

use std::fmt;
use std::time::Duration;

use fastrand::Rng;

/// One step in so many has two faults at once.
const OVERLAP_ONE_IN: u32 = 4;

/// What a fault is, for the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    /// SIGKILL of a broker.
    BrokerKilled,
    /// SIGSTOP of a broker, then SIGCONT.
    BrokerHeld,
    /// SIGKILL of the broker that coordinates the group of fulfilment.
    GroupCoordinatorKilled,
    /// SIGSTOP of that broker.
    GroupCoordinatorHeld,
    /// SIGKILL of the broker that coordinates the transactions of an instance of fulfilment.
    TransactionCoordinatorKilled,
    /// SIGSTOP of that broker.
    TransactionCoordinatorHeld,
    /// SIGTERM and start of one broker after the other.
    RollingRestart,
    /// SIGKILL of order-producer.
    ProducerKilled,
    /// SIGSTOP of order-producer.
    ProducerHeld,
    /// SIGKILL of an instance of fulfillment-service.
    FulfillmentKilled,
    /// SIGSTOP of one, for longer than its session lasts.
    FulfillmentHeld,
    /// SIGTERM of one.
    FulfillmentEnded,
    /// SIGKILL of picklist-consumer.
    ConsumerKilled,
    /// SIGSTOP of picklist-consumer.
    ConsumerHeld,
    /// Connections are closed.
    Cut,
    /// Connections stay open and nothing comes through, in either direction.
    HalfOpen,
    /// Connections are slow.
    Slow,
    /// New connections are refused and the old ones closed.
    Refused,
    /// No tokens are to be had, for a good part of a token's life.
    ProviderDown,
    /// The registry refuses connections while an instance of fulfilment starts.
    RegistryDown,
    /// Instances of fulfilment come and go.
    RebalanceStorm,
}

impl Kind {
    /// How often a deck has each kind.
    const DECK: [(Self, usize); 21] = [
        (Self::BrokerKilled, 1),
        (Self::BrokerHeld, 1),
        (Self::GroupCoordinatorKilled, 1),
        (Self::GroupCoordinatorHeld, 1),
        (Self::TransactionCoordinatorKilled, 1),
        (Self::TransactionCoordinatorHeld, 1),
        (Self::RollingRestart, 1),
        (Self::ProducerKilled, 2),
        (Self::ProducerHeld, 1),
        (Self::FulfillmentKilled, 5),
        (Self::FulfillmentHeld, 2),
        (Self::FulfillmentEnded, 2),
        (Self::ConsumerKilled, 2),
        (Self::ConsumerHeld, 1),
        (Self::Cut, 5),
        (Self::HalfOpen, 3),
        (Self::Slow, 2),
        (Self::Refused, 2),
        (Self::ProviderDown, 2),
        (Self::RegistryDown, 2),
        (Self::RebalanceStorm, 2),
    ];

    /// Whether it takes a broker out of the cluster. Two at once would leave less than the topics' `min.insync.replicas`.
    pub(crate) fn takes_a_broker(self) -> bool {
        use Kind::*;
        matches!(
            self,
            BrokerKilled
                | BrokerHeld
                | GroupCoordinatorKilled
                | GroupCoordinatorHeld
                | TransactionCoordinatorKilled
                | TransactionCoordinatorHeld
                | RollingRestart
        )
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::BrokerKilled => "broker: kill -9",
            Self::BrokerHeld => "broker: SIGSTOP",
            Self::GroupCoordinatorKilled => "group coordinator: kill -9",
            Self::GroupCoordinatorHeld => "group coordinator: SIGSTOP",
            Self::TransactionCoordinatorKilled => "transaction coordinator: kill -9",
            Self::TransactionCoordinatorHeld => "transaction coordinator: SIGSTOP",
            Self::RollingRestart => "brokers: rolling restart",
            Self::ProducerKilled => "order-producer: kill -9",
            Self::ProducerHeld => "order-producer: SIGSTOP",
            Self::FulfillmentKilled => "fulfillment-service: kill -9",
            Self::FulfillmentHeld => "fulfillment-service: SIGSTOP",
            Self::FulfillmentEnded => "fulfillment-service: SIGTERM",
            Self::ConsumerKilled => "picklist-consumer: kill -9",
            Self::ConsumerHeld => "picklist-consumer: SIGSTOP",
            Self::Cut => "connections: cut",
            Self::HalfOpen => "connections: half open",
            Self::Slow => "connections: slow",
            Self::Refused => "connections: refused",
            Self::ProviderDown => "identity provider: down",
            Self::RegistryDown => "registry: down",
            Self::RebalanceStorm => "rebalance storm",
        })
    }
}

/// A fault with everything that chance decides about it. Which broker coordinates is only known when it strikes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// What it is.
    pub(crate) kind: Kind,
    /// Which broker or which instance, counted from 0; kinds that have no choice ignore it.
    pub(crate) which: usize,
    /// How long it lasts, or how long what was killed stays away.
    pub(crate) lasts: Duration,
    /// Of the connections, how many in a hundred are hit; and for a storm, the seed of its comings and goings.
    pub(crate) share: u8,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, number {}, {:?}, {} %", self.kind, self.which + 1, self.lasts, self.share)
    }
}

/// Faults that strike together: each with its delay after the step's begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    /// In the order of their delays.
    pub(crate) faults: Vec<(Duration, Fault)>,
    /// Peace before the step.
    pub(crate) pause: Duration,
}

/// How many of each there are to choose from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    /// Brokers of the cluster.
    pub(crate) brokers: usize,
    /// Instances of fulfillment-service.
    pub(crate) instances: usize,
}

/// The plan of this seed: `faults` faults in steps of one or two.
pub(crate) fn plan(seed: u64, faults: usize, size: Size) -> Vec<Step> {
    let mut rng = Rng::with_seed(seed);
    let mut kinds = deal(&mut rng, faults);
    // Dealt from the end, so that the first of the deck is the first to strike.
    kinds.reverse();
    let mut steps = Vec::new();
    while let Some(kind) = kinds.pop() {
        let pause = Duration::from_millis(rng.u64(200..=900));
        let mut together = vec![(Duration::ZERO, fault(&mut rng, kind, size))];
        let fits = |other: &Kind| *other != kind && !(kind.takes_a_broker() && other.takes_a_broker());
        if rng.u32(..OVERLAP_ONE_IN) == 0 && kinds.last().is_some_and(fits) {
            let delay = Duration::from_millis(rng.u64(100..=1_500));
            let other = kinds.pop().expect("there is one that fits");
            together.push((delay, fault(&mut rng, other, size)));
        }
        steps.push(Step { faults: together, pause });
    }
    steps
}

fn deal(rng: &mut Rng, faults: usize) -> Vec<Kind> {
    let mut dealt = Vec::with_capacity(faults);
    while dealt.len() < faults {
        let mut deck: Vec<Kind> = Kind::DECK.iter().flat_map(|(kind, weight)| vec![*kind; *weight]).collect();
        rng.shuffle(&mut deck);
        deck.truncate(faults - dealt.len());
        dealt.extend(deck);
    }
    dealt
}

fn fault(rng: &mut Rng, kind: Kind, size: Size) -> Fault {
    use Kind::*;
    let which = match kind {
        TransactionCoordinatorKilled
        | TransactionCoordinatorHeld
        | FulfillmentKilled
        | FulfillmentHeld
        | FulfillmentEnded
        | RegistryDown => rng.usize(..size.instances),
        _ => rng.usize(..size.brokers),
    };
    let lasts = match kind {
        BrokerKilled | GroupCoordinatorKilled | TransactionCoordinatorKilled => 500..=3_000,
        BrokerHeld | GroupCoordinatorHeld | TransactionCoordinatorHeld => 2_000..=6_000,
        ProducerHeld | ConsumerHeld => 1_000..=4_000,
        FulfillmentHeld => 2_000..=10_000,
        HalfOpen | Slow | Refused => 1_000..=4_000,
        ProviderDown => 4_000..=12_000,
        RegistryDown => 1_000..=4_000,
        RebalanceStorm => 3_000..=5_000,
        _ => 0..=0,
    };
    let lasts = Duration::from_millis(rng.u64(lasts));
    let share = if rng.bool() { 100 } else { rng.u8(25..100) };
    Fault { kind, which, lasts, share }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const SIZE: Size = Size { brokers: 3, instances: 2 };

    fn faults(plan: &[Step]) -> Vec<&Fault> {
        plan.iter().flat_map(|step| step.faults.iter().map(|(_, fault)| fault)).collect()
    }

    #[test]
    fn a_seed_gives_its_plan_again_and_another_one_another() {
        assert_eq!(plan(7, 50, SIZE), plan(7, 50, SIZE));
        assert_ne!(plan(7, 50, SIZE), plan(8, 50, SIZE));
    }

    #[test]
    fn a_plan_has_as_many_faults_as_asked_for_and_every_kind_in_a_long_one() {
        for count in [0, 1, 10, 200] {
            assert_eq!(faults(&plan(1, count, SIZE)).len(), count);
        }
        let plan = plan(1, 200, SIZE);
        let mut kinds = BTreeMap::new();
        for fault in faults(&plan) {
            *kinds.entry(fault.kind).or_insert(0) += 1;
        }
        assert_eq!(kinds.len(), Kind::DECK.len());
        assert!(kinds.values().all(|count| *count >= 4), "{kinds:?}");
    }

    #[test]
    fn some_steps_overlap_and_none_takes_two_brokers() {
        for seed in 0..50 {
            let plan = plan(seed, 200, SIZE);
            assert!(plan.iter().any(|step| step.faults.len() == 2), "seed {seed}");
            for step in plan {
                let brokers = step.faults.iter().filter(|(_, fault)| fault.kind.takes_a_broker()).count();
                assert!(brokers <= 1, "seed {seed}: {step:?}");
            }
        }
    }

    #[test]
    fn what_is_named_exists() {
        for fault in faults(&plan(3, 400, SIZE)) {
            assert!(fault.which < 3, "{fault}");
            assert!(fault.kind != Kind::FulfillmentKilled || fault.which < 2, "{fault}");
        }
    }
}
