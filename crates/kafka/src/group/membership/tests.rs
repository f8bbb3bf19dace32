use super::*;
use crate::error::ErrorCode;
use crate::group::subscription::encode_assignment;

/// One member and what it does, driven by hand.
struct Fixture {
    member: Membership,
    now: Instant,
}

fn partitions(numbers: &[i32]) -> BTreeSet<TopicPartition> {
    numbers.iter().map(|number| TopicPartition::new("t", *number)).collect()
}

impl Fixture {
    fn new(assignors: &[Assignor], instance_id: Option<&str>) -> Self {
        let config = MembershipConfig {
            group: "g".to_owned(),
            instance_id: instance_id.map(str::to_owned),
            assignors: assignors.to_vec(),
            session_timeout: Duration::from_secs(45),
            heartbeat_interval: Duration::from_secs(3),
            max_poll_interval: Duration::from_secs(300),
            retry: RetryPolicy::default(),
            rack: None,
        };
        let now = Instant::now();
        let mut member = Membership::new(config, [Arc::from("t")].into(), fastrand::Rng::with_seed(1), now);
        member.application_polls(true, now);
        Self { member, now }
    }

    /// A follower in generation 1 that owns partitions 0 and 1.
    fn stable(assignors: &[Assignor], instance_id: Option<&str>) -> Self {
        let mut fixture = Self::new(assignors, instance_id);
        let effects = fixture.member.tick(fixture.now);
        assert_eq!(fixture.round(effects, 1, &[0, 1]), [Effect::Assigned(partitions(&[0, 1]))]);
        fixture
    }

    /// Answers a Join as a follower of this generation, and the Sync with these partitions.
    fn round(&mut self, effects: Vec<Effect>, generation: i32, assigned: &[i32]) -> Vec<Effect> {
        let [Effect::Join(join)] = &effects[..] else { panic!("{effects:?}") };
        let joined = Joined {
            generation,
            protocol: join.protocols[0].0.name().to_owned(),
            leader: "other".to_owned(),
            member_id: "me".to_owned(),
            skip_assignment: false,
            members: Vec::new(),
        };
        let effects = self.member.joined(join.ticket, Ok(joined), self.now);
        let [Effect::Sync(sync)] = &effects[..] else { panic!("{effects:?}") };
        self.member.synced(sync.ticket, Ok(encode_assignment(&partitions(assigned))), self.now)
    }

    /// Lets the next heartbeat be answered with an error code.
    fn heartbeat(&mut self, code: ErrorCode) -> Vec<Effect> {
        self.now += Duration::from_secs(3);
        let effects = self.member.tick(self.now);
        let [Effect::Heartbeat { ticket, .. }] = &effects[..] else { panic!("{effects:?}") };
        self.member.heartbeat(*ticket, Err(Failure::code(code)), self.now)
    }
}

const COOPERATIVE: &[Assignor] = &[Assignor::CooperativeSticky];
const EAGER: &[Assignor] = &[Assignor::Range];

#[test]
fn a_member_id_that_the_coordinator_asks_for_is_taken_and_used_at_once() {
    let mut fixture = Fixture::new(COOPERATIVE, None);
    let effects = fixture.member.tick(fixture.now);
    let [Effect::Join(first)] = &effects[..] else { panic!("{effects:?}") };
    assert!(first.identity.member_id.is_empty());
    let asked = Failure::Code { code: ErrorCode::MEMBER_ID_REQUIRED, member_id: "m-1".to_owned() };
    let effects = fixture.member.joined(first.ticket, Err(asked), fixture.now);
    let [Effect::Join(second)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(second.identity.member_id, "m-1");
}

#[test]
fn a_cooperative_member_keeps_its_partitions_while_it_rejoins_and_gives_up_only_what_it_must() {
    let mut fixture = Fixture::stable(COOPERATIVE, None);
    let effects = fixture.heartbeat(ErrorCode::REBALANCE_IN_PROGRESS);
    assert_eq!(fixture.member.owned(), &partitions(&[0, 1]));
    let effects = fixture.round(effects, 2, &[0]);
    assert_eq!(effects, [Effect::Assigned(partitions(&[])), Effect::Revoke(partitions(&[1]))]);
    assert_eq!(fixture.member.owned(), &partitions(&[0, 1]), "until the application has finished");
    fixture.member.revoked(fixture.now);
    assert_eq!(fixture.member.owned(), &partitions(&[0]));
    let effects = fixture.member.tick(fixture.now);
    assert!(matches!(&effects[..], [Effect::Join(_)]), "it rejoins so that the partition can be given: {effects:?}");
}

#[test]
fn an_eager_member_gives_up_everything_before_it_joins() {
    let mut fixture = Fixture::stable(EAGER, None);
    assert_eq!(fixture.heartbeat(ErrorCode::REBALANCE_IN_PROGRESS), [Effect::Revoke(partitions(&[0, 1]))]);
    assert!(fixture.heartbeat(ErrorCode::REBALANCE_IN_PROGRESS).is_empty(), "it is known already");
    fixture.member.revoked(fixture.now);
    let effects = fixture.member.tick(fixture.now);
    assert_eq!(fixture.round(effects, 2, &[1]), [Effect::Assigned(partitions(&[1]))]);
}

#[test]
fn an_answer_to_an_earlier_attempt_is_ignored() {
    let mut fixture = Fixture::new(COOPERATIVE, None);
    let effects = fixture.member.tick(fixture.now);
    let [Effect::Join(first)] = &effects[..] else { panic!("{effects:?}") };
    let gone = Failure::Unreachable("gone".to_owned());
    assert_eq!(fixture.member.joined(first.ticket, Err(gone), fixture.now), [Effect::ForgetCoordinator]);
    fixture.now += Duration::from_secs(1);
    let second = fixture.member.tick(fixture.now);
    assert!(matches!(&second[..], [Effect::Join(_)]));
    let fatal = Failure::code(ErrorCode::GROUP_AUTHORIZATION_FAILED);
    assert!(fixture.member.joined(first.ticket, Err(fatal), fixture.now).is_empty());
}

#[test]
fn what_a_forgotten_member_had_is_lost_and_not_revoked() {
    for (code, keeps_id) in [(ErrorCode::ILLEGAL_GENERATION, true), (ErrorCode::UNKNOWN_MEMBER_ID, false)] {
        let mut fixture = Fixture::stable(COOPERATIVE, None);
        let effects = fixture.heartbeat(code);
        let [Effect::Lost(lost), Effect::Join(join)] = &effects[..] else { panic!("{effects:?}") };
        assert_eq!(lost, &partitions(&[0, 1]));
        assert_eq!(join.identity.generation, NO_GENERATION);
        assert_eq!(join.identity.member_id == "me", keeps_id, "{code}");
    }
}

#[test]
fn a_silent_coordinator_costs_the_partitions_after_a_session() {
    let mut fixture = Fixture::stable(COOPERATIVE, None);
    fixture.now += Duration::from_secs(3);
    assert!(matches!(&fixture.member.tick(fixture.now)[..], [Effect::Heartbeat { .. }]));
    fixture.now += Duration::from_secs(41);
    assert!(fixture.member.tick(fixture.now).is_empty());
    fixture.now += Duration::from_secs(1);
    let effects = fixture.member.tick(fixture.now);
    assert!(matches!(&effects[..], [Effect::Lost(_), Effect::ForgetCoordinator, Effect::Join(_)]), "{effects:?}");
}

/// A cooperative follower with partitions 0 and 1 whose Join is under way, and its ticket.
fn joining(instance_id: Option<&str>) -> (Fixture, Ticket) {
    let mut fixture = Fixture::stable(COOPERATIVE, instance_id);
    let effects = fixture.heartbeat(ErrorCode::REBALANCE_IN_PROGRESS);
    let [Effect::Join(join)] = &effects[..] else { panic!("{effects:?}") };
    (fixture, join.ticket)
}

#[test]
fn partitions_are_kept_through_a_long_rebalance_as_long_as_the_coordinator_is_heard() {
    let (mut fixture, mut ticket) = joining(None);
    for second in 1..=200 {
        fixture.now += Duration::from_secs(1);
        if second % 15 == 0 {
            let unanswered = Failure::Unreachable("JoinGroup was not answered within 15s".to_owned());
            let effects = fixture.member.joined(ticket, Err(unanswered), fixture.now);
            assert_eq!(effects, [Effect::ForgetCoordinator]);
        }
        for effect in fixture.member.tick(fixture.now) {
            match effect {
                Effect::Join(join) => ticket = join.ticket,
                Effect::Heartbeat { ticket, .. } => {
                    let rebalancing = Failure::code(ErrorCode::REBALANCE_IN_PROGRESS);
                    assert!(fixture.member.heartbeat(ticket, Err(rebalancing), fixture.now).is_empty());
                }
                other => panic!("after {second} s: {other:?}"),
            }
        }
        assert_eq!(fixture.member.owned(), &partitions(&[0, 1]));
    }
}

#[test]
fn partitions_are_lost_after_a_session_when_neither_join_nor_heartbeat_is_answered() {
    let (mut fixture, _) = joining(None);
    fixture.now += Duration::from_secs(3);
    assert!(matches!(&fixture.member.tick(fixture.now)[..], [Effect::Heartbeat { .. }]));
    let mut effects = Vec::new();
    while effects.is_empty() {
        fixture.now += Duration::from_secs(1);
        effects = fixture.member.tick(fixture.now);
    }
    let [Effect::Lost(lost), Effect::ForgetCoordinator, Effect::Join(_)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(lost, &partitions(&[0, 1]));
}

#[test]
fn the_generation_after_ours_does_not_cost_the_partitions_while_our_join_is_under_way() {
    let (mut fixture, join) = joining(None);
    let effects = fixture.heartbeat(ErrorCode::ILLEGAL_GENERATION);
    assert!(effects.is_empty(), "its answer tells more: {effects:?}");
    assert_eq!(fixture.member.owned(), &partitions(&[0, 1]));
    let effects = fixture.heartbeat(ErrorCode::UNKNOWN_MEMBER_ID);
    assert!(matches!(&effects[..], [Effect::Lost(_), Effect::Join(_)]), "the group went on without us: {effects:?}");
    assert!(fixture.member.joined(join, Err(Failure::code(ErrorCode::FENCED_INSTANCE_ID)), fixture.now).is_empty());
}

#[test]
fn a_rebalance_that_is_due_is_not_forgotten_by_a_static_member_that_left_and_came_back() {
    let mut fixture = Fixture::stable(COOPERATIVE, Some("store-7"));
    let effects = fixture.heartbeat(ErrorCode::REBALANCE_IN_PROGRESS);
    let effects = fixture.round(effects, 2, &[0]);
    assert!(matches!(&effects[..], [Effect::Assigned(_), Effect::Revoke(_)]), "{effects:?}");
    fixture.member.application_polls(false, fixture.now);
    fixture.now += Duration::from_secs(301);
    assert!(fixture.member.tick(fixture.now).iter().any(|effect| matches!(effect, Effect::Lost(_))));
    fixture.member.application_polls(true, fixture.now);
    let effects = fixture.member.tick(fixture.now);
    // Its place was kept: the same generation, and still nobody has partition 1.
    assert_eq!(fixture.round(effects, 2, &[0]), [Effect::Assigned(partitions(&[0]))]);
    let effects = fixture.member.tick(fixture.now);
    let [Effect::Join(join)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(join.reason, Some("partitions were given up that another member waits for"));
    assert_eq!(fixture.round(effects, 3, &[0]), [Effect::Assigned(BTreeSet::new())]);
    assert!(!fixture.member.tick(fixture.now).iter().any(|effect| matches!(effect, Effect::Join(_))), "once");
}

#[test]
fn a_member_whose_application_stopped_asking_leaves_and_comes_back_when_it_asks_again() {
    let mut fixture = Fixture::stable(COOPERATIVE, None);
    fixture.member.application_polls(false, fixture.now);
    for _ in 0..99 {
        fixture.now += Duration::from_secs(3);
        let effects = fixture.member.tick(fixture.now);
        let [Effect::Heartbeat { ticket, .. }] = &effects[..] else { panic!("{effects:?}") };
        fixture.member.heartbeat(*ticket, Ok(()), fixture.now);
    }
    fixture.now += Duration::from_secs(3);
    let effects = fixture.member.tick(fixture.now);
    assert!(matches!(&effects[..], [Effect::Leave { .. }, Effect::Lost(_)]), "{effects:?}");
    assert_eq!(fixture.member.next_deadline(), None);
    fixture.member.application_polls(true, fixture.now);
    assert!(matches!(&fixture.member.tick(fixture.now)[..], [Effect::Join(_)]));
}

#[test]
fn closing_leaves_the_group_unless_the_member_is_static() {
    assert!(matches!(&Fixture::stable(COOPERATIVE, None).member.close()[..], [Effect::Leave { .. }]));
    assert!(Fixture::stable(COOPERATIVE, Some("store-7")).member.close().is_empty());
}

#[test]
fn a_second_process_with_the_same_instance_id_is_an_error_that_names_the_key() {
    let mut fixture = Fixture::stable(COOPERATIVE, Some("store-7"));
    let effects = fixture.heartbeat(ErrorCode::FENCED_INSTANCE_ID);
    let [Effect::Lost(_), Effect::Failed(error)] = &effects[..] else { panic!("{effects:?}") };
    assert!(error.to_string().contains("group.instance.id store-7"), "{error}");
}

#[test]
fn a_commit_between_join_and_sync_has_no_generation_to_sign_with() {
    let mut fixture = Fixture::stable(COOPERATIVE, None);
    let effects = fixture.heartbeat(ErrorCode::REBALANCE_IN_PROGRESS);
    assert_eq!(fixture.member.commit_identity().unwrap().generation, 1, "the old one counts until Join is answered");
    let [Effect::Join(join)] = &effects[..] else { panic!("{effects:?}") };
    let joined = Joined {
        generation: 2,
        protocol: "cooperative-sticky".to_owned(),
        leader: "other".to_owned(),
        member_id: "me".to_owned(),
        skip_assignment: false,
        members: Vec::new(),
    };
    fixture.member.joined(join.ticket, Ok(joined), fixture.now);
    assert!(fixture.member.commit_identity().is_none());
}

/// The leader of a group of one.
fn leader(fixture: &mut Fixture, skip_assignment: bool, counts: &[(&str, i32)]) -> Vec<Effect> {
    let effects = fixture.member.tick(fixture.now);
    let [Effect::Join(join)] = &effects[..] else { panic!("{effects:?}") };
    let joined = Joined {
        generation: 1,
        protocol: "cooperative-sticky".to_owned(),
        leader: "me".to_owned(),
        member_id: "me".to_owned(),
        skip_assignment,
        members: vec![("me".to_owned(), None, join.protocols[0].1.clone())],
    };
    let effects = fixture.member.joined(join.ticket, Ok(joined), fixture.now);
    let [Effect::Describe { ticket, .. }] = &effects[..] else { panic!("{effects:?}") };
    let counts = counts.iter().map(|(topic, count)| (Arc::from(*topic), *count)).collect();
    fixture.member.described(*ticket, counts, fixture.now)
}

#[test]
fn a_leader_divides_the_partitions_unless_it_is_told_to_skip_that() {
    for skip in [false, true] {
        let effects = leader(&mut Fixture::new(COOPERATIVE, None), skip, &[("t", 2)]);
        let [Effect::Sync(sync)] = &effects[..] else { panic!("{effects:?}") };
        assert_eq!(sync.assignments.is_empty(), skip);
    }
}

#[test]
fn a_leader_calls_for_a_rebalance_when_partitions_appear() {
    let mut fixture = Fixture::new(COOPERATIVE, None);
    let effects = leader(&mut fixture, false, &[]);
    let [Effect::Sync(sync)] = &effects[..] else { panic!("{effects:?}") };
    fixture.member.synced(sync.ticket, Ok(encode_assignment(&partitions(&[]))), fixture.now);
    let unrelated: PartitionCounts = [(Arc::from("u"), 9)].into();
    assert!(fixture.member.metadata_changed(&unrelated, fixture.now).is_empty());
    let appeared: PartitionCounts = [(Arc::from("t"), 3)].into();
    assert!(matches!(&fixture.member.metadata_changed(&appeared, fixture.now)[..], [Effect::Join(_)]));
}

#[test]
fn a_member_signs_only_while_it_knows_what_it_has_in_its_generation() {
    let mut fixture = Fixture::new(COOPERATIVE, None);
    let effects = fixture.member.tick(fixture.now);
    assert_eq!(fixture.member.signature(), None, "it has not joined");
    fixture.round(effects, 1, &[0, 1]);
    assert_eq!(fixture.member.signature().unwrap().generation, 1);

    let effects = fixture.heartbeat(ErrorCode::REBALANCE_IN_PROGRESS);
    assert_eq!(fixture.member.signature().unwrap().generation, 1, "the old generation counts until there is a new one");
    let [Effect::Join(join)] = &effects[..] else { panic!("{effects:?}") };
    let joined = Joined {
        generation: 2,
        protocol: "cooperative-sticky".to_owned(),
        leader: "other".to_owned(),
        member_id: "me".to_owned(),
        skip_assignment: false,
        members: Vec::new(),
    };
    fixture.member.joined(join.ticket, Ok(joined), fixture.now);
    assert_eq!(fixture.member.signature(), None, "what it has in generation 2 is not known yet");
    fixture.member.close();
    assert_eq!(fixture.member.signature(), None);
}
