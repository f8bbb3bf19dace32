//! From flags to exit code: the frame around every service.

use std::future::Future;
use std::process::ExitCode;

use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::args::ServiceArgs;
use crate::config::{Config, Identity, ProcessEnvironment};
use crate::error::{ExitStatus, ServiceError};
use crate::metrics::Metrics;
use crate::readiness::Readiness;
use crate::{VERSION, http, logs, parent, shutdown};

/// What a service is called, and whose credentials it shows.
#[derive(Debug, Clone, Copy)]
pub struct Service {
    /// The name in logs, and the default client id.
    pub name: &'static str,
    /// Which pair of environment variables it reads before `CLIENT_ID` and `CLIENT_SECRET`.
    pub identity: Identity,
}

/// What a running service is given.
#[derive(Debug, Clone)]
pub struct Context {
    /// Every configuration key, resolved.
    pub config: Config,
    /// What `/metrics` shows.
    pub metrics: Metrics,
    /// What `/readyz` answers from.
    pub readiness: Readiness,
    /// Cancelled when the service shall drain and return.
    pub shutdown: CancellationToken,
}

/// Runs a service to its end and says how it ended.
///
/// Reads the configuration, starts logs, the health port and the signal handlers, then awaits `service`. After a
/// request to shut down it has `--drain-timeout` to return. Call it from `main`, outside any runtime.
pub fn run<F, Fut>(service: Service, args: &ServiceArgs, work: F) -> ExitCode
where
    F: FnOnce(Context) -> Fut + 'static,
    Fut: Future<Output = Result<(), ServiceError>> + Send + 'static,
{
    run_boxed(service, args, Box::new(move |context| Box::pin(work(context))))
}

/// A service's work, of a type that all services share, so that its frame is compiled in this crate and not in each of theirs.
type Work = Box<dyn FnOnce(Context) -> BoxFuture<'static, Result<(), ServiceError>>>;

fn run_boxed(service: Service, args: &ServiceArgs, work: Work) -> ExitCode {
    if let Err(error) = logs::init(args.log_format, &args.log_level) {
        eprintln!("{}: {error}", service.name);
        return error.exit_status().into();
    }
    let status = match Config::load(&args.config, &args.set, &ProcessEnvironment, service) {
        Ok(config) => match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => {
                let status = runtime.block_on(supervise(service, args, config, work));
                runtime.shutdown_background();
                status
            }
            Err(error) => ended(service, &ServiceError::Internal(format!("no async runtime: {error}"))),
        },
        Err(error) => ended(service, &error.into()),
    };
    status.into()
}

async fn supervise(service: Service, args: &ServiceArgs, config: Config, work: Work) -> ExitStatus {
    let context = Context {
        config,
        metrics: Metrics::new(),
        readiness: Readiness::default(),
        shutdown: CancellationToken::new(),
    };
    let principal = context.config.principal();
    let http_stops = CancellationToken::new();
    match start(service, args, &context, http_stops.clone()).await {
        Ok(()) => {}
        Err(error) => return ended(service, &error),
    }
    let draining = context.shutdown.clone();
    let mut task = tokio::spawn(work(context));
    let overdue = async {
        draining.cancelled().await;
        tokio::time::sleep(args.drain_timeout).await;
    };
    let status = tokio::select! {
        outcome = &mut task => match outcome {
            Ok(Ok(())) => {
                tracing::info!(service = service.name, "done");
                ExitStatus::Done
            }
            Ok(Err(error)) => ended(service, &error.of(&principal)),
            Err(panic) => {
                tracing::error!(service = service.name, %panic, "ended by a panic, which is a fault in this program");
                ExitStatus::Panic
            }
        },
        () = overdue => {
            let waited = args.drain_timeout;
            ended(service, &ServiceError::Drain(format!(
                "the drain did not finish within {waited:?} (--drain-timeout); what is not acknowledged will be done again"
            )))
        }
    };
    http_stops.cancel();
    status
}

/// Health port, signals and the watch on the parent.
async fn start(
    service: Service,
    args: &ServiceArgs,
    context: &Context,
    http_stops: CancellationToken,
) -> Result<(), ServiceError> {
    shutdown::on_signals(context.shutdown.clone())
        .map_err(|error| ServiceError::Internal(format!("no signal handlers: {error}")))?;
    if let Some(parent) = args.exit_with_parent {
        let shutdown = context.shutdown.clone();
        tokio::spawn(async move {
            parent::parent_is_gone(parent).await;
            tracing::warn!(parent, "the process that started this one is gone: ending too");
            shutdown.cancel();
            tokio::time::sleep(parent::ORPHAN_DRAIN).await;
            std::process::exit(ExitStatus::Drain as i32);
        });
    }
    let address = args.http(&ProcessEnvironment)?;
    let http = http::serve(address, context.metrics.clone(), context.readiness.clone(), http_stops).await?;
    for note in context.config.notes() {
        tracing::info!(service = service.name, "{note}");
    }
    tracing::info!(service = service.name, version = VERSION, pid = std::process::id(), http = %http, "started");
    Ok(())
}

fn ended(service: Service, error: &ServiceError) -> ExitStatus {
    let status = error.exit_status();
    tracing::error!(service = service.name, code = status as u8, "{error}");
    status
}
