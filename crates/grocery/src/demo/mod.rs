//! `grocery demo`: a sandbox in this process, the three services as processes of their own, a page, a line a second, and
//! at the end a reconciliation.
//!
//! What is counted comes from witnesses that the services do not control: the two topics, read from their beginning by a
//! client of the demo's own, and the files in which producer and consumer write down what they finished.

mod account;
mod args;
mod browser;
mod ending;
mod figures;
mod killer;
mod place;
mod services;
mod tail;
mod witness;

use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use service_kit::{ExitStatus, LogFormat, ServiceError, on_signals};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use account::Account;
pub use args::Args;
use figures::Gatherer;
use place::Place;
use services::{AuditFiles, Services};

use crate::dashboard::{self, Dashboard, SharedSnapshot};
use crate::reconciliation::Outcome;

/// Between two lines on standard output.
const LINE_PERIOD: Duration = Duration::from_secs(1);

/// This process's own log: the services' logs are on the page, standard output is for the line a second.
const LOG_LEVEL: &str = "warn";

/// Runs the demo to its end.
pub fn main(args: &Args) -> ExitCode {
    let outcome = service_kit::init_logs(LogFormat::Text, LOG_LEVEL).and_then(|()| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.map_err(|error| ServiceError::Internal(format!("no async runtime: {error}")))?;
        runtime.block_on(run(args))
    });
    match outcome {
        Ok(outcome) if outcome.is_clean() => ExitStatus::Done.into(),
        Ok(_) => ExitStatus::Unsatisfied.into(),
        Err(error) => {
            eprintln!("grocery demo: {error}");
            error.exit_status().into()
        }
    }
}

async fn run(args: &Args) -> Result<Outcome, ServiceError> {
    let shutdown = CancellationToken::new();
    on_signals(shutdown.clone()).map_err(|error| ServiceError::Internal(format!("no signal handlers: {error}")))?;
    check_baskets(args.baskets.as_deref())?;
    // The page's port first: it is the one thing that is likely to be taken, and nothing has been started yet.
    let listener = page_listener(args).await?;
    let place = Place::start(args).await?;
    let audit = AuditFiles::in_folder(place.folder());
    let account = Arc::new(Mutex::new(Account::default()));
    let executable = std::env::current_exe()
        .map_err(|error| ServiceError::Internal(format!("this program's own file is not known: {error}")))?;
    let services = Arc::new(Services::new(&executable, args, |client| place.properties(client), &audit));

    let ends = CancellationToken::new();
    let (publish, snapshots) = watch::channel(SharedSnapshot::default());
    let gatherer = Gatherer {
        services: Arc::clone(&services),
        account: Arc::clone(&account),
        sandbox: place.view(),
        publish,
        started: SystemTime::now(),
    };
    let gatherer = tokio::spawn(gatherer.run());
    println!("{}", place.introduction());
    if let Some(listener) = listener {
        show_page(args, listener, &services, snapshots.clone(), ends.clone())?;
    }
    let witnesses = witness::start(&place, &audit, &account)?;
    for service in services.all() {
        service.start().await.map_err(ServiceError::Internal)?;
    }
    let lines = tokio::spawn(print_lines(snapshots));
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = bounded_run(args, &services, &account) => {}
        () = killer::run(&services, args.kill_every) => {}
    }
    killer::leave_all_running(&services).await;
    println!("draining: no new orders, what is under way arrives first");
    ending::drain(&services, &account, args.drain_timeout).await;
    witnesses.finish(args.drain_timeout).await;
    lines.abort();
    gatherer.abort();
    ends.cancel();
    place.shutdown().await;
    let outcome = account.lock().unwrap_or_else(PoisonError::into_inner).reconciliation.outcome();
    println!("{}", ending::report(&outcome));
    Ok(outcome)
}

/// Returns when a run with `--orders` is over; never for one without.
async fn bounded_run(args: &Args, services: &Services, account: &Mutex<Account>) {
    match args.orders {
        Some(orders) => ending::run_is_over(services, account, orders, args.drain_timeout).await,
        None => std::future::pending().await,
    }
}

/// A mistyped file shall be one clear line, not a service that crashes.
fn check_baskets(baskets: Option<&Path>) -> Result<(), ServiceError> {
    match baskets {
        Some(path) if path != Path::new("-") => std::fs::File::open(path)
            .map(drop)
            .map_err(|error| ServiceError::Usage(format!("--baskets {}: {error}", path.display()))),
        _ => Ok(()),
    }
}

async fn page_listener(args: &Args) -> Result<Option<TcpListener>, ServiceError> {
    if args.headless {
        return Ok(None);
    }
    let address = args.dashboard;
    TcpListener::bind(address).await.map(Some).map_err(|error| {
        ServiceError::Usage(format!(
            "the dashboard cannot listen on {address}: {error}; --dashboard PORT serves it elsewhere, --headless not at all"
        ))
    })
}

fn show_page(
    args: &Args,
    listener: TcpListener,
    services: &Services,
    snapshots: watch::Receiver<SharedSnapshot>,
    ends: CancellationToken,
) -> Result<(), ServiceError> {
    let bound = listener.local_addr().map_err(|error| ServiceError::Internal(format!("no local address: {error}")))?;
    let url = browser::url(bound);
    let dashboard = Dashboard { services: services.all().cloned().collect(), snapshots, ends };
    tokio::spawn(async move {
        if let Err(error) = dashboard::serve(listener, dashboard).await {
            tracing::warn!(%error, "the dashboard is no longer served");
        }
    });
    println!("dashboard     {url}");
    if !args.no_browser {
        browser::open(&url);
    }
    Ok(())
}

async fn print_lines(snapshots: watch::Receiver<SharedSnapshot>) {
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + LINE_PERIOD, LINE_PERIOD);
    loop {
        ticks.tick().await;
        let line = figures::line(&snapshots.borrow());
        println!("{line}");
    }
}
