//! What the clients work on: topics, a file of orders, and a registry that knows both schemas.

use std::error::Error;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use grocery_events::{DEFAULT_CURRENCY, Event, EventVersion, GroceryOrder, GroceryPicklist, Versioned};
use kafka::{ClientConfig, Cluster, NewTopic, OffsetSpec, TopicPartition};
use sandbox::access::AccessRules;
use sandbox::{Sandbox, SandboxConfig};
use schema_registry::{AvroSerializer, RegistryClient, RegistryConfig, SerializerOptions};
use uuid::{Builder, Uuid};

use crate::Arguments;

/// The version of the schemas that every client reads and writes.
const VERSION: EventVersion = EventVersion::One;

/// What orders are written by.
type Writer = AvroSerializer<Versioned<'static, GroceryOrder>>;

/// Different orders in the file. The latency work needs a key for each of its orders.
const ORDERS: usize = 20_000;

/// The same orders in every run.
const SEED: u64 = 20_260_923;

const GOODS: [&str; 12] = [
    "whole milk",
    "rolls/buns",
    "soda",
    "yogurt",
    "tropical fruit",
    "root vegetables",
    "citrus fruit",
    "bottled water",
    "sausage",
    "other vegetables",
    "newspapers",
    "whipped/sour cream",
];

/// See the module.
pub(crate) struct Place {
    pub(crate) cluster: Cluster,
    pub(crate) orders: PathBuf,
    pub(crate) registry: String,
    /// The schema id of pick lists.
    pub(crate) picklists: i32,
    directory: tempfile::TempDir,
    /// Serves the registry for as long as it is held.
    _sandbox: Sandbox,
}

impl Place {
    pub(crate) async fn prepare(arguments: &Arguments) -> Result<Self, Box<dyn Error>> {
        let cluster = Cluster::connect(ClientConfig::new([arguments.bootstrap.as_str()])).await?;
        let directory = tempfile::tempdir()?;
        let config = SandboxConfig {
            open: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
            plaintext: true,
            subjects: vec![subject::<GroceryOrder>(), subject::<GroceryPicklist>()],
            ..SandboxConfig::new(AccessRules::parse(include_str!("../../../tf/access.json"))?)
        };
        let sandbox = Sandbox::start(config).await?;
        let registry = sandbox.endpoints().open_registry_url.clone().ok_or("the sandbox has no open registry")?;
        let client = RegistryClient::new(&RegistryConfig::new([registry.as_str()]))?;
        let options = SerializerOptions::default();
        let schema = VERSION.schema::<GroceryOrder>();
        let writer = Writer::prepare(&client, GroceryOrder::SUBJECT, schema, &options).await?;
        let schema = VERSION.schema::<GroceryPicklist>();
        let lists: AvroSerializer<Versioned<'static, GroceryPicklist>> =
            AvroSerializer::prepare(&client, GroceryPicklist::SUBJECT, schema, &options).await?;
        let orders = directory.path().join("orders");
        write_orders(&orders, &writer)?;
        Ok(Self { cluster, orders, registry, picklists: lists.schema_id(), directory, _sandbox: sandbox })
    }

    /// A file for one run's counts.
    pub(crate) fn scratch(&self) -> PathBuf {
        self.directory.path().join("counts")
    }

    /// A new topic, once all its partitions are served: a client that finds one without a leader waits for seconds.
    pub(crate) async fn topic(&self, name: &str, partitions: i32) -> Result<String, Box<dyn Error>> {
        let name = format!("bench.{name}.{}", fastrand::u32(..));
        let topic = NewTopic::new(name.as_str()).partitions(partitions);
        let admin = self.cluster.admin();
        admin.create_topics([topic]).await?.into_values().try_for_each(|created| created.map(drop))?;
        let all = (0..partitions).map(|partition| TopicPartition::new(name.as_str(), partition));
        admin.list_offsets(all, OffsetSpec::Latest).await?.into_values().try_for_each(|served| served.map(drop))?;
        Ok(name)
    }

    /// Deletes topics whose records are not needed any more, so that the broker's page cache is the next work's.
    pub(crate) async fn delete(&self, topics: &[&str]) -> Result<(), Box<dyn Error>> {
        self.cluster.admin().delete_topics(topics.iter().copied()).await?.into_values().collect::<Result<(), _>>()?;
        Ok(())
    }
}

fn subject<E: Event>() -> (String, String) {
    (E::SUBJECT.to_owned(), VERSION.schema::<E>().to_owned())
}

fn write_orders(path: &Path, writer: &Writer) -> Result<(), Box<dyn Error>> {
    let mut random = fastrand::Rng::with_seed(SEED);
    let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
    let mut value = Vec::new();
    for _ in 0..ORDERS {
        let id: Uuid = Builder::from_random_bytes(random.u128(..).to_be_bytes()).into_uuid();
        let items = (0..random.usize(4..=10)).map(|_| GOODS[random.usize(..GOODS.len())].to_owned()).collect();
        let order = GroceryOrder {
            order_id: id.to_string(),
            customer_id: format!("customer-{:04}", random.u32(..10_000)),
            items,
            order_total: f64::from(random.u32(100..10_000)) / 100.0,
            order_time: "2025-09-08 14:30:00".to_owned(),
            store_id: String::new(),
            currency: DEFAULT_CURRENCY.to_owned(),
            lines: Vec::new(),
        };
        value.clear();
        writer.encode(&VERSION.of(&order), &mut value)?;
        for part in [order.order_id.as_bytes(), &value] {
            file.write_all(&u32::try_from(part.len())?.to_be_bytes())?;
            file.write_all(part)?;
        }
    }
    Ok(file.flush()?)
}
