//! `grocery schemas`: the files of `schemas/` against each other, against git and against a registry.
//!
//! [`folder`] reads the files, [`rules`] holds them against each other, [`history`] against git and [`registered`] against the
//! registry; what they find is a [`finding`]. [`register`] does what is left to do, [`diff`] shows two versions beside each other.

mod diff;
mod fields;
mod finding;
mod folder;
mod history;
mod register;
mod registered;
mod rules;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use schema_registry::{Listing, RegistryClient, Version};
use service_kit::config::Config;
use service_kit::{ExitStatus, ServiceError};

use crate::operator::{self, configured};
use finding::{Format, Report, Rule, Standing, VersionStanding};
use folder::Folder;

const EXIT_CODES: &str = "\
Exit codes:
  0        all is well
  1        a file breaks a rule, such as a version that cannot read the one before it
  2        flags, configuration or the folder are wrong
  3, 4, 5  authentication, an access rule, the registry is away
  6        the registry has something else than the files";

/// The registry's subjects, and the files they are made of
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, after_help = EXIT_CODES)]
pub(crate) struct Command {
    #[command(flatten)]
    place: operator::Args,
    #[command(subcommand)]
    command: Option<Task>,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// List the registry's subjects with their versions; so does `schemas` alone
    List(operator::Args),
    /// Hold the files against each other, against git and, where one is configured, against the registry
    #[command(after_help = EXIT_CODES)]
    Check(CheckArgs),
    /// Register the versions that the registry lacks, after the check
    #[command(after_help = EXIT_CODES)]
    Register(RegisterArgs),
    /// Show what is different between two versions, and who can read whom
    #[command(after_help = EXIT_CODES)]
    Diff(DiffArgs),
}

/// Where the files are.
#[derive(Debug, clap::Args)]
struct FolderArgs {
    /// The folder of <subject>/<version>.avsc; `schemas` unless told otherwise, and the schemas in this program where there is no
    /// such folder
    #[arg(long, value_name = "DIR")]
    schemas: Option<PathBuf>,

    /// How the outcome is told
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, clap::Args)]
struct CheckArgs {
    #[command(flatten)]
    folder: FolderArgs,
    /// Do not ask the registry, even if one is configured (schema.registry.url)
    #[arg(long)]
    offline: bool,
    /// The revision of git whose versions must not have changed; by default the first that there is of origin/HEAD,
    /// origin/main, main and HEAD
    #[arg(long, value_name = "REVISION")]
    base: Option<String>,
    #[command(flatten)]
    place: operator::Args,
}

#[derive(Debug, clap::Args)]
struct RegisterArgs {
    #[command(flatten)]
    folder: FolderArgs,
    /// Set the compatibility level of a subject where it is not that of subjects.json; without this it ends the command
    #[arg(long)]
    set_level: bool,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    place: operator::Args,
}

#[derive(Debug, clap::Args)]
struct DiffArgs {
    /// The subject
    subject: String,
    /// From: the number of a version, `registry` for the registry's newest, or a file; the last version but one unless told
    /// otherwise
    from: Option<String>,
    /// To: the same; the last version unless told otherwise
    to: Option<String>,
    /// End with 1 if there is a difference
    #[arg(long)]
    exit_code: bool,
    #[command(flatten)]
    folder: FolderArgs,
    #[command(flatten)]
    place: operator::Args,
}

/// What goes to standard output, and how the command ends.
struct Outcome {
    text: String,
    ended: Result<ExitStatus, ServiceError>,
}

impl From<ServiceError> for Outcome {
    fn from(error: ServiceError) -> Self {
        Self { text: String::new(), ended: Err(error) }
    }
}

/// Does what the command line says. Must be called outside any runtime.
pub(crate) fn main(command: Command) -> ExitCode {
    let (name, task) = match command.command {
        None => ("schemas", Task::List(command.place)),
        Some(task @ Task::List(_)) => ("schemas list", task),
        Some(task @ Task::Check(_)) => ("schemas check", task),
        Some(task @ Task::Register(_)) => ("schemas register", task),
        Some(task @ Task::Diff(_)) => ("schemas diff", task),
    };
    let Outcome { text, ended } = operator::on_runtime(run(task)).unwrap_or_else(Outcome::from);
    print!("{text}");
    match ended {
        Ok(status) => status.into(),
        Err(error) => {
            eprintln!("grocery {name}: {error}");
            error.exit_status().into()
        }
    }
}

async fn run(task: Task) -> Outcome {
    let outcome = match task {
        Task::List(place) => list(&place).await,
        Task::Check(args) => check(&args).await,
        Task::Register(args) => register(&args).await,
        Task::Diff(args) => diff(&args).await,
    };
    outcome.unwrap_or_else(Outcome::from)
}

/// The registry, if one is configured.
fn registry(config: &Config) -> Result<Option<RegistryClient>, ServiceError> {
    if config.text("schema.registry.url").is_none() {
        return Ok(None);
    }
    Ok(Some(RegistryClient::new(&config.registry()?)?))
}

async fn list(place: &operator::Args) -> Result<Outcome, ServiceError> {
    let registry = RegistryClient::new(&configured(place)?.registry()?)?;
    let mut rows = vec![operator::row(["SUBJECT", "VERSIONS", "LATEST ID", "COMPATIBILITY"])];
    for subject in registry.subjects(Listing::Live).await? {
        let versions = registry.versions(&subject, Listing::Live).await?;
        let latest = registry.version(&subject, Version::Latest).await?;
        let level = registry.level(Some(&subject)).await?;
        rows.push(operator::row([&subject, &versions.len().to_string(), &latest.id.to_string(), &level.to_string()]));
    }
    Ok(Outcome { text: operator::table(&rows), ended: Ok(ExitStatus::Done) })
}

async fn check(args: &CheckArgs) -> Result<Outcome, ServiceError> {
    let config = configured(&args.place)?;
    let folder = Folder::read(args.folder.schemas.as_deref())?;
    let registry = if args.offline { None } else { registry(&config)? };
    let (mut report, _) = checked(&folder, registry.as_ref(), &config).await?;
    let (changed, note) = history::check(&folder, args.base.as_deref())?;
    report.findings.extend(changed);
    report.notes.insert(0, note);
    if registry.is_none() {
        let why = if args.offline { "--offline" } else { "schema.registry.url is not set" };
        report.notes.push(format!("not compared with a registry: {why}"));
    }
    Ok(Outcome { text: report.print(args.folder.format), ended: Ok(report.status()) })
}

/// The files against each other and against the registry; how each subject stands there, in the folder's order.
async fn checked(
    folder: &Folder,
    registry: Option<&RegistryClient>,
    config: &Config,
) -> Result<(Report, Vec<registered::Registered>), ServiceError> {
    let url = registry.and_then(|_| config.text("schema.registry.url")).map(str::to_owned);
    let notes = url.iter().map(|url| format!("compared with the registry: {url}")).collect();
    let mut report = Report { registry: url, subjects: Vec::new(), findings: folder.findings.clone(), notes };
    let mut there = Vec::new();
    for subject in &folder.subjects {
        let broken = rules::check(subject);
        let refused: Vec<i32> = broken.iter().filter_map(|finding| finding.version).collect();
        report.findings.extend(broken);
        let registered = match registry {
            None => None,
            Some(registry) => Some(registered::check(registry, subject, &refused).await?),
        };
        let id = |number| registered.as_ref().and_then(|registered| registered.ids.get(&number).copied());
        let versions = subject.versions.iter().map(|version| VersionStanding {
            version: version.number,
            file: version.file.clone(),
            id: id(version.number),
        });
        report.subjects.push(Standing {
            subject: subject.name.clone(),
            compatibility: subject.level.to_string(),
            versions: versions.collect(),
        });
        if let Some(registered) = registered {
            report.findings.extend(registered.findings.iter().cloned());
            there.push(registered);
        }
    }
    Ok((report, there))
}

async fn register(args: &RegisterArgs) -> Result<Outcome, ServiceError> {
    let config = configured(&args.place)?;
    let folder = Folder::read(args.folder.schemas.as_deref())?;
    // The error is that of the missing key.
    let registry = RegistryClient::new(&config.registry()?)?;
    let (mut report, there) = checked(&folder, Some(&registry), &config).await?;
    if args.set_level {
        report.findings.retain(|finding| finding.rule != Rule::Level);
    }
    if !report.findings.is_empty() {
        report.notes.push("nothing was registered".to_owned());
        return Ok(Outcome { text: report.print(args.folder.format), ended: Ok(report.status()) });
    }
    let extent = register::Extent { set_level: args.set_level, dry_run: args.dry_run };
    let mut done = Vec::new();
    let ended = register::register(&registry, &folder, &there, extent, &mut done).await;
    let text = match args.folder.format {
        Format::Json => {
            let done = serde_json::to_string_pretty(&done).expect("what was done always has a JSON form");
            format!("{done}\n")
        }
        Format::Text | Format::Github => done.iter().map(|done| format!("{done}\n")).collect(),
    };
    Ok(Outcome { text, ended: ended.map(|()| ExitStatus::Done) })
}

async fn diff(args: &DiffArgs) -> Result<Outcome, ServiceError> {
    let config = configured(&args.place)?;
    let folder = Folder::read(args.folder.schemas.as_deref())?;
    let (from, to) = match (&args.from, &args.to) {
        (Some(from), Some(to)) => (from.clone(), to.clone()),
        (from, _) => {
            let versions = &folder.subject(&args.subject)?.versions;
            let number = |back: usize| versions.iter().rev().nth(back).map(|version| version.number.to_string());
            let from = from.clone().or_else(|| number(1));
            match (from, number(0)) {
                (Some(from), Some(to)) => (from, to),
                _ => {
                    let subject = &args.subject;
                    let problem =
                        format!("{subject} has one version only; name what to compare it with: a file or `registry`");
                    return Err(ServiceError::Usage(problem));
                }
            }
        }
    };
    let registry = registry(&config)?;
    let from = diff::Side::find(&from, &folder, &args.subject, registry.as_ref()).await?;
    let to = diff::Side::find(&to, &folder, &args.subject, registry.as_ref()).await?;
    let difference = diff::Difference::between(&args.subject, &from, &to);
    let text = match args.folder.format {
        Format::Json => difference.json(),
        Format::Text | Format::Github => difference.text(),
    };
    let status = if args.exit_code && !difference.is_none() { ExitStatus::Unsatisfied } else { ExitStatus::Done };
    Ok(Outcome { text, ended: Ok(status) })
}
