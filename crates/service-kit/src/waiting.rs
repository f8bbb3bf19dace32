//! Trying again until an outage is over.

use std::fmt::Display;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::outage::Outage;

/// The pause after a first failure; it doubles with each further one up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// Short enough that work goes on soon after an outage, long enough not to be part of it.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Attempts something until it succeeds, fails for a reason that waiting does not mend, or `shutdown` is cancelled
/// (`None`). An outage is logged as it goes.
///
/// Cancel safe if the attempt is: dropping it ends the attempt that is going on.
///
/// # Errors
/// What the attempt returned, if `mends` says that waiting does not help.
pub async fn wait_out<T, E: Display, F: Future<Output = Result<T, E>>>(
    outage: &mut Outage,
    shutdown: &CancellationToken,
    mends: impl Fn(&E) -> bool,
    mut attempt: impl FnMut() -> F,
) -> Result<Option<T>, E> {
    let mut pause = FIRST_PAUSE;
    loop {
        let outcome = tokio::select! {
            // What works without a wait is done, shutdown or not.
            biased;
            outcome = attempt() => outcome,
            () = shutdown.cancelled() => return Ok(None),
        };
        match outcome {
            Ok(done) => {
                if let Some(line) = outage.works(Instant::now()) {
                    tracing::info!("{line}");
                }
                return Ok(Some(done));
            }
            Err(error) if mends(&error) => {
                if let Some(line) = outage.trouble(&error, Instant::now()) {
                    tracing::warn!("{line}");
                }
            }
            Err(error) => return Err(error),
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.cancelled() => return Ok(None),
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Waits for `work`, which waits for something that may be away, and speaks of it if that takes long: `why` is what an outage
/// looks like from here.
///
/// Cancel safe if `work` is.
pub async fn speak_of<T>(outage: &mut Outage, why: &str, work: impl Future<Output = T>) -> T {
    const LOOK: Duration = Duration::from_millis(500);
    let mut work = std::pin::pin!(work);
    loop {
        match tokio::time::timeout(LOOK, &mut work).await {
            Ok(done) => {
                if let Some(line) = outage.works(Instant::now()) {
                    tracing::info!("{line}");
                }
                return done;
            }
            Err(_) => {
                if let Some(line) = outage.trouble(why, Instant::now()) {
                    tracing::warn!("{line}");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outage() -> Outage {
        Outage::of("the schema registry", "schema.registry.url")
    }

    #[tokio::test(start_paused = true)]
    async fn what_waiting_mends_is_tried_until_it_works() {
        let service = tokio::spawn(async {
            let mut attempts = 0;
            let attempt = || {
                attempts += 1;
                let attempt = attempts;
                async move { if attempt < 100 { Err("refused") } else { Ok(attempt) } }
            };
            wait_out(&mut outage(), &CancellationToken::new(), |_| true, attempt).await
        });
        assert_eq!(service.await.unwrap(), Ok(Some(100)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_waiting_does_not_mend_is_returned_at_once() {
        let mut attempts = 0;
        let mut attempt = || {
            attempts += 1;
            std::future::ready(Err::<(), _>(if attempts < 3 { "down" } else { "wrong secret" }))
        };
        let outcome = wait_out(&mut outage(), &CancellationToken::new(), |error| *error == "down", &mut attempt).await;
        assert_eq!((outcome, attempts), (Err("wrong secret"), 3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_shutdown_ends_the_wait_even_within_an_attempt() {
        let shutdown = CancellationToken::new();
        let mut outage = outage();
        let waiting = wait_out(&mut outage, &shutdown, |_: &String| true, std::future::pending::<Result<(), String>>);
        let (outcome, ()) = tokio::join!(waiting, async {
            tokio::task::yield_now().await;
            shutdown.cancel();
        });
        assert_eq!(outcome, Ok(None));
    }
}
