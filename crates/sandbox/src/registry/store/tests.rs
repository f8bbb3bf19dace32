use super::*;

const SUBJECT: &str = "grocery.orders.v1-value";

fn record(fields: &str) -> SchemaText {
    SchemaText::avro(format!(r#"{{"type":"record","name":"R","namespace":"n","fields":[{fields}]}}"#))
}

fn first() -> SchemaText {
    record(r#"{"name":"a","type":"string"}"#)
}

/// Can read what the first wrote.
fn second() -> SchemaText {
    record(r#"{"name":"a","type":"string"},{"name":"b","type":"long","default":0}"#)
}

/// Cannot.
fn incompatible() -> SchemaText {
    record(r#"{"name":"a","type":"string"},{"name":"c","type":"long"}"#)
}

fn code<T: std::fmt::Debug>(outcome: Result<T, Fault>) -> i32 {
    outcome.unwrap_err().code
}

#[test]
fn the_same_schema_has_one_id_under_all_subjects_and_one_version_in_each() {
    let mut store = Store::default();
    let one = store.register(SUBJECT, &first()).unwrap();
    let with_blanks = SchemaText::avro(first().schema.replace(':', " : "));
    let again = store.register(SUBJECT, &with_blanks).unwrap();
    let elsewhere = store.register("other", &first()).unwrap();
    assert_eq!((one.schema.id, one.version), (1, 1));
    assert_eq!((again.schema.id, again.version), (1, 1));
    assert_eq!((elsewhere.schema.id, elsewhere.version), (1, 1));
    assert_eq!(store.uses(1, false), [(SUBJECT, 1), ("other", 1)]);
    let two = store.register(SUBJECT, &second()).unwrap();
    assert_eq!((two.schema.id, two.version), (2, 2));
    assert_eq!(store.lookup(SUBJECT, &with_blanks, false).unwrap().version, 1);
    assert_eq!(store.version(SUBJECT, Version::Latest, false).unwrap().version, 2);
    assert_eq!(store.by_guid(one.schema.guid).unwrap().id, 1);
}

#[test]
fn what_cannot_be_found_has_the_registrys_codes() {
    let mut store = Store::default();
    assert_eq!(code(store.lookup(SUBJECT, &first(), false)), 40401);
    assert_eq!(code(store.versions(SUBJECT, false)), 40401);
    assert_eq!(code(store.version(SUBJECT, Version::Latest, false)), 40401);
    store.register(SUBJECT, &first()).unwrap();
    assert_eq!(code(store.lookup(SUBJECT, &second(), false)), 40403);
    assert_eq!(code(store.version(SUBJECT, Version::Number(2), false)), 40402);
    for id in [0, 2, -1, i32::MAX] {
        assert_eq!(code(store.by_id(id)), 40403);
    }
    assert_eq!(code(store.level(Some(SUBJECT), false)), 40408);
    assert_eq!(code(store.mode(Some(SUBJECT), false)), 40409);
}

#[test]
fn what_is_no_schema_is_refused() {
    let mut store = Store::default();
    assert_eq!(code(store.register(SUBJECT, &SchemaText::avro("{"))), 42201);
    let protobuf = SchemaText { schema_type: Some("PROTOBUF".into()), ..first() };
    assert_eq!(code(store.register(SUBJECT, &protobuf)), 42201);
    assert_eq!(code(store.register("", &first())), 42208);
    assert_eq!(store.subjects(true).count(), 0);
}

#[test]
fn an_incompatible_schema_is_refused_as_the_level_says() {
    let mut store = Store::default();
    store.register(SUBJECT, &first()).unwrap();
    let refused = store.register(SUBJECT, &incompatible()).unwrap_err();
    assert_eq!((refused.status.as_u16(), refused.code), (409, 40901));
    assert!(refused.message.contains("READER_FIELD_MISSING_DEFAULT_VALUE"), "{}", refused.message);
    assert!(!store.check(SUBJECT, None, &incompatible()).unwrap().unwrap().is_empty());
    assert!(store.check(SUBJECT, None, &second()).unwrap().unwrap().is_empty());

    store.set_level(Some(SUBJECT), Some(Level::Forward)).unwrap();
    assert_eq!(store.register(SUBJECT, &incompatible()).unwrap().version, 2);
    store.set_level(Some(SUBJECT), None).unwrap();
    assert_eq!(store.level(Some(SUBJECT), true), Ok(Level::Backward));
}

#[test]
fn a_check_against_one_version_is_against_that_one() {
    let mut store = Store::default();
    assert!(store.check(SUBJECT, None, &first()).unwrap().unwrap().is_empty());
    assert!(store.check(SUBJECT, Some(Version::Latest), &first()).unwrap().unwrap().is_empty());
    assert_eq!(code(store.check(SUBJECT, Some(Version::Number(1)), &first())), 40402);
    store.register(SUBJECT, &first()).unwrap();
    store.register(SUBJECT, &second()).unwrap();
    let third = record(r#"{"name":"a","type":"string"},{"name":"b","type":"long"}"#);
    assert!(store.check(SUBJECT, Some(Version::Latest), &third).unwrap().unwrap().is_empty());
    assert!(!store.check(SUBJECT, Some(Version::Number(1)), &third).unwrap().unwrap().is_empty());
    assert_eq!(store.check(SUBJECT, None, &SchemaText::avro("{")).unwrap().unwrap_err().code, 42201);
}

#[test]
fn deleting_is_soft_first_and_numbers_are_not_used_again() {
    let mut store = Store::default();
    store.register(SUBJECT, &first()).unwrap();
    store.register(SUBJECT, &second()).unwrap();
    assert_eq!(code(store.delete_version(SUBJECT, Version::Number(2), true)), 40407);
    assert_eq!(store.delete_version(SUBJECT, Version::Latest, false), Ok(2));
    assert_eq!(code(store.delete_version(SUBJECT, Version::Number(2), false)), 40406);
    assert_eq!(store.delete_version(SUBJECT, Version::Number(2), true), Ok(2));
    assert_eq!(store.register(SUBJECT, &second()).unwrap().version, 3);

    assert_eq!(code(store.delete_subject(SUBJECT, true)), 40405);
    assert_eq!(store.delete_subject(SUBJECT, false), Ok(vec![1, 3]));
    assert_eq!(code(store.delete_subject(SUBJECT, false)), 40404);
    assert_eq!(code(store.versions(SUBJECT, false)), 40401);
    assert_eq!(store.versions(SUBJECT, true), Ok(vec![1, 3]));
    assert_eq!(store.subjects(false).count(), 0);
    assert!(store.by_id(1).is_ok(), "records written with it can still be read");
    assert_eq!(store.register(SUBJECT, &incompatible()).unwrap().version, 4, "deleted versions are not compared with");
    assert_eq!(code(store.delete_subject("never", false)), 40401);
}

#[test]
fn what_is_referred_to_stays() {
    let mut store = Store::default();
    let part = SchemaText::avro(r#"{"type":"enum","name":"n.E","symbols":["A"]}"#);
    store.register("part", &part).unwrap();
    let reference = SchemaReference { name: "n.E".into(), subject: "part".into(), version: 1 };
    let whole = SchemaText { references: vec![reference], ..record(r#"{"name":"e","type":"n.E"}"#) };
    assert_eq!(code(store.register("whole", &SchemaText { references: vec![], ..whole.clone() })), 42201);
    let found = store.register("whole", &whole).unwrap();
    assert_eq!(store.referenced_by("part", 1), [found.schema.id]);
    assert_eq!(code(store.delete_version("part", Version::Number(1), false)), 42206);
    assert_eq!(code(store.delete_subject("part", false)), 42206);
    store.delete_subject("whole", false).unwrap();
    assert_eq!(store.delete_subject("part", false), Ok(vec![1]));
}

#[test]
fn a_read_only_subject_takes_nothing_new() {
    let mut store = Store::default();
    store.register(SUBJECT, &first()).unwrap();
    store.set_mode(Some(SUBJECT), Some(Mode::ReadOnly)).unwrap();
    assert_eq!(code(store.register(SUBJECT, &second())), 42205);
    assert_eq!(store.register(SUBJECT, &first()).unwrap().version, 1);
}
