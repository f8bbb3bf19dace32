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

/// What a command prints, and the exit code that it ends with.
pub(crate) type Printed = (String, ExitStatus);

/// Starts the logs of a command, which stay silent unless something is wrong, and runs `work` to its end.
///
/// # Errors
/// Logging or the runtime cannot start.
pub(crate) fn on_runtime<W: Future>(work: W) -> Result<W::Output, ServiceError> {
    init_logs(LogFormat::Text, "warn")?;
    let runtime = tokio::runtime::Runtime::new();
    Ok(runtime.map_err(|error| ServiceError::Internal(format!("no async runtime: {error}")))?.block_on(work))
}

/// The configuration of whoever gives the command.
pub(crate) fn configured(args: &Args) -> Result<Config, ServiceError> {
    Ok(Config::load(&args.config, &args.set, &ProcessEnvironment, OPERATOR)?)
}

/// The frame of a command: its configuration, then `work`, then what there is to print on standard output. Must be called outside any
/// runtime.
pub(crate) fn command<W>(args: &Args, work: impl FnOnce(Config) -> W) -> ExitCode
where
    W: Future<Output = Result<Printed, ServiceError>>,
{
    let outcome = on_runtime(async {
        let config = configured(args)?;
        let principal = config.principal();
        work(config).await.map_err(|error| error.of(&principal))
    });
    match outcome.and_then(|outcome| outcome) {
        Ok((text, status)) => {
            print!("{text}");
            status.into()
        }
        Err(error) => {
            eprintln!("grocery: {error}");
            error.exit_status().into()
        }
    }
}

/// Prints a table on standard output.
pub(crate) fn main(subject: Subject, args: &Args) -> ExitCode {
    command(args, async |config| {
        let admin = connect(&config).await?;
        let table = match subject {
            Subject::Topics => topics(&admin).await?,
            Subject::Groups => groups(&admin).await?,
        };
        Ok((table, ExitStatus::Done))
    })
}

pub(crate) async fn connect(config: &Config) -> Result<Admin, ServiceError> {
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
        let committed = positions(admin, &group.group).await?;
        let partitions: Vec<TopicPartition> = committed.keys().cloned().collect();
        let ends = offsets(admin, &partitions, OffsetSpec::Latest).await?;
        let lag: i64 = ends.iter().map(|(at, end)| (end - committed.get(at).unwrap_or(end)).max(0)).sum();
        let members = match described.get(&group.group) {
            Some(Ok(description)) => description.members.len().to_string(),
            // Gone since, not one of consumers, or its topics are not ours to see.
            _ => "-".to_owned(),
        };
        rows.push(row([&group.group, &group.state, &members, &lag.to_string()]));
    }
    Ok(table(&rows))
}

/// The positions that a group has committed.
pub(crate) async fn positions(admin: &Admin, group: &str) -> Result<BTreeMap<TopicPartition, i64>, ServiceError> {
    let mut positions = BTreeMap::new();
    for (partition, committed) in admin.list_group_offsets(group).await? {
        positions.insert(partition, committed?.offset);
    }
    Ok(positions)
}

/// What the leaders of these partitions say.
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
