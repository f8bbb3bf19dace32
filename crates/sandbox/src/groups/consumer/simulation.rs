//! Random schedules of members that join, leave, die, are slow to give up what they must, or never hear an answer; a failure names its
//! seed. The members are modelled here by the protocol's text, not by this house's client.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use kafka_protocol::error::ResponseError;
use uuid::Uuid;

use super::messages::{JOIN, LEAVE, LEAVE_FOR_A_WHILE};
use super::*;

/// Unless others are asked for.
const SEEDS: u64 = 120;
const STEPS: usize = 200;
const REBALANCE_TIMEOUT: Duration = Duration::from_secs(20);

/// A client, and what it reads.
#[derive(Debug)]
struct Client {
    instance: Option<String>,
    epoch: i32,
    /// What it was told that it may read.
    assigned: Partitions,
    /// What it reads on though it was told not to, until it says that it stopped.
    finishing: Partitions,
    /// The answer to its last heartbeat was lost or an error, so the next one says everything.
    says_all: bool,
    /// When it sent the first heartbeat whose answer was lost: it may have been told then what it learns only now.
    unheard_since: Option<Instant>,
    /// It stops reading then if it has not heard from the coordinator.
    session_ends: Instant,
    /// It has given up everything by then, or leaves.
    finishing_ends: Option<Instant>,
    is_dead: bool,
}

impl Client {
    fn new(instance: Option<String>, now: Instant) -> Self {
        Self {
            instance,
            epoch: JOIN,
            assigned: Partitions::new(),
            finishing: Partitions::new(),
            says_all: true,
            unheard_since: None,
            session_ends: now,
            finishing_ends: None,
            is_dead: false,
        }
    }

    fn drop_all(&mut self) {
        self.epoch = JOIN;
        self.assigned.clear();
        self.finishing.clear();
        self.finishing_ends = None;
        self.unheard_since = None;
        self.says_all = true;
    }

    fn reads(&self) -> impl Iterator<Item = &(Uuid, i32)> {
        self.assigned.union(&self.finishing)
    }
}

struct World {
    seed: u64,
    dice: fastrand::Rng,
    now: Instant,
    settings: ConsumerGroupSettings,
    group: ConsumerGroup,
    topics: Vec<(&'static str, Uuid, i32)>,
    clients: BTreeMap<String, Client>,
    /// The highest epoch that each member was told.
    told: BTreeMap<String, i32>,
    made: u32,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = fastrand::Rng::with_seed(seed);
        let assignment_interval = Duration::from_millis(dice.u64(0..2) * 1_000);
        let settings = ConsumerGroupSettings { assignment_interval, ..ConsumerGroupSettings::default() };
        let topics =
            vec![("orders", Uuid::from_u128(1), dice.i32(1..9)), ("picklists", Uuid::from_u128(2), dice.i32(1..4))];
        Self {
            seed,
            dice,
            now: Instant::now(),
            settings,
            group: ConsumerGroup::new("readers", settings),
            topics,
            clients: BTreeMap::new(),
            told: BTreeMap::new(),
            made: 0,
        }
    }

    fn catalogue(&self) -> Catalogue {
        self.topics.iter().map(|(name, id, partitions)| ((*name).into(), *id, *partitions)).collect()
    }

    fn heartbeat(&self, id: &str, epoch: i32) -> Heartbeat {
        let client = &self.clients[id];
        let says_all = client.says_all || epoch == JOIN;
        let owned = if epoch == JOIN { Partitions::new() } else { client.reads().copied().collect() };
        Heartbeat {
            member_id: id.to_owned(),
            member_epoch: epoch,
            instance_id: client.instance.clone(),
            rack_id: None,
            rebalance_timeout: says_all.then_some(REBALANCE_TIMEOUT),
            topics: says_all.then(|| BTreeSet::from(["orders".to_owned(), "picklists".to_owned()])),
            regex: None,
            assignor: None,
            owned: Some(owned),
            client_id: "client".to_owned(),
            client_host: "/127.0.0.1".to_owned(),
        }
    }

    /// Sends a heartbeat; the answer may get lost on its way back.
    fn beat(&mut self, id: &str, is_lost: bool) {
        let beat = self.heartbeat(id, self.clients[id].epoch);
        let answer = self.group.heartbeat(beat, &self.catalogue(), &|_| true, self.now);
        let (now, seed) = (self.now, self.seed);
        let Some(client) = self.clients.get_mut(id) else { return };
        if is_lost {
            client.says_all = true;
            client.unheard_since.get_or_insert(now);
            return;
        }
        let told_at = client.unheard_since.take().unwrap_or(now);
        match answer {
            Ok(answer) => {
                client.session_ends = now + self.settings.session_timeout;
                client.epoch = answer.member_epoch;
                client.says_all = false;
                let told = self.told.entry(id.to_owned()).or_default();
                assert!(answer.member_epoch >= *told, "seed {seed}: the epoch of {id} falls from {told}");
                *told = answer.member_epoch;
                if let Some(assignment) = answer.assignment {
                    let reads: Partitions = client.reads().copied().collect();
                    client.finishing = reads.difference(&assignment).copied().collect();
                    client.assigned = assignment;
                }
                let is_done = client.finishing.is_empty();
                client.finishing_ends =
                    if is_done { None } else { client.finishing_ends.or(Some(told_at + REBALANCE_TIMEOUT)) };
            }
            Err(refusal) => {
                let expected = [
                    ResponseError::FencedMemberEpoch,
                    ResponseError::UnknownMemberId,
                    ResponseError::UnreleasedInstanceId,
                    ResponseError::FencedInstanceId,
                    ResponseError::GroupIdNotFound,
                ];
                assert!(expected.contains(&refusal.error), "seed {seed}: {refusal:?}");
                client.drop_all();
                self.told.remove(id);
            }
        }
    }

    fn step(&mut self) {
        let ids: Vec<String> =
            self.clients.iter().filter(|(_, client)| !client.is_dead).map(|(id, _)| id.clone()).collect();
        let chosen = if ids.is_empty() { None } else { Some(ids[self.dice.usize(..ids.len())].clone()) };
        match (self.dice.u32(0..100), chosen) {
            (0..8, _) | (_, None) if ids.len() < 6 => self.come(None),
            (8..11, Some(id)) => self.leave(&id, LEAVE),
            (11..14, Some(id)) => {
                if let Some(client) = self.clients.get_mut(&id) {
                    client.is_dead = true;
                }
            }
            (14..20, Some(id)) if self.clients[&id].instance.is_some() => {
                let instance = self.clients[&id].instance.clone();
                self.leave(&id, LEAVE_FOR_A_WHILE);
                if self.dice.u32(0..3) > 0 {
                    self.come(instance);
                }
            }
            (20..22, _) => self.topics[0].2 = (self.topics[0].2 + 1).min(12),
            (22..30, Some(id)) => {
                // It is done with what it has to give up, and says so with its next heartbeat.
                if let Some(client) = self.clients.get_mut(&id) {
                    client.finishing.clear();
                }
            }
            (30..40, _) => {
                let time = Duration::from_millis(self.dice.u64(100..6_000));
                self.pass(time);
            }
            (40..45, Some(id)) => self.beat(&id, true),
            (_, Some(id)) => self.beat(&id, false),
            _ => {}
        }
        self.check();
    }

    fn come(&mut self, instance: Option<String>) {
        self.made += 1;
        let instance = instance.or_else(|| (self.dice.u32(0..3) == 0).then(|| format!("till-{}", self.made)));
        let id = format!("member-{}", self.made);
        self.clients.insert(id.clone(), Client::new(instance, self.now));
        self.beat(&id, false);
    }

    fn leave(&mut self, id: &str, epoch: i32) {
        if self.clients[id].epoch != JOIN {
            let beat = self.heartbeat(id, epoch);
            let _ = self.group.heartbeat(beat, &self.catalogue(), &|_| true, self.now);
        }
        self.clients.remove(id);
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        let now = self.now;
        self.clients.retain(|_, client| !(client.is_dead && client.session_ends <= now));
        for (id, client) in &mut self.clients {
            // In an answer that it never heard it may have been told to give something up.
            let unheard_ends = client.unheard_since.map(|since| since + REBALANCE_TIMEOUT);
            let is_late = |ends: Option<Instant>| ends.is_some_and(|ends| ends <= now);
            if client.session_ends <= now || is_late(client.finishing_ends) || is_late(unheard_ends) {
                client.drop_all();
                self.told.remove(id);
            }
        }
        self.group.tick(now);
    }

    fn check(&self) {
        let mut readers: BTreeMap<(Uuid, i32), &str> = BTreeMap::new();
        for (id, client) in &self.clients {
            for partition in client.reads() {
                let other = readers.insert(*partition, id);
                assert_eq!(other, None, "seed {}: {partition:?} is read by {id} and another", self.seed);
            }
        }
    }

    /// Everybody who is left behaves; in the end each partition has one reader, and all have as many, within one.
    fn settle(&mut self) {
        self.clients.retain(|_, client| !client.is_dead);
        self.pass(Duration::from_secs(1));
        if self.clients.is_empty() {
            self.come(None);
        }
        let (mut quiet_rounds, mut rounds) = (0, 0);
        while quiet_rounds < 2 {
            let ids: Vec<_> = self.clients.keys().cloned().collect();
            for id in ids {
                if let Some(client) = self.clients.get_mut(&id) {
                    client.finishing.clear();
                }
                self.beat(&id, false);
                self.check();
            }
            self.pass(Duration::from_secs(3));
            rounds += 1;
            assert!(rounds < 80, "seed {}: there is no end to it", self.seed);
            quiet_rounds = if self.group.state_name() == "Stable" { quiet_rounds + 1 } else { 0 };
        }
        let wanted: Partitions =
            self.topics.iter().flat_map(|(_, id, count)| (0..*count).map(move |index| (*id, index))).collect();
        let read: Partitions = self.clients.values().flat_map(|client| client.reads().copied()).collect();
        assert_eq!(read, wanted, "seed {}: every partition has a reader", self.seed);
        assert_eq!(self.group.state_name(), "Stable", "seed {}", self.seed);
        let counts: Vec<_> = self.clients.values().map(|client| client.assigned.len()).collect();
        let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
        assert!(most - least <= 1, "seed {}: {counts:?}", self.seed);
    }
}

#[test]
fn a_partition_never_has_two_readers_and_has_one_in_the_end() {
    for seed in crate::seeds::seeds(0, SEEDS) {
        let mut world = World::new(seed);
        for _ in 0..STEPS {
            world.step();
        }
        world.settle();
    }
}

#[test]
fn a_member_that_comes_takes_no_more_than_its_share_and_one_that_goes_leaves_the_others_theirs() {
    for seed in crate::seeds::seeds(0, SEEDS) {
        let mut world = World::new(seed);
        for _ in 0..world.dice.u32(1..6) {
            world.come(None);
        }
        world.settle();
        let before: BTreeMap<_, _> =
            world.clients.iter().map(|(id, client)| (id.clone(), client.assigned.clone())).collect();
        world.come(None);
        world.settle();
        let share = world.clients.iter().find(|(id, _)| !before.contains_key(*id)).unwrap().1.assigned.len();
        let moved: usize = before.iter().map(|(id, had)| had.difference(&world.clients[id].assigned).count()).sum();
        assert_eq!(moved, share, "seed {seed}: only what the new member gets has moved");
        let gone = world.clients.keys().next().unwrap().clone();
        let before: BTreeMap<_, _> =
            world.clients.iter().map(|(id, client)| (id.clone(), client.assigned.clone())).collect();
        world.leave(&gone, LEAVE);
        world.settle();
        for (id, had) in before.iter().filter(|(id, _)| **id != gone) {
            assert!(had.is_subset(&world.clients[id].assigned), "seed {seed}: {id} keeps what it had");
        }
    }
}
