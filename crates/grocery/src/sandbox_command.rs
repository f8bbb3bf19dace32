//! `grocery sandbox`: the sandbox alone, for whoever wants to point something at it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use grocery_events::{Event, GroceryOrder, GroceryPicklist, SCHEMAS, SubjectSchemas};
use sandbox::access::AccessRules;
use sandbox::{Part, Sandbox, SandboxConfig, SandboxError, TopicSpec, TransactionSettings};
use service_kit::{ExitStatus, LogFormat, ServiceError, init_logs, on_signals, parse_duration};
use tokio_util::sync::CancellationToken;

/// Who may do what: the same file that Terraform makes identity pools and role bindings of.
const ACCESS_RULES: &str = include_str!("../../../tf/access.json");

/// Partitions of each topic.
const PARTITIONS: i32 = 3;

/// `retention.ms` of each topic: seven days.
const RETENTION_MS: &str = "604800000";

/// Run the sandbox alone: a Kafka broker, a Schema Registry and an OpenID issuer in one process
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Where the Kafka listener that wants a login is
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9092")]
    pub(crate) listen: SocketAddr,

    /// Where the Schema Registry is
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8081")]
    pub(crate) registry: SocketAddr,

    /// Where the OpenID issuer is
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8082")]
    pub(crate) issuer: SocketAddr,

    /// Also serve a Kafka listener without login, TLS or access rules, for any Kafka tool
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, default_missing_value = "127.0.0.1:9094")]
    pub(crate) open: Option<SocketAddr>,

    /// The host name that clients are told, where it is not the address listened on
    #[arg(long, value_name = "HOST")]
    pub(crate) advertised_host: Option<String>,

    /// Where <client>.properties and ca.pem are written
    #[arg(long, value_name = "DIR", default_value = "sandbox")]
    pub(crate) dir: PathBuf,

    /// Other access rules than the built-in ones, in the form of tf/access.json
    #[arg(long, value_name = "FILE")]
    pub(crate) rules: Option<PathBuf>,

    /// Speak without TLS: SASL_PLAINTEXT and http
    #[arg(long)]
    pub(crate) plaintext: bool,

    /// How long access tokens live
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = parse_duration)]
    pub(crate) token_lifetime: Duration,

    /// The cluster's feature transaction.version: 2 as Kafka 4, 1 or 0 as older ones
    #[arg(long, value_name = "VERSION", default_value_t = TransactionSettings::MAX_VERSION,
        value_parser = clap::value_parser!(u8).range(..=i64::from(TransactionSettings::MAX_VERSION)))]
    pub(crate) transaction_version: u8,

    /// Least level that is logged, or a filter such as `info,sandbox=debug`
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub(crate) log_level: String,
}

/// Runs the sandbox until Ctrl-C.
pub(crate) fn main(args: &Args) -> ExitCode {
    let outcome = init_logs(LogFormat::Text, &args.log_level).and_then(|()| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.map_err(|error| ServiceError::Internal(format!("no async runtime: {error}")))?;
        runtime.block_on(run(args))
    });
    match outcome {
        Ok(()) => ExitStatus::Done.into(),
        Err(error) => {
            eprintln!("grocery sandbox: {error}");
            error.exit_status().into()
        }
    }
}

async fn run(args: &Args) -> Result<(), ServiceError> {
    let shutdown = CancellationToken::new();
    on_signals(shutdown.clone()).map_err(|error| ServiceError::Internal(format!("no signal handlers: {error}")))?;
    let mut config = grocery_sandbox()?;
    if let Some(path) = &args.rules {
        let named =
            |problem: &dyn std::fmt::Display| ServiceError::Usage(format!("--rules {}: {problem}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| named(&error))?;
        config.rules = AccessRules::parse(&text).map_err(|error| named(&error))?;
    }
    config.kafka = args.listen;
    config.open = args.open;
    config.registry = args.registry;
    config.issuer = args.issuer;
    config.advertised_host.clone_from(&args.advertised_host);
    config.directory = Some(args.dir.clone());
    config.plaintext = args.plaintext;
    config.token_lifetime = args.token_lifetime;
    config.transactions.version = args.transaction_version;
    let sandbox = Sandbox::start(config).await.map_err(|error| unusable(&error))?;
    println!("{}", introduction(&sandbox));
    shutdown.cancelled().await;
    sandbox.shutdown().await;
    Ok(())
}

fn introduction(sandbox: &Sandbox) -> String {
    let at = sandbox.endpoints();
    let mut text = format!(
        "bootstrap.servers     {}\nschema.registry.url   {}\ntoken endpoint        {}\n",
        at.kafka, at.registry_url, at.token_url
    );
    if let Some(open) = &at.open {
        text.push_str(&format!("open listener         {open} (no login, no access rules)\n"));
    }
    if let Some(ca) = &at.ca_file {
        text.push_str(&format!("certificate authority {}\n", ca.display()));
    }
    text.push_str(&format!(
        "client files          {dir}/<client>.properties, such as\n                      grocery order-producer --config {dir}/order-producer.properties\nCtrl-C ends it.",
        dir = at.directory.display()
    ));
    text
}

/// A sandbox with the grocery's topics, schemas and access rules; all addresses are free ports of this machine.
///
/// # Errors
/// The built-in access rules cannot be read, which is a fault in this program.
pub fn grocery_sandbox() -> Result<SandboxConfig, ServiceError> {
    let rules = AccessRules::parse(ACCESS_RULES)
        .map_err(|error| ServiceError::Internal(format!("the built-in access rules: {error}")))?;
    let mut config = SandboxConfig::new(rules);
    let topic = |name: &str| TopicSpec {
        name: name.to_owned(),
        partitions: PARTITIONS,
        settings: vec![("retention.ms".to_owned(), RETENTION_MS.to_owned())],
    };
    config.topics = vec![topic(GroceryOrder::TOPIC), topic(GroceryPicklist::TOPIC)];
    // Every version in its order, so that what was written by any of them can be written and read here.
    let versions = |schemas: &SubjectSchemas| {
        let subject = schemas.subject.to_owned();
        schemas.versions.iter().map(move |text| (subject.clone(), (*text).to_owned())).collect::<Vec<_>>()
    };
    config.subjects = SCHEMAS.iter().flat_map(versions).collect();
    Ok(config)
}

/// A sandbox that does not start, with the flag that would change it.
pub(crate) fn unusable(error: &SandboxError) -> ServiceError {
    let flag = match error {
        SandboxError::Bind { part: Part::Broker, .. } => "; --listen or --open ADDRESS moves it",
        SandboxError::Bind { part: Part::Registry, .. } => "; --registry ADDRESS moves it",
        SandboxError::Bind { part: Part::Issuer, .. } => "; --issuer ADDRESS moves it",
        SandboxError::Directory { .. } => "; --dir DIR names another",
        _ => "",
    };
    ServiceError::Usage(format!("{error}{flag}"))
}
