//! The command: which orders, how long to wait for fulfilment, and what to say.

use std::collections::{BTreeMap, HashSet};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fulfillment_service::GROUP;
use grocery_events::{ORDERS_TOPIC, PICKLISTS_TOPIC};
use kafka::{Admin, Cluster, StartFrom, TopicPartition};
use schema_registry::RegistryClient;
use service_kit::config::Config;
use service_kit::{ExitStatus, ServiceError, parse_duration};

use super::books::{Books, Place, Violation, audit};
use super::topic::{ends, read};
use crate::operator;

/// Between two looks at how far fulfilment is.
const LOOK: Duration = Duration::from_millis(200);

/// A list is written after its order, by another machine's clock: so much may that one be behind.
const CLOCK_SKEW: Duration = Duration::from_secs(300);

/// Violations that are told one by one; the rest are counted.
const TOLD: usize = 20;

/// Check that every order has exactly one pick list, the right one
///
/// Waits until fulfilment has read what is on the orders topic now, then reads both topics and compares. The exit code is 1 if anything
/// is missing, doubled, changed or out of sequence.
#[derive(Debug, Clone, clap::Args)]
// Another struct of this name is flattened into it, and clap calls its groups after their structs.
#[group(skip)]
pub(crate) struct Args {
    #[command(flatten)]
    cluster: operator::Args,

    /// Orders from then on: `10m` ago, `@UNIX-SECONDS`, or `earliest` for all that the topic still holds
    #[arg(long, value_name = "WHEN", default_value = "earliest", value_parser = parse_since)]
    since: Since,

    /// How long fulfilment may take to read what is on the orders topic now
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_duration)]
    within: Duration,

    /// The group of fulfilment
    #[arg(long, value_name = "GROUP", default_value = GROUP)]
    group: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Since {
    Earliest,
    Ago(Duration),
    At(Duration),
}

fn parse_since(text: &str) -> Result<Since, String> {
    let refused = |_| format!("`{text}` is no time: write 10m (ago), @UNIX-SECONDS or earliest");
    match text.strip_prefix('@') {
        Some(seconds) => {
            let seconds: f64 = seconds.parse().map_err(|_| refused(String::new()))?;
            Duration::try_from_secs_f64(seconds).map(Since::At).map_err(|_| refused(String::new()))
        }
        None if text == "earliest" => Ok(Since::Earliest),
        None => parse_duration(text).map(Since::Ago).map_err(refused),
    }
}

impl Since {
    /// Since the Unix epoch; `None` for all there is.
    fn resolve(self, now: SystemTime) -> Option<Duration> {
        match self {
            Self::Earliest => None,
            Self::At(at) => Some(at),
            Self::Ago(ago) => Some(now.duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(ago)),
        }
    }
}

fn from(since: Option<Duration>) -> StartFrom {
    since.map_or(StartFrom::Earliest, |at| StartFrom::Timestamp(i64::try_from(at.as_millis()).unwrap_or(i64::MAX)))
}

/// What the audit found.
struct Finding {
    orders: usize,
    lists: usize,
    unreadable: Vec<String>,
    /// Orders that fulfilment had not read when the time was over.
    unread: i64,
    violations: Vec<Violation>,
}

pub(crate) fn main(args: &Args) -> ExitCode {
    operator::command(&args.cluster, async |config| {
        let finding = run(args, &config).await?;
        let status = if finding.violations.is_empty() { ExitStatus::Done } else { ExitStatus::Unsatisfied };
        Ok((report(&finding, args.within), status))
    })
}

async fn run(args: &Args, config: &Config) -> Result<Finding, ServiceError> {
    let registry = RegistryClient::new(&config.registry()?)?;
    let cluster = Cluster::connect(config.kafka()?).await?;
    let since = args.since.resolve(SystemTime::now());
    let due = ends(&cluster, ORDERS_TOPIC).await?;
    let unread = fulfilment_reads(&cluster.admin(), &args.group, &due, args.within).await?;
    // In this sequence: a position is committed with the lists that it stands for, and an order is written before its list.
    let list_ends = ends(&cluster, PICKLISTS_TOPIC).await?;
    let order_ends = ends(&cluster, ORDERS_TOPIC).await?;
    let orders = read(&cluster, &registry, from(since), &order_ends).await?;
    let lists = read(&cluster, &registry, from(since.map(|at| at.saturating_sub(CLOCK_SKEW))), &list_ends).await?;
    let mut books = Books { orders: orders.events, lists: lists.events, ..Books::default() };
    let ends = due.iter().map(|(partition, end)| (partition.partition, *end)).collect();
    leave_out_what_is_not_asked_for(&mut books, &ends, since.is_some());
    let told = |topic: &'static str| move |(at, why): (Place, String)| format!("{topic} {at}: {why}");
    let unreadable = orders.unreadable.into_iter().map(told(ORDERS_TOPIC));
    Ok(Finding {
        orders: books.orders.len(),
        lists: books.lists.len(),
        unreadable: unreadable.chain(lists.unreadable.into_iter().map(told(PICKLISTS_TOPIC))).collect(),
        unread,
        violations: audit(&books),
    })
}

/// Waits until the group has read up to `ends`; says how much it has not when the time is over.
async fn fulfilment_reads(
    admin: &Admin,
    group: &str,
    ends: &BTreeMap<TopicPartition, i64>,
    within: Duration,
) -> Result<i64, ServiceError> {
    let patience = tokio::time::sleep(within);
    tokio::pin!(patience);
    loop {
        let committed = operator::positions(admin, group).await?;
        let left = |(at, end): (&TopicPartition, &i64)| (end - committed.get(at).copied().unwrap_or_default()).max(0);
        let unread = ends.iter().map(left).sum();
        if unread == 0 {
            return Ok(0);
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = &mut patience => return Ok(unread),
        }
    }
}

/// Orders behind `due` may have no list yet. With a beginning, a list without its order belongs to one from before.
fn leave_out_what_is_not_asked_for(books: &mut Books, due: &BTreeMap<i32, i64>, has_beginning: bool) {
    let listed: HashSet<&str> = books.lists.iter().map(|(_, list)| list.order_id.as_str()).collect();
    books.orders.retain(|(at, order)| {
        due.get(&at.partition).is_some_and(|end| at.offset < *end) || listed.contains(order.order_id.as_str())
    });
    if has_beginning {
        let ordered: HashSet<&str> = books.orders.iter().map(|(_, order)| order.order_id.as_str()).collect();
        books.lists.retain(|(_, list)| ordered.contains(list.order_id.as_str()));
    }
}

fn report(finding: &Finding, within: Duration) -> String {
    let mut text = format!(
        "{:>12}  orders\n{:>12}  pick lists\n{:>12}  violations\n",
        finding.orders,
        finding.lists,
        finding.violations.len()
    );
    if finding.unread > 0 {
        text += &format!("fulfilment had not read {} records after {within:?} (--within)\n", finding.unread);
    }
    let unreadable = finding.unreadable.iter().map(|place| format!("unreadable, so left out: {place}"));
    let violations = finding.violations.iter().map(Violation::to_string);
    for lines in [unreadable.collect::<Vec<_>>(), violations.collect()] {
        for line in lines.iter().take(TOLD) {
            text += line;
            text.push('\n');
        }
        if lines.len() > TOLD {
            text += &format!("and {} more\n", lines.len() - TOLD);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use grocery_events::{GroceryOrder, GroceryPicklist};

    use super::*;

    fn order(id: &str, offset: i64) -> (Place, GroceryOrder) {
        let order = GroceryOrder {
            order_id: id.to_owned(),
            customer_id: "customer".to_owned(),
            items: vec!["soda".to_owned()],
            order_total: 1.0,
            order_time: "2025-09-08 14:30:00".to_owned(),
            store_id: String::new(),
            currency: "EUR".to_owned(),
            lines: Vec::new(),
        };
        (Place { partition: 0, offset }, order)
    }

    fn list(id: &str, offset: i64) -> (Place, GroceryPicklist) {
        let list = GroceryPicklist {
            picklist_id: format!("list of {id}"),
            order_id: id.to_owned(),
            items_to_pick: vec!["soda".to_owned()],
            assigned_picker: "Ada".to_owned(),
            created_time: "2025-09-08 14:30:01".to_owned(),
            lines: Vec::new(),
        };
        (Place { partition: 0, offset }, list)
    }

    #[test]
    fn an_order_that_is_not_yet_due_may_lack_its_list_and_one_that_is_may_not() {
        let mut books = Books {
            orders: vec![order("a", 0), order("b", 1), order("c", 2), order("d", 3)],
            lists: vec![list("a", 0), list("c", 2)],
            ..Books::default()
        };
        leave_out_what_is_not_asked_for(&mut books, &BTreeMap::from([(0, 2)]), false);
        let found = audit(&books);
        assert!(matches!(&found[..], [Violation::Missing { order, .. }] if order == "b"), "{found:?}");
    }

    #[test]
    fn a_list_of_an_order_from_before_the_beginning_is_no_stray() {
        let books =
            || Books { orders: vec![order("b", 1)], lists: vec![list("a", 0), list("b", 2)], ..Books::default() };
        let due = BTreeMap::from([(0, 2)]);
        let (mut window, mut all) = (books(), books());
        leave_out_what_is_not_asked_for(&mut window, &due, true);
        assert_eq!(audit(&window), []);
        leave_out_what_is_not_asked_for(&mut all, &due, false);
        assert!(matches!(&audit(&all)[..], [Violation::Stray { order, .. }] if order == "a"));
    }

    #[test]
    fn a_beginning_is_a_time_ago_a_moment_or_all_there_is() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000);
        assert_eq!(parse_since("10m").unwrap().resolve(now), Some(Duration::from_secs(400)));
        assert_eq!(parse_since("@250.5").unwrap().resolve(now), Some(Duration::from_millis(250_500)));
        assert_eq!(parse_since("earliest").unwrap().resolve(now), None);
        for text in ["@", "@-3", "yesterday", ""] {
            assert!(parse_since(text).unwrap_err().contains("@UNIX-SECONDS"), "{text}");
        }
    }
}
