//! What is on the topics: framing, Avro in either version, and the rules of events. What is accepted is written again to the same event.

#![no_main]

use std::sync::LazyLock;

use apache_avro::Schema;
use apache_avro::writer::datum::GenericDatumWriter;
use grocery_events::{Event, EventVersion, GroceryOrder, GroceryPicklist};
use libfuzzer_sys::fuzz_target;
use schema_registry::wire::{SchemaId, write_prefix};
use schema_registry::{AvroDeserializer, RegistryClient, RegistryConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Reads an event as services do, and writes it.
struct Both<E> {
    reader: AvroDeserializer<E>,
    writer: GenericDatumWriter<'static>,
}

impl<E: Event + PartialEq + std::fmt::Debug> Both<E> {
    /// Schema id 1 is version 1, id 2 version 2.
    async fn new() -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", socket.local_addr().unwrap());
        tokio::spawn(async move {
            for version in E::VERSIONS {
                let (mut stream, _) = socket.accept().await.unwrap();
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await.unwrap();
                let body = format!("{{\"schema\":{version:?}}}");
                let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close";
                let answer = format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        let client = RegistryClient::new(&RegistryConfig::new([url])).unwrap();
        let reader = E::reader(&client).unwrap();
        for id in [1, 2] {
            reader.learn(SchemaId::Id(id)).await.unwrap();
        }
        let schema: &'static Schema = Box::leak(Box::new(Schema::parse_str(E::SCHEMA).unwrap()));
        Self { reader, writer: GenericDatumWriter::builder(schema).build().unwrap() }
    }

    fn read(&self, value: &[u8]) {
        let Ok(event) = self.reader.decode(None, value) else { return };
        if event.validate().is_err() {
            return;
        }
        let mut again = Vec::new();
        write_prefix(2, &mut again);
        again.extend(self.writer.write_ser_to_vec(&EventVersion::default().of(&event)).unwrap());
        assert_eq!(self.reader.decode(None, &again).unwrap(), event);
    }
}

static READERS: LazyLock<(Both<GroceryOrder>, Both<GroceryPicklist>)> = LazyLock::new(|| {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async { (Both::new().await, Both::new().await) })
});

fuzz_target!(|value: &[u8]| {
    READERS.0.read(value);
    READERS.1.read(value);
});
