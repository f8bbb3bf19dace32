//! Confluent Cloud in a box: Kafka-protocol broker, Schema Registry, OIDC issuer, access rules
