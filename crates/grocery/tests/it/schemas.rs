//! `grocery schemas`: the files against each other and against a registry.

use std::fs;
use std::path::{Path, PathBuf};

use grocery_events::{Event, GroceryOrder};
use sandbox::Sandbox;
use schema_registry::{Level, RegistryClient, RegistryConfig, SchemaText};
use tempfile::TempDir;

use super::process::{Ended, Process};

const SUBJECT: &str = GroceryOrder::SUBJECT;

/// The repository's folder.
fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas")
}

/// A copy of it that may be changed.
fn copy() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(repository()).unwrap().map(Result::unwrap) {
        let to = folder.path().join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir(&to).unwrap();
            for file in fs::read_dir(entry.path()).unwrap().map(Result::unwrap) {
                fs::copy(file.path(), to.join(file.file_name())).unwrap();
            }
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
    folder
}

/// Version 3 of orders: version 2 with one more field.
fn with_field(field: &str) -> String {
    let end = "  ]\n}\n";
    let before = GroceryOrder::SCHEMA.strip_suffix(end).unwrap().trim_end();
    format!("{before},\n    {field}\n{end}")
}

async fn schemas(arguments: &[&str]) -> Ended {
    Process::start(["schemas"].iter().chain(arguments)).ended().await
}

/// A registry without a login that holds only these versions of orders.
async fn registry(versions: usize) -> (Sandbox, String) {
    let mut config = grocery::grocery_sandbox().unwrap();
    config.open = Some(([127, 0, 0, 1], 0).into());
    config.subjects = GroceryOrder::VERSIONS[..versions].iter().map(|text| (SUBJECT.into(), (*text).into())).collect();
    let sandbox = Sandbox::start(config).await.unwrap();
    let setting = format!("schema.registry.url={}", sandbox.endpoints().open_registry_url.clone().unwrap());
    (sandbox, setting)
}

fn client(setting: &str) -> RegistryClient {
    RegistryClient::new(&RegistryConfig::new([setting.split_once('=').unwrap().1])).unwrap()
}

#[tokio::test]
async fn the_repositorys_schemas_fit_each_other_and_so_do_those_in_the_program() {
    let folder = repository();
    for (arguments, note) in [
        (vec!["check", "--offline", "--schemas", folder.to_str().unwrap()], "--offline"),
        // The tests run in a folder without `schemas`.
        (vec!["check"], "schema.registry.url is not set"),
    ] {
        let checked = schemas(&arguments).await;
        assert_eq!(checked.code, Some(0), "{}", checked.said);
        assert!(checked.said.contains("grocery.orders.v1-value: versions 1 and 2 (BACKWARD), ok"), "{}", checked.said);
        assert!(checked.said.contains(note), "{}", checked.said);
    }
}

#[tokio::test]
async fn a_version_that_cannot_read_the_one_before_is_told_with_its_field_and_line() {
    let folder = copy();
    let file = folder.path().join(SUBJECT).join("3.avsc");
    fs::write(&file, with_field(r#"{ "name": "coupon", "type": "string" }"#)).unwrap();
    let arguments = ["check", "--offline", "--schemas", folder.path().to_str().unwrap()];
    let text = schemas(&arguments).await;
    assert_eq!(text.code, Some(1), "{}", text.said);
    let expected = format!(
        "{SUBJECT}: version 3 cannot read version 2: field \"coupon\" has no default and version 2 does not write it\n    \
         {}: give it a default\n",
        file.display()
    );
    assert!(text.said.contains(&expected), "{}", text.said);

    let github = schemas(&[&arguments[..], &["--format", "github"]].concat()).await;
    let line = fs::read_to_string(&file).unwrap().lines().position(|line| line.contains("coupon")).unwrap() + 1;
    let expected = format!("::error file={},line={line},title=schema {SUBJECT}::version 3 cannot read", file.display());
    assert!(github.said.contains(&expected), "{}", github.said);

    let json = schemas(&[&arguments[..], &["--format", "json"]].concat()).await;
    assert_eq!(json.code, Some(1));
    let report: serde_json::Value = serde_json::from_str(&json.said).unwrap();
    assert_eq!(report["findings"][0]["rule"], "incompatible");
    assert_eq!((&report["findings"][0]["field"], &report["findings"][0]["version"]), (&"coupon".into(), &3.into()));
}

#[tokio::test]
async fn a_folder_that_is_none_and_files_that_are_no_versions_are_named() {
    let missing = schemas(&["check", "--schemas", "/nowhere"]).await;
    assert_eq!((missing.code, missing.said.contains("/nowhere")), (Some(2), true), "{}", missing.said);
    let folder = copy();
    fs::write(folder.path().join(SUBJECT).join("03.avsc"), "{}").unwrap();
    fs::write(folder.path().join(SUBJECT).join("4.avsc"), "{").unwrap();
    let checked = schemas(&["check", "--offline", "--schemas", folder.path().to_str().unwrap()]).await;
    assert_eq!(checked.code, Some(1), "{}", checked.said);
    for part in ["03.avsc is no version", "version 4 is invalid Avro schema", "version 3 is missing"] {
        assert!(checked.said.contains(part), "{part}: {}", checked.said);
    }
}

#[tokio::test]
async fn what_is_missing_is_registered_once_in_its_order() {
    let (_sandbox, registry) = registry(1).await;
    let folder = repository();
    let run = async |command: &str, more: &[&str]| {
        let place = ["--schemas", folder.to_str().unwrap(), "--set", &registry];
        schemas(&[&[command], &place[..], more].concat()).await
    };
    let rehearsal = run("register", &["--dry-run"]).await;
    assert_eq!(rehearsal.code, Some(0), "{}", rehearsal.said);
    let expected = "\
grocery.orders.v1-value: version 1 was registered before, id 1
grocery.orders.v1-value: version 2 would be registered
grocery.picklist.v1-value: version 1 would be registered
grocery.picklist.v1-value: version 2 would be registered";
    assert_eq!(rehearsal.said, expected);

    let checked = run("check", &[]).await;
    assert_eq!(checked.code, Some(0), "{}", checked.said);
    assert!(checked.said.contains("not registered yet: version 2\n"), "{}", checked.said);

    let first = run("register", &[]).await;
    assert_eq!(first.code, Some(0), "{}", first.said);
    let expected = "\
grocery.orders.v1-value: version 1 was registered before, id 1
grocery.orders.v1-value: version 2 is registered, id 2
grocery.picklist.v1-value: version 1 is registered, id 3
grocery.picklist.v1-value: version 2 is registered, id 4";
    assert_eq!(first.said, expected);
    let again = run("register", &[]).await;
    assert_eq!((again.code, again.said.matches("was registered before").count()), (Some(0), 4), "{}", again.said);
    let checked = run("check", &[]).await;
    assert_eq!((checked.code, checked.said.matches("ok; all registered").count()), (Some(0), 2), "{}", checked.said);
    let listed = schemas(&["--set", &registry]).await;
    assert_eq!((listed.code, listed.said.lines().count()), (Some(0), 3), "{}", listed.said);
}

#[tokio::test]
async fn a_registry_that_has_something_else_is_told_and_left_alone() {
    let (_sandbox, setting) = registry(1).await;
    let client = client(&setting);
    client.set_level(Some(SUBJECT), Level::None).await.unwrap();
    client.register(SUBJECT, &SchemaText::avro(with_field(r#"{ "name": "x", "type": "int" }"#)), false).await.unwrap();
    let folder = repository();
    let run = async |command: &str, more: &[&str]| {
        let place = ["--schemas", folder.to_str().unwrap(), "--set", &setting];
        schemas(&[&[command], &place[..], more].concat()).await
    };
    let checked = run("check", &[]).await;
    assert_eq!(checked.code, Some(6), "{}", checked.said);
    for part in ["version 2 is registered (id 2) as another schema", "level for it is NONE, and BACKWARD is wanted"] {
        assert!(checked.said.contains(part), "{part}: {}", checked.said);
    }
    let refused = run("register", &["--set-level"]).await;
    assert_eq!(refused.code, Some(6), "{}", refused.said);
    assert!(refused.said.contains("nothing was registered"), "{}", refused.said);
    let subjects = client.subjects(schema_registry::Listing::Live).await.unwrap();
    assert_eq!((subjects.len(), client.level(Some(SUBJECT)).await.unwrap()), (1, Level::None));

    let difference = schemas(&["diff", SUBJECT, "2", "registry", "--set", &setting, "--exit-code"]).await;
    assert_eq!(difference.code, Some(1), "{}", difference.said);
    assert!(difference.said.contains("+ x  int"), "{}", difference.said);
}

#[tokio::test]
async fn what_only_the_registry_refuses_is_told_in_its_words() {
    let (_sandbox, setting) = registry(2).await;
    client(&setting).set_level(Some(SUBJECT), Level::Full).await.unwrap();
    let folder = copy();
    let third = GroceryOrder::SCHEMA.replace("{ \"name\": \"order_time\", \"type\": \"string\" },\n", "");
    fs::write(folder.path().join(SUBJECT).join("3.avsc"), third).unwrap();
    let arguments = ["check", "--schemas", folder.path().to_str().unwrap(), "--set", &setting];
    let checked = schemas(&arguments).await;
    assert_eq!(checked.code, Some(1), "{}", checked.said);
    for part in ["the registry does not take version 3: {errorType:", "order_time", "level for it is FULL"] {
        assert!(checked.said.contains(part), "{part}: {}", checked.said);
    }
    assert!(!checked.said.contains("version 3 cannot read"), "{}", checked.said);
}

#[tokio::test]
async fn a_level_is_set_when_asked_for_and_a_deleted_version_keeps_its_number() {
    let (_sandbox, setting) = registry(2).await;
    let client = client(&setting);
    client.set_level(Some(SUBJECT), Level::FullTransitive).await.unwrap();
    let folder = copy();
    let run = async |command: &str, more: &[&str]| {
        let place = ["--schemas", folder.path().to_str().unwrap(), "--set", &setting];
        schemas(&[&[command], &place[..], more].concat()).await
    };
    let refused = run("register", &[]).await;
    assert_eq!(refused.code, Some(6), "{}", refused.said);
    assert!(refused.said.contains("--set-level"), "{}", refused.said);
    let set = run("register", &["--set-level"]).await;
    assert_eq!(set.code, Some(0), "{}", set.said);
    assert!(set.said.contains("grocery.orders.v1-value: level is BACKWARD"), "{}", set.said);
    assert_eq!(client.level(Some(SUBJECT)).await.unwrap(), Level::Backward);

    let third = with_field(r#"{ "name": "x", "type": "int", "default": 0 }"#);
    client.register(SUBJECT, &SchemaText::avro(third.replace("\"x\"", "\"y\"")), false).await.unwrap();
    client.delete_version(SUBJECT, schema_registry::Version::Number(3), false).await.unwrap();
    fs::write(folder.path().join(SUBJECT).join("3.avsc"), third).unwrap();
    let refused = run("register", &[]).await;
    assert_eq!(refused.code, Some(6), "{}", refused.said);
    assert!(refused.said.contains("version 3 would be registered as version 4"), "{}", refused.said);
}

/// A registry of another maker: a subject without a version is not known, nor is its level.
async fn empty_registry() -> String {
    use axum::http::StatusCode;
    let unknown = (StatusCode::NOT_FOUND, r#"{"error_code":40401,"message":"Subject not found."}"#);
    let router = axum::Router::new()
        .route("/config", axum::routing::get(async || r#"{"compatibilityLevel":"BACKWARD"}"#))
        .fallback(async move || unknown);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let setting = format!("schema.registry.url=http://{}", listener.local_addr().unwrap());
    tokio::spawn(async { axum::serve(listener, router).await });
    setting
}

#[tokio::test]
async fn a_registry_that_knows_no_level_of_a_new_subject_is_asked_for_its_own() {
    let setting = empty_registry().await;
    let checked = schemas(&["check", "--set", &setting]).await;
    assert_eq!(checked.code, Some(0), "{}", checked.said);
    assert_eq!(checked.said.matches("ok; not registered yet: versions 1 and 2").count(), 2, "{}", checked.said);
}

#[tokio::test]
async fn who_may_only_read_may_check_and_not_register() {
    let mut config = grocery::grocery_sandbox().unwrap();
    config.subjects.truncate(1);
    let sandbox = Sandbox::start(config).await.unwrap();
    let properties = sandbox.client_properties("operator");
    let folder = repository();
    let run = async |command: &str| {
        schemas(&[command, "--schemas", folder.to_str().unwrap(), "--config", properties.to_str().unwrap()]).await
    };
    let checked = run("check").await;
    assert_eq!(checked.code, Some(0), "{}", checked.said);
    let refused = run("register").await;
    assert_eq!(refused.code, Some(4), "{}", refused.said);
    let last = refused.said.lines().last().unwrap();
    assert!(last.starts_with("grocery schemas register: access: ") && last.contains("access rule"), "{last}");
}

#[tokio::test]
async fn the_last_two_versions_are_compared_unless_told_otherwise() {
    let difference = schemas(&["diff", "grocery.picklist.v1-value"]).await;
    assert_eq!(difference.code, Some(0), "{}", difference.said);
    let expected = "\
grocery.picklist.v1-value: from version 1 to version 2
  + lines           array of PickLine = []
  + lines.item      string
  + lines.quantity  int
  + lines.aisle     string = \"\"
backward compatible: version 2 reads what version 1 wrote; consumers go first
forward compatible: version 1 reads what version 2 wrote; programs that are not upgraded go on";
    assert_eq!(difference.said, expected);
    let same = schemas(&["diff", "grocery.picklist.v1-value", "2", "2", "--exit-code"]).await;
    assert_eq!((same.code, same.said.ends_with("are one schema")), (Some(0), true), "{}", same.said);
    let unknown = schemas(&["diff", "grocery.pick"]).await;
    assert_eq!(unknown.code, Some(2), "{}", unknown.said);
    assert!(unknown.said.contains("it has grocery.orders.v1-value, grocery.picklist.v1-value"), "{}", unknown.said);
}
