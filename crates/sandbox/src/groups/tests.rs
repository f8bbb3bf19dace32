//! The group protocol, step by step.

use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::error::ResponseError;

use super::group::State;
use super::messages::JoinedMember;
use super::*;

const SESSION: Duration = Duration::from_secs(10);
const REBALANCE: Duration = Duration::from_secs(60);

/// A group, its clock, and the numbers of requests.
struct Room {
    group: Group,
    now: Instant,
    replies: u64,
    ids: u32,
}

impl Room {
    fn new() -> Self {
        let settings = Settings { initial_rebalance_delay: Duration::ZERO, ..Settings::default() };
        Self { group: Group::new(settings), now: Instant::now(), replies: 0, ids: 0 }
    }

    fn request(member_id: &str, instance_id: Option<&str>) -> Join {
        Join {
            member_id: member_id.to_owned(),
            instance_id: instance_id.map(str::to_owned),
            client_id: "client".to_owned(),
            client_host: "/127.0.0.1".to_owned(),
            session_timeout: SESSION,
            rebalance_timeout: REBALANCE,
            protocol_type: "consumer".to_owned(),
            protocols: vec![("range".to_owned(), Bytes::from_static(b"orders"))],
            requires_member_id: false,
            skips_assignment: true,
        }
    }

    fn join(&mut self, request: Join) -> (ReplyTo, Vec<Effect>) {
        self.replies += 1;
        self.ids += 1;
        let (reply, id) = (ReplyTo(self.replies), format!("member-{}", self.ids));
        (reply, self.group.join(request, reply, || id, self.now))
    }

    fn sync(
        &mut self,
        member_id: &str,
        generation: i32,
        assignments: &[(&str, &'static [u8])],
    ) -> (ReplyTo, Vec<Effect>) {
        self.replies += 1;
        let reply = ReplyTo(self.replies);
        let sync = Sync {
            generation,
            member_id: member_id.to_owned(),
            instance_id: None,
            protocol_type: Some("consumer".to_owned()),
            protocol: Some("range".to_owned()),
            assignments: assignments.iter().map(|(id, bytes)| ((*id).to_owned(), Bytes::from_static(bytes))).collect(),
        };
        (reply, self.group.sync(sync, reply, self.now))
    }

    fn pass(&mut self, time: Duration) -> Vec<Effect> {
        self.now += time;
        self.group.tick(self.now)
    }

    /// Two members in generation 2, the first of which leads.
    fn with_two() -> Self {
        let mut room = Self::new();
        room.join(Self::request("", None));
        room.join(Self::request("", None));
        room.join(Self::request("member-1", None));
        room.sync("member-2", 2, &[]);
        room.sync("member-1", 2, &[("member-1", b"zero"), ("member-2", b"one")]);
        assert_eq!(room.group.state(), State::Stable);
        room
    }
}

fn joined(effects: &[Effect], reply: ReplyTo) -> Option<&Result<Joined, (ResponseError, String)>> {
    effects.iter().find_map(|effect| match effect {
        Effect::Joined(to, result) if *to == reply => Some(result),
        _ => None,
    })
}

fn synced(effects: &[Effect], reply: ReplyTo) -> Option<&Result<Synced, ResponseError>> {
    effects.iter().find_map(|effect| match effect {
        Effect::Synced(to, result) if *to == reply => Some(result),
        _ => None,
    })
}

#[test]
fn a_stranger_is_told_its_id_first() {
    let mut room = Room::new();
    let (reply, effects) = room.join(Join { requires_member_id: true, ..Room::request("", None) });
    assert_eq!(joined(&effects, reply), Some(&Err((ResponseError::MemberIdRequired, "member-1".to_owned()))));
    let (reply, effects) = room.join(Room::request("member-1", None));
    let answer = joined(&effects, reply).unwrap().as_ref().unwrap();
    assert_eq!((answer.generation, answer.leader.as_str(), answer.protocol.as_str()), (1, "member-1", "range"));
}

#[test]
fn an_id_that_was_never_used_lapses() {
    let mut room = Room::new();
    room.join(Join { requires_member_id: true, ..Room::request("", None) });
    room.pass(SESSION);
    let (reply, effects) = room.join(Room::request("member-1", None));
    assert_eq!(joined(&effects, reply), Some(&Err((ResponseError::UnknownMemberId, "member-1".to_owned()))));
}

#[test]
fn the_leader_sees_everybody_and_gives_everybody_a_share() {
    let mut room = Room::new();
    let (first, effects) = room.join(Room::request("", None));
    assert!(joined(&effects, first).is_some());
    let (second, effects) = room.join(Room::request("", None));
    assert_eq!(joined(&effects, second), None, "the first member has to come back");
    assert_eq!(room.group.heartbeat("member-1", None, 1, room.now), Err(ResponseError::RebalanceInProgress));
    let (first, effects) = room.join(Room::request("member-1", None));
    let leader = joined(&effects, first).unwrap().as_ref().unwrap();
    let metadata = Bytes::from_static(b"orders");
    let member = |id: &str| JoinedMember { member_id: id.to_owned(), instance_id: None, metadata: metadata.clone() };
    assert_eq!(leader.members, [member("member-1"), member("member-2")]);
    let follower = joined(&effects, second).unwrap().as_ref().unwrap();
    assert!(follower.members.is_empty() && follower.generation == 2);

    let (waits, effects) = room.sync("member-2", 2, &[]);
    assert!(effects.is_empty());
    let (leads, effects) = room.sync("member-1", 2, &[("member-1", b"zero"), ("member-2", b"one")]);
    assert_eq!(synced(&effects, leads).unwrap().as_ref().unwrap().assignment.as_ref(), b"zero");
    assert_eq!(synced(&effects, waits).unwrap().as_ref().unwrap().assignment.as_ref(), b"one");
    assert_eq!(room.group.heartbeat("member-2", None, 2, room.now), Ok(()));
}

#[test]
fn a_member_that_goes_silent_is_replaced_by_those_who_stay() {
    let mut room = Room::with_two();
    room.now += SESSION / 2;
    room.group.heartbeat("member-1", None, 2, room.now).unwrap();
    assert!(room.group.next_deadline().unwrap() <= room.now + SESSION / 2);
    room.pass(SESSION / 2);
    assert_eq!(room.group.state(), State::PreparingRebalance);
    assert_eq!(room.group.heartbeat("member-2", None, 2, room.now), Err(ResponseError::UnknownMemberId));
    let (reply, effects) = room.join(Room::request("member-1", None));
    assert_eq!(joined(&effects, reply).unwrap().as_ref().unwrap().generation, 3);
}

#[test]
fn a_rebalance_ends_without_those_who_do_not_come_back() {
    let mut room = Room::with_two();
    let (reply, _) = room.join(Room::request("", None));
    for _ in 0..7 {
        room.now += SESSION - Duration::from_secs(1);
        for member in ["member-1", "member-2"] {
            let _ = room.group.heartbeat(member, None, 2, room.now);
        }
        if let Some(answer) = joined(&room.group.tick(room.now), reply) {
            assert_eq!(answer.as_ref().unwrap().members.len(), 1);
            return;
        }
    }
    panic!("the rebalance never ended");
}

#[test]
fn leaving_rebalances_and_the_last_one_out_leaves_an_empty_group() {
    let mut room = Room::with_two();
    let leave = |id: &str| Leave { member_id: id.to_owned(), instance_id: None };
    assert_eq!(room.group.leave(&leave("member-9"), room.now).0, Err(ResponseError::UnknownMemberId));
    assert_eq!(room.group.leave(&leave("member-2"), room.now).0, Ok(()));
    assert_eq!(room.group.state(), State::PreparingRebalance);
    assert_eq!(room.group.leave(&leave("member-1"), room.now).0, Ok(()));
    assert_eq!(room.group.state(), State::Empty);
    assert_eq!(room.group.may_commit("", None, -1, room.now), Ok(()), "an administrator may set offsets now");
}

#[test]
fn a_static_member_comes_back_without_a_rebalance_and_fences_its_past() {
    let mut room = Room::new();
    room.join(Room::request("", Some("store-7")));
    room.sync("member-1", 1, &[("member-1", b"zero")]);
    let (reply, effects) = room.join(Room::request("", Some("store-7")));
    let answer = joined(&effects, reply).unwrap().as_ref().unwrap();
    assert_eq!((answer.member_id.as_str(), answer.generation, answer.skip_assignment), ("member-2", 1, true));
    assert_eq!(room.group.state(), State::Stable);
    let (reply, effects) = room.sync("member-2", 1, &[]);
    assert_eq!(synced(&effects, reply).unwrap().as_ref().unwrap().assignment.as_ref(), b"zero");
    assert_eq!(room.group.heartbeat("member-1", Some("store-7"), 1, room.now), Err(ResponseError::FencedInstanceId));
    let stale = Room::request("member-1", Some("store-7"));
    let (reply, effects) = room.join(stale);
    assert_eq!(joined(&effects, reply), Some(&Err((ResponseError::FencedInstanceId, "member-1".to_owned()))));
}

#[test]
fn commits_are_taken_from_this_generation_only() {
    let mut room = Room::with_two();
    let now = room.now;
    assert_eq!(room.group.may_commit("member-2", None, 2, now), Ok(()));
    assert_eq!(room.group.may_commit("member-2", None, 1, now), Err(ResponseError::IllegalGeneration));
    assert_eq!(room.group.may_commit("member-9", None, 2, now), Err(ResponseError::UnknownMemberId));
    assert_eq!(room.group.may_commit("", None, -1, now), Err(ResponseError::UnknownMemberId));
}

#[test]
fn strategies_must_have_one_in_common() {
    let mut room = Room::with_two();
    let sticky = vec![("sticky".to_owned(), Bytes::new())];
    let (reply, effects) = room.join(Join { protocols: sticky, ..Room::request("", None) });
    assert!(matches!(joined(&effects, reply), Some(Err((ResponseError::InconsistentGroupProtocol, _)))));
    let short = Join { session_timeout: Duration::from_secs(1), ..Room::request("", None) };
    let (reply, effects) = room.join(short);
    assert!(matches!(joined(&effects, reply), Some(Err((ResponseError::InvalidSessionTimeout, _)))));
}

#[test]
fn a_leader_that_never_assigns_does_not_hold_the_others_for_ever() {
    let mut room = Room::new();
    room.join(Room::request("", None));
    room.join(Room::request("", None));
    room.join(Room::request("member-1", None));
    let (waits, _) = room.sync("member-2", 2, &[]);
    let effects = room.pass(REBALANCE);
    assert_eq!(synced(&effects, waits), Some(&Err(ResponseError::RebalanceInProgress)));
    assert_eq!(room.group.member_count(), 1);
}
