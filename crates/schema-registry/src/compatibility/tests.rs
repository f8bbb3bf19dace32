use super::*;

fn parsed(text: &str) -> ParsedSchema {
    ParsedSchema::parse(text, &[]).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn record(fields: &str) -> String {
    format!(r#"{{"type":"record","name":"R","namespace":"n","fields":[{fields}]}}"#)
}

/// What keeps `reader` from reading `writer`: kind, path and detail of each.
fn findings(reader: &str, writer: &str) -> Vec<String> {
    let found = parsed(reader).cannot_read(&parsed(writer));
    found.into_iter().map(|found| format!("{} {} {}", found.cause.name(), found.path, found.cause.detail())).collect()
}

const A: &str = r#"{"name":"a","type":"string"}"#;
const B: &str = r#"{"name":"b","type":"long"}"#;
const B_WITH_DEFAULT: &str = r#"{"name":"b","type":"long","default":0}"#;
const NONE: [&str; 0] = [];

#[test]
fn a_new_field_needs_a_default() {
    let one = record(A);
    assert_eq!(findings(&record(&format!("{A},{B}")), &one), ["READER_FIELD_MISSING_DEFAULT_VALUE /fields/1 b"]);
    assert_eq!(findings(&record(&format!("{A},{B_WITH_DEFAULT}")), &one), NONE);
    assert_eq!(findings(&one, &record(&format!("{A},{B}"))), NONE);
}

#[test]
fn a_renamed_field_or_type_needs_an_alias() {
    let old = record(A);
    assert_eq!(findings(&record(r#"{"name":"z","type":"string","aliases":["a"]}"#), &old), NONE);
    let renamed = r#"{"type":"record","name":"S","namespace":"n","fields":[{"name":"a","type":"string"}]}"#;
    assert_eq!(findings(renamed, &old), ["NAME_MISMATCH /name expected: n.R"]);
    let aliased = renamed.replace(r#""fields""#, r#""aliases":["R"],"fields""#);
    assert_eq!(findings(&aliased, &old), NONE);
    let moved = old.replace(r#""n""#, r#""elsewhere""#);
    assert_eq!(findings(&moved, &old), NONE, "the namespace does not count");
}

#[test]
fn numbers_widen_and_text_and_bytes_are_one() {
    let order = ["int", "long", "float", "double"];
    for (narrow, writer) in order.iter().enumerate() {
        for (wide, reader) in order.iter().enumerate() {
            let found = findings(&format!("{reader:?}"), &format!("{writer:?}"));
            assert_eq!(found.is_empty(), wide >= narrow, "{reader} reads {writer}");
        }
    }
    assert_eq!(findings("\"bytes\"", "\"string\""), NONE);
    assert_eq!(findings("\"string\"", "bytes"), NONE);
    let expected = ["TYPE_MISMATCH /fields/0/type reader type: INT not compatible with writer type: STRING"];
    assert_eq!(findings(&record(r#"{"name":"a","type":"int"}"#), &record(A)), expected);
}

#[test]
fn a_union_reads_what_a_branch_reads() {
    assert_eq!(findings(r#"["null","string"]"#, "\"string\""), NONE);
    assert_eq!(findings(r#"["null","long"]"#, "\"int\""), NONE);
    assert_eq!(findings(r#"["null","long"]"#, r#"["int","null"]"#), NONE);
    assert_eq!(
        findings(r#"["null","long"]"#, "\"string\""),
        ["MISSING_UNION_BRANCH / reader union lacking writer type: STRING"]
    );
    assert_eq!(
        findings(r#"["null","long"]"#, r#"["null","string"]"#),
        ["MISSING_UNION_BRANCH /1 reader union lacking writer type: STRING"]
    );
    assert_eq!(
        findings("\"string\"", r#"["null","string"]"#),
        ["TYPE_MISMATCH / reader type: STRING not compatible with writer type: NULL"]
    );
}

#[test]
fn enums_and_fixed_are_compared_by_symbols_and_size() {
    let old = r#"{"type":"enum","name":"E","symbols":["A","B","C"]}"#;
    let fewer = r#"{"type":"enum","name":"E","symbols":["A"]}"#;
    let with_default = r#"{"type":"enum","name":"E","symbols":["A"],"default":"A"}"#;
    assert_eq!(findings(fewer, old), ["MISSING_ENUM_SYMBOLS /symbols [B, C]"]);
    assert_eq!(findings(with_default, old), NONE);
    assert_eq!(findings(old, fewer), NONE);
    let fixed = |size: u32| format!(r#"{{"type":"fixed","name":"F","size":{size}}}"#);
    assert_eq!(findings(&fixed(4), &fixed(8)), ["FIXED_SIZE_MISMATCH /size expected: 8, found: 4"]);
    assert_eq!(findings(&fixed(4), fewer).len(), 1);
}

#[test]
fn collections_and_nested_records_are_compared_inside() {
    let list = |of: &str| format!(r#"{{"type":"array","items":{of}}}"#);
    let map = |of: &str| format!(r#"{{"type":"map","values":{of}}}"#);
    assert_eq!(findings(&list("\"long\""), &list("\"int\"")), NONE);
    assert_eq!(findings(&list(&map("\"int\"")), &list(&map("\"long\""))).len(), 1);
    let nested = record(&format!(r#"{{"name":"lines","type":{}}}"#, list(&record(B).replace("\"R\"", "\"L\""))));
    let changed = nested.replace("\"long\"", "\"boolean\"");
    assert_eq!(
        findings(&changed, &nested),
        ["TYPE_MISMATCH /fields/0/type/items/fields/0/type reader type: BOOLEAN not compatible with writer type: LONG"]
    );
}

#[test]
fn a_type_may_hold_itself() {
    let tree = record(r#"{"name":"value","type":"int"},{"name":"next","type":["null","R"],"default":null}"#);
    let wider = tree.replace("\"int\"", "\"long\"");
    assert_eq!(findings(&tree, &tree), NONE);
    assert_eq!(findings(&wider, &tree), NONE);
    assert!(!findings(&tree, &wider).is_empty());
}

#[test]
fn logical_types_do_not_count() {
    assert_eq!(findings(r#"{"type":"long","logicalType":"timestamp-millis"}"#, "\"long\""), NONE);
    assert_eq!(findings("\"int\"", r#"{"type":"int","logicalType":"date"}"#), NONE);
}

#[test]
fn references_are_known_by_name() {
    let part = r#"{"type":"enum","name":"n.E","symbols":["A"]}"#;
    let whole = record(r#"{"name":"e","type":"n.E"}"#);
    assert!(ParsedSchema::parse(&whole, &[]).is_err());
    let whole = ParsedSchema::parse(&whole, &[part]).unwrap();
    assert_eq!(whole.cannot_read(&whole), []);
}

#[test]
fn what_is_no_schema_is_refused() {
    for text in [
        "",
        "{",
        "{}",
        "\"strin\"",
        r#"{"type":"record","name":"R"}"#,
        r#"{"type":"record","name":"R","fields":[{"name":"a","type":"long","default":"x"}]}"#,
        r#"{"type":"record","name":"9","fields":[]}"#,
        r#"{"type":"enum","name":"E","symbols":["A","A"]}"#,
    ] {
        assert!(ParsedSchema::parse(text, &[]).is_err(), "{text}");
    }
}

#[test]
fn a_level_says_who_reads_whom_and_how_far_back() {
    let first = record(A);
    let second = record(&format!("{A},{B_WITH_DEFAULT}"));
    let third = record(&format!("{A},{B}"));
    let (one, two, three) = (parsed(&first), parsed(&second), parsed(&third));
    let versions = [(1, first.as_str(), &one), (2, second.as_str(), &two)];
    let accepted = |level| check(level, &three, versions.into_iter()).is_empty();
    assert!(accepted(Level::None));
    assert!(accepted(Level::Backward), "the latest version has the field");
    assert!(!accepted(Level::BackwardTransitive), "the first has not");
    assert!(accepted(Level::Forward) && accepted(Level::ForwardTransitive));
    assert!(accepted(Level::Full) && !accepted(Level::FullTransitive));
    assert!(check(Level::FullTransitive, &three, [].into_iter()).is_empty());
}

#[test]
fn messages_are_the_registrys() {
    let (old, new) = (record(A), record(&format!("{A},{B}")));
    let (one, two) = (parsed(&old), parsed(&new));
    let messages = check(Level::Backward, &two, [(1, old.as_str(), &one)].into_iter());
    assert_eq!(
        messages,
        [
            "{errorType:'READER_FIELD_MISSING_DEFAULT_VALUE', description:'The field 'b' at path '/fields/1' in the new \
             schema has no default value and is missing in the old schema', additionalInfo:'b'}"
                .to_owned(),
            "{oldSchemaVersion: 1}".to_owned(),
            format!("{{oldSchema: '{old}'}}"),
            "{compatibility: 'BACKWARD'}".to_owned(),
        ]
    );
}

#[test]
fn levels_have_the_names_of_the_registry() {
    for (level, name) in Level::NAMES {
        assert_eq!((level.to_string().as_str(), Level::from_name(name)), (name, Some(level)));
        assert_eq!(serde_json::to_string(&level).unwrap(), format!("{name:?}"));
    }
    assert_eq!(Level::from_name("backward"), Some(Level::Backward));
    assert_eq!(Level::from_name("SIDEWAYS"), None);
}

/// A chain of records each of which holds the next one twice in unions whose first branch does not fit.
fn chain(length: usize, last: &str) -> String {
    let mut inner = format!(r#""{last}""#);
    for number in (0..length).rev() {
        let wrong = format!(r#"{{"type":"record","name":"Wrong{number}","fields":[{{"name":"x","type":"int"}}]}}"#);
        let reuse = if number + 1 < length { format!(r#""R{}""#, number + 1) } else { format!(r#""{last}""#) };
        inner = format!(
            r#"{{"type":"record","name":"R{number}","fields":[
                {{"name":"a","type":["null",{wrong},{inner}]}},{{"name":"b","type":["null","Wrong{number}",{reuse}]}}]}}"#
        );
    }
    inner
}

#[test]
fn a_long_chain_of_unions_is_compared_in_reasonable_time() {
    let (old, new) = (chain(25, "string"), chain(25, "int"));
    let parse = |text: &str| ParsedSchema::parse(text, &[]).unwrap();
    assert!(parse(&old).cannot_read(&parse(&old)).is_empty());
    assert!(!parse(&new).cannot_read(&parse(&old)).is_empty());
}

/// Why the newest of these versions does not fit the others, in words.
fn told(level: Level, versions: &[&str]) -> Vec<String> {
    let parsed: Vec<ParsedSchema> = versions.iter().map(|text| parsed(text)).collect();
    let (new, old) = parsed.split_last().unwrap();
    let conflicts = conflicts(level, versions.len() as i32, new, (1..).zip(old).collect::<Vec<_>>().into_iter());
    conflicts.iter().map(|conflict| format!("{conflict}; {}", conflict.remedy())).collect()
}

#[test]
fn a_conflict_names_the_field_and_who_cannot_read_whom() {
    let (a, ab) = (record(A), record(&format!("{A},{B}")));
    let gained = "version 2 cannot read version 1: field \"b\" has no default and version 1 does not write it; give it a default";
    assert_eq!(told(Level::Backward, &[&a, &ab]), [gained]);
    assert_eq!(told(Level::Forward, &[&a, &ab]), NONE);
    let lost = "version 1 cannot read version 2: field \"b\" has no default and version 2 does not write it; \
                keep the field: only one that has a default in version 1 may go";
    assert_eq!(told(Level::Forward, &[&ab, &a]), [lost]);
    assert_eq!(told(Level::Full, &[&ab, &a]), [lost]);
    assert_eq!(told(Level::None, &[&ab, &a]), NONE);

    let nested = |of: &str| {
        record(&format!(
            r#"{{"name":"lines","type":{{"type":"array","items":{}}}}}"#,
            record(of).replace("\"R\"", "\"L\"")
        ))
    };
    let changed = told(Level::Backward, &[&nested(B), &nested(&B.replace("long", "boolean"))]);
    let expected = "version 2 cannot read version 1: field \"lines.b\" is a boolean and version 1 writes a long; \
                    keep its type, or add a field of another name with a default";
    assert_eq!(changed, [expected]);
}

#[test]
fn a_transitive_level_tells_every_version_that_does_not_fit() {
    let (first, second) = (record(A), record(&format!("{A},{B_WITH_DEFAULT}")));
    let third = record(&format!(r#"{A},{B},{{"name":"c","type":"int"}}"#));
    let versions = [first.as_str(), &second, &third];
    assert_eq!(told(Level::Backward, &versions).len(), 1);
    let all = told(Level::BackwardTransitive, &versions);
    let about: Vec<&str> = all.iter().map(|told| told.split(" has").next().unwrap()).collect();
    let expected = [
        "version 3 cannot read version 2: field \"c\"",
        "version 3 cannot read version 1: field \"b\"",
        "version 3 cannot read version 1: field \"c\"",
    ];
    assert_eq!(about, expected);
}

#[test]
fn every_cause_has_its_words() {
    let field = |of: &str| record(&format!(r#"{{"name":"x","type":{of}}}"#));
    let symbols = |symbols: &str| field(&format!(r#"{{"type":"enum","name":"E","symbols":[{symbols}]}}"#));
    let fixed = |size: u32| field(&format!(r#"{{"type":"fixed","name":"F","size":{size}}}"#));
    let words = |old: &str, new: &str| {
        let mut told = told(Level::Backward, &[old, new]);
        assert_eq!(told.len(), 1, "{told:?}");
        told.remove(0).split_once(": ").unwrap().1.to_owned()
    };
    assert_eq!(
        words(&symbols(r#""A","B""#), &symbols(r#""A""#)),
        "field \"x\" has no symbol B, which version 1 may write, and no default; keep every symbol, or give the enum a default"
    );
    assert_eq!(
        words(&fixed(8), &fixed(4)),
        "field \"x\" has 4 bytes and version 1 writes 8; keep its size, or add a field of another name with a default"
    );
    assert_eq!(
        words(&field(r#"["null","string"]"#), &field(r#"["null","long"]"#)),
        "field \"x\" is a union without a string, which version 1 may write; keep every type that the union had"
    );
    assert_eq!(
        words(&record(A), &record(A).replace("\"R\"", "\"S\"")),
        "the record is n.S and version 1 writes n.R; keep its name, or give it the old one as an alias"
    );
    assert_eq!(
        words("\"int\"", "\"string\""),
        "the schema is a string and version 1 writes an int; keep its type: another one needs a topic of its own"
    );
}
