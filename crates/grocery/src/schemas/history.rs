//! Versions never change: what a revision of git holds has to be what the files hold.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

use service_kit::ServiceError;

use super::finding::{Finding, Rule};
use super::folder::Folder;
use super::rules::of_version;

/// Where versions are final that somebody may have registered: the first of these that there is.
const BASES: [&str; 4] = ["origin/HEAD", "origin/main", "main", "HEAD"];

/// Compares the folder with a revision of git, and says with which, or why not.
///
/// # Errors
/// The revision that was asked for is not there.
pub(super) fn check(folder: &Folder, asked: Option<&str>) -> Result<(Vec<Finding>, String), ServiceError> {
    let Some(root) = &folder.root else {
        return Ok((Vec::new(), "not compared with git: the schemas are those in this program".to_owned()));
    };
    let base = match asked {
        Some(revision) => match known(root, revision) {
            Ok(()) => revision,
            Err(reason) => return Err(ServiceError::Usage(format!("--base {revision}: {reason}"))),
        },
        None => match BASES.into_iter().find(|revision| known(root, revision).is_ok()) {
            Some(revision) => revision,
            None => {
                let reason = known(root, "HEAD").err().unwrap_or_default();
                return Ok((Vec::new(), format!("not compared with git: {reason}")));
            }
        },
    };
    let there = files(root, base).map_err(|reason| ServiceError::Usage(format!("git, revision {base}: {reason}")))?;
    let mut findings = Vec::new();
    let mut seen = BTreeSet::new();
    for subject in &folder.subjects {
        for version in &subject.versions {
            let name = format!("{}/{}.avsc", subject.name, version.number);
            if !there.contains(&name) {
                continue;
            }
            let before = git(root, &["show", &format!("{base}:./{name}")])
                .map_err(|reason| ServiceError::Usage(format!("git, {base}:{name}: {reason}")))?;
            if before != version.text.as_bytes() {
                let number = version.number;
                findings.push(of_version(
                    Rule::Changed,
                    subject,
                    version,
                    format!("version {number} is not what it is in {base}, and a version never changes"),
                    format!("restore it (git checkout {base} -- FILE), and put the change into a new version"),
                ));
            }
            seen.insert(name);
        }
    }
    for name in there.difference(&seen) {
        let Some((subject, file)) = name.split_once('/') else { continue };
        findings.push(Finding {
            file: Some(root.join(name)),
            ..Finding::about(
                Rule::Changed,
                subject,
                format!("{file} is in {base} and not here any more, and a version never goes"),
                format!("restore it: git checkout {base} -- FILE"),
            )
        });
    }
    Ok((findings, format!("compared with git: {base}")))
}

fn known(root: &Path, revision: &str) -> Result<(), String> {
    git(root, &["rev-parse", "--verify", "--quiet", "--end-of-options", &format!("{revision}^{{commit}}")])
        .map(drop)
        .map_err(|reason| if reason.is_empty() { "there is no such revision".to_owned() } else { reason })
}

/// The versions in a revision, as `<subject>/<version>.avsc`.
fn files(root: &Path, revision: &str) -> Result<BTreeSet<String>, String> {
    let listed = git(root, &["ls-tree", "-r", "-z", "--name-only", revision])?;
    let listed = String::from_utf8_lossy(&listed);
    Ok(listed.split('\0').filter(|name| name.ends_with(".avsc")).map(str::to_owned).collect())
}

fn git(root: &Path, arguments: &[&str]) -> Result<Vec<u8>, String> {
    let run = Command::new("git").arg("-C").arg(root).args(arguments).output();
    let Output { status, stdout, stderr } = run.map_err(|error| format!("git cannot be run: {error}"))?;
    if status.success() {
        return Ok(stdout);
    }
    let said = String::from_utf8_lossy(&stderr);
    Err(said.lines().next().unwrap_or_default().trim_start_matches("fatal: ").to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const TEXT: &str = r#"{"type":"record","name":"R","fields":[]}"#;

    /// A repository with one committed version on its branch `main`, in a folder below its root.
    fn repository() -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().join("schemas");
        fs::create_dir_all(root.join("s-value")).unwrap();
        fs::write(root.join("s-value/1.avsc"), TEXT).unwrap();
        let run = |arguments: &[&str]| {
            let identity = ["-c", "user.name=test", "-c", "user.email=test@localhost"];
            let arguments = [&identity, arguments].concat();
            git(home.path(), &arguments).unwrap();
        };
        run(&["init", "-q", "-b", "main"]);
        run(&["add", "."]);
        run(&["commit", "-q", "-m", "first"]);
        home
    }

    fn checked(home: &tempfile::TempDir, base: Option<&str>) -> (Vec<String>, String) {
        let folder = Folder::read(Some(&home.path().join("schemas"))).unwrap();
        let (findings, note) = check(&folder, base).unwrap();
        (findings.into_iter().map(|finding| finding.problem).collect(), note)
    }

    #[test]
    fn a_version_that_was_committed_neither_changes_nor_goes() {
        let home = repository();
        let file = home.path().join("schemas/s-value/1.avsc");
        fs::write(home.path().join("schemas/s-value/2.avsc"), TEXT).unwrap();
        assert_eq!(checked(&home, None), (vec![], "compared with git: main".to_owned()));
        fs::write(&file, format!("{TEXT} ")).unwrap();
        let told = "version 1 is not what it is in HEAD, and a version never changes";
        assert_eq!(checked(&home, Some("HEAD")).0, [told]);
        fs::remove_file(&file).unwrap();
        assert_eq!(checked(&home, None).0, ["1.avsc is in main and not here any more, and a version never goes"]);
    }

    #[test]
    fn a_revision_that_is_not_there_is_an_error_and_a_folder_without_git_is_told() {
        let home = repository();
        let folder = Folder::read(Some(&home.path().join("schemas"))).unwrap();
        let refused = check(&folder, Some("nowhere")).unwrap_err().to_string();
        assert_eq!(refused, "--base nowhere: there is no such revision");
        fs::remove_dir_all(home.path().join(".git")).unwrap();
        let (found, note) = checked(&home, None);
        assert!(found.is_empty() && note.starts_with("not compared with git: not a git repository"), "{note}");
    }
}
