//! The operator's commands: what a cluster holds, and how far its groups are.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;

use kafka::{Admin, Cluster, OffsetSpec, TopicPartition};
use service_kit::config::{Config, ProcessEnvironment};
use service_kit::{ExitStatus, Identity, LogFormat, Service, ServiceError, init_logs};

/// The client that looks at everything.
pub(crate) const OPERATOR: Service = Service { name: "operator", identity: Identity::General };

/// Where the cluster is.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Java-properties file with Kafka's configuration names; may be given again, later files win
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Vec<std::path::PathBuf>,

    /// One configuration key, stronger than file and environment; may be given again
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

/// What to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    /// Topics with partitions and records.
    Topics,
    /// Groups with members and lag.
    Groups,
}

/// Prints a table on standard output.
pub(crate) fn main(subject: Subject, args: &Args) -> ExitCode {
    let outcome = init_logs(LogFormat::Text, "warn").and_then(|()| {
        let config = Config::load(&args.config, &args.set, &ProcessEnvironment, OPERATOR)?;
        let runtime = tokio::runtime::Runtime::new();
        let runtime = runtime.map_err(|error| ServiceError::Internal(format!("no async runtime: {error}")))?;
        let table = runtime.block_on(async {
            match subject {
                Subject::Topics => topics(&connect(&config).await?).await,
                Subject::Groups => groups(&connect(&config).await?).await,
            }
        });
        table.map_err(|error| error.of(&config.principal()))
    });
    match outcome {
        Ok(table) => {
            print!("{table}");
            ExitStatus::Done.into()
        }
        Err(error) => {
            eprintln!("grocery: {error}");
            error.exit_status().into()
        }
    }
}

async fn connect(config: &Config) -> Result<Admin, ServiceError> {
    Ok(Cluster::connect(config.kafka()?).await?.admin())
}

async fn topics(admin: &Admin) -> Result<String, ServiceError> {
    let mut rows = vec![row(["TOPIC", "PARTITIONS", "REPLICAS", "RECORDS"])];
    for topic in admin.list_topics().await?.into_values() {
        let partitions = topic.partitions.iter().map(|p| TopicPartition::new(Arc::clone(&topic.name), p.index));
        let partitions: Vec<TopicPartition> = partitions.collect();
        let ends = offsets(admin, &partitions, OffsetSpec::Latest).await?;
        let starts = offsets(admin, &partitions, OffsetSpec::Earliest).await?;
        let records: i64 = ends.iter().map(|(at, end)| end - starts.get(at).unwrap_or(end)).sum();
        let replicas = topic.partitions.first().map_or(0, |partition| partition.replicas.len());
        rows.push(row([&*topic.name, &partitions.len().to_string(), &replicas.to_string(), &records.to_string()]));
    }
    Ok(table(&rows))
}

async fn groups(admin: &Admin) -> Result<String, ServiceError> {
    let mut rows = vec![row(["GROUP", "STATE", "MEMBERS", "LAG"])];
    let listed = admin.list_groups().await?;
    let described = admin.describe_groups(listed.iter().map(|group| group.group.clone())).await?;
    for group in listed {
        let mut committed = BTreeMap::new();
        for (partition, offset) in admin.list_group_offsets(&group.group).await? {
            committed.insert(partition, offset?.offset);
        }
        let partitions: Vec<TopicPartition> = committed.keys().cloned().collect();
        let ends = offsets(admin, &partitions, OffsetSpec::Latest).await?;
        let lag: i64 = ends.iter().map(|(at, end)| (end - committed.get(at).unwrap_or(end)).max(0)).sum();
        let members = described.get(&group.group).and_then(|group| group.as_ref().ok()).map_or(0, |g| g.members.len());
        rows.push(row([&group.group, &group.state, &members.to_string(), &lag.to_string()]));
    }
    Ok(table(&rows))
}

pub(crate) async fn offsets(
    admin: &Admin,
    partitions: &[TopicPartition],
    spec: OffsetSpec,
) -> Result<BTreeMap<TopicPartition, i64>, ServiceError> {
    let mut offsets = BTreeMap::new();
    for (partition, offset) in admin.list_offsets(partitions.iter().cloned(), spec).await? {
        offsets.insert(partition, offset?.offset);
    }
    Ok(offsets)
}

/// Cells of [`table`].
pub(crate) fn row(cells: [&str; 4]) -> [String; 4] {
    cells.map(str::to_owned)
}

/// Columns as wide as their widest cell; numbers to the right.
pub(crate) fn table(rows: &[[String; 4]]) -> String {
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
            let number = rows.iter().skip(1).all(|row| row[column].parse::<i64>().is_ok()) && rows.len() > 1;
            let cell = if number { format!("{cell:>width$}  ") } else { format!("{cell:<width$}  ") };
            line.push_str(&cell);
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_numbers_are_flushed_right() {
        let text =
            table(&[row(["TOPIC", "PARTITIONS", "REPLICAS", "RECORDS"]), row(["grocery.orders.v1", "3", "1", "42"])]);
        assert_eq!(
            text,
            "TOPIC              PARTITIONS  REPLICAS  RECORDS\ngrocery.orders.v1           3         1       42\n"
        );
    }
}
