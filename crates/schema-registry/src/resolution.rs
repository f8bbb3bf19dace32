//! A schema of another version made ready to be read: what it builds on fetched, its fields under our names.

use crate::client::RegistryClient;
use crate::compatibility::ParsedSchema;
use crate::error::RegistryError;
use crate::json_schema::renamed;
use crate::types::{SchemaText, Version};

/// The texts that a schema builds on, each after those that it needs itself.
pub(crate) async fn resolve(client: &RegistryClient, schema: &SchemaText) -> Result<Vec<String>, RegistryError> {
    /// More than this goes round in circles.
    const MOST_REFERENCES: usize = 100;
    let mut found: Vec<String> = Vec::new();
    let mut fetched = 0;
    // What a schema builds on comes before it: it is put back, to be taken once that is done.
    let mut open = vec![(schema.clone(), false)];
    while let Some((text, done)) = open.pop() {
        if done {
            if !found.contains(&text.schema) {
                found.push(text.schema);
            }
            continue;
        }
        let references = text.references.clone();
        open.push((text, true));
        for reference in references.iter().take(MOST_REFERENCES - fetched) {
            let version = client.version(&reference.subject, Version::Number(reference.version)).await?;
            fetched += 1;
            open.push((version.text, false));
        }
    }
    // The last one is the schema itself.
    found.pop();
    Ok(found)
}

/// A writer's schema with the names that `reader` has for its fields: apache-avro resolves records by name alone and knows no
/// aliases.
pub(crate) fn by_our_names(
    reader: &ParsedSchema,
    text: &str,
    mut references: Vec<String>,
) -> Result<(String, Vec<String>), String> {
    let writer = {
        let references: Vec<&str> = references.iter().map(String::as_str).collect();
        ParsedSchema::parse(text, &references).map_err(|error| error.to_string())?
    };
    if let Some(obstacle) = reader.cannot_read(&writer).first() {
        return Err(obstacle.to_string());
    }
    let renames = reader.renames(&writer)?;
    if renames.is_empty() {
        return Ok((text.to_owned(), references));
    }
    for reference in &mut references {
        *reference = renamed(reference, &renames)?;
    }
    Ok((renamed(text, &renames)?, references))
}
