//! An Avro schema as its JSON says it, names resolved: what compatibility is decided on.
//!
//! apache-avro's own `Schema` drops what decides here (whether a default is there at all, which branch a name was written in)
//! and splits types by logical type, which compatibility ignores.

use std::collections::HashMap;

use serde_json::{Map, Value};

/// A schema and the named types that it uses.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    pub(crate) root: Type,
    pub(crate) named: Vec<Named>,
}

/// A type; named ones by their place in [`Tree::named`], so that they may hold themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Primitive(Primitive),
    Array(Box<Type>),
    Map(Box<Type>),
    Union(Vec<Type>),
    Named(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Primitive {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
}

/// A record, enum or fixed.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) full_name: String,
    /// Full names.
    pub(crate) aliases: Vec<String>,
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Record(Vec<Field>),
    Enum { symbols: Vec<String>, has_default: bool },
    Fixed(u64),
}

#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) aliases: Vec<String>,
    pub(crate) field_type: Type,
    pub(crate) has_default: bool,
}

impl Named {
    pub(crate) fn simple_name(&self) -> &str {
        self.full_name.rsplit('.').next().unwrap_or(&self.full_name)
    }
}

impl Primitive {
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "null" => Self::Null,
            "boolean" => Self::Boolean,
            "int" => Self::Int,
            "long" => Self::Long,
            "float" => Self::Float,
            "double" => Self::Double,
            "bytes" => Self::Bytes,
            "string" => Self::String,
            _ => return None,
        })
    }
}

/// The full name of a name as it stands in a schema: with its own namespace, or that around it.
pub(crate) fn full_name(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() { name.to_owned() } else { format!("{namespace}.{name}") }
}

impl Tree {
    /// Reads a schema whose references stand before it.
    pub(crate) fn parse<'a>(text: &str, references: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut reader = Reader::default();
        for reference in references {
            reader.schema(&json(reference)?, "")?;
        }
        let root = reader.schema(&json(text)?, "")?;
        let named = reader.named.into_iter().collect::<Option<Vec<_>>>().ok_or("a named type is not complete")?;
        Ok(Self { root, named })
    }
}

/// A schema's JSON; a bare name such as `string`, which registries accept, stands for itself.
pub(crate) fn json(text: &str) -> Result<Value, String> {
    match serde_json::from_str(text) {
        Ok(value) => Ok(value),
        Err(_) if Primitive::from_name(text.trim()).is_some() => Ok(Value::String(text.trim().to_owned())),
        Err(error) => Err(format!("it is not JSON: {error}")),
    }
}

/// Other names for fields: by the record's full name and the field's own.
pub(crate) type Renames = HashMap<(String, String), String>;

/// A schema with some of its fields renamed. What it wrote reads the same, since Avro writes no names.
pub(crate) fn renamed(text: &str, renames: &Renames) -> Result<String, String> {
    let mut schema = json(text)?;
    rename(&mut schema, "", renames);
    Ok(schema.to_string())
}

fn rename(schema: &mut Value, namespace: &str, renames: &Renames) {
    let object = match schema {
        Value::Array(branches) => return branches.iter_mut().for_each(|branch| rename(branch, namespace, renames)),
        Value::Object(object) => object,
        _ => return,
    };
    let full = text(object, "name").map(|name| full_name(name, text(object, "namespace").unwrap_or(namespace)));
    let namespace = match &full {
        Some(full) => full.rsplit_once('.').map_or("", |(namespace, _)| namespace).to_owned(),
        None => namespace.to_owned(),
    };
    for field in object.get_mut("fields").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(field) = field.as_object_mut() else { continue };
        let known = text(field, "name").map(|name| (full.clone().unwrap_or_default(), name.to_owned()));
        if let Some(name) = known.and_then(|known| renames.get(&known)) {
            field.insert("name".to_owned(), Value::String(name.clone()));
        }
        field.get_mut("type").into_iter().for_each(|nested| rename(nested, &namespace, renames));
    }
    for nested in ["type", "items", "values"] {
        object.get_mut(nested).into_iter().for_each(|nested| rename(nested, &namespace, renames));
    }
}

#[derive(Default)]
struct Reader {
    /// `None` while a type is being read: it may name itself then.
    named: Vec<Option<Named>>,
    by_name: HashMap<String, usize>,
}

impl Reader {
    fn schema(&mut self, schema: &Value, namespace: &str) -> Result<Type, String> {
        match schema {
            Value::String(name) => self.name(name, namespace),
            Value::Array(branches) => {
                branches.iter().map(|branch| self.schema(branch, namespace)).collect::<Result<_, _>>().map(Type::Union)
            }
            Value::Object(object) => self.object(object, namespace),
            other => Err(format!("{other} is no schema")),
        }
    }

    fn name(&self, name: &str, namespace: &str) -> Result<Type, String> {
        if let Some(primitive) = Primitive::from_name(name) {
            return Ok(Type::Primitive(primitive));
        }
        // A simple name may also mean a type without a namespace.
        let known = self.by_name.get(&full_name(name, namespace)).or_else(|| self.by_name.get(name));
        known.map(|&place| Type::Named(place)).ok_or_else(|| format!("{name:?} is not defined"))
    }

    fn object(&mut self, object: &Map<String, Value>, namespace: &str) -> Result<Type, String> {
        let nested = |key: &str| object.get(key).ok_or_else(|| format!("{key:?} is missing"));
        match nested("type")? {
            Value::String(kind) => match kind.as_str() {
                "array" => Ok(Type::Array(Box::new(self.schema(nested("items")?, namespace)?))),
                "map" => Ok(Type::Map(Box::new(self.schema(nested("values")?, namespace)?))),
                "record" | "error" | "enum" | "fixed" => self.named(kind, object, namespace),
                name => self.name(name, namespace),
            },
            other => self.schema(other, namespace),
        }
    }

    fn named(&mut self, kind: &str, object: &Map<String, Value>, around: &str) -> Result<Type, String> {
        let name = text(object, "name").ok_or_else(|| format!("a type of kind {kind} has no name"))?;
        let full_name = full_name(name, text(object, "namespace").unwrap_or(around));
        let namespace = full_name.rsplit_once('.').map_or("", |(namespace, _)| namespace).to_owned();
        let place = self.named.len();
        if self.by_name.insert(full_name.clone(), place).is_some() {
            return Err(format!("{full_name} is defined twice"));
        }
        self.named.push(None);
        let kind = match kind {
            "enum" => {
                let symbols = object.get("symbols").and_then(Value::as_array).ok_or("an enum has no symbols")?;
                let symbols = symbols.iter().filter_map(Value::as_str).map(str::to_owned).collect();
                Kind::Enum { symbols, has_default: object.contains_key("default") }
            }
            "fixed" => Kind::Fixed(object.get("size").and_then(Value::as_u64).ok_or("a fixed has no size")?),
            _ => {
                let fields = object.get("fields").and_then(Value::as_array).ok_or("a record has no fields")?;
                Kind::Record(fields.iter().map(|field| self.field(field, &namespace)).collect::<Result<_, _>>()?)
            }
        };
        let aliases = aliases(object).map(|alias| self::full_name(alias, &namespace)).collect();
        self.named[place] = Some(Named { full_name, aliases, kind });
        Ok(Type::Named(place))
    }

    fn field(&mut self, field: &Value, namespace: &str) -> Result<Field, String> {
        let field = field.as_object().ok_or("a field is no JSON object")?;
        let name = text(field, "name").ok_or("a field has no name")?.to_owned();
        let field_type = field.get("type").ok_or_else(|| format!("field {name:?} has no type"))?;
        Ok(Field {
            field_type: self.schema(field_type, namespace)?,
            aliases: aliases(field).map(str::to_owned).collect(),
            has_default: field.contains_key("default"),
            name,
        })
    }
}

fn text<'a>(object: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    object.get(key).and_then(Value::as_str)
}

fn aliases(object: &Map<String, Value>) -> impl Iterator<Item = &str> {
    object.get("aliases").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}
