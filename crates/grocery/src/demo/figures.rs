//! Counts, rates and states, put together for the page and for the line a second.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

use super::account::Account;
use super::services::Services;
use crate::dashboard::SharedSnapshot;
use crate::dashboard::snapshot::{Flow, SandboxView, ServiceView, Snapshot};
use crate::rate::RateMeter;
use crate::scrape::{self, Figures};
use crate::supervisor::Supervised;

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
    services: [RateMeter; 3],
}

impl Gatherer {
    /// Never returns.
    pub(super) async fn run(self) {
        let mut meters = Meters::default();
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let [producer, fulfillment, consumer] = self.services.all();
            let figures = tokio::join!(ask(producer), ask(fulfillment), ask(consumer));
            let snapshot = self.snapshot([figures.0, figures.1, figures.2], &mut meters);
            self.publish.send_replace(Arc::new(snapshot));
        }
    }

    fn snapshot(&self, figures: [Option<Figures>; 3], meters: &mut Meters) -> Snapshot {
        let now = Instant::now();
        let account = self.account.lock().unwrap_or_else(PoisonError::into_inner);
        meters.orders.read(account.orders, now);
        meters.picklists.read(account.picklists, now);
        meters.shown.read(account.shown, now);
        let set_aside: u64 = figures.iter().flatten().map(|figures| figures.set_aside).sum();
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
        let lags = [None, Some(flow.orders_lag), Some(flow.picklists_lag)];
        let services = self.services.all().into_iter().zip(figures).zip(&mut meters.services).zip(lags);
        let services = services.map(|(((service, figures), meter), lag)| view(service, figures, meter, lag, now));
        Snapshot {
            started: unix_ms(self.started),
            now: unix_ms(SystemTime::now()),
            services: services.collect(),
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

fn view(
    service: &Supervised,
    figures: Option<Figures>,
    meter: &mut RateMeter,
    lag: Option<u64>,
    now: Instant,
) -> ServiceView {
    let lifecycle = service.status().lifecycle;
    let answered = figures.is_some();
    let figures = figures.unwrap_or_default();
    meter.read(figures.records_out, now);
    ServiceView {
        name: service.name(),
        state: lifecycle.state,
        detail: lifecycle.detail,
        pid: lifecycle.pid,
        since: unix_ms(lifecycle.since),
        restarts: lifecycle.starts.saturating_sub(1),
        ready: answered && figures.ready,
        rate: meter.per_second(),
        count: figures.records_out,
        lag,
        token_seconds: figures.token_seconds,
    }
}

fn unix_ms(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The line that is printed every second.
pub(super) fn line(snapshot: &Snapshot) -> String {
    let flow = &snapshot.flow;
    let seconds = snapshot.now.saturating_sub(snapshot.started) / 1000;
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
