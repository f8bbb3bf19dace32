//! A schema's fields in a list, for people to read and to compare.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// A field, however deep it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FieldText {
    /// The way to it from the outermost record: `lines.quantity`.
    pub(super) path: String,
    /// Its type in words.
    pub(super) kind: String,
    /// Its default as JSON.
    pub(super) default: Option<String>,
    /// Names that it had.
    pub(super) aliases: Vec<String>,
}

/// The fields of a schema in their order, those of inner records after the field that holds them. A schema that is no record has
/// one field without a name.
pub(super) fn fields(schema: &Value) -> Vec<FieldText> {
    let mut list = List::default();
    if schema.get("type").and_then(Value::as_str) == Some("record") {
        list.record(schema, "");
    } else {
        let kind = kind(schema);
        list.fields.push(FieldText { path: String::new(), kind, default: None, aliases: Vec::new() });
        list.inside(schema, "");
    }
    list.fields
}

#[derive(Default)]
struct List {
    fields: Vec<FieldText>,
    /// Records that are listed already: a record may hold itself.
    seen: BTreeSet<String>,
}

impl List {
    fn record(&mut self, schema: &Value, path: &str) {
        let name = schema.get("name").and_then(Value::as_str).unwrap_or_default();
        if !self.seen.insert(name.to_owned()) {
            return;
        }
        for field in schema.get("fields").and_then(Value::as_array).into_iter().flatten() {
            let name = field.get("name").and_then(Value::as_str).unwrap_or_default();
            let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
            let of = field.get("type").unwrap_or(&Value::Null);
            let aliases = field.get("aliases").and_then(Value::as_array).into_iter().flatten();
            self.fields.push(FieldText {
                path: path.clone(),
                kind: kind(of),
                default: field.get("default").map(Value::to_string),
                aliases: aliases.filter_map(Value::as_str).map(str::to_owned).collect(),
            });
            self.inside(of, &path);
        }
    }

    /// The records within a type.
    fn inside(&mut self, schema: &Value, path: &str) {
        match schema {
            Value::Array(branches) => branches.iter().for_each(|branch| self.inside(branch, path)),
            Value::Object(object) => match object.get("type").and_then(Value::as_str) {
                Some("record" | "error") => self.record(schema, path),
                _ => ["type", "items", "values"]
                    .iter()
                    .filter_map(|key| object.get(*key))
                    .for_each(|inner| self.inside(inner, path)),
            },
            _ => {}
        }
    }
}

/// A type in words: `array of OrderLine`, `null | string`.
fn kind(schema: &Value) -> String {
    match schema {
        Value::String(name) => name.clone(),
        Value::Array(branches) => branches.iter().map(kind).collect::<Vec<_>>().join(" | "),
        Value::Object(object) => object_kind(object),
        other => other.to_string(),
    }
}

fn object_kind(object: &Map<String, Value>) -> String {
    let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
    let inner = |key: &str| object.get(key).map(kind).unwrap_or_default();
    let base = match text("type") {
        "record" | "error" => text("name").to_owned(),
        "enum" => {
            let symbols = object.get("symbols").and_then(Value::as_array).into_iter().flatten();
            let symbols: Vec<&str> = symbols.filter_map(Value::as_str).collect();
            let default = object.get("default").map(|default| format!(" = {default}")).unwrap_or_default();
            format!("{} {{{}}}{default}", text("name"), symbols.join(", "))
        }
        "fixed" => format!("{} of {} bytes", text("name"), inner("size")),
        "array" => format!("array of {}", inner("items")),
        "map" => format!("map of {}", inner("values")),
        "" => inner("type"),
        name => name.to_owned(),
    };
    match text("logicalType") {
        "" => base,
        logical => format!("{base} ({logical})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(schema: &str) -> Vec<String> {
        let told = |field: FieldText| {
            let default = field.default.map(|default| format!(" = {default}")).unwrap_or_default();
            format!("{}: {}{default}", field.path, field.kind)
        };
        fields(&serde_json::from_str(schema).unwrap()).into_iter().map(told).collect()
    }

    #[test]
    fn every_kind_of_type_has_its_words() {
        let schema = r#"{"type":"record","name":"R","fields":[
            {"name":"a","type":["null","string"],"default":null},
            {"name":"b","type":{"type":"long","logicalType":"timestamp-millis"}},
            {"name":"c","type":{"type":"map","values":{"type":"enum","name":"E","symbols":["X","Y"],"default":"X"}}},
            {"name":"d","type":{"type":"fixed","name":"F","size":8}},
            {"name":"e","type":{"type":"array","items":{"type":"record","name":"L","fields":[
                {"name":"n","type":"int","default":1},{"name":"next","type":["null","L"]}]}},"default":[]}]}"#;
        let expected = [
            "a: null | string = null",
            "b: long (timestamp-millis)",
            "c: map of E {X, Y} = \"X\"",
            "d: F of 8 bytes",
            "e: array of L = []",
            "e.n: int = 1",
            "e.next: null | L",
        ];
        assert_eq!(told(schema), expected);
        assert_eq!(told("\"string\""), [": string"]);
    }
}
