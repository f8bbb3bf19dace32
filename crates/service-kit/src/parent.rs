//! A service started by a supervisor must not outlive it, however the supervisor ended.

use std::time::Duration;

const POLL: Duration = Duration::from_millis(250);

/// Returns when `parent` is no longer this process's parent. A supervisor ended by SIGKILL cannot tell its children,
/// but the kernel gives them another parent, and that is seen here. Cancel safe.
pub(crate) async fn parent_is_gone(parent: u32) {
    while std::os::unix::process::parent_id() == parent {
        tokio::time::sleep(POLL).await;
    }
}

/// What an orphan gets to drain: whoever started it may have been its broker as well.
pub(crate) const ORPHAN_DRAIN: Duration = Duration::from_secs(2);
