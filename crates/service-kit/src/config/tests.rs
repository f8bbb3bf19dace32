use std::collections::BTreeMap;
use std::io::Write;

use super::*;

const SERVICE: Service = Service { name: "order-producer", identity: Identity::Producer };

fn load(file: &str, flags: &[&str], environment: &[(&'static str, &'static str)]) -> Result<Config, ConfigError> {
    let mut properties = tempfile::NamedTempFile::new().unwrap();
    properties.write_all(file.as_bytes()).unwrap();
    let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
    let environment: BTreeMap<&str, &str> = environment.iter().copied().collect();
    Config::load(&[properties.path().to_owned()], &flags, &environment, SERVICE)
}

#[test]
fn flags_beat_environment_beats_file() {
    let file = "bootstrap.servers=file:1\nlinger.ms=1\nclient.id=file";
    let environment = [("KAFKA_BOOTSTRAP_SERVERS", "environment:1"), ("KAFKA_LINGER_MS", "2")];
    let config = load(file, &["linger.ms=3"], &environment).unwrap();
    assert_eq!(config.text("client.id"), Some("file"));
    assert_eq!(config.text("bootstrap.servers"), Some("environment:1"));
    assert_eq!(config.milliseconds("linger.ms").unwrap(), Some(Duration::from_millis(3)));
    assert_eq!(config.text("batch.size"), None);
}

#[test]
fn both_families_spell_the_same_setting() {
    for (spelling, key) in [
        ("sasl.mechanisms", "sasl.mechanism"),
        ("sasl.oauthbearer.client.credentials.client.id", "sasl.oauthbearer.client.id"),
        ("sasl.oauthbearer.client.credentials.client.secret", "sasl.oauthbearer.client.secret"),
        ("ssl.truststore.location", "ssl.ca.location"),
        ("queue.buffering.max.ms", "linger.ms"),
        ("message.timeout.ms", "delivery.timeout.ms"),
        ("fetch.wait.max.ms", "fetch.max.wait.ms"),
    ] {
        assert_eq!(load(&format!("{spelling}=7"), &[], &[]).unwrap().text(key), Some("7"), "{spelling}");
    }
}

#[test]
fn what_a_consumer_may_hold_is_said_in_librdkafkas_kilobytes() {
    let small = load("queued.max.messages.kbytes=512", &[], &[]).unwrap().consumer("g", &["t"]).unwrap();
    assert_eq!(small.queued_max_bytes, 512 * 1024);
    let wrong = load("queued.max.messages.kbytes=much", &[], &[]).unwrap().consumer("g", &["t"]).unwrap_err();
    assert!(wrong.to_string().contains("queued.max.messages.kbytes"), "{wrong}");
}

#[test]
fn a_services_own_pair_beats_the_general_one() {
    let environment = [
        ("CLIENT_ID", "general"),
        ("PRODUCER_CLIENT_ID", "own"),
        ("CONSUMER_CLIENT_ID", "other"),
        ("CLIENT_SECRET", "s"),
    ];
    let config = load("", &[], &environment).unwrap();
    assert_eq!(config.text("sasl.oauthbearer.client.id"), Some("own"));
    assert_eq!(config.text("sasl.oauthbearer.client.secret"), Some("s"));
}

#[test]
fn a_secret_may_come_from_a_file() {
    let mut secret = tempfile::NamedTempFile::new().unwrap();
    secret.write_all(b"hunter2\n").unwrap();
    let path = secret.path().to_str().unwrap().to_owned();
    let environment: BTreeMap<&str, &str> = BTreeMap::from([("CLIENT_SECRET_FILE", path.as_str())]);
    let config = Config::load(&[], &[], &environment, SERVICE).unwrap();
    assert_eq!(config.secret("sasl.oauthbearer.client.secret").unwrap().expose_secret(), "hunter2");

    let environment: BTreeMap<&str, &str> = BTreeMap::from([("CLIENT_SECRET_FILE", "/nowhere/secret")]);
    let refused = Config::load(&[], &[], &environment, SERVICE).unwrap_err().to_string();
    assert!(refused.contains("CLIENT_SECRET_FILE") && refused.contains("/nowhere/secret"), "{refused}");
}

#[test]
fn an_unknown_key_names_its_place_and_the_nearest_known_one() {
    let refused = load("# hello\nbootstrap.server=x:1", &[], &[]).unwrap_err().to_string();
    assert!(refused.contains("`bootstrap.server`") && refused.contains(":2"), "{refused}");
    assert!(refused.contains("did you mean `bootstrap.servers`?"), "{refused}");
    let refused = load("", &["linger=5"], &[]).unwrap_err().to_string();
    assert!(refused.contains("--set") && refused.contains("`linger`"), "{refused}");
    let other_programs = [("KAFKA_HOME", "/opt/kafka"), ("KAFKA_OPTS", "-Xmx1g")];
    assert!(load("", &[], &other_programs).is_ok());
}

#[test]
fn one_setting_with_two_values_is_a_contradiction() {
    let refused = load("sasl.mechanism=PLAIN\nsasl.mechanisms=OAUTHBEARER", &[], &[]).unwrap_err().to_string();
    assert!(refused.contains("`sasl.mechanisms`") && refused.contains("`sasl.mechanism`"), "{refused}");
    assert!(refused.contains(":1") && refused.contains(":2"), "{refused}");
    assert!(load("sasl.mechanism=PLAIN\nsasl.mechanisms=PLAIN", &[], &[]).is_ok());
}

#[test]
fn what_this_client_never_does_is_refused_and_what_is_moot_is_noted() {
    let refused = load("acks=1", &[], &[]).unwrap_err().to_string();
    assert!(refused.contains("`acks`") && refused.contains("all"), "{refused}");
    let config = load("key.serializer=org.apache.kafka.StringSerializer\nacks=all", &[], &[]).unwrap();
    assert_eq!(config.notes().len(), 1);
    assert!(config.notes()[0].contains("key.serializer"));
}

#[test]
fn a_token_url_in_the_environment_means_oauthbearer_over_tls() {
    let config = load("", &[], &[("OAUTH_TOKEN_URL", "https://idp/token")]).unwrap();
    assert_eq!(config.text("security.protocol"), Some("SASL_SSL"));
    assert_eq!(config.text("sasl.mechanism"), Some("OAUTHBEARER"));
    let config = load("security.protocol=SASL_PLAINTEXT", &[], &[("OAUTH_TOKEN_URL", "https://idp/token")]).unwrap();
    assert_eq!(config.text("security.protocol"), Some("SASL_PLAINTEXT"));
}

#[test]
fn no_secret_shows_in_debug_or_errors() {
    let file = "sasl.oauthbearer.client.secret=hunter2\nbasic.auth.user.info=key:hunter2\nsasl.password=hunter2";
    let config = load(file, &[], &[]).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
    let twice = load("sasl.password=hunter2\nsasl.password=hunter3", &[], &[]).unwrap_err();
    assert!(!format!("{twice} {twice:?}").contains("hunter"));
    let flag = load("", &["sasl.passwrd=hunter2"], &[]).unwrap_err();
    assert!(!format!("{flag} {flag:?}").contains("hunter"));
}

#[test]
fn values_of_the_wrong_kind_say_what_is_accepted() {
    let config =
        load("linger.ms=soon\nbatch.size=0\nuse.latest.version=maybe\nisolation.level=none", &[], &[]).unwrap();
    assert!(config.milliseconds("linger.ms").unwrap_err().to_string().contains("milliseconds"));
    assert!(config.bytes("batch.size").unwrap_err().to_string().contains("above 0"));
    assert!(config.boolean("use.latest.version").unwrap_err().to_string().contains("true nor false"));
    let refused = config.choice("isolation.level", &[("read_committed", 1), ("read_uncommitted", 0)]).unwrap_err();
    assert!(refused.to_string().contains("read_committed, read_uncommitted"), "{refused}");
}

#[test]
fn the_file_that_confluent_cloud_hands_out_works_as_it_is() {
    let file = "\
# Required connection configs for Kafka producer, consumer, and admin
bootstrap.servers=pkc-1.eu-central-1.aws.confluent.cloud:9092
security.protocol=SASL_SSL
sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required username='KEY' password='hunter2';
sasl.mechanism=PLAIN
# Required for correctness in Apache Kafka clients prior to 2.6
client.dns.lookup=use_all_dns_ips
# Best practice for higher availability in Apache Kafka clients prior to 3.0
session.timeout.ms=45000
# Best practice for Kafka producer to prevent data loss
acks=all
client.id=ccloud-java-client-1
# Required connection configs for Confluent Cloud Schema Registry
schema.registry.url=https://psrc-1.confluent.cloud
basic.auth.credentials.source=USER_INFO
basic.auth.user.info=SRKEY:hunter2
";
    let client = load(file, &[], &[]).unwrap().kafka().unwrap();
    assert_eq!(client.bootstrap_servers, ["pkc-1.eu-central-1.aws.confluent.cloud:9092"]);
    assert!(matches!(client.transport, kafka::Transport::Tls(_)));
    let Some(kafka::Sasl::Plain { username, password }) = client.sasl else { panic!("not PLAIN") };
    assert_eq!((username.as_str(), password.expose_secret()), ("KEY", "hunter2"));
}

#[test]
fn extensions_come_from_either_familys_spelling() {
    let login = "bootstrap.servers=b:1\nsecurity.protocol=SASL_PLAINTEXT\nsasl.mechanism=OAUTHBEARER\nsasl.oauthbearer.token=t\n";
    for spelling in [
        "sasl.oauthbearer.extensions=logicalCluster=lkc-1,identityPoolId=pool-2",
        "sasl.jaas.config=x.OAuthBearerLoginModule required extension_logicalCluster='lkc-1' extension_identityPoolId='pool-2';",
    ] {
        let client = load(&format!("{login}{spelling}"), &[], &[]).unwrap().kafka().unwrap();
        let Some(kafka::Sasl::OauthBearer { extensions, .. }) = client.sasl else { panic!("not OAUTHBEARER") };
        let read: Vec<_> = extensions.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(read, [("identityPoolId", "pool-2"), ("logicalCluster", "lkc-1")], "{spelling}");
    }
}

#[test]
fn half_a_login_is_refused_with_the_key_that_is_missing() {
    for (file, named) in [
        ("linger.ms=5", "bootstrap.servers"),
        ("bootstrap.servers=b:1\nsecurity.protocol=SASL_SSL", "sasl.mechanism"),
        ("bootstrap.servers=b:1\nsasl.mechanism=PLAIN", "security.protocol"),
        ("bootstrap.servers=b:1\nsecurity.protocol=SSL\nsasl.mechanism=PLAIN", "contradicts"),
        ("bootstrap.servers=b:1\nsecurity.protocol=SASL_SSL\nsasl.mechanism=PLAIN", "sasl.username"),
        ("bootstrap.servers=b:1\nsecurity.protocol=SASL_SSL\nsasl.mechanism=OAUTHBEARER", "OAUTH_TOKEN_URL"),
        ("bootstrap.servers=b:1\nsecurity.protocol=TLS", "PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL"),
        ("bootstrap.servers=b:1\nsecurity.protocol=SSL\nssl.truststore.location=/x/trust.jks", "PEM"),
        ("bootstrap.servers=b", "bootstrap.servers"),
    ] {
        let refused = load(file, &[], &[]).unwrap().kafka().unwrap_err().to_string();
        assert!(refused.contains(named), "{file}: {refused}");
    }
}

#[tokio::test]
async fn a_login_by_client_credentials_is_made_from_file_and_environment() {
    let file = "bootstrap.servers=b:1\nsecurity.protocol=SASL_PLAINTEXT\nsasl.mechanism=OAUTHBEARER\n\
                sasl.oauthbearer.token.endpoint.url=http://127.0.0.1:1/token\n\
                sasl.oauthbearer.token.endpoint.parameters=audience=grocery\n";
    let refused = load(file, &[], &[]).unwrap().kafka().unwrap_err().to_string();
    assert!(refused.contains("sasl.oauthbearer.client.id") && refused.contains("CLIENT_ID"), "{refused}");
    let config = load(file, &[], &[("CLIENT_ID", "me"), ("CLIENT_SECRET", "hunter2")]).unwrap();
    let client = config.kafka().unwrap();
    assert!(matches!(client.sasl, Some(kafka::Sasl::OauthBearer { .. })));
    assert!(!format!("{client:?} {config:?}").contains("hunter2"));
}

#[test]
fn keys_of_one_group_protocol_contradict_the_other_and_both_are_named() {
    for line in ["partition.assignment.strategy=range", "session.timeout.ms=45000", "heartbeat.interval.ms=3000"] {
        let key = line.split('=').next().unwrap();
        let both =
            load(&format!("group.protocol=consumer\n{line}"), &[], &[]).unwrap().consumer("g", &["t"]).unwrap_err();
        assert!(both.to_string().contains(key) && both.to_string().contains("group.protocol"), "{both}");
        assert!(load(&format!("group.protocol=classic\n{line}"), &[], &[]).unwrap().consumer("g", &["t"]).is_ok());
    }
    let file = "group.protocol=classic\ngroup.remote.assignor=uniform";
    let both = load(file, &[], &[]).unwrap().consumer("g", &["t"]).unwrap_err();
    assert!(
        both.to_string().contains("group.remote.assignor") && both.to_string().contains("group.protocol"),
        "{both}"
    );

    let unset = load("", &[], &[]).unwrap().consumer("g", &["t"]).unwrap();
    assert_eq!((unset.group_protocol, unset.isolation_level), (None, kafka::IsolationLevel::ReadCommitted));
    let file = "group.protocol=CONSUMER\ngroup.remote.assignor=range\nisolation.level=read_uncommitted";
    let set = load(file, &[], &[]).unwrap().consumer("g", &["t"]).unwrap();
    assert_eq!(set.group_protocol, Some(kafka::GroupProtocol::Consumer));
    assert_eq!(set.group_remote_assignor.as_deref(), Some("range"));
    assert_eq!(set.isolation_level, kafka::IsolationLevel::ReadUncommitted);
    let wrong = load("group.protocol=modern", &[], &[]).unwrap().consumer("g", &["t"]).unwrap_err();
    assert!(wrong.to_string().contains("classic, consumer"), "{wrong}");
}
