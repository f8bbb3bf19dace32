//! Counts, rates and states, put together for the page and for the line a second.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

use super::account::Account;
use super::services::{ORDER_PRODUCER, PICKLIST_CONSUMER, Services};
use crate::dashboard::SharedSnapshot;
use crate::dashboard::snapshot::{Flow, SandboxView, ServiceView, Snapshot};
use crate::rate::RateMeter;
use crate::scrape::{self, Figures};
use crate::supervisor::Supervised;
use crate::supervisor::lifecycle::Lifecycle;

/// Between two snapshots.
const TICK: Duration = Duration::from_millis(250);

/// Makes snapshots until it is dropped.
pub(super) struct Gatherer {
    pub(super) services: Arc<Services>,
    pub(super) account: Arc<Mutex<Account>>,
    /// Asked at each snapshot: whether the sandbox's parts are up.
    pub(super) sandbox: Box<dyn Fn() -> SandboxView + Send>,
    pub(super) publish: watch::Sender<SharedSnapshot>,
    pub(super) started: SystemTime,
}

#[derive(Default)]
struct Meters {
    orders: RateMeter,
    picklists: RateMeter,
    shown: RateMeter,
    services: Vec<Seen>,
}

/// What was heard of a service, whose process may be gone or be another by now.
#[derive(Default)]
struct Seen {
    meter: RateMeter,
    /// The start that `last` is of.
    starts: u32,
    last: Figures,
    /// Set aside by the processes before.
    set_aside_before: u64,
}

impl Seen {
    fn take(&mut self, starts: u32, figures: Option<Figures>) {
        if self.starts != starts {
            self.starts = starts;
            self.set_aside_before += std::mem::take(&mut self.last).set_aside;
        }
        if let Some(figures) = figures {
            self.last = figures;
        } else {
            // The counts stand; what is true of a moment was true of that one.
            self.last = Figures { token_seconds: None, ready: false, lag: None, ..self.last };
        }
    }

    fn set_aside(&self) -> u64 {
        self.set_aside_before + self.last.set_aside
    }
}

impl Gatherer {
    /// Never returns.
    pub(super) async fn run(self) {
        let mut meters = Meters::default();
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let figures = futures::future::join_all(self.services.all().map(ask)).await;
            let snapshot = self.snapshot(figures, &mut meters);
            self.publish.send_replace(Arc::new(snapshot));
        }
    }

    fn snapshot(&self, figures: Vec<Option<Figures>>, meters: &mut Meters) -> Snapshot {
        let now = Instant::now();
        let account = self.account.lock().unwrap_or_else(PoisonError::into_inner);
        meters.orders.read(account.orders, now);
        meters.picklists.read(account.picklists, now);
        meters.shown.read(account.shown, now);
        let lifecycles: Vec<Lifecycle> = self.services.all().map(|service| service.status().lifecycle).collect();
        meters.services.resize_with(lifecycles.len(), Seen::default);
        for ((seen, figures), lifecycle) in meters.services.iter_mut().zip(figures).zip(&lifecycles) {
            seen.take(lifecycle.starts, figures);
        }
        let set_aside: u64 = meters.services.iter().map(Seen::set_aside).sum();
        let flow = Flow {
            orders: account.orders,
            picklists: account.picklists,
            shown: account.shown,
            orders_rate: meters.orders.per_second(),
            picklists_rate: meters.picklists.per_second(),
            shown_rate: meters.shown.per_second(),
            // What the topics say is true also while a service is down and cannot say what it has not read.
            orders_lag: account.orders.saturating_sub(account.picklists),
            picklists_lag: account.picklists.saturating_sub(account.shown),
            set_aside: set_aside + account.unreadable,
        };
        let orders = account.latest_orders.iter().cloned().collect();
        let picklists = account.latest_picklists.iter().cloned().collect();
        drop(account);
        // Several instances have a lag each, which they tell themselves; of one, the topics know even while it is down.
        let alone = self.services.fulfillment.len() == 1;
        let lag = |service: &Supervised, seen: &Seen| match service.name() {
            ORDER_PRODUCER => None,
            PICKLIST_CONSUMER => Some(flow.picklists_lag),
            _ if alone => Some(flow.orders_lag),
            _ => seen.last.lag,
        };
        let services = self.services.all().zip(lifecycles).zip(&mut meters.services);
        let services = services.map(|((service, lifecycle), seen)| {
            let lag = lag(service, seen);
            view(service.name(), lifecycle, seen, lag, now)
        });
        let services: Vec<ServiceView> = services.collect();
        Snapshot {
            started: unix_ms(self.started),
            now: unix_ms(SystemTime::now()),
            services,
            sandbox: (self.sandbox)(),
            flow,
            orders,
            picklists,
        }
    }
}

async fn ask(service: &Supervised) -> Option<Figures> {
    scrape::figures(service.status().http?).await
}

fn view(name: &'static str, lifecycle: Lifecycle, seen: &mut Seen, lag: Option<u64>, now: Instant) -> ServiceView {
    seen.meter.read(seen.last.records_out, now);
    ServiceView {
        name,
        state: lifecycle.state,
        detail: lifecycle.detail,
        pid: lifecycle.pid,
        since: unix_ms(lifecycle.since),
        restarts: lifecycle.starts.saturating_sub(1),
        ready: seen.last.ready,
        rate: seen.meter.per_second(),
        count: seen.last.records_out,
        lag,
        token_seconds: seen.last.token_seconds,
    }
}

fn unix_ms(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The line that is printed every second.
pub(super) fn line(snapshot: &Snapshot) -> String {
    let flow = &snapshot.flow;
    // A snapshot is a little older than its line.
    let seconds = (snapshot.now.saturating_sub(snapshot.started) + 500) / 1000;
    let token = snapshot.services.iter().filter_map(|service| service.token_seconds).min();
    let token = token.map_or_else(|| "–".to_owned(), |seconds| format!("{seconds} s"));
    let mut line = format!(
        "{seconds:>5} s  orders {} ({})  pick lists {}  shown {}  lag {} + {}  token life {token}",
        flow.orders,
        per_second(flow.orders_rate),
        flow.picklists,
        flow.shown,
        flow.orders_lag,
        flow.picklists_lag,
    );
    if flow.set_aside > 0 {
        line.push_str(&format!("  set aside {}", flow.set_aside));
    }
    for service in &snapshot.services {
        if !service.state.is_well() {
            line.push_str(&format!("  [{} {}: {}]", service.name, service.state.word(), service.detail));
        }
    }
    line
}

fn per_second(rate: f64) -> String {
    if rate >= 10.0 { format!("{rate:.0}/s") } else { format!("{rate:.1}/s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(records_out: u64, set_aside: u64) -> Figures {
        Figures { records_out, set_aside, ready: true, token_seconds: Some(60), lag: Some(0) }
    }

    #[test]
    fn the_counts_of_a_service_that_is_gone_stand_until_it_is_started_again() {
        let mut seen = Seen::default();
        seen.take(1, Some(heard(500, 2)));
        seen.take(1, None);
        assert_eq!((seen.last.records_out, seen.set_aside()), (500, 2));
        assert_eq!((seen.last.ready, seen.last.token_seconds), (false, None));
        seen.take(2, None);
        assert_eq!((seen.last.records_out, seen.set_aside()), (0, 2));
        seen.take(2, Some(heard(10, 1)));
        assert_eq!((seen.last.records_out, seen.set_aside()), (10, 3));
    }
}
