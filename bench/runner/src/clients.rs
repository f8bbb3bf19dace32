//! The clients, and how each is told what to do.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::Arguments;

/// Who does the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Client {
    Ours,
    FranzGo,
    Rdkafka,
    Krafka,
    Java,
}

impl Client {
    pub(crate) const ALL: [Self; 5] = [Self::Ours, Self::FranzGo, Self::Rdkafka, Self::Krafka, Self::Java];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::FranzGo => "franz-go",
            Self::Rdkafka => "rdkafka",
            Self::Krafka => "krafka",
            Self::Java => "java",
        }
    }

    /// The program that does a work, with the arguments that come before the work's; `None` if this client has none for it.
    pub(crate) fn program(self, arguments: &Arguments) -> Option<PathBuf> {
        match self {
            Self::Java => arguments.kafka_tool.clone(),
            other => Some(arguments.programs.join(format!("bench-{}", other.name()))),
        }
    }
}

/// How the wire looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Variant {
    Plain,
    Lz4,
    Tls,
}

impl Variant {
    pub(crate) const ALL: [Self; 3] = [Self::Plain, Self::Lz4, Self::Tls];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "no compression, plaintext",
            Self::Lz4 => "lz4, plaintext",
            Self::Tls => "no compression, TLS",
        }
    }

    pub(crate) fn compression(self) -> &'static str {
        if self == Self::Lz4 { "lz4" } else { "none" }
    }

    pub(crate) fn bootstrap(self, arguments: &Arguments) -> &str {
        if self == Self::Tls { &arguments.bootstrap_tls } else { &arguments.bootstrap }
    }

    fn server(self, arguments: &Arguments) -> Vec<OsString> {
        let mut words = vec!["--bootstrap".into(), self.bootstrap(arguments).into()];
        words.extend(["--compression".into(), self.compression().into()]);
        if self == Self::Tls {
            words.extend(["--ca".into(), arguments.ca.clone().into()]);
        }
        words
    }
}

/// The words of a work for the clients that share a command line.
pub(crate) fn words(work: &str, variant: Variant, arguments: &Arguments, options: &[(&str, String)]) -> Vec<OsString> {
    let mut words: Vec<OsString> = vec![work.into()];
    words.extend(variant.server(arguments));
    for (name, value) in options {
        words.extend([format!("--{name}").into(), value.into()]);
    }
    words
}

/// Kafka's own tools, as near to the same work as they come: values of the same size without keys, or the records read by a
/// group. `None` where they have no TLS settings to be given, or no such work.
pub(crate) fn java(
    work: &str,
    variant: Variant,
    arguments: &Arguments,
    topic: &str,
    records: u64,
) -> Option<Vec<OsString>> {
    if variant == Variant::Tls {
        return None;
    }
    let text = match work {
        "produce" => format!(
            "producer-perf-test --topic {topic} --num-records {records} --record-size 172 --throughput -1 --producer-props \
             bootstrap.servers={} acks=all enable.idempotence=true linger.ms=5 batch.size=1000000 buffer.memory=268435456 \
             max.request.size=1048576 compression.type={}",
            arguments.bootstrap,
            variant.compression(),
        ),
        "consume" => format!(
            "consumer-perf-test --topic {topic} --num-records {records} --bootstrap-server {} --timeout 60000 --group bench-{}",
            arguments.bootstrap,
            fastrand::u32(..),
        ),
        _ => return None,
    };
    Some(text.split_whitespace().map(OsString::from).collect())
}
