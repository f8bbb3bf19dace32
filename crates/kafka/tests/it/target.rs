//! The broker under test: the sandbox in this process, or whichever `GROCERY_TEST_BOOTSTRAP` names.

use std::sync::{Mutex, OnceLock, PoisonError, mpsc};
use std::time::Duration;

use kafka::{ClientConfig, Cluster};
use sandbox::access::AccessRules;
use sandbox::{Sandbox, SandboxConfig};

/// A client without authentication.
pub(crate) async fn connect() -> Cluster {
    Cluster::connect(ClientConfig::new([bootstrap()])).await.expect("the broker answers")
}

/// `bootstrap.servers` of a listener without authentication.
pub(crate) fn bootstrap() -> String {
    static SANDBOX: OnceLock<String> = OnceLock::new();
    std::env::var("GROCERY_TEST_BOOTSTRAP").unwrap_or_else(|_| {
        let start = || {
            let sandbox = run_sandbox(|config| config.open = Some(([127, 0, 0, 1], 0).into()));
            let open = sandbox.lock().unwrap_or_else(PoisonError::into_inner).endpoints().open.clone();
            open.expect("the sandbox has an open listener")
        };
        SANDBOX.get_or_init(start).clone()
    })
}

/// Starts a sandbox on a runtime of its own, because each test's runtime ends with the test, and leaves it running.
pub(crate) fn run_sandbox(adjust: impl FnOnce(&mut SandboxConfig)) -> &'static Mutex<Sandbox> {
    let rules = AccessRules::parse(include_str!("../../../../tf/access.json")).expect("the project's own rules");
    let mut config = SandboxConfig::new(rules);
    adjust(&mut config);
    let (started, sandbox) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().expect("threads for the sandbox");
        runtime.block_on(async {
            let sandbox = Sandbox::start(config).await.expect("the sandbox starts");
            started.send(sandbox).expect("the test waits for it");
            std::future::pending::<()>().await;
        });
    });
    Box::leak(Box::new(Mutex::new(sandbox.recv().expect("the sandbox starts"))))
}

/// A name that no other test uses.
pub(crate) fn unique(name: &str) -> String {
    format!("{name}-{:08x}", fastrand::u32(..))
}

/// Asks again until `ask` has an answer: brokers learn of what the controller decided a moment later.
pub(crate) async fn eventually<T>(what: &str, ask: impl AsyncFn() -> Option<T>) -> T {
    const PATIENCE: Duration = Duration::from_secs(10);
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let Ok(answer) = tokio::time::timeout(PATIENCE, asking).await else { panic!("not within {PATIENCE:?}: {what}") };
    answer
}
