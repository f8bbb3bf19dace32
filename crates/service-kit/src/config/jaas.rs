//! `sasl.jaas.config`, as Confluent Cloud's `client.properties` and Java's examples have it.

use secrecy::SecretString;

/// The module's name and its options.
pub(super) struct Jaas {
    pub(super) module: String,
    options: Vec<(String, SecretString)>,
}

impl Jaas {
    /// Reads `some.Module required key="value" other='value';`.
    ///
    /// The error is a sentence without any value of it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let body = text.strip_suffix(';').ok_or("it must end with `;`")?;
        let (module, rest) = body.split_once(char::is_whitespace).unwrap_or((body, ""));
        let rest = rest.trim_start();
        let rest = ["required", "requisite", "sufficient", "optional"]
            .iter()
            .find_map(|flag| rest.strip_prefix(flag))
            .ok_or("the module's name must be followed by `required`")?;
        Ok(Self { module: module.to_owned(), options: options(rest)? })
    }

    pub(super) fn option(&self, name: &str) -> Option<&SecretString> {
        self.options.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// Options whose name starts with `prefix`, without it.
    pub(super) fn with_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a SecretString)> {
        self.options.iter().filter_map(move |(key, value)| key.strip_prefix(prefix).map(|name| (name, value)))
    }
}

fn options(text: &str) -> Result<Vec<(String, SecretString)>, String> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=').ok_or("an option has no `=`")?;
        let after = after.trim_start();
        let (value, after) = match after.chars().next() {
            Some(quote @ ('"' | '\'')) => quoted(&after[1..], quote)?,
            _ => {
                let end = after.find(char::is_whitespace).unwrap_or(after.len());
                (after[..end].to_owned(), &after[end..])
            }
        };
        found.push((name.trim().to_owned(), SecretString::from(value)));
        rest = after.trim_start();
    }
    Ok(found)
}

/// Reads to the closing quote; a backslash takes the next character as it is.
fn quoted(text: &str, quote: char) -> Result<(String, &str), String> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            c if c == quote => return Ok((value, &text[at + 1..])),
            c => value.push(c),
        }
    }
    Err("a quote is not closed".to_owned())
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn the_line_that_confluent_cloud_hands_out_is_read() {
        let text =
            "org.apache.kafka.common.security.plain.PlainLoginModule required username='KEY' password='se\\'cr=t;';";
        let jaas = Jaas::parse(text).unwrap();
        assert!(jaas.module.ends_with("PlainLoginModule"));
        assert_eq!(jaas.option("username").unwrap().expose_secret(), "KEY");
        assert_eq!(jaas.option("password").unwrap().expose_secret(), "se'cr=t;");
    }

    #[test]
    fn extensions_are_options_with_a_prefix() {
        let text = "x.OAuthBearerLoginModule required clientId=\"me\" extension_logicalCluster=\"lkc-1\" extension_identityPoolId=pool-2 ;";
        let jaas = Jaas::parse(text).unwrap();
        let read: Vec<_> = jaas.with_prefix("extension_").map(|(k, v)| (k, v.expose_secret())).collect();
        assert_eq!(read, [("logicalCluster", "lkc-1"), ("identityPoolId", "pool-2")]);
    }

    #[test]
    fn what_cannot_be_read_is_said_without_its_values() {
        for text in ["x required a=\"b\"", "x a=b;", "x required a;", "x required a=\"hunter2;"] {
            assert!(!Jaas::parse(text).err().unwrap().contains("hunter2"), "{text}");
        }
    }
}
