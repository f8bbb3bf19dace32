//! What the registry has of a subject, held against the files.

use std::collections::BTreeMap;

use schema_registry::canonical::canonical;
use schema_registry::{Level, Listing, RegistryClient, RegistryError, SchemaText, Version};

use super::finding::{Finding, Rule};
use super::folder::{Subject, VersionFile};
use super::rules::of_version;

/// A subject as the registry has it.
#[derive(Debug)]
pub(super) struct Registered {
    /// The ids of the files' versions that are registered.
    pub(super) ids: BTreeMap<i32, i32>,
    /// The level that holds for the subject.
    pub(super) level: Level,
    pub(super) findings: Vec<Finding>,
}

impl Registered {
    /// Whether the registry knows none of its versions.
    pub(super) fn is_new(&self) -> bool {
        self.ids.is_empty()
    }

    /// The files that are not registered, the oldest first.
    pub(super) fn missing<'a>(&self, subject: &'a Subject) -> Vec<&'a VersionFile> {
        subject.versions.iter().filter(|version| !self.ids.contains_key(&version.number)).collect()
    }
}

/// Asks the registry about a subject: whether what it has are the files, whether it would take the next one, and its level.
/// `refused` are the versions that break a rule already: what the registry says of them is no news.
///
/// # Errors
/// The registry cannot be asked.
pub(super) async fn check(
    registry: &RegistryClient,
    subject: &Subject,
    refused: &[i32],
) -> Result<Registered, RegistryError> {
    let mut findings = Vec::new();
    let mut ids = BTreeMap::new();
    let live = versions(registry, subject, Listing::Live).await?;
    for number in &live {
        let found = registry.version(&subject.name, Version::Number(*number)).await?;
        match subject.versions.iter().find(|version| version.number == *number) {
            Some(version) if same(&version.text, &found.text) => {
                ids.insert(*number, found.id);
            }
            Some(version) => {
                ids.insert(*number, found.id);
                let problem =
                    format!("version {number} is registered (id {}) as another schema than the file's", found.id);
                let remedy = "restore the file; a change is a new version".to_owned();
                findings.push(of_version(Rule::Registered, subject, version, problem, remedy));
            }
            None => findings.push(Finding {
                version: Some(*number),
                ..Finding::about(
                    Rule::Registered,
                    &subject.name,
                    format!("version {number} is registered (id {}) and has no file", found.id),
                    format!("add what it is (GET /subjects/{}/versions/{number}/schema) as its file", subject.name),
                )
            }),
        }
    }
    let newest = live.iter().max().copied().unwrap_or(0);
    let missing = |version: &&VersionFile| !live.contains(&version.number);
    for version in subject.versions.iter().filter(missing).filter(|version| version.number < newest) {
        let problem = format!("version {} is not registered, and version {newest} is", version.number);
        let remedy = "it was deleted there, or came too late: the registry gives it a number of its own".to_owned();
        findings.push(of_version(Rule::Registered, subject, version, problem, remedy));
    }
    if let Some(next) = subject.versions.iter().filter(missing).find(|version| version.number > newest) {
        findings.extend(would_be_taken(registry, subject, next, newest, refused).await?);
    }
    let level = level(registry, subject).await?;
    if level != subject.level {
        let problem = other_level(subject, level);
        let remedy = "`grocery schemas register --set-level` sets it".to_owned();
        findings.push(Finding::about(Rule::Level, &subject.name, problem, remedy));
    }
    Ok(Registered { ids, level, findings })
}

/// The level that holds for a subject. Confluent's registry knows it before there is a version, others do not.
pub(super) async fn level(registry: &RegistryClient, subject: &Subject) -> Result<Level, RegistryError> {
    match registry.level(Some(&subject.name)).await {
        Err(error) if error.is_not_found() => registry.level(None).await,
        level => level,
    }
}

/// What is wrong about a level.
pub(super) fn other_level(subject: &Subject, level: Level) -> String {
    format!("the registry's level for it is {level}, and {} is wanted (subjects.json)", subject.level)
}

/// Whether the registry takes the next version, and gives it its number. Only this one can be asked about: what follows it
/// would be compared with what is registered now.
async fn would_be_taken(
    registry: &RegistryClient,
    subject: &Subject,
    next: &VersionFile,
    newest: i32,
    refused: &[i32],
) -> Result<Option<Finding>, RegistryError> {
    let all = versions(registry, subject, Listing::WithDeleted).await?;
    let number = all.into_iter().max().unwrap_or(newest) + 1;
    if number != next.number {
        let problem =
            format!("version {} would be registered as version {number}, the registry's next one", next.number);
        let remedy = "versions that were deleted keep their numbers; number the file as the registry does".to_owned();
        return Ok(Some(of_version(Rule::Registered, subject, next, problem, remedy)));
    }
    if newest == 0 || next.parsed.is_none() || refused.contains(&next.number) {
        return Ok(None);
    }
    let answer = registry.check_compatibility(&subject.name, None, &SchemaText::avro(&next.text), false).await?;
    if answer.is_compatible {
        return Ok(None);
    }
    let said =
        if answer.messages.is_empty() { "it does not say why".to_owned() } else { answer.messages.join("\n    ") };
    let problem = format!("the registry does not take version {}: {said}", next.number);
    let remedy = "change it until it does".to_owned();
    Ok(Some(of_version(Rule::Refused, subject, next, problem, remedy)))
}

async fn versions(registry: &RegistryClient, subject: &Subject, listing: Listing) -> Result<Vec<i32>, RegistryError> {
    match registry.versions(&subject.name, listing).await {
        Err(error) if error.is_not_found() => Ok(Vec::new()),
        versions => versions,
    }
}

/// Whether a registry holds them for one schema.
fn same(text: &str, registered: &SchemaText) -> bool {
    let canonical = |text: &str| canonical(text).ok();
    registered.is_avro() && registered.references.is_empty() && canonical(text) == canonical(&registered.schema)
}
