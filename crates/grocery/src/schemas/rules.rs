//! What the files alone can be held to: numbers without a gap, one record, and each version fit for those before it.

use schema_registry::canonical::canonical;
use schema_registry::compatibility::{ParsedSchema, conflicts};

use super::finding::{Finding, Rule};
use super::folder::{Subject, VersionFile};

/// Everything that is wrong about a subject's versions among themselves.
pub(super) fn check(subject: &Subject) -> Vec<Finding> {
    let mut findings = Vec::from_iter(gaps(subject));
    let mut before: Vec<(&VersionFile, &ParsedSchema)> = Vec::new();
    for version in &subject.versions {
        // What is no schema is among the findings already.
        let Some(parsed) = &version.parsed else { continue };
        findings.extend(repeated(subject, version, &before));
        if let Some((last, earlier)) = before.last() {
            findings.extend(renamed(subject, version, parsed, last, earlier));
        }
        let history = before.iter().map(|(version, parsed)| (version.number, *parsed));
        for conflict in conflicts(subject.level, version.number, parsed, history) {
            findings.push(Finding {
                field: Some(conflict.obstacle.field.clone()).filter(|field| !field.is_empty()),
                ..of_version(Rule::Incompatible, subject, version, conflict.to_string(), conflict.remedy())
            });
        }
        before.push((version, parsed));
    }
    findings
}

/// A finding about a version's file.
pub(super) fn of_version(
    rule: Rule,
    subject: &Subject,
    version: &VersionFile,
    problem: String,
    remedy: String,
) -> Finding {
    Finding {
        version: Some(version.number),
        file: Some(version.file.clone()),
        ..Finding::about(rule, &subject.name, problem, remedy)
    }
}

/// The next number is all that a registry gives.
fn gaps(subject: &Subject) -> Option<Finding> {
    let (gap, version) = (1..).zip(&subject.versions).find(|(expected, version)| version.number != *expected)?;
    let problem = format!("version {gap} is missing, and version {} is there", version.number);
    let remedy = format!("number versions from 1 without a gap; {gap} is the next");
    Some(of_version(Rule::Layout, subject, version, problem, remedy))
}

/// A registry gives a schema that it has the number that it has.
fn repeated(subject: &Subject, version: &VersionFile, before: &[(&VersionFile, &ParsedSchema)]) -> Option<Finding> {
    let form = canonical(&version.text).ok()?;
    let same = before.iter().find(|(earlier, _)| canonical(&earlier.text).is_ok_and(|earlier| earlier == form))?;
    let (number, earlier) = (version.number, same.0.number);
    let problem = format!("version {number} is the same schema as version {earlier}");
    let remedy = format!("remove it: a registry answers version {earlier} when it is registered");
    Some(of_version(Rule::Repeated, subject, version, problem, remedy))
}

/// A registry compares names without their namespace and knows aliases; readers look a record up by its full name.
fn renamed(
    subject: &Subject,
    version: &VersionFile,
    parsed: &ParsedSchema,
    last: &VersionFile,
    earlier: &ParsedSchema,
) -> Option<Finding> {
    let (name, before) = (parsed.name()?, earlier.name()?);
    if name == before {
        return None;
    }
    let problem = format!("version {} is the record {name}, and version {} is {before}", version.number, last.number);
    let remedy = "keep name and namespace: programs find their record by both".to_owned();
    Some(of_version(Rule::Renamed, subject, version, problem, remedy))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use schema_registry::Level;

    use super::*;

    fn record(fields: &str) -> String {
        format!(r#"{{"type":"record","name":"R","namespace":"n","fields":[{fields}]}}"#)
    }

    const A: &str = r#"{"name":"a","type":"string"}"#;
    const B: &str = r#"{"name":"b","type":"long","default":0}"#;

    fn subject(level: Level, versions: &[(i32, &str)]) -> Subject {
        let file = |&(number, text): &(i32, &str)| VersionFile {
            number,
            file: PathBuf::from(format!("{number}.avsc")),
            text: text.to_owned(),
            parsed: ParsedSchema::parse(text, &[]).ok(),
        };
        Subject { name: "s".to_owned(), level, versions: versions.iter().map(file).collect() }
    }

    fn problems(level: Level, versions: &[(i32, &str)]) -> Vec<String> {
        check(&subject(level, versions)).into_iter().map(|finding| finding.problem).collect()
    }

    const NONE: [&str; 0] = [];

    #[test]
    fn versions_that_fit_have_no_finding() {
        let (one, two) = (record(A), record(&format!("{A},{B}")));
        assert_eq!(problems(Level::FullTransitive, &[(1, &one), (2, &two)]), NONE);
        assert_eq!(problems(Level::Backward, &[]), NONE);
    }

    #[test]
    fn a_version_is_held_against_those_that_the_level_names() {
        let (one, two) = (record(A), record(&format!("{A},{B}")));
        let three = record(&format!("{A},{}", B.replace(r#","default":0"#, "")));
        let versions = [(1, one.as_str()), (2, &two), (3, &three)];
        assert_eq!(problems(Level::Backward, &versions), NONE);
        let told = ["version 3 cannot read version 1: field \"b\" has no default and version 1 does not write it"];
        assert_eq!(problems(Level::BackwardTransitive, &versions), told);
        let field = check(&subject(Level::BackwardTransitive, &versions)).remove(0).field;
        assert_eq!(field.as_deref(), Some("b"));
    }

    #[test]
    fn numbers_have_no_gap_and_no_schema_comes_twice() {
        let (one, two) = (record(A), record(&format!("{A},{B}")));
        assert_eq!(problems(Level::None, &[(1, &one), (3, &two)]), ["version 2 is missing, and version 3 is there"]);
        assert_eq!(problems(Level::None, &[(2, &one)]), ["version 1 is missing, and version 2 is there"]);
        let spaced = one.replace(',', " , ");
        let told = ["version 3 is the same schema as version 1"];
        assert_eq!(problems(Level::None, &[(1, &one), (2, &two), (3, &spaced)]), told);
    }

    #[test]
    fn another_name_or_namespace_is_told_even_where_the_registry_takes_it() {
        let (one, moved) = (record(A), record(&format!("{A},{B}")).replace(r#""n""#, r#""m""#));
        let told = ["version 2 is the record m.R, and version 1 is n.R"];
        assert_eq!(problems(Level::Backward, &[(1, &one), (2, &moved)]), told);
    }

    #[test]
    fn what_is_no_schema_is_left_to_whoever_read_it() {
        let one = record(A);
        assert_eq!(problems(Level::Backward, &[(1, &one), (2, "{")]), NONE);
    }
}
