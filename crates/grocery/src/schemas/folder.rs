//! `schemas/`: every version of every subject, as files or as they were compiled in.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use grocery_events::{SCHEMAS, SUBJECTS_JSON, SubjectSchemas};
use schema_registry::Level;
use schema_registry::compatibility::ParsedSchema;
use serde::Deserialize;
use service_kit::ServiceError;

use super::finding::{Finding, Rule};

/// Where the folder is unless told otherwise.
const DEFAULT: &str = "schemas";

/// The file beside the subjects' folders that says how their versions have to fit each other.
const SUBJECTS: &str = "subjects.json";

/// What a version's file ends in.
const EXTENSION: &str = ".avsc";

/// The folder as it was read, with what is wrong about its files.
#[derive(Debug)]
pub(super) struct Folder {
    /// `None` if there is no folder, and what was compiled in is meant.
    pub(super) root: Option<PathBuf>,
    pub(super) subjects: Vec<Subject>,
    pub(super) findings: Vec<Finding>,
}

/// A subject and its versions.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) name: String,
    pub(super) level: Level,
    /// By number.
    pub(super) versions: Vec<VersionFile>,
}

/// One version.
#[derive(Debug)]
pub(super) struct VersionFile {
    pub(super) number: i32,
    /// As it is to be shown.
    pub(super) file: PathBuf,
    pub(super) text: String,
    /// `None` if it is no schema, which is among the findings.
    pub(super) parsed: Option<ParsedSchema>,
}

/// What `subjects.json` says of a subject.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    compatibility: Level,
}

impl Folder {
    /// Reads the folder, or what was compiled in where there is none and none was asked for.
    ///
    /// # Errors
    /// The folder cannot be read, or is none of schemas.
    pub(super) fn read(asked: Option<&Path>) -> Result<Self, ServiceError> {
        match asked {
            Some(root) => Self::of_files(root),
            None if Path::new(DEFAULT).is_dir() => Self::of_files(Path::new(DEFAULT)),
            None => Self::compiled_in(),
        }
    }

    /// The subject of this name.
    ///
    /// # Errors
    /// There is none; the message names those that there are.
    pub(super) fn subject(&self, name: &str) -> Result<&Subject, ServiceError> {
        self.subjects.iter().find(|subject| subject.name == name).ok_or_else(|| {
            let known: Vec<&str> = self.subjects.iter().map(|subject| subject.name.as_str()).collect();
            ServiceError::Usage(format!("{} has no subject {name}; it has {}", self.place(), known.join(", ")))
        })
    }

    /// What to call it.
    pub(super) fn place(&self) -> String {
        self.root.as_ref().map_or_else(|| "this program".to_owned(), |root| root.display().to_string())
    }

    fn compiled_in() -> Result<Self, ServiceError> {
        let internal = |error: String| ServiceError::Internal(format!("the schemas in this program: {error}"));
        let mut wanted = wanted(SUBJECTS_JSON).map_err(internal)?;
        let mut folder = Self { root: None, subjects: Vec::new(), findings: Vec::new() };
        for SubjectSchemas { subject, versions } in SCHEMAS {
            let texts = versions.iter().zip(1..).map(|(text, number)| (number, (*text).to_owned()));
            let level = wanted.remove(subject).unwrap_or_default();
            folder.add(Path::new(DEFAULT), subject, level, texts.collect());
        }
        Ok(folder)
    }

    fn of_files(root: &Path) -> Result<Self, ServiceError> {
        let unusable = |path: &Path, problem: &dyn std::fmt::Display| {
            ServiceError::Usage(format!("{}: {problem} (--schemas)", path.display()))
        };
        let mut folder = Self { root: Some(root.to_owned()), subjects: Vec::new(), findings: Vec::new() };
        let mut wanted = BTreeMap::new();
        let mut subjects = Vec::new();
        for entry in sorted(root).map_err(|error| unusable(root, &error))? {
            let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name == SUBJECTS {
                let text = fs::read_to_string(&entry).map_err(|error| unusable(&entry, &error))?;
                wanted = self::wanted(&text).map_err(|error| unusable(&entry, &error))?;
            } else if entry.is_dir() {
                subjects.push((name, entry));
            } else if !name.starts_with('.') {
                folder.findings.push(Finding {
                    file: Some(entry),
                    ..Finding::about(
                        Rule::Layout,
                        &name,
                        format!("it is neither {SUBJECTS} nor the folder of a subject"),
                        format!("versions are in <subject>/<version>{EXTENSION}"),
                    )
                });
            }
        }
        if subjects.is_empty() {
            return Err(unusable(root, &"it holds no folder of a subject"));
        }
        for (name, path) in subjects {
            let texts = folder.texts(&name, &path).map_err(|error| unusable(&path, &error))?;
            let level = wanted.remove(&name).unwrap_or_default();
            folder.add(root, &name, level, texts);
        }
        for name in wanted.into_keys() {
            folder.findings.push(Finding {
                file: Some(root.join(SUBJECTS)),
                ..Finding::about(
                    Rule::Layout,
                    &name,
                    format!("{SUBJECTS} names it, and it has no folder"),
                    "add its first version, or take the name out".to_owned(),
                )
            });
        }
        Ok(folder)
    }

    /// The versions of a subject's folder, by number.
    fn texts(&mut self, subject: &str, path: &Path) -> std::io::Result<BTreeMap<i32, String>> {
        let mut texts = BTreeMap::new();
        for file in sorted(path)? {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let number = name.strip_suffix(EXTENSION).and_then(|number| {
                let read: i32 = number.parse().ok()?;
                (read > 0 && read.to_string() == number).then_some(read)
            });
            let problem = match number {
                Some(number) => match fs::read_to_string(&file) {
                    Ok(text) => {
                        texts.insert(number, text);
                        continue;
                    }
                    Err(error) => format!("{name} cannot be read: {error}"),
                },
                None if name.starts_with('.') => continue,
                None => format!("{name} is no version"),
            };
            self.findings.push(Finding {
                file: Some(file),
                ..Finding::about(
                    Rule::Layout,
                    subject,
                    problem,
                    format!("a version's file is its number and {EXTENSION}: 1{EXTENSION}, 2{EXTENSION}"),
                )
            });
        }
        Ok(texts)
    }

    fn add(&mut self, root: &Path, name: &str, level: Level, texts: BTreeMap<i32, String>) {
        let mut versions = Vec::new();
        for (number, text) in texts {
            let file = root.join(name).join(format!("{number}{EXTENSION}"));
            let parsed = match ParsedSchema::parse(&text, &[]) {
                Ok(parsed) => Some(parsed),
                Err(error) => {
                    self.findings.push(Finding {
                        file: Some(file.clone()),
                        version: Some(number),
                        ..Finding::about(
                            Rule::Invalid,
                            name,
                            format!("version {number} is {error}"),
                            "correct the file".to_owned(),
                        )
                    });
                    None
                }
            };
            versions.push(VersionFile { number, file, text, parsed });
        }
        if versions.is_empty() {
            self.findings.push(Finding {
                file: Some(root.join(name)),
                ..Finding::about(
                    Rule::Layout,
                    name,
                    "its folder holds no version".to_owned(),
                    format!("add 1{EXTENSION}, or remove the folder"),
                )
            });
        }
        self.subjects.push(Subject { name: name.to_owned(), level, versions });
    }
}

fn wanted(text: &str) -> Result<BTreeMap<String, Level>, String> {
    let wanted: BTreeMap<String, Wanted> = serde_json::from_str(text).map_err(|error| {
        format!("it is not of the form {{\"<subject>\": {{\"compatibility\": \"BACKWARD\"}}}}: {error}")
    })?;
    Ok(wanted.into_iter().map(|(name, wanted)| (name, wanted.compatibility)).collect())
}

fn sorted(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut entries = fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<Vec<PathBuf>>>()?;
    entries.sort();
    Ok(entries)
}
