//! The page's stream: a snapshot when there is a new one, log lines as they come, four times a second at most.
//!
//! The stream is pulled: nothing is put aside for a reader that does not read. One that falls behind gets the newest
//! snapshot and the lines that are still kept.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures::Stream;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::snapshot::Snapshot;
use super::{Dashboard, SharedSnapshot};
use crate::supervisor::Supervised;
use crate::supervisor::logs::{Cursor, Line};

/// Between two looks at what is new.
const TICK: Duration = Duration::from_millis(250);

#[derive(Serialize)]
struct LogEvent<'a> {
    service: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cleared: bool,
    lines: Vec<Line>,
}

/// What one reader has seen.
struct Reader {
    services: Vec<Supervised>,
    snapshots: watch::Receiver<SharedSnapshot>,
    cursors: HashMap<&'static str, Cursor>,
    pending: VecDeque<Event>,
    ticks: tokio::time::Interval,
    ends: tokio_util::sync::CancellationToken,
}

pub(super) async fn stream(State(dashboard): State<Dashboard>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut snapshots = dashboard.snapshots.clone();
    snapshots.mark_changed();
    let reader = Reader {
        services: dashboard.services.clone(),
        snapshots,
        cursors: HashMap::new(),
        pending: VecDeque::new(),
        ticks,
        ends: dashboard.ends.clone(),
    };
    let events = futures::stream::unfold(reader, |mut reader| async {
        let event = reader.next().await?;
        Some((Ok(event), reader))
    });
    Sse::new(events).keep_alive(KeepAlive::default())
}

impl Reader {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Some(event);
            }
            tokio::select! {
                _ = self.ticks.tick() => self.look(),
                () = self.ends.cancelled() => return None,
            }
        }
    }

    fn look(&mut self) {
        if self.snapshots.has_changed().unwrap_or(false) {
            let snapshot = self.snapshots.borrow_and_update().clone();
            self.queue("snapshot", &*snapshot as &Snapshot);
        }
        for index in 0..self.services.len() {
            let service = &self.services[index];
            let name = service.name();
            let unread = service.logs().unread(self.cursors.entry(name).or_default());
            if let Some(unread) = unread {
                self.queue("log", &LogEvent { service: name, cleared: unread.cleared, lines: unread.lines });
            }
        }
    }

    fn queue(&mut self, name: &str, payload: &impl Serialize) {
        match Event::default().event(name).json_data(payload) {
            Ok(event) => self.pending.push_back(event),
            Err(error) => tracing::warn!(%error, name, "an event of the dashboard could not be written"),
        }
    }
}
