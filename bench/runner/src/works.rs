//! The works, one after the other, each by every client in turn.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use tokio::time::sleep;

use crate::Arguments;
use crate::clients::{Client, Variant, java, words};
use crate::measure::{Running, Sample, counts_instructions, start};
use crate::place::Place;
use crate::table::{Tables, megabytes};

/// The samples of a row, a round each.
pub(crate) type Rows<K> = BTreeMap<(K, Client), Vec<Sample>>;

/// Topics are as they are in production here.
const PARTITIONS: i32 = 3;

/// Transactions of one run that are counted.
const TRANSACTIONS: usize = 1_000;

/// A broker's largest batch, by default.
const BATCH_BYTES: usize = 1_000_000;

/// What an order takes in a batch, about.
const ORDER_BYTES: usize = 210;

/// The most partitions of one topic.
const MOST_PARTITIONS: usize = 1_000;

/// Records of the idle work, and how many come in a second.
const IDLE_RECORDS: u64 = 10_000;
const IDLE_RATE: u32 = 1_000;

/// Until a consumer has found that there is nothing yet, in however many partitions.
const SETTLING: Duration = Duration::from_secs(3);

/// Pick lists of one run: enough that joining the group is a small part.
const LISTS: u64 = 500_000;

/// See the module.
pub(crate) struct Bench<'a> {
    arguments: &'a Arguments,
    place: &'a Place,
    counts: bool,
}

type Outcome<T> = Result<T, Box<dyn Error>>;

impl<'a> Bench<'a> {
    pub(crate) fn new(arguments: &'a Arguments, place: &'a Place) -> Self {
        Self { arguments, place, counts: counts_instructions() }
    }

    pub(crate) async fn run(&self) -> Outcome<String> {
        let mut tables = Tables::default();
        self.warm_up().await?;
        if self.wants("produce") {
            tables.rates("Produce", "2 million keyed Avro orders or as many as were asked for", &self.produce().await?);
        }
        if self.wants("consume") {
            tables.rates(
                "Consume",
                "the same records from the beginning, key and value touched",
                &self.consume().await?,
            );
        }
        if self.wants("partitions") {
            let what = "records spread over so many, in batches of the same size";
            tables.rates("Consume from many partitions", what, &self.partitions().await?);
        }
        if self.wants("idle") {
            let what = "1,000 records a second for 10 seconds, all to one partition of those that are assigned";
            tables.rates("Consume from idle partitions", what, &self.idle().await?);
        }
        if self.wants("transactions") {
            tables.times("Transactions", "records and one position of a group each", &self.transactions().await?);
        }
        if self.wants("fulfil") {
            tables.rates(
                "Fulfilment, exactly once",
                "orders to pick lists in transactions of 2,000",
                &self.fulfil().await?,
            );
        }
        if self.wants("latency") {
            let title = "From acknowledged order to pick list, 1,000 orders a second, exactly once";
            tables.times(title, "transactions that wait 1 ms for more", &self.latency().await?);
        }
        if self.wants("start") {
            tables.lines("Start and rest", &self.start().await?);
        }
        Ok(tables.text())
    }

    fn wants(&self, work: &str) -> bool {
        self.arguments.only.is_empty() || self.arguments.only.iter().any(|only| only == work)
    }

    fn clients(&self) -> impl Iterator<Item = Client> {
        let named = &self.arguments.clients;
        let wanted = move |client: &Client| named.is_empty() || named.iter().any(|name| name == client.name());
        Client::ALL.into_iter().filter(wanted)
    }

    fn orders(&self) -> (&'static str, String) {
        ("orders", self.place.orders.display().to_string())
    }

    /// Starts a client's work; `None` if it has no such work.
    fn begin(
        &self,
        client: Client,
        work: &str,
        variant: Variant,
        options: &[(&str, String)],
    ) -> Outcome<Option<Running>> {
        let option = |name| options.iter().find(|(option, _)| *option == name).map(|(_, value)| value.as_str());
        let words = match client {
            Client::Java => {
                let records = option("records").and_then(|records| records.parse().ok()).unwrap_or(0);
                match java(work, variant, self.arguments, option("topic").unwrap_or_default(), records) {
                    Some(words) => words,
                    None => return Ok(None),
                }
            }
            _ => words(work, variant, self.arguments, options),
        };
        let Some(program) = client.program(self.arguments) else { return Ok(None) };
        let counts = (self.counts && client != Client::Java).then(|| self.place.scratch());
        start(&program, &words, counts.as_deref()).map(Some)
    }

    /// Does a work to its end and keeps what it took.
    fn measure<K: Ord>(
        &self,
        rows: &mut Rows<K>,
        row: K,
        client: Client,
        (work, variant): (&str, Variant),
        options: &[(&str, String)],
    ) -> Outcome<()> {
        if let Some(running) = self.begin(client, work, variant, options)? {
            let sample = running.finish()?;
            eprintln!("{work}, {}, {}: {:.1?} of CPU, {:.1?}", variant.name(), client.name(), sample.cpu, sample.wall);
            rows.entry((row, client)).or_default().push(sample);
        }
        Ok(())
    }

    /// Lets the broker do each kind of work once before it is waited for: a JVM that has just started takes several times as
    /// long, and whoever came first would pay for it.
    async fn warm_up(&self) -> Outcome<()> {
        for variant in [Variant::Plain, Variant::Tls] {
            let topic = self.filled("warm-up", PARTITIONS, self.arguments.records, variant, BATCH_BYTES).await?;
            let consume = Self::reading(&topic, PARTITIONS, self.arguments.records);
            let transactions = self.transacting(Client::Ours, &topic, 100, 3 * TRANSACTIONS, 0);
            for (work, options) in [("consume", &consume[..]), ("transactions", &transactions)] {
                if let Some(running) = self.begin(Client::Ours, work, variant, options)? {
                    running.finish()?;
                }
            }
            self.place.delete(&[&topic]).await?;
        }
        Ok(())
    }

    async fn produce(&self) -> Outcome<Rows<&'static str>> {
        let mut rows = Rows::new();
        for variant in Variant::ALL {
            for _ in 0..self.arguments.rounds {
                for client in self.clients() {
                    let topic = self.place.topic("produce", PARTITIONS).await?;
                    let options =
                        [self.orders(), ("topic", topic.clone()), ("records", self.arguments.records.to_string())];
                    self.measure(&mut rows, variant.name(), client, ("produce", variant), &options)?;
                    self.place.delete(&[&topic]).await?;
                }
            }
        }
        Ok(rows)
    }

    /// Fills a topic, by our own client.
    async fn filled(
        &self,
        name: &str,
        partitions: i32,
        records: u64,
        variant: Variant,
        batch_bytes: usize,
    ) -> Outcome<String> {
        let topic = self.place.topic(name, partitions).await?;
        let options = [
            self.orders(),
            ("topic", topic.clone()),
            ("records", records.to_string()),
            ("batch-bytes", batch_bytes.to_string()),
        ];
        if let Some(running) = self.begin(Client::Ours, "fill", variant, &options)? {
            running.finish()?;
        }
        Ok(topic)
    }

    async fn consume(&self) -> Outcome<Rows<&'static str>> {
        let mut rows = Rows::new();
        let records = self.arguments.records;
        for variant in Variant::ALL {
            let topic = self.filled("consume", PARTITIONS, records, variant, BATCH_BYTES).await?;
            let options = Self::reading(&topic, PARTITIONS, records);
            for _ in 0..self.arguments.rounds {
                for client in self.clients() {
                    self.measure(&mut rows, variant.name(), client, ("consume", variant), &options)?;
                }
            }
            self.place.delete(&[&topic]).await?;
        }
        Ok(rows)
    }

    async fn partitions(&self) -> Outcome<Rows<String>> {
        let mut rows = Rows::new();
        let records = self.arguments.records;
        // A few batches for each of the most partitions, and as large ones where there are fewer of those.
        let batch_bytes = (records as usize / MOST_PARTITIONS / 4 * ORDER_BYTES).clamp(ORDER_BYTES, BATCH_BYTES);
        for partitions in [1, 100, MOST_PARTITIONS as i32] {
            let topic = self.filled("partitions", partitions, records, Variant::Plain, batch_bytes).await?;
            let options = Self::reading(&topic, partitions, records);
            for _ in 0..self.arguments.rounds {
                for client in self.clients().filter(|client| *client != Client::Java) {
                    let row = format!("{partitions:5} partitions");
                    self.measure(&mut rows, row, client, ("consume", Variant::Plain), &options)?;
                }
            }
            self.place.delete(&[&topic]).await?;
        }
        Ok(rows)
    }

    /// What it costs to have partitions in which nothing happens.
    async fn idle(&self) -> Outcome<Rows<&'static str>> {
        let mut rows = Rows::new();
        for (row, partitions) in [("1 of 1 partitions", 1), ("1 of 1,000 partitions", MOST_PARTITIONS as i32)] {
            for _ in 0..self.arguments.rounds {
                for client in self.clients().filter(|client| *client != Client::Java) {
                    let topic = self.place.topic("idle", partitions).await?;
                    let consume = Self::reading(&topic, partitions, IDLE_RECORDS);
                    let Some(consuming) = self.begin(client, "consume", Variant::Plain, &consume)? else { continue };
                    sleep(SETTLING).await;
                    let steady = [
                        self.orders(),
                        ("topic", topic.clone()),
                        ("records", IDLE_RECORDS.to_string()),
                        ("rate", IDLE_RATE.to_string()),
                    ];
                    if let Some(producing) = self.begin(Client::Ours, "steady", Variant::Plain, &steady)? {
                        producing.finish()?;
                    }
                    let sample = consuming.finish()?;
                    eprintln!("idle, {row}, {}: {:.1?} of CPU", client.name(), sample.cpu);
                    rows.entry((row, client)).or_default().push(sample);
                    self.place.delete(&[&topic]).await?;
                }
            }
        }
        Ok(rows)
    }

    /// The options of consuming so many records, or of watching for them.
    fn reading(topic: &str, partitions: i32, records: u64) -> [(&'static str, String); 3] {
        [("topic", topic.to_owned()), ("partitions", partitions.to_string()), ("records", records.to_string())]
    }

    /// The options of so many transactions.
    fn transacting(
        &self,
        client: Client,
        topic: &str,
        size: usize,
        count: usize,
        rest_ms: u32,
    ) -> Vec<(&'static str, String)> {
        let name = format!("bench-{}", client.name());
        vec![
            self.orders(),
            ("topic", topic.to_owned()),
            ("input", topic.to_owned()),
            ("group", name.clone()),
            ("transactional-id", name),
            ("size", size.to_string()),
            ("count", count.to_string()),
            ("rest-ms", rest_ms.to_string()),
        ]
    }

    async fn transactions(&self) -> Outcome<Rows<&'static str>> {
        let mut rows = Rows::new();
        let topic = self.place.topic("transactions", PARTITIONS).await?;
        let kinds = [
            ("1 record, back to back", 1, 0),
            ("100 records, back to back", 100, 0),
            ("100 records, 5 ms apart", 100, 5),
            ("1,000 records, back to back", 1_000, 0),
        ];
        for (kind, size, rest_ms) in kinds {
            for _ in 0..self.arguments.rounds {
                for client in self.clients().filter(|client| *client != Client::Java) {
                    let options = self.transacting(client, &topic, size, TRANSACTIONS, rest_ms);
                    self.measure(&mut rows, kind, client, ("transactions", Variant::Plain), &options)?;
                }
            }
        }
        self.place.delete(&[&topic]).await?;
        Ok(rows)
    }

    /// Starts a client's fulfilment from one topic to another.
    fn fulfilment(
        &self,
        client: Client,
        from: &str,
        to: &str,
        orders: u32,
        linger_ms: u32,
    ) -> Outcome<Option<Running>> {
        let id = format!("bench-{}", fastrand::u32(..));
        let options = [
            ("topic", from.to_owned()),
            ("out", to.to_owned()),
            ("group", id.clone()),
            ("transactional-id", id),
            ("max-orders", orders.to_string()),
            ("linger-ms", linger_ms.to_string()),
            ("registry", self.place.registry.clone()),
            ("schema-id", self.place.picklists.to_string()),
        ];
        self.begin(client, "fulfil", Variant::Plain, &options)
    }

    async fn fulfil(&self) -> Outcome<Rows<&'static str>> {
        let mut rows = Rows::new();
        let orders = self.filled("orders", PARTITIONS, LISTS, Variant::Plain, BATCH_BYTES).await?;
        for _ in 0..self.arguments.rounds {
            for client in self.clients().filter(|client| *client != Client::Java) {
                let lists = self.place.topic("lists", PARTITIONS).await?;
                let Some(running) = self.fulfilment(client, &orders, &lists, 2_000, 3)? else { continue };
                let watch = Self::reading(&lists, PARTITIONS, LISTS);
                let watched = match self.begin(Client::Ours, "watch", Variant::Plain, &watch)? {
                    Some(watching) => watching.finish()?,
                    None => continue,
                };
                running.terminate()?;
                let mut sample = running.finish()?;
                eprintln!("fulfil, {}: {:.1?} of CPU", client.name(), sample.cpu);
                let rate = watched.told("records") / watched.told("seconds");
                sample.told =
                    BTreeMap::from([("records".to_owned(), LISTS as f64), ("records_per_second".to_owned(), rate)]);
                rows.entry(("no compression, plaintext", client)).or_default().push(sample);
                self.place.delete(&[&lists]).await?;
            }
        }
        self.place.delete(&[&orders]).await?;
        Ok(rows)
    }

    async fn latency(&self) -> Outcome<Rows<&'static str>> {
        let mut rows = Rows::new();
        for _ in 0..self.arguments.rounds {
            for client in self.clients().filter(|client| *client != Client::Java) {
                let orders = self.place.topic("orders", PARTITIONS).await?;
                let lists = self.place.topic("lists", PARTITIONS).await?;
                let Some(running) = self.fulfilment(client, &orders, &lists, 2_000, 1)? else { continue };
                let options = [
                    self.orders(),
                    ("topic", orders.clone()),
                    ("out", lists.clone()),
                    ("partitions", PARTITIONS.to_string()),
                ];
                let measured = match self.begin(Client::Ours, "latency", Variant::Plain, &options)? {
                    Some(measuring) => measuring.finish()?,
                    None => continue,
                };
                running.terminate()?;
                let mut sample = running.finish()?;
                eprintln!("latency, {}: p99 {:.1} ms", client.name(), measured.told("p99_ms"));
                sample.told = measured.told;
                rows.entry(("fulfilment by", client)).or_default().push(sample);
                self.place.delete(&[&orders, &lists]).await?;
            }
        }
        Ok(rows)
    }

    /// How much memory the service has when nothing is to be done, and how soon a client has its first record.
    async fn start(&self) -> Outcome<Vec<String>> {
        let mut lines = Vec::new();
        let orders = self.filled("orders", PARTITIONS, 1_000, Variant::Plain, BATCH_BYTES).await?;
        let lists = self.place.topic("lists", PARTITIONS).await?;
        for client in self.clients().filter(|client| *client != Client::Java) {
            let mut first = Vec::new();
            for _ in 0..10 {
                let options = Self::reading(&orders, PARTITIONS, 1);
                if let Some(running) = self.begin(client, "consume", Variant::Plain, &options)? {
                    first.push(running.finish()?.wall);
                }
            }
            first.sort_unstable();
            let Some(idle) = self.fulfilment(client, &orders, &lists, 2_000, 3)? else { continue };
            // Long enough for the group to have settled and a fetch to wait in vain.
            sleep(Duration::from_secs(4)).await;
            let resident = idle.resident_bytes();
            idle.terminate()?;
            idle.finish()?;
            lines.push(format!(
                "| {} | {:.0} ms | {} |",
                client.name(),
                first.get(first.len() / 2).map_or(f64::NAN, |median| median.as_secs_f64() * 1e3),
                megabytes(resident as f64),
            ));
        }
        self.place.delete(&[&orders, &lists]).await?;
        Ok(lines)
    }
}
