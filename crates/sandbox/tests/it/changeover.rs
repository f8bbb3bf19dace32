//! A group that goes over from the classic protocol to the new one while it works, and back.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::{
    HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, LeaveGroupResponse, SyncGroupRequest,
};
use kafka_protocol::protocol::StrBytes;

use crate::consumer_groups::{ASSIGNMENT_INTERVAL, Member, OK, code, describe, text};
use crate::wire::{Ability, Broker, Wire};

/// A member of the classic protocol, cooperative: it says what it holds when it joins.
struct Classic {
    wire: Wire,
    member: Member,
    topic: String,
    id: StrBytes,
    generation: i32,
    owned: Vec<i32>,
}

impl Classic {
    async fn new(broker: &Broker) -> Self {
        Self {
            wire: Wire::open(broker).await,
            member: Member::new(broker, "").await,
            topic: broker.orders.clone(),
            id: StrBytes::new(),
            generation: -1,
            owned: Vec::new(),
        }
    }

    fn partitions(&self, into: &mut BytesMut, partitions: &[i32]) {
        into.put_i32(1);
        into.put_i16(self.topic.len() as i16);
        into.put_slice(self.topic.as_bytes());
        into.put_i32(partitions.len() as i32);
        partitions.iter().for_each(|partition| into.put_i32(*partition));
    }

    /// A subscription of version 1 to the topic.
    fn subscription(&self) -> Bytes {
        let mut bytes = BytesMut::new();
        bytes.put_i16(1);
        bytes.put_i32(1);
        bytes.put_i16(self.topic.len() as i16);
        bytes.put_slice(self.topic.as_bytes());
        bytes.put_i32(-1);
        self.partitions(&mut bytes, &self.owned);
        bytes.freeze()
    }

    /// Joins, and asks for its assignment; what it holds is what it is told then.
    async fn join(&mut self) -> (i16, i16) {
        let protocol = JoinGroupRequestProtocol::default().with_name(text("range")).with_metadata(self.subscription());
        let request = JoinGroupRequest::default()
            .with_group_id(self.member.group.clone())
            .with_member_id(self.id.clone())
            .with_session_timeout_ms(10_000)
            .with_rebalance_timeout_ms(10_000)
            .with_protocol_type(text("consumer"))
            .with_protocols(vec![protocol]);
        let joined = self.wire.call(&request, 9).await.unwrap();
        if joined.error_code == code(ResponseError::MemberIdRequired) {
            self.id = joined.member_id;
            return Box::pin(self.join()).await;
        }
        if joined.error_code != OK {
            return (joined.error_code, OK);
        }
        self.generation = joined.generation_id;
        let leads = joined.leader == self.id;
        let mut all = BytesMut::new();
        all.put_i16(1);
        self.partitions(&mut all, &[0, 1, 2]);
        all.put_i32(-1);
        let assignment = kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment::default()
            .with_member_id(self.id.clone())
            .with_assignment(all.freeze());
        let request = SyncGroupRequest::default()
            .with_group_id(self.member.group.clone())
            .with_generation_id(self.generation)
            .with_member_id(self.id.clone())
            .with_protocol_type(Some(text("consumer")))
            .with_protocol_name(Some(text("range")))
            .with_assignments(if leads { vec![assignment] } else { Vec::new() });
        let synced = self.wire.call(&request, 5).await.unwrap();
        if synced.error_code == OK {
            let mut bytes = synced.assignment;
            bytes.advance(2);
            self.owned.clear();
            for _ in 0..bytes.get_i32() {
                let length = bytes.get_i16();
                bytes.advance(length as usize);
                self.owned.extend((0..bytes.get_i32()).map(|_| bytes.get_i32()).collect::<Vec<_>>());
            }
            self.owned.sort_unstable();
        }
        (joined.error_code, synced.error_code)
    }

    async fn heartbeat(&mut self) -> i16 {
        let request = HeartbeatRequest::default()
            .with_group_id(self.member.group.clone())
            .with_generation_id(self.generation)
            .with_member_id(self.id.clone());
        self.wire.call(&request, 4).await.unwrap().error_code
    }

    async fn leave(&mut self) -> LeaveGroupResponse {
        let request =
            LeaveGroupRequest::default().with_group_id(self.member.group.clone()).with_member_id(self.id.clone());
        self.wire.call(&request, 2).await.unwrap()
    }

    /// Heartbeats, and joins where it is told to, until it holds so many.
    async fn wait_for(&mut self, count: usize) {
        for _ in 0..200 {
            if self.owned.len() == count && self.heartbeat().await == OK {
                return;
            }
            self.join().await;
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        panic!("it waits for {count} partitions and has {:?}", self.owned);
    }
}

#[tokio::test]
async fn members_of_both_protocols_share_a_group_until_one_protocol_is_left() {
    let Some(broker) = Broker::start_with_ability(Ability::ConsumerGroups).await else { return };
    let mut old = Classic::new(&broker).await;
    assert_eq!(old.join().await, (OK, OK));
    assert_eq!((old.generation, old.owned.as_slice()), (1, &[0, 1, 2][..]));

    let mut new = Member::new(&broker, "a").await;
    assert_eq!(new.join().await.error_code, OK);
    assert!(new.owned.is_empty(), "the old member still reads all");
    let described = describe(&broker).await;
    let kinds: Vec<_> =
        described.members.iter().map(|member| (member.member_id == old.id, member.member_type)).collect();
    assert!(kinds.contains(&(true, 0)) && kinds.contains(&(false, 1)), "{kinds:?}");
    tokio::time::sleep(ASSIGNMENT_INTERVAL).await;
    new.beat().await;
    assert_eq!(old.heartbeat().await, code(ResponseError::RebalanceInProgress));
    assert_eq!(old.join().await, (OK, OK));
    assert_eq!(old.owned.len(), 2, "it is asked to give one up, under its generation");
    let given = (0..3).find(|partition| !old.owned.contains(partition)).unwrap();
    new.beat().await;
    assert!(new.owned.is_empty(), "it has not said yet that it did");
    assert_eq!(old.heartbeat().await, code(ResponseError::RebalanceInProgress));
    assert_eq!(old.join().await, (OK, OK));
    assert_eq!(old.heartbeat().await, OK);
    new.wait_for(&[given]).await;

    let mut stranger = Classic::new(&broker).await;
    stranger.id = new_id(&old.id);
    assert_eq!(stranger.heartbeat().await, code(ResponseError::UnknownMemberId));
    tokio::time::sleep(ASSIGNMENT_INTERVAL).await;
    new.send(new.leaving(-1)).await;
    assert_eq!(describe(&broker).await.error_code, code(ResponseError::GroupIdNotFound), "it is a classic group again");
    old.owned.clear();
    old.wait_for(3).await;
    assert_eq!(old.leave().await.error_code, OK);
    broker.shutdown().await;
}

fn new_id(id: &StrBytes) -> StrBytes {
    text(&format!("{}-not", &**id))
}
