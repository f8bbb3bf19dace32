//! From an order's bytes to its pick list's, for the clients that have no fulfilment service of their own: the same work, with
//! the same Avro library.

use std::fmt::Write as _;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;
use chrono::Utc;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

const ORDERS: &str = include_str!("../../../../schemas/grocery.orders.v1-value/1.avsc");
const PICKLISTS: &str = include_str!("../../../../schemas/grocery.picklist.v1-value/1.avsc");
const PICKERS: [&str; 6] = ["Ada", "Grace", "Linus", "Margaret", "Radia", "Tim"];
const PICKLIST_MASK: u128 = 0x992e_f2ed_fa8a_0000_3ffd_ff63_cfef_74ff;

/// Bytes before the Avro value: a zero and the schema's id.
const PREFIX_BYTES: usize = 5;

#[derive(Deserialize)]
#[serde(rename = "GroceryOrder")]
struct Order {
    order_id: String,
    #[allow(dead_code)]
    customer_id: String,
    items: Vec<String>,
    #[allow(dead_code)]
    order_total: f64,
    #[allow(dead_code)]
    order_time: String,
}

#[derive(Serialize)]
#[serde(rename = "GroceryPicklist")]
struct Picklist {
    picklist_id: String,
    order_id: String,
    items_to_pick: Vec<String>,
    assigned_picker: &'static str,
    created_time: String,
}

/// Reads orders and writes pick lists.
pub struct Picking {
    reader: GenericDatumReader<'static>,
    writer: GenericDatumWriter<'static>,
    schema_id: u32,
}

impl Picking {
    /// For pick lists under this schema id.
    ///
    /// # Panics
    /// The repository's schemas cannot be used.
    #[must_use]
    pub fn new(schema_id: u32) -> Self {
        let parse = |text| -> &'static Schema { Box::leak(Box::new(Schema::parse_str(text).expect("a schema"))) };
        Self {
            reader: GenericDatumReader::builder(parse(ORDERS)).build().expect("a reader"),
            writer: GenericDatumWriter::builder(parse(PICKLISTS)).build().expect("a writer"),
            schema_id,
        }
    }

    /// Key and value of an order's pick list.
    ///
    /// # Errors
    /// It is no order.
    pub fn pick(&self, order: &[u8]) -> Result<(String, Vec<u8>), String> {
        let mut body = order.get(PREFIX_BYTES..).ok_or("too short")?;
        let order: Order = self.reader.read_deser(&mut body).map_err(|error| error.to_string())?;
        let id = Uuid::parse_str(&order.order_id).map_err(|error| error.to_string())?;
        let id = uuid::Builder::from_custom_bytes((id.as_u128() ^ PICKLIST_MASK).to_be_bytes()).into_uuid();
        let hash = order
            .order_id
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        let mut created_time = String::with_capacity(19);
        let _ = write!(created_time, "{}", Utc::now().format("%Y-%m-%d %H:%M:%S"));
        let list = Picklist {
            picklist_id: id.to_string(),
            order_id: order.order_id,
            items_to_pick: order.items,
            assigned_picker: PICKERS[(hash % PICKERS.len() as u64) as usize],
            created_time,
        };
        let mut value = Vec::with_capacity(256);
        value.push(0);
        value.extend_from_slice(&self.schema_id.to_be_bytes());
        self.writer.write_ser(&mut value, &list).map_err(|error| error.to_string())?;
        Ok((list.order_id, value))
    }
}
