//! Every configuration key this house knows: Java's and librdkafka's spellings, the registry clients', and its own.

/// One thing that can be configured.
#[derive(Debug)]
pub(crate) struct Key {
    /// The spelling that messages use.
    pub(crate) name: &'static str,
    /// Other spellings of the same thing.
    pub(crate) aliases: &'static [&'static str],
    /// Whether the value must never be shown.
    pub(crate) secret: bool,
    /// What the key is to this client.
    pub(crate) meaning: Meaning,
}

/// What a key is to this client.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Meaning {
    /// It changes what happens.
    Used,
    /// It may only have one of these values, because that is what this client always does.
    Only(&'static [&'static str]),
    /// Other clients need it; here it changes nothing, for this reason.
    Moot(&'static str),
}

const fn used(name: &'static str, aliases: &'static [&'static str]) -> Key {
    Key { name, aliases, secret: false, meaning: Meaning::Used }
}

const fn secret(name: &'static str, aliases: &'static [&'static str]) -> Key {
    Key { name, aliases, secret: true, meaning: Meaning::Used }
}

const fn only(name: &'static str, values: &'static [&'static str]) -> Key {
    Key { name, aliases: &[], secret: false, meaning: Meaning::Only(values) }
}

const fn moot(name: &'static str, why: &'static str) -> Key {
    Key { name, aliases: &[], secret: false, meaning: Meaning::Moot(why) }
}

const SERIALIZERS: &str = "each service brings its own Avro serializer";
const JVM: &str = "it names a class of the Java client";

/// The table. The order is that of a reader: connection, login, TLS, producer, consumer, registry, services.
pub(crate) static KEYS: &[Key] = &[
    used("bootstrap.servers", &["metadata.broker.list"]),
    used("client.id", &[]),
    used("request.timeout.ms", &["socket.timeout.ms"]),
    used("default.api.timeout.ms", &[]),
    used("metadata.max.age.ms", &["topic.metadata.refresh.interval.ms"]),
    used("reconnect.backoff.ms", &[]),
    used("reconnect.backoff.max.ms", &[]),
    used("retry.backoff.ms", &[]),
    used("retry.backoff.max.ms", &[]),
    used("socket.connection.setup.timeout.ms", &[]),
    used("security.protocol", &[]),
    used("sasl.mechanism", &["sasl.mechanisms"]),
    used("sasl.username", &[]),
    secret("sasl.password", &[]),
    secret("sasl.jaas.config", &[]),
    used("sasl.oauthbearer.token.endpoint.url", &[]),
    used("sasl.oauthbearer.client.id", &["sasl.oauthbearer.client.credentials.client.id"]),
    secret("sasl.oauthbearer.client.secret", &["sasl.oauthbearer.client.credentials.client.secret"]),
    used("sasl.oauthbearer.scope", &[]),
    used("sasl.oauthbearer.extensions", &[]),
    used("sasl.oauthbearer.header.urlencode", &[]),
    used("sasl.oauthbearer.client.authentication", &[]),
    used("sasl.oauthbearer.token.endpoint.parameters", &[]),
    secret("sasl.oauthbearer.token", &[]),
    only("sasl.oauthbearer.method", &["oidc"]),
    only("sasl.oauthbearer.grant.type", &["client_credentials"]),
    used("sasl.login.connect.timeout.ms", &[]),
    used("sasl.login.read.timeout.ms", &[]),
    used("sasl.login.retry.backoff.ms", &[]),
    used("sasl.login.retry.backoff.max.ms", &[]),
    used("https.ca.location", &[]),
    used("ssl.ca.location", &["ssl.truststore.location"]),
    only("ssl.truststore.type", &["PEM"]),
    used("ssl.certificate.location", &[]),
    used("ssl.key.location", &[]),
    used("ssl.keystore.location", &[]),
    only("ssl.keystore.type", &["PEM"]),
    only("ssl.endpoint.identification.algorithm", &["https"]),
    only("enable.ssl.certificate.verification", &["true"]),
    used("tls.provider", &[]),
    only("acks", &["all", "-1"]),
    only("request.required.acks", &["all", "-1"]),
    only("enable.idempotence", &["true"]),
    used("transactional.id", &[]),
    used("transaction.timeout.ms", &[]),
    used("linger.ms", &["queue.buffering.max.ms"]),
    used("batch.size", &[]),
    used("compression.type", &["compression.codec"]),
    used("delivery.timeout.ms", &["message.timeout.ms"]),
    used("max.block.ms", &[]),
    used("buffer.memory", &[]),
    used("max.request.size", &["message.max.bytes"]),
    used("max.in.flight.requests.per.connection", &["max.in.flight"]),
    only("partitioner", &["murmur2", "murmur2_random"]),
    used("group.id", &[]),
    used("group.instance.id", &[]),
    used("group.protocol", &[]),
    used("group.remote.assignor", &[]),
    used("auto.offset.reset", &[]),
    used("session.timeout.ms", &[]),
    used("heartbeat.interval.ms", &[]),
    used("max.poll.interval.ms", &[]),
    used("max.poll.records", &[]),
    used("fetch.min.bytes", &[]),
    used("fetch.max.bytes", &[]),
    used("fetch.max.wait.ms", &["fetch.wait.max.ms"]),
    used("max.partition.fetch.bytes", &["fetch.message.max.bytes"]),
    used("queued.max.messages.kbytes", &[]),
    used("partition.assignment.strategy", &[]),
    used("isolation.level", &[]),
    only("enable.auto.commit", &["false"]),
    only("check.crcs", &["true"]),
    used("schema.registry.url", &[]),
    used("basic.auth.credentials.source", &["schema.registry.basic.auth.credentials.source"]),
    secret("basic.auth.user.info", &["schema.registry.basic.auth.user.info"]),
    used("bearer.auth.credentials.source", &[]),
    secret("bearer.auth.token", &[]),
    used("bearer.auth.issuer.endpoint.url", &[]),
    used("bearer.auth.client.id", &[]),
    secret("bearer.auth.client.secret", &[]),
    used("bearer.auth.scope", &[]),
    used("bearer.auth.logical.cluster", &[]),
    used("bearer.auth.identity.pool.id", &[]),
    used("schema.registry.ssl.ca.location", &["schema.registry.ssl.truststore.location"]),
    only("schema.registry.ssl.truststore.type", &["PEM"]),
    used("schema.registry.request.timeout.ms", &["schema.registry.http.read.timeout.ms"]),
    only("auto.register.schemas", &["false"]),
    used("use.latest.version", &[]),
    used("orders.topic", &[]),
    used("picklists.topic", &[]),
    used("event.version", &[]),
    moot("key.serializer", SERIALIZERS),
    moot("value.serializer", SERIALIZERS),
    moot("key.deserializer", SERIALIZERS),
    moot("value.deserializer", SERIALIZERS),
    moot("specific.avro.reader", SERIALIZERS),
    moot("sasl.login.callback.handler.class", JVM),
    moot("sasl.client.callback.handler.class", JVM),
    moot("partitioner.class", JVM),
    moot("interceptor.classes", JVM),
    moot("metric.reporters", JVM),
    moot("client.dns.lookup", "every address of a name is tried"),
    moot("retries", "retries are bounded by delivery.timeout.ms"),
    moot("message.send.max.retries", "retries are bounded by delivery.timeout.ms"),
    moot("connections.max.idle.ms", "a closed connection is opened again when it is needed"),
    moot("api.version.request", "versions are always negotiated"),
    moot("broker.address.family", "every address of a name is tried"),
    moot("sasl.oauthbearer.sub.claim.name", "the broker decides who a token stands for"),
    moot("sasl.oauthbearer.scope.claim.name", "the broker decides what a scope allows"),
    moot("bearer.auth.scope.claim.name", "the registry decides what a scope allows"),
    moot("bearer.auth.sub.claim.name", "the registry decides who a token stands for"),
    moot("bearer.auth.cache.expiry.buffer.seconds", "tokens are refreshed at 80 to 85 % of their life"),
];

/// The key with this spelling.
pub(crate) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name || key.aliases.contains(&name))
}

/// The known spelling that looks most like `name`, when it looks like one at all.
pub(crate) fn nearest(name: &str) -> Option<&'static str> {
    let lower = name.to_ascii_lowercase();
    KEYS.iter()
        .flat_map(|key| std::iter::once(&key.name).chain(key.aliases))
        .map(|known| (strsim::damerau_levenshtein(&lower, known), *known))
        .min()
        .filter(|(distance, known)| *distance <= known.len() / 3)
        .map(|(_, known)| known)
}

/// A key's environment variable: Confluent's rule for containers, `KAFKA_` and the key in capitals.
pub(crate) fn variable(key: &str) -> String {
    let mut name = String::from("KAFKA_");
    name.extend(key.chars().map(|c| if c == '.' { '_' } else { c.to_ascii_uppercase() }));
    name
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_spelling_means_two_things() {
        let mut seen = BTreeSet::new();
        for spelling in KEYS.iter().flat_map(|key| std::iter::once(&key.name).chain(key.aliases)) {
            assert!(seen.insert(spelling), "{spelling}");
        }
    }

    #[test]
    fn a_slip_of_the_finger_is_recognised_and_nonsense_is_not() {
        assert_eq!(nearest("bootstrap.server"), Some("bootstrap.servers"));
        assert_eq!(nearest("Linger.Ms"), Some("linger.ms"));
        assert_eq!(nearest("sasl.oauthbearer.client.secrt"), Some("sasl.oauthbearer.client.secret"));
        assert_eq!(nearest("quite.something.else.entirely"), None);
    }

    #[test]
    fn the_originals_variables_follow_the_rule() {
        assert_eq!(variable("bootstrap.servers"), "KAFKA_BOOTSTRAP_SERVERS");
    }
}
