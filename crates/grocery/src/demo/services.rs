//! The three services as processes of this same executable.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use order_producer::Rate;
use service_kit::config::{Environment, ProcessEnvironment};

use super::Args;
use crate::supervisor::{Arguments, ServiceSpec, Supervised};

/// What the services' environment is made of. Nothing that could change their configuration: a `CLIENT_ID` exported for
/// the real cluster must not reach the demo.
const INHERITED: [&str; 5] = ["PATH", "HOME", "TMPDIR", "RUST_BACKTRACE", "LANG"];

/// A service drains within this before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(35);

pub(super) const ORDER_PRODUCER: &str = "order-producer";
const FULFILLMENT_SERVICE: &str = "fulfillment-service";
/// What its instances are called when they are several.
const INSTANCES: [&str; 3] = ["fulfillment-service-1", "fulfillment-service-2", "fulfillment-service-3"];
pub(super) const PICKLIST_CONSUMER: &str = "picklist-consumer";

/// The store of the demo's orders.
const STORE: &str = "store-1";

/// The services in the order of the flow.
pub(super) struct Services {
    pub(super) producer: Supervised,
    /// One or more instances.
    pub(super) fulfillment: Vec<Supervised>,
    pub(super) consumer: Supervised,
}

/// Where the services write down what they finished.
pub(super) struct AuditFiles {
    pub(super) acknowledged: PathBuf,
    pub(super) shown: PathBuf,
}

impl AuditFiles {
    pub(super) fn in_folder(folder: &Path) -> Self {
        Self { acknowledged: folder.join("acknowledged"), shown: folder.join("shown") }
    }
}

impl Services {
    /// Looks after all three; `properties` gives the configuration file of a client id.
    pub(super) fn new(
        executable: &Path,
        args: &Args,
        properties: impl Fn(&str) -> PathBuf,
        audit: &AuditFiles,
    ) -> Self {
        let common = |name: &'static str| -> Vec<OsString> {
            let parent = std::process::id().to_string();
            let mut common: Vec<OsString> = vec![name.into(), "--config".into(), properties(name).into()];
            common.extend(["--log-format", "json", "--exit-with-parent", &parent, "--log-level"].map(Into::into));
            common.push(args.log_level.clone().into());
            common
        };
        let mut launcher: Vec<OsString> =
            args.through.iter().flat_map(|words| words.split_whitespace().map(Into::into)).collect();
        launcher.push(executable.into());
        let program = PathBuf::from(launcher.remove(0));
        let spec = |name, arguments: Arguments| ServiceSpec {
            name,
            program: program.clone(),
            arguments: through(&launcher, arguments),
            environment: inherited(&ProcessEnvironment),
            inherits_stdin: false,
            stop_timeout: STOP_TIMEOUT,
        };
        let of_producer = producer_arguments(common(ORDER_PRODUCER), args, &audit.acknowledged);
        let instance = |number: usize| {
            let arguments = [common(FULFILLMENT_SERVICE), static_member(FULFILLMENT_SERVICE, number)].concat();
            let name = if args.instances == 1 { FULFILLMENT_SERVICE } else { INSTANCES[number] };
            Supervised::new(spec(name, Box::new(move |_| arguments.clone())))
        };
        let mut of_consumer = [common(PICKLIST_CONSUMER), static_member(PICKLIST_CONSUMER, 0)].concat();
        of_consumer.extend(["--audit".into(), audit.shown.clone().into_os_string()]);
        if args.rate == Rate::Max {
            // Nobody reads thousands of lists a second; they count as shown all the same.
            of_consumer.extend(["--format".into(), "quiet".into()]);
        }
        let reads_stdin = args.baskets.as_deref() == Some(Path::new("-"));
        Self {
            producer: Supervised::new(ServiceSpec {
                inherits_stdin: reads_stdin,
                ..spec(ORDER_PRODUCER, Box::new(of_producer))
            }),
            fulfillment: (0..INSTANCES.len().min(args.instances.into())).map(instance).collect(),
            consumer: Supervised::new(spec(PICKLIST_CONSUMER, Box::new(move |_| of_consumer.clone()))),
        }
    }

    /// All in the order of the flow.
    pub(super) fn all(&self) -> impl Iterator<Item = &Supervised> {
        std::iter::once(&self.producer).chain(&self.fulfillment).chain([&self.consumer])
    }

    /// Whether every process is there.
    pub(super) fn everyone_alive(&self) -> bool {
        self.all().all(|service| service.status().lifecycle.is_alive())
    }

    /// Whether there is somebody at each place behind the producer, so that what is written can arrive.
    pub(super) fn flow_can_move(&self) -> bool {
        let alive = |service: &Supervised| service.status().lifecycle.is_alive();
        self.fulfillment.iter().any(alive) && alive(&self.consumer)
    }
}

/// What a launcher is started with: its own arguments, the program to launch, and that one's.
fn through(launcher: &[OsString], arguments: Arguments) -> Arguments {
    let launcher = launcher.to_vec();
    Box::new(move |starts| [launcher.clone(), arguments(starts)].concat())
}

/// Gives an instance the same place in its group at every start (KIP-345), and with it the same transactional id: one that was
/// killed goes on at once when it is started again, and not only when the group has noticed, after `session.timeout.ms`, that
/// the one before is gone.
fn static_member(name: &str, number: usize) -> Vec<OsString> {
    vec!["--set".into(), format!("group.instance.id={name}-{}", number + 1).into()]
}

/// A producer that is started again makes the orders that are left, and not the same ones once more.
fn producer_arguments(
    common: Vec<OsString>,
    args: &Args,
    audit: &Path,
) -> impl Fn(u32) -> Vec<OsString> + Send + Sync + 'static {
    let (rate, orders, seed) = (args.rate, args.orders, args.seed);
    let (baskets, audit) = (args.baskets.clone(), audit.to_owned());
    move |starts| {
        let mut arguments = common.clone();
        let mut flag = |name: &str, value: OsString| arguments.extend([name.into(), value]);
        flag("--audit", audit.clone().into());
        flag("--store", STORE.into());
        flag("--rate", rate.to_string().into());
        if let Some(baskets) = &baskets {
            flag("--baskets", baskets.clone().into());
        }
        if let Some(orders) = orders {
            flag("--orders", orders.saturating_sub(lines(&audit)).to_string().into());
        }
        if let Some(seed) = seed {
            flag("--seed", seed.wrapping_add(u64::from(starts)).to_string().into());
        }
        arguments
    }
}

fn lines(path: &Path) -> u64 {
    std::fs::read(path).map_or(0, |bytes| bytes.iter().filter(|byte| **byte == b'\n').count() as u64)
}

fn inherited(environment: &impl Environment) -> Vec<(OsString, OsString)> {
    let value = |name: &&str| environment.variable(name).map(|value| (OsString::from(name), value.into()));
    INHERITED.iter().filter_map(value).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        demo: Args,
    }

    #[test]
    fn a_producer_started_again_makes_what_is_left_with_another_seed() {
        let flags = Flags::parse_from(["demo", "--orders", "10", "--seed", "7", "--rate", "max"]);
        let audit = tempfile::NamedTempFile::new().unwrap();
        let arguments = producer_arguments(Vec::new(), &flags.demo, audit.path());
        let text = |starts| format!("{:?}", arguments(starts));
        assert!(text(0).contains(r#""--orders", "10", "--seed", "7""#), "{}", text(0));
        std::fs::write(audit.path(), "a\nb\nc\n").unwrap();
        assert!(text(1).contains(r#""--orders", "7", "--seed", "8""#), "{}", text(1));
    }
}
