use super::*;
use crate::consumer::positions::Position;

struct Fixture {
    commits: Commits,
    now: Instant,
    owned: Vec<TopicPartition>,
    generation: Option<i32>,
}

fn name(partition: i32) -> TopicPartition {
    TopicPartition::new("t", partition)
}

fn positions(partitions: &[i32]) -> Positions {
    partitions.iter().map(|partition| (name(*partition), Position::at(7))).collect()
}

impl Fixture {
    /// A member of generation 1 that owns partitions 0 to 2 and wants to commit some.
    fn new(partitions: &[i32]) -> Self {
        let mut commits = Commits::new("g".to_owned(), RetryPolicy::default(), Duration::from_secs(60));
        let now = Instant::now();
        commits.push(positions(partitions), Purpose::Interval, now);
        Self { commits, now, owned: (0..3).map(name).collect(), generation: Some(1) }
    }

    fn next(&mut self) -> Next {
        let identity =
            self.generation.map(|generation| Identity { generation, member_id: "m".to_owned(), instance_id: None });
        let owned = &self.owned;
        self.commits.next(identity.as_ref(), |partition| owned.contains(partition), self.now)
    }

    fn sent(&mut self) -> Vec<i32> {
        match self.next() {
            Next::Send(positions) => positions.iter().map(|(name, _)| name.partition).collect(),
            _ => Vec::new(),
        }
    }

    fn answer(&mut self, codes: &[(i32, i16)]) -> Option<Finished> {
        let answer = codes.iter().map(|(partition, code)| (name(*partition), ErrorCode::check(*code))).collect();
        self.commits.answered(self.generation.unwrap_or(0), Ok(answer), self.now, 0.5).0
    }

    fn finished(&mut self) -> Result<(), CommitError> {
        match self.next() {
            Next::Finished(finished) => finished.result,
            _ => panic!("not finished"),
        }
    }
}

#[test]
fn a_commit_is_done_when_every_partition_is() {
    let mut fixture = Fixture::new(&[0, 1]);
    assert_eq!(fixture.sent(), [0, 1]);
    assert!(fixture.sent().is_empty(), "one at a time");
    assert!(fixture.answer(&[(0, 0), (1, 0)]).is_none());
    assert!(fixture.finished().is_ok());
    assert!(fixture.commits.is_idle());
}

#[test]
fn only_what_failed_is_tried_again() {
    let mut fixture = Fixture::new(&[0, 1]);
    fixture.sent();
    assert!(fixture.answer(&[(0, 0), (1, 14)]).is_none());
    assert!(fixture.sent().is_empty(), "the coordinator gets time to load");
    fixture.now += Duration::from_millis(200);
    assert_eq!(fixture.sent(), [1]);
}

#[test]
fn a_commit_between_two_generations_waits_for_the_next() {
    let mut fixture = Fixture::new(&[0]);
    fixture.generation = None;
    assert!(fixture.sent().is_empty());
    fixture.generation = Some(2);
    assert_eq!(fixture.sent(), [0]);
}

#[test]
fn a_commit_in_a_generation_that_has_passed_is_repeated_in_the_next_if_the_partition_stayed() {
    let mut fixture = Fixture::new(&[0]);
    fixture.sent();
    assert!(fixture.answer(&[(0, 22)]).is_none());
    assert!(fixture.sent().is_empty(), "not again in the same generation");
    fixture.generation = Some(2);
    assert_eq!(fixture.sent(), [0]);
}

#[test]
fn a_commit_after_rebalance_is_fenced() {
    let mut fixture = Fixture::new(&[0]);
    fixture.sent();
    fixture.answer(&[(0, 22)]);
    fixture.owned.clear();
    let error = fixture.finished().unwrap_err();
    assert!(error.is_rebalance());
    assert!(error.to_string().contains("t-0 is no longer ours"), "{error}");
    let mut forgotten = Fixture::new(&[0]);
    forgotten.sent();
    assert!(forgotten.answer(&[(0, 25)]).unwrap().result.unwrap_err().is_rebalance());
}

#[test]
fn what_is_still_ours_is_committed_when_another_partition_went_away() {
    let mut fixture = Fixture::new(&[0, 5]);
    assert_eq!(fixture.sent(), [0]);
    fixture.answer(&[(0, 0)]);
    match fixture.finished().unwrap_err() {
        CommitError::Rebalanced { partitions, .. } => assert_eq!(partitions, [name(5)]),
        other => panic!("{other}"),
    }
}

#[test]
fn what_stayed_ours_is_committed_in_the_next_generation_although_another_partition_went_away() {
    let mut fixture = Fixture::new(&[0, 1]);
    assert_eq!(fixture.sent(), [0, 1]);
    assert!(fixture.answer(&[(0, 22), (1, 22)]).is_none());
    fixture.owned.retain(|owned| *owned != name(1));
    fixture.generation = Some(2);
    assert_eq!(fixture.sent(), [0]);
    fixture.answer(&[(0, 0)]);
    assert!(matches!(fixture.finished(), Err(CommitError::Rebalanced { partitions, .. }) if partitions == [name(1)]));
}

#[test]
fn what_is_still_ours_is_tried_at_the_same_pace_and_within_the_same_bound() {
    let mut fixture = Fixture::new(&[0, 5]);
    assert_eq!(fixture.sent(), [0]);
    fixture.answer(&[(0, 14)]);
    assert!(fixture.sent().is_empty(), "the coordinator gets time to load");
    fixture.now += Duration::from_secs(61);
    assert!(fixture.finished().unwrap_err().is_retriable(), "and not for ever");
}

#[test]
fn an_outage_ends_in_an_error_that_says_what_happened_last() {
    let mut fixture = Fixture::new(&[0]);
    let error = loop {
        match fixture.next() {
            Next::Send(_) => drop(fixture.answer(&[(0, 16)])),
            Next::Wait => fixture.now += Duration::from_secs(1),
            Next::Finished(finished) => break finished.result.unwrap_err(),
        }
    };
    assert!(error.is_retriable() && error.to_string().contains("NOT_COORDINATOR"), "{error}");
}

#[test]
fn a_missing_right_is_named() {
    let mut fixture = Fixture::new(&[0]);
    fixture.sent();
    let error = fixture.answer(&[(0, 29)]).unwrap().result.unwrap_err();
    assert!(matches!(error, CommitError::NotAuthorized { .. }), "{error}");
}
