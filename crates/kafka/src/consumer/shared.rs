//! What the application's side and the task share: one lock, never held across an await, and a bell for each side.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::error::ConsumerError;
use super::partitions::Partitions;
use crate::TopicPartition;
use crate::group::GroupError;
use crate::group::membership::Identity;

/// The common ground of a consumer and its task.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// How this member stands with its group, for whoever commits by another way. Set without the lock held.
    pub(super) standing: watch::Sender<Standing>,
    /// Rings when there is something for the application.
    pub(super) application: Notify,
    /// Rings when there is something for the task, or room in the budget.
    pub(super) task: Arc<Notify>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) partitions: Partitions,
    /// For the application, before any more records.
    pub(super) news: VecDeque<News>,
    /// The last revocation that the application has agreed to.
    pub(super) gave_up: u64,
    pub(super) application: Application,
    /// Why the group does not take this member.
    pub(super) expelled: Option<GroupError>,
    /// The task has ended, and no more records will come.
    pub(super) ended: bool,
}

/// Whether the application waits for records or is busy with some.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Application {
    Polling,
    Processing { since: Instant },
}

/// How a member stands with its group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// How it signs, while it is in a generation.
    pub(super) identity: Option<Identity>,
    /// It has left because the application stopped asking for records, and comes back when it asks again.
    pub(super) left: bool,
}

/// What the application is to know.
#[derive(Debug)]
pub(super) enum News {
    Assigned(Vec<TopicPartition>),
    Revoking { number: u64, partitions: Vec<TopicPartition> },
    Lost(Vec<TopicPartition>),
    Failed(ConsumerError),
}

impl Shared {
    pub(super) fn new(now: Instant) -> Self {
        let state = State {
            partitions: Partitions::default(),
            news: VecDeque::new(),
            gave_up: 0,
            application: Application::Processing { since: now },
            expelled: None,
            ended: false,
        };
        Self {
            state: Mutex::new(state),
            standing: watch::Sender::default(),
            application: Notify::new(),
            task: Arc::new(Notify::new()),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the application something and wakes it.
    pub(super) fn tell(&self, news: News) {
        self.lock().news.push_back(news);
        self.application.notify_one();
    }

    /// Tells the application what stands in its way, unless it is still to read just that.
    pub(super) fn fail(&self, error: ConsumerError) {
        let said = |news: &News| matches!(news, News::Failed(known) if known.to_string() == error.to_string());
        let mut state = self.lock();
        if !state.news.iter().any(said) {
            state.news.push_back(News::Failed(error));
        }
        drop(state);
        self.application.notify_one();
    }

    /// The group is closed to this member: whoever asks for records is told so from now on.
    pub(super) fn expel(&self, error: GroupError) {
        self.lock().expelled = Some(error);
        self.standing.send_replace(Standing::default());
        self.application.notify_one();
    }

    /// Takes over how the member stands now.
    pub(super) fn stands(&self, standing: Standing) {
        self.standing.send_if_modified(|known| {
            let news = *known != standing;
            if news {
                *known = standing;
            }
            news
        });
    }

    /// Whether partitions were lost that the application believes to have.
    pub(super) fn has_untold_loss(&self) -> bool {
        self.lock().news.iter().any(|news| matches!(news, News::Lost(_)))
    }

    /// Whether this consumer will never be a member again.
    pub(super) fn is_over(&self) -> bool {
        let state = self.lock();
        state.ended || state.expelled.is_some()
    }

    /// No more records will come; says whether that is news.
    pub(super) fn end(&self) -> bool {
        let was_running = !std::mem::replace(&mut self.lock().ended, true);
        self.standing.send_replace(Standing::default());
        self.application.notify_one();
        was_running
    }

    /// The application agrees to give up what the revocation of this number names.
    pub(super) fn give_up(&self, number: u64) {
        let mut state = self.lock();
        state.gave_up = state.gave_up.max(number);
        drop(state);
        self.task.notify_one();
    }
}

/// The members of a set, for the application.
pub(super) fn list(partitions: &BTreeSet<TopicPartition>) -> Vec<TopicPartition> {
    partitions.iter().cloned().collect()
}
