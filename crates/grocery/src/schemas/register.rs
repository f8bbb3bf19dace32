//! Registers what is missing, in its order.

use schema_registry::{RegistryClient, SchemaText};
use serde::Serialize;
use service_kit::ServiceError;

use super::folder::{Folder, Subject, VersionFile};
use super::registered::{self, Registered};

/// What was done about a version, or about a subject's level.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case", tag = "done")]
pub(super) enum Done {
    /// It was there.
    WasRegistered { subject: String, version: i32, id: i32 },
    /// It is there now.
    Registered { subject: String, version: i32, id: i32 },
    /// It was left out, since this is a rehearsal.
    WouldRegister { subject: String, version: i32 },
    /// The level is another one now.
    SetLevel { subject: String, level: String },
    /// It was left out, since this is a rehearsal.
    WouldSetLevel { subject: String, level: String },
}

impl std::fmt::Display for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::WasRegistered { subject, version, id } => {
                write!(f, "{subject}: version {version} was registered before, id {id}")
            }
            Self::Registered { subject, version, id } => {
                write!(f, "{subject}: version {version} is registered, id {id}")
            }
            Self::WouldRegister { subject, version } => write!(f, "{subject}: version {version} would be registered"),
            Self::SetLevel { subject, level } => write!(f, "{subject}: level is {level}"),
            Self::WouldSetLevel { subject, level } => write!(f, "{subject}: level would be {level}"),
        }
    }
}

/// How far a registration goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    /// Levels that differ are set.
    pub(super) set_level: bool,
    /// Nothing is changed.
    pub(super) dry_run: bool,
}

/// Registers what the registry lacks of the folder, and sets levels that differ if asked to. Everything has been checked before;
/// what is done is added to `done` as it happens, so that it is known also when the next step fails.
///
/// # Errors
/// The registry cannot be asked, refuses, gives a version another number than its file has, or a new subject another level.
pub(super) async fn register(
    registry: &RegistryClient,
    folder: &Folder,
    registered: &[Registered],
    extent: Extent,
    done: &mut Vec<Done>,
) -> Result<(), ServiceError> {
    for (subject, there) in folder.subjects.iter().zip(registered) {
        let mut level = there.level;
        if level != subject.level && !there.is_new() {
            set_level(registry, subject, extent, done).await?;
            level = subject.level;
        }
        for (version, id) in &there.ids {
            done.push(Done::WasRegistered { subject: subject.name.clone(), version: *version, id: *id });
        }
        for (place, version) in there.missing(subject).into_iter().enumerate() {
            if extent.dry_run {
                done.push(Done::WouldRegister { subject: subject.name.clone(), version: version.number });
            } else {
                let id = register_version(registry, subject, version).await?;
                done.push(Done::Registered { subject: subject.name.clone(), version: version.number, id });
            }
            // Some registries know a subject's level only once it has a version.
            if there.is_new() && place == 0 {
                if !extent.dry_run {
                    level = registered::level(registry, subject).await?;
                }
                if level != subject.level {
                    set_level(registry, subject, extent, done).await?;
                }
            }
        }
    }
    Ok(())
}

async fn set_level(
    registry: &RegistryClient,
    subject: &Subject,
    extent: Extent,
    done: &mut Vec<Done>,
) -> Result<(), ServiceError> {
    let (name, level) = (subject.name.clone(), subject.level.to_string());
    if !extent.set_level {
        let problem = registered::other_level(subject, registered::level(registry, subject).await?);
        return Err(ServiceError::Resource(format!("{name}: {problem}; --set-level sets it")));
    }
    if extent.dry_run {
        done.push(Done::WouldSetLevel { subject: name, level });
        return Ok(());
    }
    registry.set_level(Some(&subject.name), subject.level).await?;
    done.push(Done::SetLevel { subject: name, level });
    Ok(())
}

/// Registers a version and returns its id. Which number it gets is the registry's to say, so it is asked afterwards.
async fn register_version(
    registry: &RegistryClient,
    subject: &Subject,
    version: &VersionFile,
) -> Result<i32, ServiceError> {
    let (name, text) = (&subject.name, SchemaText::avro(&version.text));
    let registered = registry.register(name, &text, false).await.map_err(|error| {
        if error.is_incompatible() {
            ServiceError::Unsatisfied(format!("{name}: version {} is not taken: {error}", version.number))
        } else {
            error.into()
        }
    })?;
    let number = match registered.version {
        Some(number) => number,
        None => registry.lookup(name, &text, false).await?.version,
    };
    if number != version.number {
        return Err(ServiceError::Resource(format!(
            "{name}: the registry has made {} its version {number}: somebody else has registered meanwhile, or it does not tell \
             versions apart as the files do; `grocery schemas check` shows how it stands",
            version.file.display()
        )));
    }
    Ok(registered.id)
}
