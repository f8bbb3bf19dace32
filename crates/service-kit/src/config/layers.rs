//! How files, environment and flags become one set of settings.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

use super::keys::{self, KEYS, Key, Meaning};
use super::{Config, ConfigError, Environment, Identity, Origin, Setting, properties};
use crate::run::Service;

const TOKEN_ENDPOINT: &str = "sasl.oauthbearer.token.endpoint.url";
const CLIENT_ID: &str = "sasl.oauthbearer.client.id";
const CLIENT_SECRET: &str = "sasl.oauthbearer.client.secret";

/// What follows from `OAUTH_TOKEN_URL` when nobody says otherwise: the login it is for.
const IMPLIED_BY_TOKEN_URL: &[(&str, &str)] = &[
    ("security.protocol", "SASL_SSL"),
    ("sasl.mechanism", "OAUTHBEARER"),
    ("bearer.auth.credentials.source", "SASL_OAUTHBEARER_INHERIT"),
];

/// One source of settings. Within a layer a key has one value; a later layer replaces an earlier one's.
#[derive(Default)]
struct Layer {
    settings: BTreeMap<&'static str, Setting>,
    notes: Vec<String>,
}

pub(super) fn load(
    files: &[PathBuf],
    flags: &[String],
    environment: &impl Environment,
    service: Service,
) -> Result<Config, ConfigError> {
    let mut layers = Vec::new();
    for path in files {
        layers.push(file(path)?);
    }
    layers.push(variables(environment, service)?);
    layers.push(from_flags(flags)?);
    let mut config = Config { service, settings: BTreeMap::new(), notes: Vec::new(), tokens: Arc::default() };
    for layer in layers {
        config.settings.extend(layer.settings);
        config.notes.extend(layer.notes);
    }
    imply_login(&mut config);
    Ok(config)
}

fn file(path: &Path) -> Result<Layer, ConfigError> {
    let text = read(path, "--config")?;
    let entries = properties::parse(&text).map_err(|bad| ConfigError::Line {
        path: path.to_owned(),
        line: bad.line,
        reason: bad.reason,
    })?;
    let mut layer = Layer::default();
    for entry in entries {
        layer.add(&entry.key, entry.value, Origin::File { path: path.to_owned(), line: entry.line })?;
    }
    Ok(layer)
}

fn from_flags(flags: &[String]) -> Result<Layer, ConfigError> {
    let mut layer = Layer::default();
    for flag in flags {
        let Some((key, value)) = flag.split_once('=') else {
            return Err(ConfigError::Flag { given: flag.clone() });
        };
        layer.add(key.trim(), value.trim().to_owned(), Origin::Flag)?;
    }
    Ok(layer)
}

/// Weaker names first, so that the special ones replace the general ones.
fn variables(environment: &impl Environment, service: Service) -> Result<Layer, ConfigError> {
    let mut named: Vec<(String, &'static Key)> = Vec::new();
    for key in KEYS {
        named.extend(key.aliases.iter().map(|alias| (keys::variable(alias), key)));
        named.push((keys::variable(key.name), key));
    }
    let pair = match service.identity {
        Identity::Producer => Some("PRODUCER"),
        Identity::Consumer => Some("CONSUMER"),
        Identity::General => None,
    };
    let mut special = vec![
        ("SCHEMA_REGISTRY_URL".to_owned(), "schema.registry.url"),
        ("OAUTH_TOKEN_URL".to_owned(), TOKEN_ENDPOINT),
        ("CLIENT_ID".to_owned(), CLIENT_ID),
        ("CLIENT_SECRET".to_owned(), CLIENT_SECRET),
    ];
    if let Some(pair) = pair {
        special.push((format!("{pair}_CLIENT_ID"), CLIENT_ID));
        special.push((format!("{pair}_CLIENT_SECRET"), CLIENT_SECRET));
    }
    named.extend(special.into_iter().filter_map(|(name, key)| keys::find(key).map(|key| (name, key))));

    let mut settings = BTreeMap::new();
    let mut notes = Vec::new();
    for (name, key) in named {
        let mut one = Layer::default();
        if let Some(value) = present(environment, &name) {
            one.add(key.name, value, Origin::Variable(name.clone()))?;
        }
        if key.secret {
            let name = format!("{name}_FILE");
            if let Some(path) = present(environment, &name) {
                let value = read(Path::new(&path), &name)?;
                let value = value.trim_end_matches(['\n', '\r']).to_owned();
                one.add(key.name, value, Origin::Variable(name))?;
            }
        }
        settings.extend(one.settings);
        notes.extend(one.notes);
    }
    Ok(Layer { settings, notes })
}

fn present(environment: &impl Environment, name: &str) -> Option<String> {
    environment.variable(name).filter(|value| !value.is_empty())
}

fn read(path: &Path, named_by: &str) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|error| ConfigError::File {
        path: path.to_owned(),
        named_by: named_by.to_owned(),
        reason: error.to_string(),
    })
}

impl Layer {
    fn add(&mut self, written_as: &str, value: String, origin: Origin) -> Result<(), ConfigError> {
        let Some(key) = keys::find(written_as) else {
            return Err(ConfigError::Unknown {
                key: written_as.to_owned(),
                origin,
                nearest: keys::nearest(written_as),
            });
        };
        match key.meaning {
            Meaning::Used => {}
            Meaning::Only(values) => {
                if !values.iter().any(|allowed| allowed.eq_ignore_ascii_case(value.trim())) {
                    return Err(ConfigError::Value {
                        key: written_as.to_owned(),
                        origin,
                        reason: format!("this client only does `{}`; remove the key", values.join("` or `")),
                    });
                }
            }
            Meaning::Moot(why) => {
                self.notes.push(format!("`{written_as}` ({origin}) changes nothing here: {why}"));
                return Ok(());
            }
        }
        let value = SecretString::from(value);
        if let Some(earlier) = self.settings.get(key.name)
            && earlier.value.expose_secret() != value.expose_secret()
        {
            return Err(ConfigError::Contradiction {
                key: written_as.to_owned(),
                origin,
                other: earlier.to_string(),
                reason: "they are one setting with two values; keep one".to_owned(),
            });
        }
        self.settings.insert(key.name, Setting { value, written_as: written_as.to_owned(), origin });
        Ok(())
    }
}

/// `OAUTH_TOKEN_URL` alone, as the original demo has it, means a login by OAUTHBEARER over TLS.
fn imply_login(config: &mut Config) {
    let by_variable = matches!(
        config.settings.get(TOKEN_ENDPOINT).map(|setting| &setting.origin),
        Some(Origin::Variable(name)) if name == "OAUTH_TOKEN_URL"
    );
    let decided = ["security.protocol", "sasl.mechanism"].iter().any(|key| config.settings.contains_key(key));
    if !by_variable || decided {
        return;
    }
    for (key, value) in IMPLIED_BY_TOKEN_URL {
        config.settings.entry(key).or_insert_with(|| Setting {
            value: SecretString::from(*value),
            written_as: (*key).to_owned(),
            origin: Origin::Implied("OAUTH_TOKEN_URL".to_owned()),
        });
    }
}
