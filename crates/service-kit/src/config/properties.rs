//! The Java-properties format, as `java.util.Properties.load` reads it, with the place of every key.
//!
//! Comments start with `#` or `!`; a key ends at `=`, `:` or white space; a line that ends in an odd number of
//! backslashes goes on in the next; `\t \n \r \f \uXXXX` and a backslash before anything else are escapes.
//! Two things differ from Java, which accepts anything: a key without a separator and an escape that is not one are
//! errors, because both are mistakes more often than wishes.

/// One `key=value` with the number of the line on which it begins.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key, unescaped.
    pub key: String,
    /// The value, unescaped. May be a secret.
    pub value: String,
    /// Counted from one.
    pub line: usize,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}=… (line {})", self.key, self.line)
    }
}

/// A line that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Counted from one.
    pub line: usize,
    /// What is wrong with it; never holds a value.
    pub reason: String,
}

/// Reads a whole file's text.
///
/// # Errors
/// The first line that cannot be read.
pub fn parse(text: &str) -> Result<Vec<Entry>, Unreadable> {
    let mut entries = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((index, first)) = lines.next() {
        let line = index + 1;
        let start = first.trim_start_matches(is_blank);
        if start.is_empty() || start.starts_with(['#', '!']) {
            continue;
        }
        let mut logical = start.to_owned();
        while continues(&logical) {
            logical.pop();
            let Some((_, next)) = lines.next() else { break };
            logical.push_str(next.trim_start_matches(is_blank));
        }
        entries.push(entry(&logical).map_err(|reason| Unreadable { line, reason })?.at(line));
    }
    Ok(entries)
}

impl Entry {
    fn at(mut self, line: usize) -> Self {
        self.line = line;
        self
    }
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\x0c' | '\u{feff}')
}

fn continues(line: &str) -> bool {
    line.bytes().rev().take_while(|b| *b == b'\\').count() % 2 == 1
}

fn entry(line: &str) -> Result<Entry, String> {
    let mut escaped = false;
    let end = line.find(|c: char| {
        let ends = !escaped && (is_blank(c) || c == '=' || c == ':');
        escaped = c == '\\' && !escaped;
        ends
    });
    let Some(end) = end else {
        return Err(format!("`{}` has no `=` and no value", shown(line)));
    };
    let (key, rest) = line.split_at(end);
    if key.is_empty() {
        return Err("there is no key before the separator".to_owned());
    }
    let rest = rest.trim_start_matches(is_blank);
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start_matches(is_blank);
    Ok(Entry { key: unescape(key)?, value: unescape(value)?, line: 0 })
}

/// As much of a line as may be shown: the start of what should have been a key.
fn shown(line: &str) -> String {
    let start: String = line.chars().take(24).collect();
    if start.len() < line.len() { format!("{start}…") } else { start }
}

fn unescape(text: &str) -> Result<String, String> {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            plain.push(c);
            continue;
        }
        match chars.next() {
            Some('t') => plain.push('\t'),
            Some('n') => plain.push('\n'),
            Some('r') => plain.push('\r'),
            Some('f') => plain.push('\x0c'),
            Some('u') => {
                let digits: String = chars.by_ref().take(4).collect();
                let code = u32::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 4);
                let character = code.and_then(char::from_u32);
                plain.push(character.ok_or("`\\u` needs four hexadecimal digits that name a character")?);
            }
            Some(other) => plain.push(other),
            None => {}
        }
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String, usize)> {
        parse(text).unwrap().into_iter().map(|e| (e.key, e.value, e.line)).collect()
    }

    fn one(text: &str) -> (String, String) {
        let mut all = pairs(text);
        assert_eq!(all.len(), 1, "{text}");
        let (key, value, _) = all.remove(0);
        (key, value)
    }

    #[test]
    fn every_separator_of_java_ends_a_key() {
        for text in ["a.b=c d", "a.b: c d", "a.b c d", "  a.b  =  c d", "a.b\t=c d"] {
            assert_eq!(one(text), ("a.b".into(), "c d".into()), "{text}");
        }
    }

    #[test]
    fn comments_and_empty_lines_are_skipped_and_lines_counted() {
        let text = "# first\n\n! second\n  a=1\r\nb=2";
        assert_eq!(pairs(text), [("a".into(), "1".into(), 4), ("b".into(), "2".into(), 5)]);
    }

    #[test]
    fn a_backslash_at_the_end_continues_the_line() {
        let text = "sasl.jaas.config=Module required \\\n    username=\"u\";\nnext=1";
        let read = pairs(text);
        assert_eq!(read[0], ("sasl.jaas.config".into(), "Module required username=\"u\";".into(), 1));
        assert_eq!(read[1], ("next".into(), "1".into(), 3));
        assert_eq!(pairs("path=C:\\\\\nb=1").len(), 2, "two backslashes are one, and end nothing");
    }

    #[test]
    fn escapes_are_undone() {
        assert_eq!(one(r"key\ with\=signs=tab\tend é \:"), ("key with=signs".into(), "tab\tend é :".into()));
    }

    #[test]
    fn values_may_hold_separators_and_be_empty() {
        assert_eq!(
            one("ext=logicalCluster=lkc-1,identityPoolId=pool-2").1,
            "logicalCluster=lkc-1,identityPoolId=pool-2"
        );
        assert_eq!(one("url=https://host:8081/x").1, "https://host:8081/x");
        assert_eq!(one("empty=").1, "");
    }

    #[test]
    fn an_unreadable_line_is_named() {
        let refused = parse("a=1\nbootstrap.servers\n").unwrap_err();
        assert_eq!((refused.line, refused.reason.contains("no `=`")), (2, true));
        assert_eq!(parse("=x").unwrap_err().line, 1);
        assert!(parse(r"a=\u12").unwrap_err().reason.contains("four hexadecimal"));
    }

    #[test]
    fn debug_never_shows_a_value() {
        assert!(!format!("{:?}", parse("sasl.password=hunter2").unwrap()).contains("hunter2"));
    }
}
