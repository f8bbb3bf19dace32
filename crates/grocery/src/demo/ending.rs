//! How the demo ends: the flow drains from its source on, then the books are compared.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::account::Account;
use super::services::Services;
use crate::reconciliation::Outcome;
use crate::supervisor::Supervised;

/// Between two looks at whether everything has arrived.
const LOOK: Duration = Duration::from_millis(100);

/// Stops the producer, waits for its orders to arrive at their end, then stops the others. `patience` bounds how long
/// nothing may move before what is missing is called missing.
pub(super) async fn drain(services: &Services, account: &Mutex<Account>, patience: Duration) {
    end(&services.producer).await;
    arrive(account, patience, || services.flow_can_move()).await;
    futures::future::join_all(services.fulfillment.iter().map(end)).await;
    end(&services.consumer).await;
}

async fn end(service: &Supervised) {
    // An error says that it has ended already.
    if service.stop().await.is_ok() {
        service.ended().await;
    }
}

/// Waits until every order has arrived; gives up when nothing moved for `patience`, or at once when nothing can move.
async fn arrive(account: &Mutex<Account>, patience: Duration, can_move: impl Fn() -> bool) {
    let mut last = (0, Instant::now());
    loop {
        let (complete, progress) = {
            let account = account.lock().unwrap_or_else(PoisonError::into_inner);
            (account.reconciliation.is_complete(), account.progress())
        };
        if complete || !can_move() {
            return;
        }
        if progress != last.0 {
            last = (progress, Instant::now());
        } else if last.1.elapsed() >= patience {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Returns once all orders of a bounded run have arrived, or nothing has moved for `patience` though the producer is
/// done: whoever watches may restart a crashed service meanwhile.
pub(super) async fn run_is_over(services: &Services, account: &Mutex<Account>, orders: u64, patience: Duration) {
    let mut last = (0, Instant::now());
    loop {
        let (acknowledged, complete, progress) = {
            let account = account.lock().unwrap_or_else(PoisonError::into_inner);
            (account.acknowledged, account.reconciliation.is_complete(), account.progress())
        };
        if acknowledged >= orders && complete && !services.producer.status().lifecycle.is_alive() {
            return;
        }
        if progress != last.0 {
            last = (progress, Instant::now());
        }
        // A slow rate stands still between two orders; that is not the end as long as all work.
        let stuck = !services.everyone_alive();
        if stuck && last.1.elapsed() >= patience {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The reconciliation for people.
pub(super) fn report(outcome: &Outcome) -> String {
    let mut text = format!(
        "\nReconciliation\n\
         {:>12}  orders acknowledged\n\
         {:>12}  orders on the topic\n\
         {:>12}  orders with a pick list\n\
         {:>12}  orders whose list was shown\n\
         {:>12}  missing\n\
         {:>12}  duplicated\n",
        outcome.acknowledged,
        outcome.written,
        outcome.pick_lists,
        outcome.shown,
        outcome.missing(),
        outcome.duplicated(),
    );
    let details = [
        (
            outcome.written.saturating_sub(outcome.acknowledged),
            "on the topic without an acknowledgement: their producer was killed first",
        ),
        (outcome.lost, "acknowledged, but not on the topic"),
        (outcome.without_pick_list, "without a pick list"),
        (outcome.not_shown, "with a pick list that was not shown"),
        (outcome.duplicate_orders, "more than once on the topic"),
        (outcome.duplicate_pick_lists, "with more than one pick list"),
        (outcome.duplicate_shown, "shown more than once"),
        (outcome.strays, "with a pick list, but not on the topic"),
    ];
    for (count, what) in details.into_iter().filter(|(count, _)| *count > 0) {
        text.push_str(&format!("{count:>12}  {what}\n"));
    }
    for (order, what) in &outcome.examples {
        text.push_str(&format!("              {} {what}\n", Uuid::from_u128(*order)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconciliation::Reconciliation;

    #[test]
    fn a_clean_report_names_the_five_figures() {
        let mut account = Reconciliation::default();
        account.acknowledged(1);
        account.written(1);
        account.pick_list(1);
        account.shown(1);
        let text = report(&account.outcome());
        for line in ["1  orders acknowledged", "1  orders with a pick list", "0  missing", "0  duplicated"] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }

    #[test]
    fn trouble_is_shown_with_the_order_it_befell() {
        let mut account = Reconciliation::default();
        account.acknowledged(1);
        let text = report(&account.outcome());
        assert!(text.contains("00000000-0000-0000-0000-000000000001 acknowledged, but not on the topic"), "{text}");
    }
}
