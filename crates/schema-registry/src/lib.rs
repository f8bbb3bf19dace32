//! Schema Registry client, wire format, Avro serializers and compatibility rules
