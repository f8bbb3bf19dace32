//! What the micro-benchmarks work on: the same orders in every run, and the hot paths as the product takes them.

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;
use bytes::Bytes;
use grocery_events::{DEFAULT_CURRENCY, Event, EventVersion, GroceryOrder};
use kafka::Compression;
use uuid::Builder;

/// Orders in a batch.
pub const BATCH: usize = 1_000;

const GOODS: [&str; 8] =
    ["whole milk", "rolls/buns", "soda", "yogurt", "tropical fruit", "root vegetables", "bottled water", "sausage"];

/// Everything that a case needs, made once.
pub struct Material {
    /// The orders.
    pub orders: Vec<GroceryOrder>,
    /// Their Avro encoding.
    pub values: Vec<Vec<u8>>,
    /// All of them as a batch.
    pub batch: Bytes,
    /// The schema of an order.
    pub schema: &'static Schema,
    /// Reads what was written with it.
    pub reader: GenericDatumReader<'static>,
    /// Writes by it.
    pub writer: GenericDatumWriter<'static>,
}

impl Default for Material {
    fn default() -> Self {
        let mut random = fastrand::Rng::with_seed(20_260_923);
        let schema: &'static Schema = Box::leak(Box::new(Schema::parse_str(GroceryOrder::SCHEMA).expect("a schema")));
        let writer = GenericDatumWriter::builder(schema).build().expect("a writer");
        let reader = GenericDatumReader::builder(schema).build().expect("a reader");
        let order = |_| {
            let order_id = Builder::from_random_bytes(random.u128(..).to_be_bytes()).into_uuid().to_string();
            let customer_id = format!("customer-{:04}", random.u32(..10_000));
            let items: Vec<String> =
                (0..random.usize(4..=10)).map(|_| GOODS[random.usize(..GOODS.len())].to_owned()).collect();
            GroceryOrder {
                order_id,
                customer_id,
                lines: GroceryOrder::lines_of(&items),
                items,
                order_total: f64::from(random.u32(100..10_000)) / 100.0,
                order_time: "2025-09-08 14:30:00".to_owned(),
                store_id: "store-7".to_owned(),
                currency: DEFAULT_CURRENCY.to_owned(),
            }
        };
        let orders: Vec<GroceryOrder> = (0..BATCH).map(order).collect();
        let encoded = |order| writer.write_ser_to_vec(&EventVersion::default().of(order)).expect("an order");
        let values: Vec<Vec<u8>> = orders.iter().map(encoded).collect();
        let mut material = Self { orders, values, batch: Bytes::new(), schema, reader, writer };
        material.batch = material.encode(Vec::new(), Compression::None);
        material
    }
}

impl Material {
    /// The orders as a batch.
    ///
    /// # Panics
    /// It cannot be compressed.
    #[must_use]
    pub fn encode(&self, buffer: Vec<u8>, compression: Compression) -> Bytes {
        let records = self.orders.iter().zip(&self.values).map(|(order, value)| (order.key().as_bytes(), &value[..]));
        kafka::bench::encode(records, buffer, compression).expect("a batch")
    }

    /// The batch's records.
    ///
    /// # Panics
    /// It is none.
    #[must_use]
    pub fn decode(&self) -> usize {
        kafka::bench::decode(self.batch.clone(), usize::MAX).expect("a batch")
    }

    /// The partition of each order.
    #[must_use]
    pub fn partitions(&self) -> i32 {
        self.orders.iter().map(|order| kafka::bench::partition(order.key().as_bytes(), 3)).sum()
    }

    /// Each order in Avro, into one buffer.
    ///
    /// # Panics
    /// One does not fit the schema.
    pub fn avro_encode(&self, out: &mut Vec<u8>) {
        for order in &self.orders {
            self.writer.write_ser(out, &EventVersion::default().of(order)).expect("an order");
        }
    }

    /// Each order out of Avro.
    ///
    /// # Panics
    /// One does not fit the schema.
    #[must_use]
    pub fn avro_decode(&self) -> usize {
        let order = |value: &Vec<u8>| self.reader.read_deser::<GroceryOrder>(&mut &value[..]).expect("an order");
        self.values.iter().map(|value| order(value).items.len()).sum()
    }

    /// The rules of each order.
    #[must_use]
    pub fn validate(&self) -> usize {
        self.orders.iter().filter(|order| order.validate().is_ok()).count()
    }
}

/// A hot path by its name, done once for all orders of a batch.
pub type Case = (&'static str, fn(&Material, &mut Vec<u8>));

/// The hot paths.
pub const CASES: [Case; 8] = [
    ("record encode", |material, buffer| {
        *buffer = Vec::from(material.encode(std::mem::take(buffer), Compression::None));
    }),
    ("record encode, lz4", |material, buffer| {
        *buffer = Vec::from(material.encode(std::mem::take(buffer), Compression::Lz4));
    }),
    ("record decode", |material, _| assert!(material.decode() > 0)),
    ("crc32c", |material, _| assert_ne!(crc32c::crc32c(&material.batch), 0)),
    ("avro encode", |material, buffer| {
        buffer.clear();
        material.avro_encode(buffer);
    }),
    ("avro decode", |material, _| assert!(material.avro_decode() > 0)),
    ("order rules", |material, _| assert_eq!(material.validate(), BATCH)),
    ("partitioner", |material, _| assert!(material.partitions() > 0)),
];
