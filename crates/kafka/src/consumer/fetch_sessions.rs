//! What each broker is to be asked for, and what it remembers of the fetch before (KIP-227).
//!
//! A broker that keeps a fetch session knows which partitions are fetched and from where. The next fetch names those of which
//! that has changed, and its answer those of which there is news; so a partition of which nothing is heard costs nothing,
//! neither on the wire nor here, where what is wanted is changed a partition at a time. A broker that keeps no session, because it has
//! too many, is told everything each time.
//!
//! Plain state. One fetch at a time is under way to a broker.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use uuid::Uuid;

use super::positions::Position;
use crate::TopicPartition;

/// In the place of a session's id: there is none.
const NO_SESSION: i32 = 0;
/// In the place of an epoch: a full fetch, which asks for a new session and ends the one that it names.
const NEW_SESSION: i32 = 0;

/// What is to be fetched of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wish {
    Nothing,
    /// Nothing for the time being, because enough of it is queued.
    Later {
        leader: i32,
    },
    From {
        leader: i32,
        start: Start,
    },
}

/// Where a fetch of a partition begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Start {
    /// Of which assignment, or seek.
    pub(super) stamp: u64,
    pub(super) position: Position,
    /// The leader's epoch.
    pub(super) leader_epoch: i32,
    /// Nil if it is not known.
    pub(super) topic_id: Uuid,
    /// When something last came of it; those that have waited longest are named first where nothing else lets partitions take turns.
    pub(super) served: u64,
}

impl Start {
    fn is_told(&self, known: &Self) -> bool {
        self.position == known.position && self.leader_epoch == known.leader_epoch
    }
}

/// One fetch to one broker.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) session_id: i32,
    pub(super) session_epoch: i32,
    /// Whether topics go by their ids.
    pub(super) by_id: bool,
    pub(super) named: Vec<(TopicPartition, Start)>,
    /// No longer to be fetched, with the id that the topic had then.
    pub(super) forgotten: Vec<(TopicPartition, Uuid)>,
    /// How many partitions are fetched, named or not.
    pub(super) partitions: usize,
    /// Partitions of the broker are left out because enough of them is queued.
    pub(super) some_later: bool,
}

/// What a fetch ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// An answer under this session.
    Answered { session_id: i32 },
    /// The broker has no such session.
    Unknown,
    /// Not, or the session and the fetch do not fit together.
    Failed,
}

#[derive(Debug, Default)]
struct Session {
    id: i32,
    /// Of the next fetch.
    epoch: i32,
    by_id: bool,
    wanted: BTreeMap<TopicPartition, Start>,
    later: usize,
    /// What the broker was told last.
    known: HashMap<TopicPartition, Start>,
    /// The names of topics that it was told by id.
    names: HashMap<Uuid, Arc<str>>,
    /// Where `wanted` and `known` may differ.
    changed: Vec<TopicPartition>,
    under_way: bool,
}

/// Which broker a partition is wanted from.
#[derive(Debug)]
struct Home {
    leader: i32,
    later: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct FetchSessions {
    sessions: BTreeMap<i32, Session>,
    homes: HashMap<TopicPartition, Home>,
}

impl FetchSessions {
    /// Takes the place of what was wanted of the partition before.
    pub(super) fn wish(&mut self, partition: TopicPartition, wish: Wish) {
        let stays = match &wish {
            Wish::From { leader, .. } => Some(*leader),
            _ => None,
        };
        if let Some(Home { leader, later }) = self.homes.remove(&partition)
            && let Some(session) = self.sessions.get_mut(&leader)
        {
            if later {
                session.later -= 1;
            } else if stays != Some(leader) {
                session.wanted.remove(&partition);
                session.changed.push(partition.clone());
            }
        }
        match wish {
            Wish::Nothing => {}
            Wish::Later { leader } => {
                self.sessions.entry(leader).or_default().later += 1;
                self.homes.insert(partition, Home { leader, later: true });
            }
            Wish::From { leader, start } => {
                let session = self.sessions.entry(leader).or_default();
                if session.wanted.get(&partition) != Some(&start) {
                    session.wanted.insert(partition.clone(), start);
                    session.changed.push(partition.clone());
                }
                self.homes.insert(partition, Home { leader, later: false });
            }
        }
    }

    /// Brokers that something is wanted from and no fetch is under way to, and of how many partitions.
    pub(super) fn idle(&self) -> impl Iterator<Item = (i32, usize)> {
        let idle = |session: &Session| !session.under_way && !session.wanted.is_empty();
        self.sessions.iter().filter(move |(_, session)| idle(session)).map(|(id, session)| (*id, session.wanted.len()))
    }

    pub(super) fn is_under_way(&self, broker: i32) -> bool {
        self.sessions.get(&broker).is_some_and(|session| session.under_way)
    }

    pub(super) fn any_under_way(&self) -> bool {
        self.sessions.values().any(|session| session.under_way)
    }

    /// The sessions that brokers keep for us.
    pub(super) fn kept(&self) -> impl Iterator<Item = (i32, i32)> {
        self.sessions
            .iter()
            .filter(|(_, session)| session.id != NO_SESSION)
            .map(|(broker, session)| (*broker, session.id))
    }

    /// The next fetch to a broker, which is under way from now on.
    pub(super) fn begin(&mut self, broker: i32) -> Ask {
        let session = self.sessions.entry(broker).or_default();
        session.under_way = true;
        if session.by_id && session.changed.iter().any(|p| session.wanted.get(p).is_some_and(|s| s.topic_id.is_nil())) {
            session.epoch = NEW_SESSION;
        }
        let (mut named, mut forgotten) = (Vec::new(), Vec::new());
        if session.epoch == NEW_SESSION {
            named = session.everything();
        } else {
            session.changes(&mut named, &mut forgotten);
        }
        Ask {
            session_id: session.id,
            session_epoch: session.epoch,
            by_id: session.by_id,
            named,
            forgotten,
            partitions: session.wanted.len(),
            some_later: session.later > 0,
        }
    }

    /// What the fetch that is under way, or was until now, asked of a partition. A topic goes by its id if it has one.
    pub(super) fn asked(
        &self,
        broker: i32,
        (id, name): (Uuid, &str),
        partition: i32,
    ) -> Option<(TopicPartition, &Start)> {
        let session = self.sessions.get(&broker)?;
        let topic = if id.is_nil() { Arc::from(name) } else { Arc::clone(session.names.get(&id)?) };
        let (partition, start) = session.known.get_key_value(&TopicPartition { topic, partition })?;
        Some((partition.clone(), start))
    }

    /// The fetch that was under way has ended. Returns whether to fetch again at once, because only the session was lost.
    pub(super) fn ended(&mut self, broker: i32, how: Ended) -> bool {
        let Some(session) = self.sessions.get_mut(&broker) else { return false };
        session.under_way = false;
        let was_incremental = session.epoch != NEW_SESSION;
        match how {
            Ended::Answered { session_id } if was_incremental && session_id == session.id => {
                session.epoch = session.epoch.checked_add(1).unwrap_or(1);
            }
            Ended::Answered { session_id } if !was_incremental && session_id != NO_SESSION => {
                (session.id, session.epoch) = (session_id, 1);
            }
            // None was made, or it was closed.
            Ended::Answered { .. } | Ended::Unknown => (session.id, session.epoch) = (NO_SESSION, NEW_SESSION),
            Ended::Failed => session.epoch = NEW_SESSION,
        }
        was_incremental
    }
}

impl Session {
    fn everything(&mut self) -> Vec<(TopicPartition, Start)> {
        self.changed.clear();
        self.by_id = self.wanted.values().all(|start| !start.topic_id.is_nil());
        self.known = self.wanted.iter().map(|(partition, start)| (partition.clone(), start.clone())).collect();
        self.names =
            self.known.iter().map(|(partition, start)| (start.topic_id, Arc::clone(&partition.topic))).collect();
        let mut named: Vec<_> =
            self.wanted.iter().map(|(partition, start)| (partition.clone(), start.clone())).collect();
        named.sort_by_key(|(_, start)| start.served);
        named
    }

    fn changes(&mut self, named: &mut Vec<(TopicPartition, Start)>, forgotten: &mut Vec<(TopicPartition, Uuid)>) {
        for partition in self.changed.drain(..) {
            let Some(start) = self.wanted.get(&partition) else {
                if let Some(known) = self.known.remove(&partition) {
                    forgotten.push((partition, known.topic_id));
                }
                continue;
            };
            let told = match self.known.insert(partition.clone(), start.clone()) {
                Some(known) if self.by_id && known.topic_id != start.topic_id => {
                    // To the broker that is another partition.
                    forgotten.push((partition.clone(), known.topic_id));
                    false
                }
                Some(known) => start.is_told(&known),
                None => false,
            };
            if !told {
                if self.by_id {
                    self.names.insert(start.topic_id, Arc::clone(&partition.topic));
                }
                named.push((partition, start.clone()));
            }
        }
    }
}

#[cfg(test)]
mod tests;
