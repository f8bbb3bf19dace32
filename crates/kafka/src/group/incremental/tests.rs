use super::*;
use crate::error::ErrorCode;

const TOPIC: Uuid = Uuid::from_u128(7);
const RECREATED: Uuid = Uuid::from_u128(8);
const INTERVAL: Duration = Duration::from_secs(5);

/// One member and what it does, driven by hand.
struct Fixture {
    member: Incremental,
    now: Instant,
}

fn names(numbers: &[i32]) -> BTreeSet<TopicPartition> {
    numbers.iter().map(|number| TopicPartition::new("t", *number)).collect()
}

fn assignment(numbers: &[i32]) -> Option<TopicsById> {
    Some([(TOPIC, numbers.to_vec())].into())
}

impl Fixture {
    fn new(instance_id: Option<&str>) -> Self {
        let config = IncrementalConfig {
            group: "g".to_owned(),
            instance_id: instance_id.map(str::to_owned),
            rack: Some("r".to_owned()),
            assignor: None,
            session_timeout: Duration::from_secs(45),
            max_poll_interval: Duration::from_secs(300),
            retry: RetryPolicy::default(),
        };
        let now = Instant::now();
        let wanted = Wanted::Topics([Arc::from("t")].into());
        let mut member = Incremental::new(config, wanted, fastrand::Rng::with_seed(1), now);
        member.metadata_changed([(TOPIC, Arc::from("t"))].into_iter(), now);
        member.application_polls(true, now);
        Self { member, now }
    }

    /// A member in epoch 1 that owns partitions 0 and 1 and has said so.
    fn inside() -> Self {
        let mut fixture = Self::new(None);
        let effects = fixture.tick();
        let effects = fixture.answer(&effects, 1, assignment(&[0, 1]));
        assert_eq!(effects[0], Effect::Assigned(names(&[0, 1])));
        assert_eq!(fixture.answer(&effects[1..], 1, None), []);
        fixture
    }

    fn tick(&mut self) -> Vec<Effect> {
        self.member.tick(self.now)
    }

    fn answer(&mut self, effects: &[Effect], epoch: i32, assignment: Option<TopicsById>) -> Vec<Effect> {
        let answer = BeatAnswer { member_id: None, epoch, interval: INTERVAL, assignment };
        self.member.answered(beat(effects).ticket, Ok(answer), self.now)
    }

    fn refuse(&mut self, effects: &[Effect], code: ErrorCode) -> Vec<Effect> {
        self.member.answered(beat(effects).ticket, Err(Failure::code(code)), self.now)
    }

    /// The heartbeat that is due after the interval.
    fn next_beat(&mut self) -> Vec<Effect> {
        self.now += INTERVAL;
        self.tick()
    }
}

fn beat(effects: &[Effect]) -> &Beat {
    let [Effect::Beat(beat)] = effects else { panic!("{effects:?}") };
    beat
}

#[test]
fn a_member_joins_with_everything_and_then_says_only_what_has_changed() {
    let mut fixture = Fixture::new(None);
    let join = fixture.tick();
    let Beat { epoch, rebalance_timeout, wanted, owned, rack, .. } = beat(&join).clone();
    assert_eq!((epoch, owned), (JOINING, Some(TopicsById::new())), "a join owns nothing, and must say so");
    assert!(rebalance_timeout.is_some() && wanted.is_some() && rack.is_some());
    assert_eq!(fixture.member.signature(), None);

    let effects = fixture.answer(&join, 3, assignment(&[0, 1]));
    assert_eq!(effects[0], Effect::Assigned(names(&[0, 1])));
    let report = beat(&effects[1..]);
    assert_eq!((report.epoch, &report.owned), (3, &assignment(&[0, 1])), "it says at once what it has");
    assert!(report.wanted.is_none() && report.rebalance_timeout.is_none() && report.rack.is_none());
    assert_eq!(fixture.member.signature().unwrap().generation, 3);
    assert_eq!(fixture.answer(&effects[1..], 3, None), []);

    assert_eq!(fixture.tick(), [], "not before the interval");
    let quiet = fixture.next_beat();
    assert_eq!((beat(&quiet).epoch, &beat(&quiet).owned), (3, &None));
}

#[test]
fn a_partition_is_reported_as_given_up_only_when_the_application_has_done_so() {
    let mut fixture = Fixture::inside();
    let due = fixture.next_beat();
    let effects = fixture.answer(&due, 1, assignment(&[1]));
    assert_eq!(effects, [Effect::Revoke(names(&[0]))]);
    assert!(fixture.member.owns(&TopicPartition::new("t", 0)), "until it is given up");
    let while_waiting = fixture.next_beat();
    assert_eq!(beat(&while_waiting).owned, None, "nothing has changed yet");
    assert_eq!(fixture.answer(&while_waiting, 1, None), [], "and the application is asked once");

    let effects = fixture.member.revoked(fixture.now);
    assert_eq!(beat(&effects).owned, assignment(&[1]));
    assert_eq!(fixture.answer(&effects, 2, None), []);
    assert_eq!(fixture.member.signature().unwrap().generation, 2);
}

#[test]
fn what_is_added_begins_while_something_else_is_being_given_up() {
    let mut fixture = Fixture::inside();
    let due = fixture.next_beat();
    let effects = fixture.answer(&due, 2, assignment(&[1, 5]));
    assert_eq!(effects[..2], [Effect::Assigned(names(&[5])), Effect::Revoke(names(&[0]))]);
    assert_eq!(beat(&effects[2..]).owned, assignment(&[0, 1, 5]), "what it has, it says");
}

#[test]
fn a_partition_that_comes_back_before_it_was_given_up_goes_and_comes() {
    let mut fixture = Fixture::inside();
    let due = fixture.next_beat();
    fixture.answer(&due, 2, assignment(&[1]));
    let due = fixture.next_beat();
    assert_eq!(fixture.answer(&due, 3, assignment(&[0, 1])), []);
    let effects = fixture.member.revoked(fixture.now);
    assert_eq!(effects, [Effect::Assigned(names(&[0]))], "and the coordinator, which never missed it, need not know");
}

#[test]
fn a_fenced_member_drops_everything_leaves_and_joins_with_epoch_0() {
    let mut fixture = Fixture::inside();
    let due = fixture.next_beat();
    let effects = fixture.refuse(&due, ErrorCode::FENCED_MEMBER_EPOCH);
    assert_eq!(effects[0], Effect::Lost(names(&[0, 1])));
    assert_eq!(beat(&effects[1..]).epoch, LEAVING, "or it would be fenced until its old session ends");
    assert_eq!(fixture.member.signature(), None);
    let effects = fixture.refuse(&effects[1..], ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(beat(&effects).epoch, JOINING);
    assert!(beat(&effects).wanted.is_some());

    let mut forgotten = Fixture::inside();
    let due = forgotten.next_beat();
    let effects = forgotten.refuse(&due, ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(beat(&effects[1..]).epoch, JOINING, "there is nothing to leave");
}

#[test]
fn after_a_failure_everything_is_said_again() {
    let mut fixture = Fixture::inside();
    let due = fixture.next_beat();
    assert_eq!(fixture.refuse(&due, ErrorCode::NOT_COORDINATOR), [Effect::ForgetCoordinator]);
    fixture.now += Duration::from_secs(1);
    let again = fixture.tick();
    let Beat { epoch, wanted, rebalance_timeout, owned, .. } = beat(&again).clone();
    assert_eq!((epoch, owned), (1, assignment(&[0, 1])));
    assert!(wanted.is_some() && rebalance_timeout.is_some());
}

#[test]
fn a_member_that_hears_nothing_for_a_session_lets_go_before_others_are_given_its_partitions() {
    let mut fixture = Fixture::inside();
    let due = fixture.next_beat();
    let unreachable = Failure::Unreachable("no answer".to_owned());
    fixture.member.answered(beat(&due).ticket, Err(unreachable), fixture.now);
    fixture.now += Duration::from_secs(45);
    let effects = fixture.tick();
    assert_eq!(effects[0], Effect::Lost(names(&[0, 1])));
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Beat(beat) if beat.epoch == LEAVING)));
}

#[test]
fn an_answer_that_waited_for_a_frozen_process_to_wake_is_not_believed() {
    let mut fixture = Fixture::new(None);
    let join = fixture.tick();
    fixture.now += Duration::from_secs(60);
    let effects = fixture.answer(&join, 1, assignment(&[0]));
    assert_eq!(effects, [Effect::ForgetCoordinator]);
    assert!(!fixture.member.owns(&TopicPartition::new("t", 0)));
}

#[test]
fn the_answer_to_an_earlier_heartbeat_changes_nothing() {
    let mut fixture = Fixture::inside();
    let earlier = fixture.next_beat();
    fixture.refuse(&earlier, ErrorCode::COORDINATOR_LOAD_IN_PROGRESS);
    assert_eq!(fixture.answer(&earlier, 9, assignment(&[3])), []);
    assert_eq!(fixture.member.signature().unwrap().generation, 1);
}

#[test]
fn a_static_member_says_that_it_will_be_back_and_a_dynamic_one_goodbye() {
    assert_eq!(beat(&Fixture::inside().member.close()).epoch, LEAVING);
    let mut fixture = Fixture::new(Some("i"));
    assert_eq!(fixture.member.close(), [], "it has not been there");
    let mut fixture = Fixture::new(Some("i"));
    let join = fixture.tick();
    fixture.answer(&join, 1, None);
    let leave = fixture.member.close();
    assert_eq!((beat(&leave).epoch, beat(&leave).instance_id.as_deref()), (LEAVING_FOR_A_WHILE, Some("i")));
}

#[test]
fn the_place_of_a_member_that_died_is_taken_and_two_rivals_do_not_take_it_from_each_other_for_ever() {
    let mut fixture = Fixture::new(Some("i"));
    let mut join = fixture.tick();
    for _ in 0..MOST_RELEASES {
        let effects = fixture.refuse(&join, ErrorCode::UNRELEASED_INSTANCE_ID);
        let [Effect::Release { ticket, instance_id }] = &effects[..] else { panic!("{effects:?}") };
        assert_eq!(instance_id, "i");
        join = fixture.member.released(*ticket, Ok(()), fixture.now);
        assert_eq!(beat(&join).epoch, JOINING);
    }
    let effects = fixture.refuse(&join, ErrorCode::UNRELEASED_INSTANCE_ID);
    let [Effect::Failed(error)] = &effects[..] else { panic!("{effects:?}") };
    assert!(error.to_string().contains("group.instance.id i"), "{error}");
}

#[test]
fn errors_that_waiting_does_not_mend_end_the_membership_and_name_the_key() {
    let cases = [
        (ErrorCode::FENCED_INSTANCE_ID, "group.instance.id"),
        (ErrorCode::UNSUPPORTED_ASSIGNOR, "group.remote.assignor"),
        (ErrorCode::INVALID_REGULAR_EXPRESSION, "pattern"),
        (ErrorCode::GROUP_AUTHORIZATION_FAILED, "Read on group g"),
    ];
    for (code, named) in cases {
        let mut fixture = Fixture::inside();
        let due = fixture.next_beat();
        let effects = fixture.refuse(&due, code);
        let [Effect::Lost(_), Effect::Failed(error)] = &effects[..] else { panic!("{effects:?}") };
        assert!(error.to_string().contains(named), "{error}");
        fixture.now += Duration::from_secs(100);
        assert_eq!(fixture.tick(), []);
    }
}

#[test]
fn a_group_of_classic_members_that_lets_nobody_else_in_is_said_before_anything_is_owned() {
    let mut fixture = Fixture::new(None);
    let join = fixture.tick();
    let effects = fixture.refuse(&join, ErrorCode::GROUP_ID_NOT_FOUND);
    assert_eq!(effects, [Effect::NotOffered(ErrorCode::GROUP_ID_NOT_FOUND)]);
}

#[test]
fn a_topic_that_is_not_known_by_its_id_is_looked_up_and_then_begun() {
    let mut fixture = Fixture::new(None);
    let join = fixture.tick();
    let unknown = Uuid::from_u128(99);
    let effects = fixture.answer(&join, 1, Some([(unknown, vec![0])].into()));
    assert_eq!(effects[0], Effect::Resolve([unknown].into()));
    let effects = fixture.member.metadata_changed([(unknown, Arc::from("later"))].into_iter(), fixture.now);
    assert_eq!(effects[0], Effect::Assigned([TopicPartition::new("later", 0)].into()));
}

#[test]
fn a_topic_that_was_created_again_is_given_up_before_it_is_begun() {
    let mut fixture = Fixture::inside();
    fixture.member.metadata_changed([(RECREATED, Arc::from("t"))].into_iter(), fixture.now);
    let due = fixture.next_beat();
    let effects = fixture.answer(&due, 2, Some([(RECREATED, vec![0])].into()));
    assert_eq!(effects, [Effect::Revoke(names(&[0, 1]))]);
    let effects = fixture.member.revoked(fixture.now);
    assert_eq!(effects[0], Effect::Assigned(names(&[0])));
    assert_eq!(beat(&effects[1..]).owned, Some([(RECREATED, vec![0])].into()));
}

#[test]
fn an_application_that_stops_asking_makes_its_member_leave_and_come_back_when_it_asks() {
    let mut fixture = Fixture::inside();
    fixture.member.application_polls(false, fixture.now);
    fixture.now += Duration::from_secs(40);
    let due = fixture.tick();
    fixture.answer(&due, 1, None);
    fixture.now += Duration::from_secs(260);
    fixture.member.last_seen = fixture.now;
    let effects = fixture.tick();
    let [Effect::Beat(leave), Effect::Lost(lost)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!((leave.epoch, lost), (LEAVING, &names(&[0, 1])));
    assert_eq!(fixture.tick(), []);
    fixture.member.application_polls(true, fixture.now);
    assert_eq!(beat(&fixture.tick()).epoch, JOINING);
}
