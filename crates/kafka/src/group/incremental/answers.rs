//! What each answer of the coordinator means for a member (Java's `AbstractHeartbeatRequestManager`, and what the coordinator
//! does in `GroupMetadataManager`).

use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::error::ErrorCode;

/// Whatever a broker says, it is not asked more often than this.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(50);

impl Incremental {
    /// The answer to a heartbeat. One that belongs to an earlier heartbeat is ignored.
    pub(crate) fn answered(
        &mut self,
        ticket: Ticket,
        answer: Result<BeatAnswer, Failure>,
        now: Instant,
    ) -> Vec<Effect> {
        let Some(beat) = self.in_flight.take_if(|beat| beat.ticket == ticket) else { return Vec::new() };
        if self.state == State::Leaving {
            return self.left(answer, now);
        }
        match answer {
            // Read too late: the session that it speaks of may be over.
            Ok(_) if now - beat.sent >= self.config.session_timeout => {
                self.failed(&beat, Failure::Unreachable("the answer came after a session".to_owned()), now)
            }
            Ok(answer) => self.accepted(beat, answer, now),
            Err(failure) => self.failed(&beat, failure, now),
        }
    }

    fn accepted(&mut self, beat: InFlight, answer: BeatAnswer, now: Instant) -> Vec<Effect> {
        if answer.epoch <= JOINING {
            let nonsense = Failure::Unreachable(format!("the coordinator answered with member epoch {}", answer.epoch));
            return self.failed(&beat, nonsense, now);
        }
        if self.state == State::Joining {
            tracing::info!(
                group = self.config.group,
                member = self.member_id,
                epoch = answer.epoch,
                "in the group, by the consumer protocol"
            );
        }
        self.state = State::Inside;
        self.member_id = answer.member_id.filter(|id| !id.is_empty()).unwrap_or_else(|| self.member_id.clone());
        self.epoch = answer.epoch;
        self.last_seen = beat.sent;
        self.failures = 0;
        self.releases = 0;
        self.full = false;
        self.reported = beat.owned.or_else(|| self.reported.take());
        self.interval = answer.interval.max(SHORTEST_INTERVAL);
        self.next_beat = beat.sent + self.interval;
        if let Some(assignment) = answer.assignment {
            let keys =
                |(id, partitions): (Uuid, Vec<i32>)| partitions.into_iter().map(move |partition| (id, partition));
            self.target = assignment.into_iter().flat_map(keys).collect();
        }
        self.reconcile(now)
    }

    /// The answer to the heartbeat that left: whatever it is, the way in is free, unless another process has our name.
    fn left(&mut self, answer: Result<BeatAnswer, Failure>, now: Instant) -> Vec<Effect> {
        match answer {
            Err(Failure::Code { code: ErrorCode::FENCED_INSTANCE_ID, .. }) => self.fail(ErrorCode::FENCED_INSTANCE_ID),
            Err(failure @ Failure::Unreachable(_)) => self.later(&failure, now),
            Err(Failure::Code { code, .. }) if code.is_retriable() => self.later(&Failure::code(code), now),
            _ => {
                self.must_leave = false;
                self.state = State::Outside { not_before: now };
                self.tick(now)
            }
        }
    }

    fn failed(&mut self, beat: &InFlight, failure: Failure, now: Instant) -> Vec<Effect> {
        self.full = true;
        let code = match failure {
            Failure::Code { code, .. } => code,
            failure @ Failure::Unreachable(_) => return self.later(&failure, now),
        };
        match code {
            ErrorCode::FENCED_MEMBER_EPOCH | ErrorCode::UNKNOWN_MEMBER_ID => {
                tracing::warn!(
                    group = self.config.group,
                    epoch = self.epoch,
                    member = self.member_id,
                    "the coordinator has moved on without us ({}); joining again",
                    code.name()
                );
                let joining = self.state == State::Joining;
                let mut effects: Vec<Effect> = self.start_over(now).into_iter().collect();
                // One that the coordinator does not know has nothing to leave.
                self.must_leave = code == ErrorCode::FENCED_MEMBER_EPOCH;
                if joining {
                    self.state = State::Outside { not_before: self.backoff(now) };
                }
                effects.extend(self.tick(now));
                effects
            }
            ErrorCode::UNRELEASED_INSTANCE_ID if self.releases < MOST_RELEASES => {
                self.releases += 1;
                let ticket = self.ticket();
                self.state = State::Releasing { ticket };
                let instance_id = self.config.instance_id.clone().unwrap_or_default();
                vec![Effect::Release { ticket, instance_id }]
            }
            ErrorCode::GROUP_ID_NOT_FOUND | ErrorCode::UNSUPPORTED_VERSION if self.state == State::Joining => {
                self.state = State::Closed;
                vec![Effect::NotOffered(code)]
            }
            // A right that is missing may be given; what is ours meanwhile stays so.
            ErrorCode::TOPIC_AUTHORIZATION_FAILED => {
                tracing::warn!(group = self.config.group, "not authorized to read some of the topics ({code})");
                self.later(&Failure::code(code), now)
            }
            code if code.is_retriable() => self.later(&Failure::code(code), now),
            // The name of a group that is gone: as one who has been forgotten.
            ErrorCode::GROUP_ID_NOT_FOUND => {
                tracing::warn!(group = self.config.group, sent = ?beat.sent, "the group is gone; joining again");
                let mut effects: Vec<Effect> = self.start_over(now).into_iter().collect();
                self.must_leave = false;
                effects.extend(self.tick(now));
                effects
            }
            code => self.fail(code),
        }
    }

    /// Tries again after a while: inside with the same epoch, outside from where it stood.
    fn later(&mut self, failure: &Failure, now: Instant) -> Vec<Effect> {
        tracing::debug!(group = self.config.group, ?failure, "no heartbeat");
        let at = self.backoff(now);
        match self.state {
            State::Inside => self.next_beat = at,
            State::Joining | State::Leaving | State::Releasing { .. } => self.state = State::Outside { not_before: at },
            State::Idle | State::Outside { .. } | State::Closed => {}
        }
        let moved = match failure {
            Failure::Code { code, .. } => code.moves_coordinator(),
            Failure::Unreachable(_) => true,
        };
        if moved { vec![Effect::ForgetCoordinator] } else { Vec::new() }
    }

    /// What came of [`Effect::Release`]: the place of the member that held our instance id is free, or cannot be had.
    pub(crate) fn released(&mut self, ticket: Ticket, outcome: Result<(), Failure>, now: Instant) -> Vec<Effect> {
        if self.state != (State::Releasing { ticket }) {
            return Vec::new();
        }
        match outcome {
            Ok(()) => {
                self.state = State::Outside { not_before: now };
                self.tick(now)
            }
            Err(Failure::Code { code, .. }) if code.is_authorization() => self.fail(ErrorCode::UNRELEASED_INSTANCE_ID),
            Err(failure) => self.later(&failure, now),
        }
    }

    fn fail(&mut self, code: ErrorCode) -> Vec<Effect> {
        let group = self.config.group.clone();
        let instance_id = self.config.instance_id.clone().unwrap_or_default();
        let error = match code {
            ErrorCode::FENCED_INSTANCE_ID => GroupError::Fenced { group, instance_id },
            ErrorCode::UNRELEASED_INSTANCE_ID => GroupError::Unreleased { group, instance_id },
            ErrorCode::GROUP_AUTHORIZATION_FAILED => GroupError::Unauthorized { group },
            ErrorCode::UNSUPPORTED_ASSIGNOR => {
                GroupError::UnsupportedAssignor { group, assignor: self.config.assignor.clone().unwrap_or_default() }
            }
            ErrorCode::INVALID_REGULAR_EXPRESSION => {
                let pattern = match &self.wanted {
                    Wanted::Matching(pattern) => pattern.to_string(),
                    Wanted::Topics(_) => String::new(),
                };
                GroupError::InvalidPattern { group, pattern }
            }
            ErrorCode::GROUP_MAX_SIZE_REACHED => GroupError::Refused {
                group,
                reason: "GROUP_MAX_SIZE_REACHED: the broker's group.consumer.max.size".to_owned(),
            },
            code => GroupError::Refused { group, reason: code.to_string() },
        };
        let mut effects: Vec<Effect> = self.lose_everything().into_iter().collect();
        self.state = State::Closed;
        effects.push(Effect::Failed(error));
        effects
    }
}
