//! The text in which a registry keeps an Avro schema: that of Java's `Schema.toString`.
//!
//! White space and the order of attributes are settled, a name that was defined before stands alone, a namespace is left
//! out where it is that of the type around. Documentation, aliases, defaults and other properties stay: two texts that
//! differ in those are two schemas. (This is not Avro's Parsing Canonical Form, which drops them.) Properties that Avro does
//! not know are written in alphabetical order; Java keeps the order in which they came.

use serde_json::{Map, Value};

use crate::compatibility::InvalidSchema;
use crate::json_schema::{Primitive, full_name, json};

/// Rewrites a schema's text in the form that a registry keeps. Whether it is a schema is for
/// [`ParsedSchema::parse`](crate::compatibility::ParsedSchema::parse) to say.
///
/// # Errors
/// It is not JSON, or not of a schema's shape.
pub fn canonical(text: &str) -> Result<String, InvalidSchema> {
    let schema = json(text).map_err(InvalidSchema)?;
    let mut out = String::with_capacity(text.len());
    write_schema(&schema, "", &mut out).map_err(InvalidSchema)?;
    Ok(out)
}

/// Attributes that the kinds of types have of their own, in the order in which they are written.
const RECORD: [&str; 4] = ["type", "name", "doc", "fields"];
const ENUM: [&str; 5] = ["type", "name", "doc", "symbols", "default"];
const FIXED: [&str; 4] = ["type", "name", "doc", "size"];

fn write_schema(schema: &Value, namespace: &str, out: &mut String) -> Result<(), String> {
    match schema {
        Value::String(name) => write_json(&Value::String(relative(name, namespace).to_owned()), out),
        Value::Array(branches) => {
            out.push('[');
            for (place, branch) in branches.iter().enumerate() {
                if place > 0 {
                    out.push(',');
                }
                write_schema(branch, namespace, out)?;
            }
            out.push(']');
        }
        Value::Object(object) => write_object(object, namespace, out)?,
        other => return Err(format!("{other} is no schema")),
    }
    Ok(())
}

/// A name as it stands within a namespace.
fn relative<'a>(name: &'a str, namespace: &str) -> &'a str {
    match name.rsplit_once('.') {
        Some((own, simple)) if own == namespace => simple,
        _ => name,
    }
}

fn write_object(object: &Map<String, Value>, namespace: &str, out: &mut String) -> Result<(), String> {
    let kind = object.get("type").ok_or("a type has no \"type\"")?;
    match kind.as_str() {
        Some("record" | "error") => write_named(object, &RECORD, namespace, out),
        Some("enum") => write_named(object, &ENUM, namespace, out),
        Some("fixed") => write_named(object, &FIXED, namespace, out),
        Some(collection @ ("array" | "map")) => {
            let key = if collection == "array" { "items" } else { "values" };
            out.push_str(&format!(r#"{{"type":"{collection}","{key}":"#));
            write_schema(object.get(key).ok_or_else(|| format!("{key:?} is missing"))?, namespace, out)?;
            write_properties(object, &["type", key], out);
            out.push('}');
            Ok(())
        }
        // `{"type": "string"}` is "string", unless it has properties to keep; around anything else it means nothing.
        Some(name) if Primitive::from_name(name).is_some() && object.len() > 1 => {
            out.push_str(&format!(r#"{{"type":"{name}""#));
            write_properties(object, &["type"], out);
            out.push('}');
            Ok(())
        }
        _ => write_schema(kind, namespace, out),
    }
}

fn write_named(object: &Map<String, Value>, attributes: &[&str], around: &str, out: &mut String) -> Result<(), String> {
    let text = |key: &str| object.get(key).and_then(Value::as_str);
    let name = text("name").ok_or("a named type has no name")?;
    let full_name = full_name(name, text("namespace").unwrap_or(around));
    let (namespace, simple_name) = full_name.rsplit_once('.').unwrap_or(("", &full_name));
    out.push('{');
    for (place, attribute) in attributes.iter().filter(|attribute| object.contains_key(**attribute)).enumerate() {
        if place > 0 {
            out.push(',');
        }
        match *attribute {
            "name" => {
                out.push_str(&format!(r#""name":"{simple_name}""#));
                if namespace != around {
                    out.push_str(&format!(r#","namespace":"{namespace}""#));
                }
            }
            "fields" => {
                out.push_str(r#""fields":["#);
                let fields = object["fields"].as_array().ok_or("a record has no fields")?;
                for (place, field) in fields.iter().enumerate() {
                    if place > 0 {
                        out.push(',');
                    }
                    write_field(field.as_object().ok_or("a field is no JSON object")?, namespace, out)?;
                }
                out.push(']');
            }
            other => write_attribute(other, &object[other], out),
        }
    }
    let mut known = vec!["namespace", "aliases"];
    known.extend_from_slice(attributes);
    write_properties(object, &known, out);
    if let Some(aliases) = object.get("aliases") {
        out.push(',');
        write_attribute("aliases", aliases, out);
    }
    out.push('}');
    Ok(())
}

fn write_field(field: &Map<String, Value>, namespace: &str, out: &mut String) -> Result<(), String> {
    out.push('{');
    write_attribute("name", field.get("name").ok_or("a field has no name")?, out);
    out.push_str(r#","type":"#);
    write_schema(field.get("type").ok_or("a field has no type")?, namespace, out)?;
    for key in ["doc", "default", "order", "aliases"] {
        match field.get(key) {
            // The order that a field has anyway.
            Some(Value::String(order)) if key == "order" && order.eq_ignore_ascii_case("ascending") => {}
            Some(value) => {
                out.push(',');
                write_attribute(key, value, out);
            }
            None => {}
        }
    }
    write_properties(field, &["name", "type", "doc", "default", "order", "aliases"], out);
    out.push('}');
    Ok(())
}

/// Everything that Avro does not know, after something else.
fn write_properties(object: &Map<String, Value>, known: &[&str], out: &mut String) {
    for (key, value) in object.iter().filter(|(key, _)| !known.contains(&key.as_str())) {
        out.push(',');
        write_attribute(key, value, out);
    }
}

fn write_attribute(key: &str, value: &Value, out: &mut String) {
    write_json(&Value::String(key.to_owned()), out);
    out.push(':');
    write_json(value, out);
}

fn write_json(value: &Value, out: &mut String) {
    out.push_str(&value.to_string());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_and_the_order_of_attributes_are_settled() {
        let text = r#" { "namespace" : "com.demo", "fields" : [
            { "type" : { "items" : "string", "type" : "array" }, "name" : "items" },
            { "type" : { "type" : "double" }, "name" : "total", "default" : 0.5, "doc" : "in all" } ],
            "name" : "GroceryOrder", "type" : "record" } "#;
        assert_eq!(
            canonical(text).unwrap(),
            concat!(
                r#"{"type":"record","name":"GroceryOrder","namespace":"com.demo","fields":["#,
                r#"{"name":"items","type":{"type":"array","items":"string"}},"#,
                r#"{"name":"total","type":"double","doc":"in all","default":0.5}]}"#
            )
        );
    }

    #[test]
    fn names_stand_as_briefly_as_they_can() {
        let text = r#"{"type":"record","name":"a.b.R","fields":[
            {"name":"e","type":{"type":"enum","name":"E","namespace":"a.b","symbols":["X"]}},
            {"name":"again","type":"a.b.E"},
            {"name":"other","type":{"type":"fixed","name":"F","namespace":"c","size":4}},
            {"name":"self","type":["null","a.b.R"]}]}"#;
        assert_eq!(
            canonical(text).unwrap(),
            concat!(
                r#"{"type":"record","name":"R","namespace":"a.b","fields":["#,
                r#"{"name":"e","type":{"type":"enum","name":"E","symbols":["X"]}},"#,
                r#"{"name":"again","type":"E"},"#,
                r#"{"name":"other","type":{"type":"fixed","name":"F","namespace":"c","size":4}},"#,
                r#"{"name":"self","type":["null","R"]}]}"#
            )
        );
    }

    #[test]
    fn documentation_aliases_and_properties_stay() {
        let text = r#"{"type":"record","name":"R","doc":"d","zebra":1,"aliases":["Q"],"fields":[
            {"name":"at","type":{"type":"long","logicalType":"timestamp-millis"},"order":"ascending","pii":true}]}"#;
        assert_eq!(
            canonical(text).unwrap(),
            concat!(
                r#"{"type":"record","name":"R","doc":"d","fields":["#,
                r#"{"name":"at","type":{"type":"long","logicalType":"timestamp-millis"},"pii":true}],"#,
                r#""zebra":1,"aliases":["Q"]}"#
            )
        );
    }

    #[test]
    fn the_form_is_its_own_form() {
        for text in ["string", r#"["null",{"type":"map","values":{"type":"string"}}]"#, r#"{"type":{"type":"int"}}"#] {
            let once = canonical(text).unwrap();
            assert_eq!(canonical(&once).unwrap(), once);
        }
        assert_eq!(canonical("string").unwrap(), "\"string\"");
        assert_eq!(canonical(r#"{"type":{"type":"int"}}"#).unwrap(), "\"int\"");
    }
}
