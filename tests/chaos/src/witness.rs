//! Both topics read to their end: by our own client, and the pick lists once more by Kafka's console consumer.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::time::Duration;

use grocery::audit::{Books, Place as At, ends, read as read_topic};
use grocery_events::{Event, GroceryOrder, GroceryPicklist, PICKLISTS_TOPIC};
use kafka::{Cluster, StartFrom};
use schema_registry::RegistryClient;
use service_kit::config::Config;
use service_kit::{Identity, Service, ServiceError};

use crate::ChaosError;
use crate::place::Place;

/// The client that may read everything and write nothing.
const OPERATOR: Service = Service { name: "operator", identity: Identity::General };

/// For a topic of any run. A transaction that nobody ends holds a read_committed reader up for ever; that is a finding.
const READ_WITHIN: Duration = Duration::from_secs(90);

/// The console consumer ends when nothing has come for so long.
const CONSOLE_IDLE_MS: &str = "4000";

/// Reads both topics, the pick lists read_committed.
///
/// # Errors
/// They cannot be read to their end in time.
pub(crate) async fn read(place: &Place, books: &mut Books) -> Result<(), ChaosError> {
    let reading = async {
        let config = Config::load(&[place.properties(OPERATOR.name)], &[], &BTreeMap::new(), OPERATOR)
            .map_err(|error| ChaosError::Witness(error.to_string()))?;
        let registry = config.registry().map_err(|error| ChaosError::Witness(error.to_string()))?;
        let registry = RegistryClient::new(&registry).map_err(|error| ChaosError::Witness(error.to_string()))?;
        let settings = config.kafka().map_err(|error| ChaosError::Witness(error.to_string()))?;
        let cluster = Cluster::connect(settings).await?;
        books.orders = topic::<GroceryOrder>(&cluster, &registry).await?;
        books.lists = topic::<GroceryPicklist>(&cluster, &registry).await?;
        Ok(())
    };
    let timed_out = || ChaosError::Witness(format!("the topics cannot be read to their end within {READ_WITHIN:?}"));
    tokio::time::timeout(READ_WITHIN, reading).await.map_err(|_| timed_out())?
}

/// Every event of a topic, with its place. Nobody writes anything else in a run, so a record that is none is a finding.
async fn topic<T: Event>(cluster: &Cluster, registry: &RegistryClient) -> Result<Vec<(At, T)>, ChaosError> {
    let failed = |error: ServiceError| ChaosError::Witness(error.to_string());
    let ends = ends(cluster, T::TOPIC).await.map_err(failed)?;
    let reading = read_topic::<T>(cluster, registry, StartFrom::Earliest, &ends).await.map_err(failed)?;
    match reading.unreadable.first() {
        Some((at, why)) => Err(ChaosError::Witness(format!("{}, {at}: {why}", T::TOPIC))),
        None => Ok(reading.events),
    }
}

/// What Kafka's own consumer, read_committed, sees of the pick lists: place and key of each.
///
/// # Errors
/// The tool fails, or says something unexpected.
pub(crate) async fn java(place: &Place) -> Result<BTreeSet<(At, String)>, ChaosError> {
    let mut command = place.kafka_tool("console-consumer");
    command.args(["--topic", PICKLISTS_TOPIC, "--from-beginning", "--isolation-level", "read_committed"]);
    command.args(["--timeout-ms", CONSOLE_IDLE_MS, "--formatter-property", "print.key=true"]);
    command.args(["--formatter-property", "print.partition=true", "--formatter-property", "print.offset=true"]);
    command.args(["--formatter-property", "print.value=false"]);
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().await?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .map(|line| java_line(line).ok_or_else(|| ChaosError::Witness(format!("console consumer: {line}"))))
        .collect()
}

/// `Partition:2\tOffset:17\tKEY`.
fn java_line(line: &str) -> Option<(At, String)> {
    let mut columns = line.split('\t');
    let partition = columns.next()?.strip_prefix("Partition:")?.parse().ok()?;
    let offset = columns.next()?.strip_prefix("Offset:")?.parse().ok()?;
    Some((At { partition, offset }, columns.next()?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_console_consumers_lines_are_read() {
        let seen = java_line("Partition:2\tOffset:17\tan-order").unwrap();
        assert_eq!(seen, (At { partition: 2, offset: 17 }, "an-order".to_owned()));
        assert_eq!(java_line("Processed a total of 3 messages"), None);
    }
}
