//! A run from its first fault to its audit.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use grocery::audit::{Books, Violation, audit};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Mutex, oneshot, watch};

use crate::ChaosError;
use crate::faults::Victims;
use crate::fleet::{AuditFiles, Fleet, Outcome, Shape};
use crate::flow::{self, ORDER_ID_LENGTH, Seen};
use crate::place::Place;
use crate::plan::{Fault, Size, Step, plan};
use crate::table::Table;
use crate::witness;

/// Partitions of both topics.
const PARTITIONS: usize = 3;

/// The pipeline stands still for good when it has not moved for so long after a fault.
const STANDS_STILL_AFTER: Duration = Duration::from_secs(120);

/// The first orders take a connection, a group and a schema.
const FIRST_ORDERS_WITHIN: Duration = Duration::from_secs(240);

/// What a run is like.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The checkout that has `scripts/peers`.
    pub(crate) root: PathBuf,
    /// The executable with the three services.
    pub(crate) executable: PathBuf,
    /// A folder for everything that the run writes.
    pub(crate) dir: PathBuf,
    /// How many faults.
    pub(crate) faults: usize,
    /// Of the plan.
    pub(crate) seed: u64,
    /// Brokers.
    pub(crate) brokers: usize,
    /// The services.
    pub(crate) fleet: Shape,
}

impl Settings {
    /// What the plan has to know.
    pub(crate) fn size(&self) -> Size {
        Size { brokers: self.brokers, instances: self.fleet.instances }
    }
}

/// What became of a run.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Times until the pipeline moved again.
    pub(crate) table: Table,
    /// What must not be; empty when the promise was kept.
    pub(crate) violations: Vec<String>,
    /// Processes that ended without being told to.
    pub(crate) notes: Vec<String>,
    /// Orders acknowledged, orders on the topic, pick lists on the topic.
    pub(crate) counts: (usize, usize, usize),
    /// From the first fault to the last recovery.
    pub(crate) took: Duration,
}

/// Starts everything, carries the plan out, ends everything and compares the books.
///
/// # Errors
/// The run could not be made. That an order was lost is no error but in the report.
pub(crate) async fn run(settings: &Settings) -> Result<Report, ChaosError> {
    std::fs::create_dir_all(settings.dir.join("logs"))?;
    let place = Place::start(&settings.root, &settings.dir, settings.brokers, PARTITIONS).await?;
    let result = tokio::select! {
        result = on(&place, settings) => result,
        () = interrupted() => Err(ChaosError::Interrupted),
    };
    place.stop().await;
    result
}

/// Ctrl-C, or the SIGTERM of whoever started this.
async fn interrupted() {
    let mut terminated = signal(SignalKind::terminate()).ok();
    let terminated = async {
        match &mut terminated {
            Some(terminated) => terminated.recv().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated => {}
    }
}

async fn on(place: &Place, settings: &Settings) -> Result<Report, ChaosError> {
    let mut report = Report::default();
    let fleet = Fleet::start(&settings.executable, place, &settings.dir, &settings.fleet);
    let files = AuditFiles::in_folder(&settings.dir);
    let mut seen = flow::follow(files.acknowledged.clone(), files.shown.clone(), PARTITIONS);
    let moving = overcome(&mut seen, Instant::now(), FIRST_ORDERS_WITHIN).await;
    moving.ok_or_else(|| ChaosError::Place(format!("no order came through within {FIRST_ORDERS_WITHIN:?}")))?;

    let logs = settings.dir.join("logs");
    let victims = Victims { place, fleet: &fleet, logs: &logs, brokers: Mutex::new(()) };
    let began = Instant::now();
    for (number, step) in plan(settings.seed, settings.faults, settings.size()).iter().enumerate() {
        tokio::time::sleep(step.pause).await;
        if let Err(stands) = carry_out(&victims, step, &seen, &mut report, began).await? {
            report.violations.push(format!("step {}: {stands}", number + 1));
            break;
        }
    }
    report.took = began.elapsed();
    place.in_sync().await?;

    let (rest, mut outcome) = fleet.dry_up().await;
    let written = lines(&files.acknowledged)?.len() as u64;
    drain(&mut seen, written, &mut report).await;
    rest.stop(&mut outcome).await;
    close_the_books(place, &files, &mut report).await?;
    note(outcome, &mut report);
    Ok(report)
}

/// One step: strikes its faults and waits until the pipeline moves again after each. The inner error says that it does not.
async fn carry_out(
    victims: &Victims<'_>,
    step: &Step,
    seen: &watch::Receiver<Seen>,
    report: &mut Report,
    began: Instant,
) -> Result<Result<(), String>, ChaosError> {
    let each = step.faults.iter().map(|(delay, fault)| async move {
        tokio::time::sleep(*delay).await;
        let struck = began.elapsed();
        let recovery = strike_and_measure(victims, fault, seen.clone()).await?;
        Ok::<_, ChaosError>((struck, fault, recovery))
    });
    for outcome in futures::future::join_all(each).await {
        let (struck, fault, recovery) = outcome?;
        let Some(recovery) = recovery else {
            return Ok(Err(format!("nothing moves within {STANDS_STILL_AFTER:?} after: {fault}")));
        };
        println!("{:7.1} s  {fault}: moves again after {:.1} s", struck.as_secs_f64(), recovery.as_secs_f64());
        report.table.add(fault.kind, recovery);
    }
    Ok(Ok(()))
}

async fn strike_and_measure(
    victims: &Victims<'_>,
    fault: &Fault,
    mut seen: watch::Receiver<Seen>,
) -> Result<Option<Duration>, ChaosError> {
    let (sender, moment) = oneshot::channel();
    let measure = async {
        let moment = moment.await.ok()?;
        overcome(&mut seen, moment, STANDS_STILL_AFTER).await
    };
    let (struck, recovery) = tokio::join!(victims.strike(fault, sender), measure);
    struck.map(|()| recovery)
}

/// How long after `moment` every partition had shown an order that was acknowledged after it; none if that did not happen in time.
async fn overcome(seen: &mut watch::Receiver<Seen>, moment: Instant, within: Duration) -> Option<Duration> {
    let moved = seen.wait_for(|seen| seen.overcome.is_some_and(|overcome| overcome > moment));
    tokio::time::timeout(within, moved).await.ok()?.ok()?;
    Some(moment.elapsed())
}

/// Waits until every one of the `written` acknowledged orders has been shown, or nothing comes any more. What was seen last may be
/// older than the last words of the producer, so it counts only once it has them.
async fn drain(seen: &mut watch::Receiver<Seen>, written: u64, report: &mut Report) {
    loop {
        let now = *seen.borrow_and_update();
        if now.acknowledged >= written && now.under_way == 0 {
            return;
        }
        if !matches!(tokio::time::timeout(STANDS_STILL_AFTER, seen.changed()).await, Ok(Ok(()))) {
            let left = seen.borrow().under_way;
            report.violations.push(format!("{left} acknowledged orders were not shown and nothing moves any more"));
            return;
        }
    }
}

/// Reads both topics and both files, and compares them.
async fn close_the_books(place: &Place, files: &AuditFiles, report: &mut Report) -> Result<(), ChaosError> {
    let shown = lines(&files.shown)?;
    let twice = shown.len() - shown.iter().collect::<HashSet<_>>().len();
    let mut books = Books { acknowledged: lines(&files.acknowledged)?, shown: Some(shown), ..Books::default() };
    if let Err(error) = witness::read(place, &mut books).await {
        report.violations.push(error.to_string());
        return Ok(());
    }
    report.counts = (books.acknowledged.len(), books.orders.len(), books.lists.len());
    report.violations.extend(audit(&books).iter().map(Violation::to_string));
    let java = witness::java(place).await?;
    let ours = books.lists.iter().map(|(at, list)| (*at, list.order_id.clone())).collect();
    for (at, order) in java.symmetric_difference(&ours) {
        let who = if java.contains(&(*at, order.clone())) { "only Java's consumer" } else { "only our consumer" };
        report.violations.push(format!("{who} sees the pick list of order {order} at {at}"));
    }
    if twice > 0 {
        report.notes.push(format!("{twice} pick lists were shown again after picklist-consumer was killed"));
    }
    Ok(())
}

fn note(outcome: Outcome, report: &mut Report) {
    for ended in outcome.ended {
        report.notes.push(format!("{} ended by itself: {}: {}", ended.name, ended.status, ended.last_words));
    }
    report.violations.extend(outcome.not_drained.iter().map(|name| format!("{name} did not drain with exit code 0")));
}

/// The first word of each line.
fn lines(path: &Path) -> Result<Vec<String>, ChaosError> {
    let text = std::fs::read_to_string(path)?;
    // A process that was killed while it wrote leaves a torn line, which no reader counts.
    let whole = text.lines().filter_map(|line| line.split(' ').next()).filter(|word| word.len() == ORDER_ID_LENGTH);
    Ok(whole.map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn orders_that_were_acknowledged_after_the_last_look_are_waited_for() {
        let (sender, mut seen) = watch::channel(Seen { acknowledged: 7, shown: 7, ..Seen::default() });
        let mut report = Report::default();
        let draining = async {
            drain(&mut seen, 9, &mut report).await;
            seen.borrow().shown
        };
        let following = async {
            tokio::task::yield_now().await;
            sender.send_replace(Seen { acknowledged: 9, shown: 7, under_way: 2, ..Seen::default() });
            tokio::task::yield_now().await;
            sender.send_replace(Seen { acknowledged: 9, shown: 9, ..Seen::default() });
        };
        let (shown, ()) = tokio::join!(draining, following);
        assert_eq!((shown, report.violations.len()), (9, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn orders_that_are_never_shown_are_a_violation() {
        let (_sender, mut seen) = watch::channel(Seen { acknowledged: 9, shown: 7, under_way: 2, ..Seen::default() });
        let mut report = Report::default();
        drain(&mut seen, 9, &mut report).await;
        assert_eq!(report.violations, ["2 acknowledged orders were not shown and nothing moves any more"]);
    }
}
