//! The services of a run: one order-producer, several instances of fulfillment-service, one picklist-consumer.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::place::Place;
use crate::processes::{Ended, Service, Spec};

/// What every service is told, so that a run is short: how soon it notices that an answer will not come, by default 30 s.
const COMMON: [&str; 2] = ["request.timeout.ms=5000", "socket.connection.setup.timeout.ms=3000"];

/// What a member of a group is told on top, whatever the protocol: how long the others wait for one that has stopped reading, 30 s.
const MEMBERS: [&str; 1] = ["max.poll.interval.ms=15000"];

/// And what one of the classic protocol is told: how soon its group notices that it is gone, by default 45 s. In the consumer protocol
/// that is the broker's to say, see [`crate::place`].
const CLASSIC_MEMBERS: [&str; 2] = ["session.timeout.ms=8000", "heartbeat.interval.ms=1000"];

/// How the members of a group agree on who reads what, as `group.protocol` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum GroupProtocol {
    /// The members agree among themselves, after a JoinGroup of each.
    Classic,
    /// The coordinator assigns (KIP-848).
    Consumer,
}

impl GroupProtocol {
    /// The settings of a member.
    fn settings(self) -> impl Iterator<Item = String> {
        let (name, further) = match self {
            Self::Classic => ("classic", &CLASSIC_MEMBERS[..]),
            Self::Consumer => ("consumer", &[][..]),
        };
        let further = MEMBERS.iter().chain(further).map(|setting| (*setting).to_owned());
        further.chain([format!("group.protocol={name}")])
    }
}

/// What a fleet is like.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    /// Orders a second.
    pub(crate) rate: f64,
    /// Instances of fulfilment when nothing storms.
    pub(crate) instances: usize,
    /// Of both groups.
    pub(crate) protocol: GroupProtocol,
    /// Further `KEY=VALUE` for fulfilment, `{n}` in them is the instance, counted from 1.
    pub(crate) settings: Vec<String>,
}

/// What all services have in common.
pub(crate) struct Fleet {
    executable: PathBuf,
    properties: PathBuf,
    shape: Shape,
    producer: Service,
    fulfillment: Vec<Service>,
    consumer: Service,
}

/// Where the services write down what they finished.
#[derive(Debug, Clone)]
pub(crate) struct AuditFiles {
    /// Orders that the producer knows to be on the topic.
    pub(crate) acknowledged: PathBuf,
    /// Orders whose list the device has shown.
    pub(crate) shown: PathBuf,
}

impl AuditFiles {
    /// In the folder of the run.
    pub(crate) fn in_folder(dir: &Path) -> Self {
        Self { acknowledged: dir.join("acknowledged"), shown: dir.join("shown") }
    }
}

impl Fleet {
    /// Starts all of them.
    pub(crate) fn start(executable: &Path, place: &Place, dir: &Path, shape: &Shape) -> Self {
        let files = AuditFiles::in_folder(dir);
        let properties = place.properties("any").with_file_name("");
        let spec = |name: &str, further: Vec<OsString>| spec(executable, &properties, name, name, further);
        let flag = |name: &str, value: &Path| [OsString::from(name), value.into()];
        let mut producing = flag("--audit", &files.acknowledged).to_vec();
        producing.extend(["--rate".into(), shape.rate.to_string().into()]);
        let mut showing = flag("--audit", &files.shown).to_vec();
        showing.extend(["--format".into(), "quiet".into()]);
        showing.extend(set(shape.protocol.settings().chain(["group.instance.id=picklist-consumer-1".to_owned()])));
        showing.extend(set(["isolation.level=read_committed"]));
        let logs = dir.join("logs");
        let mut fleet = Self {
            executable: executable.to_owned(),
            properties: properties.clone(),
            shape: shape.clone(),
            producer: Service::start(spec("order-producer", producing), &logs),
            consumer: Service::start(spec("picklist-consumer", showing), &logs),
            fulfillment: Vec::new(),
        };
        fleet.fulfillment = (0..shape.instances).map(|instance| fleet.start_fulfillment(instance, &logs)).collect();
        fleet
    }

    /// Starts one instance of fulfilment, counted from 0: a static member with a transactional id of its own.
    pub(crate) fn start_fulfillment(&self, instance: usize, logs: &Path) -> Service {
        let service = "fulfillment-service";
        let name = format!("{service}-{}", instance + 1);
        let mut further = set(self.shape.protocol.settings());
        further.extend(set([format!("group.instance.id={name}")]));
        further.extend(set(self
            .shape
            .settings
            .iter()
            .map(|setting| setting.replace("{n}", &(instance + 1).to_string()))));
        Service::start(spec(&self.executable, &self.properties, service, &name, further), logs)
    }

    /// The one that sends orders.
    pub(crate) fn producer(&self) -> &Service {
        &self.producer
    }

    /// The one that shows pick lists.
    pub(crate) fn consumer(&self) -> &Service {
        &self.consumer
    }

    /// An instance of fulfilment, counted from 0.
    pub(crate) fn fulfillment(&self, instance: usize) -> &Service {
        &self.fulfillment[instance % self.fulfillment.len()]
    }

    /// How many instances of fulfilment there are when nothing storms.
    pub(crate) fn instances(&self) -> usize {
        self.fulfillment.len()
    }

    /// Ends the source of orders and returns the rest of the fleet, with what ended by itself meanwhile.
    pub(crate) async fn dry_up(self) -> (Rest, Outcome) {
        let mut outcome = Outcome::default();
        outcome.add("order-producer", self.producer.stop().await);
        (Rest { fulfillment: self.fulfillment, consumer: self.consumer }, outcome)
    }
}

/// The fleet without its source.
pub(crate) struct Rest {
    fulfillment: Vec<Service>,
    consumer: Service,
}

impl Rest {
    /// Ends all.
    pub(crate) async fn stop(self, outcome: &mut Outcome) {
        for service in self.fulfillment {
            let name = service.name().to_owned();
            outcome.add(&name, service.stop().await);
        }
        outcome.add("picklist-consumer", self.consumer.stop().await);
    }
}

/// How the services ended.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Ends that no signal of ours explains.
    pub(crate) ended: Vec<Ended>,
    /// Services that did not drain with code 0 within their time.
    pub(crate) not_drained: Vec<String>,
}

impl Outcome {
    fn add(&mut self, name: &str, (drained, ended): (bool, Vec<Ended>)) {
        self.ended.extend(ended);
        if !drained {
            self.not_drained.push(name.to_owned());
        }
    }
}

fn spec(executable: &Path, properties: &Path, service: &str, name: &str, further: Vec<OsString>) -> Spec {
    let file = properties.join(format!("{service}.properties"));
    let mut arguments: Vec<OsString> = [service.into(), "--config".into(), file.into()].into();
    arguments.extend(set(COMMON));
    arguments.extend(further);
    Spec { name: name.to_owned(), program: executable.to_owned(), arguments }
}

fn set(settings: impl IntoIterator<Item = impl Into<OsString>>) -> Vec<OsString> {
    settings.into_iter().flat_map(|setting| ["--set".into(), setting.into()]).collect()
}
