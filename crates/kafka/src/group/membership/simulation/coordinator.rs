//! A model of the broker's half of the classic protocol (Kafka's `GroupMetadataManager`, as far as members can tell).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::From;
use crate::error::ErrorCode;
use crate::group::membership::{Failure, Identity, Join, Joined, Sync};

#[derive(Debug)]
pub(super) enum Question {
    Join(Identity, Vec<(String, Bytes)>),
    Sync(Sync),
    Heartbeat(Identity),
    Leave(Identity),
}

impl Question {
    pub(super) fn join(join: Join) -> Self {
        Self::Join(
            join.identity,
            join.protocols.iter().map(|(name, blob)| (name.name().to_owned(), blob.clone())).collect(),
        )
    }
}

#[derive(Debug, Clone)]
pub(super) enum Answer {
    Joined(Joined),
    Synced(Bytes),
    Heartbeat,
    Left,
}

type Answers = Vec<(From, Result<Answer, Failure>)>;

#[derive(Debug, PartialEq)]
enum Phase {
    Empty,
    Preparing { until: Instant },
    Completing { until: Instant },
    Stable,
}

struct Entry {
    instance_id: Option<String>,
    protocols: Vec<(String, Bytes)>,
    joining: Option<From>,
    syncing: Option<From>,
    assignment: Bytes,
    session_ends: Instant,
}

pub(super) struct Coordinator {
    session: Duration,
    rebalance: Duration,
    phase: Phase,
    generation: i32,
    members: BTreeMap<String, Entry>,
    promised: BTreeSet<String>,
    leader: String,
    next_id: u32,
}

fn refuse(from: From, code: ErrorCode) -> Answers {
    vec![(from, Err(Failure::code(code)))]
}

impl Coordinator {
    pub(super) fn new(session: Duration, rebalance: Duration) -> Self {
        let (members, promised) = (BTreeMap::new(), BTreeSet::new());
        Self {
            session,
            rebalance,
            phase: Phase::Empty,
            generation: 0,
            members,
            promised,
            leader: String::new(),
            next_id: 0,
        }
    }

    pub(super) fn generation(&self) -> i32 {
        self.generation
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let phase = match self.phase {
            Phase::Preparing { until } | Phase::Completing { until } => Some(until),
            _ => None,
        };
        let waiting = |entry: &&Entry| entry.joining.is_none() && entry.syncing.is_none();
        self.members.values().filter(waiting).map(|entry| entry.session_ends).chain(phase).min()
    }

    pub(super) fn tick(&mut self, now: Instant) -> Answers {
        let mut answers = Answers::new();
        let waiting = |entry: &Entry| entry.joining.is_some() || entry.syncing.is_some();
        let ended = |(_, entry): &(&String, &Entry)| !waiting(entry) && entry.session_ends <= now;
        let ended: Vec<String> = self.members.iter().filter(ended).map(|(id, _)| id.clone()).collect();
        for id in ended {
            answers.extend(self.remove(&id, now));
        }
        match self.phase {
            Phase::Preparing { until } if until <= now => {
                self.members.retain(|_, entry| entry.joining.is_some());
                answers.extend(self.complete_join(now));
            }
            // Whoever joined and then never asked for its assignment holds up the others.
            Phase::Completing { until } if until <= now => {
                self.members.retain(|_, entry| entry.syncing.is_some());
                answers.extend(self.prepare(now));
            }
            _ => {}
        }
        answers
    }

    pub(super) fn handle(&mut self, from: From, question: Question, now: Instant) -> Answers {
        match question {
            Question::Join(identity, protocols) => self.join(from, identity, protocols, now),
            Question::Sync(sync) => self.sync(from, sync, now),
            Question::Heartbeat(identity) => self.heartbeat(from, &identity, now),
            Question::Leave(identity) => {
                let mut answers = self.remove(&identity.member_id, now);
                answers.push((from, Ok(Answer::Left)));
                answers
            }
        }
    }

    /// Static members are known by instance id; one with an outdated member id is fenced.
    fn check(&self, identity: &Identity) -> Result<(), ErrorCode> {
        let holder =
            self.members.iter().find(|(_, e)| e.instance_id.is_some() && e.instance_id == identity.instance_id);
        match holder {
            Some((id, _)) if *id != identity.member_id => Err(ErrorCode::FENCED_INSTANCE_ID),
            _ if !self.members.contains_key(&identity.member_id) => Err(ErrorCode::UNKNOWN_MEMBER_ID),
            _ => Ok(()),
        }
    }

    fn join(&mut self, from: From, identity: Identity, protocols: Vec<(String, Bytes)>, now: Instant) -> Answers {
        let mut id = identity.member_id.clone();
        let mut answers = Answers::new();
        if id.is_empty() {
            self.next_id += 1;
            id = format!("m-{}", self.next_id);
            if identity.instance_id.is_none() {
                self.promised.insert(id.clone());
                return vec![(from, Err(Failure::Code { code: ErrorCode::MEMBER_ID_REQUIRED, member_id: id }))];
            }
            let holder = |(_, entry): &(&String, &Entry)| entry.instance_id == identity.instance_id;
            if let Some(old) = self.members.iter().find(holder).map(|(id, _)| id.clone()) {
                let mut entry = self.members.remove(&old).unwrap();
                let fenced = entry.joining.take().into_iter().chain(entry.syncing.take());
                answers.extend(fenced.flat_map(|waiting| refuse(waiting, ErrorCode::FENCED_INSTANCE_ID)));
                entry.session_ends = now + self.session;
                let unchanged = self.phase == Phase::Stable && entry.protocols.len() == protocols.len();
                entry.protocols = protocols.clone();
                self.members.insert(id.clone(), entry);
                let leads = self.leader == old;
                if leads {
                    self.leader = id.clone();
                }
                if unchanged {
                    answers.push((from, Ok(Answer::Joined(self.welcome(&id, leads)))));
                    return answers;
                }
            }
        } else if !self.members.contains_key(&id) && !self.promised.remove(&id) {
            return refuse(from, self.check(&identity).err().unwrap_or(ErrorCode::UNKNOWN_MEMBER_ID));
        }
        let session_ends = now + self.session;
        let known = self.members.get(&id).is_some_and(|entry| entry.protocols == protocols);
        if known
            && (matches!(self.phase, Phase::Completing { .. }) || (self.phase == Phase::Stable && self.leader != id))
        {
            self.members.get_mut(&id).unwrap().session_ends = session_ends;
            answers.push((from, Ok(Answer::Joined(self.welcome(&id, false)))));
            return answers;
        }
        let entry = self.members.entry(id.clone()).or_insert_with(|| Entry {
            instance_id: identity.instance_id.clone(),
            protocols: Vec::new(),
            joining: None,
            syncing: None,
            assignment: Bytes::new(),
            session_ends,
        });
        entry.protocols = protocols;
        entry.joining = Some(from);
        entry.session_ends = session_ends;
        if !matches!(self.phase, Phase::Preparing { .. }) {
            answers.extend(self.prepare(now));
        }
        answers.extend(self.try_complete_join(now));
        answers
    }

    /// Calls everybody in; those who wait for an assignment get none from this generation.
    fn prepare(&mut self, now: Instant) -> Answers {
        self.phase = Phase::Preparing { until: now + self.rebalance };
        let mut answers = Answers::new();
        for entry in self.members.values_mut() {
            if let Some(from) = entry.syncing.take() {
                entry.session_ends = now + self.session;
                answers.extend(refuse(from, ErrorCode::REBALANCE_IN_PROGRESS));
            }
        }
        answers.extend(self.try_complete_join(now));
        answers
    }

    fn try_complete_join(&mut self, now: Instant) -> Answers {
        let preparing = matches!(self.phase, Phase::Preparing { .. });
        if preparing && self.members.values().all(|entry| entry.joining.is_some()) {
            return self.complete_join(now);
        }
        Answers::new()
    }

    fn complete_join(&mut self, now: Instant) -> Answers {
        self.generation += 1;
        let Some(first) = self.members.keys().next() else {
            self.phase = Phase::Empty;
            return Answers::new();
        };
        if !self.members.contains_key(&self.leader) {
            self.leader = first.clone();
        }
        self.phase = Phase::Completing { until: now + self.rebalance };
        let ids: Vec<String> = self.members.keys().cloned().collect();
        let mut answers = Answers::new();
        for id in ids {
            let joined = self.welcome(&id, false);
            let entry = self.members.get_mut(&id).unwrap();
            entry.session_ends = now + self.session;
            answers.extend(entry.joining.take().map(|from| (from, Ok(Answer::Joined(joined)))));
        }
        answers
    }

    fn welcome(&self, id: &str, skip_assignment: bool) -> Joined {
        let describe = |(id, entry): (&String, &Entry)| {
            let (_, blob) = &entry.protocols[0];
            (id.clone(), entry.instance_id.clone(), blob.clone())
        };
        let members = if id == self.leader { self.members.iter().map(describe).collect() } else { Vec::new() };
        Joined {
            generation: self.generation,
            protocol: self.members[id].protocols[0].0.clone(),
            leader: self.leader.clone(),
            member_id: id.to_owned(),
            skip_assignment,
            members,
        }
    }

    fn sync(&mut self, from: From, sync: Sync, now: Instant) -> Answers {
        if let Err(code) = self.check(&sync.identity) {
            return refuse(from, code);
        }
        if sync.identity.generation != self.generation {
            return refuse(from, ErrorCode::ILLEGAL_GENERATION);
        }
        let id = sync.identity.member_id;
        let entry = self.members.get_mut(&id).unwrap();
        entry.session_ends = now + self.session;
        match self.phase {
            Phase::Empty => refuse(from, ErrorCode::UNKNOWN_MEMBER_ID),
            Phase::Preparing { .. } => refuse(from, ErrorCode::REBALANCE_IN_PROGRESS),
            Phase::Stable => vec![(from, Ok(Answer::Synced(entry.assignment.clone())))],
            Phase::Completing { .. } => {
                entry.syncing = Some(from);
                if id != self.leader {
                    return Answers::new();
                }
                self.phase = Phase::Stable;
                let mut answers = Answers::new();
                for (id, entry) in &mut self.members {
                    entry.assignment = sync.assignments.get(id).cloned().unwrap_or_default();
                    if let Some(from) = entry.syncing.take() {
                        entry.session_ends = now + self.session;
                        answers.push((from, Ok(Answer::Synced(entry.assignment.clone()))));
                    }
                }
                answers
            }
        }
    }

    fn heartbeat(&mut self, from: From, identity: &Identity, now: Instant) -> Answers {
        if let Err(code) = self.check(identity) {
            return refuse(from, code);
        }
        if identity.generation != self.generation {
            return refuse(from, ErrorCode::ILLEGAL_GENERATION);
        }
        let entry = self.members.get_mut(&identity.member_id).unwrap();
        entry.session_ends = now + self.session;
        match self.phase {
            Phase::Preparing { .. } => refuse(from, ErrorCode::REBALANCE_IN_PROGRESS),
            _ => vec![(from, Ok(Answer::Heartbeat))],
        }
    }

    fn remove(&mut self, id: &str, now: Instant) -> Answers {
        if self.members.remove(id).is_none() {
            return Answers::new();
        }
        match self.phase {
            Phase::Stable | Phase::Completing { .. } => self.prepare(now),
            _ => self.try_complete_join(now),
        }
    }
}
