//! `grocery rewind`: sets a group's positions back to a time, so that it reads again what came since. After a failover that is how the
//! lists of orders are made again whose lists stayed behind (docs/recovery.md).

use std::collections::BTreeMap;
use std::process::ExitCode;

use chrono::{DateTime, Utc};
use kafka::{Admin, ErrorCode, OffsetSpec, TopicPartition};
use service_kit::{ExitStatus, ServiceError};

use crate::operator::{self, row, table};

/// Set a consumer group back in time: it reads again what came since
#[derive(Debug, Clone, clap::Args)]
// Another struct of this name is flattened into it, and clap calls its groups after their structs.
#[group(skip)]
pub(crate) struct Args {
    #[command(flatten)]
    cluster: operator::Args,

    /// The consumer group; none of its members may be running
    group: String,

    /// Of the topics that it reads, this one
    topic: String,

    /// The time in UTC, such as "2026-11-29 02:00:00"; a position before it stays as it is
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: DateTime<Utc>,

    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
}

fn time(text: &str) -> Result<DateTime<Utc>, String> {
    let time = grocery_events::time::parse(text).filter(|time| *time <= Utc::now());
    time.ok_or_else(|| format!("`{text}` is not a time that has passed: write \"2026-11-29 02:00:00\", in UTC"))
}

/// Prints what was moved on standard output.
pub(crate) fn main(args: &Args) -> ExitCode {
    operator::command(&args.cluster, async |config| {
        Ok((rewind(&operator::connect(&config).await?, args).await?, ExitStatus::Done))
    })
}

/// Where a partition's position was, and where it goes.
#[derive(Debug, PartialEq, Eq)]
struct Move {
    from: i64,
    to: i64,
}

impl Move {
    /// To the first record at or after the time, if there is one and it lies before the position: never forward, which would leave
    /// records out.
    fn back(committed: i64, first_since: i64) -> Self {
        let to = if first_since >= 0 { committed.min(first_since) } else { committed };
        Self { from: committed, to }
    }
}

async fn rewind(admin: &Admin, args: &Args) -> Result<String, ServiceError> {
    let Args { group, topic, .. } = args;
    let mut committed = operator::positions(admin, group).await?;
    committed.retain(|partition, _| *partition.topic == **topic);
    if committed.is_empty() {
        let text = format!("group {group} has no position on topic {topic}, so it begins where auto.offset.reset says");
        return Err(ServiceError::Resource(text));
    }
    let partitions: Vec<TopicPartition> = committed.keys().cloned().collect();
    let since = operator::offsets(admin, &partitions, OffsetSpec::Timestamp(args.to.timestamp_millis())).await?;
    let moves: BTreeMap<&TopicPartition, Move> = committed
        .iter()
        .map(|(partition, from)| (partition, Move::back(*from, since.get(partition).copied().unwrap_or(-1))))
        .collect();
    if !args.dry_run {
        let back = moves.iter().filter(|(_, Move { from, to })| to < from);
        let back: Vec<_> = back.map(|(partition, Move { to, .. })| ((*partition).clone(), *to)).collect();
        if !back.is_empty() {
            for (partition, outcome) in admin.alter_group_offsets(group, back).await? {
                outcome.map_err(|error| match error.code() {
                    Some(ErrorCode::UNKNOWN_MEMBER_ID) => ServiceError::Unsatisfied(format!(
                        "group {group} has members, which would carry on from where they are: stop them, then rewind ({partition})"
                    )),
                    _ => error.into(),
                })?;
            }
        }
    }
    let mut rows = vec![row(["PARTITION", "POSITION", if args.dry_run { "WOULD BE" } else { "NOW" }, "READ AGAIN"])];
    for (partition, Move { from, to }) in moves {
        rows.push(row([&partition.to_string(), &from.to_string(), &to.to_string(), &(from - to).to_string()]));
    }
    Ok(table(&rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_goes_back_and_never_forward() {
        assert_eq!(Move::back(100, 40), Move { from: 100, to: 40 });
        assert_eq!(Move::back(100, 140), Move { from: 100, to: 100 });
        // No record is as young as that: there is nothing to read again.
        assert_eq!(Move::back(100, -1), Move { from: 100, to: 100 });
    }

    #[test]
    fn a_time_is_of_the_events_own_form_and_has_passed() {
        assert!(time("2025-09-08 14:30:00").is_ok());
        for wrong in ["2025-09-08T14:30:00Z", "yesterday", "2999-01-01 00:00:00"] {
            assert!(time(wrong).unwrap_err().contains(wrong));
        }
    }
}
