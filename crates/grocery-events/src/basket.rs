//! Splitting a line of comma-separated names.
//!
//! Blanks around a name are dropped: files made by hand and by cash registers have them. A name that itself holds a
//! comma stands in double quotes, and a double quote inside those is doubled (RFC 4180, without line breaks in quotes).

use std::borrow::Cow;

/// A field of a line and where it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// The field without quotes and surrounding blanks; may be empty.
    pub text: Cow<'a, str>,
    /// The column of its first character, counted in characters from 1.
    pub column: usize,
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// A quoted field does not end before the line does.
    #[error("column {0}: the quote that opens here is not closed in this line")]
    Unclosed(usize),
    /// Something other than a comma follows a closing quote.
    #[error("column {0}: a comma has to follow the closing quote")]
    AfterQuote(usize),
}

/// Splits a line, which must not hold its line break, at its commas.
///
/// # Errors
/// Quotes that do not match; see [`SplitError`].
pub fn split(line: &str) -> Result<Vec<Field<'_>>, SplitError> {
    let mut fields = Vec::new();
    let mut rest = line;
    let mut column = 1;
    loop {
        let trimmed = rest.trim_start();
        let start = column + skipped(rest, trimmed);
        let (text, after) = if let Some(quoted) = trimmed.strip_prefix('"') {
            quoted_field(quoted).ok_or(SplitError::Unclosed(start))?
        } else {
            let end = trimmed.find(',').unwrap_or(trimmed.len());
            (Cow::Borrowed(trimmed[..end].trim_end()), &trimmed[end..])
        };
        fields.push(Field { text, column: start });
        let after_blanks = after.trim_start();
        let at = start + skipped(trimmed, after_blanks);
        match after_blanks.strip_prefix(',') {
            Some(next) => (rest, column) = (next, at + 1),
            None if after_blanks.is_empty() => return Ok(fields),
            None => return Err(SplitError::AfterQuote(at)),
        }
    }
}

/// The text up to the closing quote and what follows it; `None` if there is no closing quote.
fn quoted_field(quoted: &str) -> Option<(Cow<'_, str>, &str)> {
    let end = quoted.find('"')?;
    if !quoted[end + 1..].starts_with('"') {
        return Some((Cow::Borrowed(quoted[..end].trim()), &quoted[end + 1..]));
    }
    let mut text = String::new();
    let mut rest = quoted;
    loop {
        let end = rest.find('"')?;
        text.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(next) => {
                text.push('"');
                rest = next;
            }
            None => return Some((Cow::Owned(text.trim().to_owned()), rest)),
        }
    }
}

/// How many characters of `text` stand before its end `rest`.
fn skipped(text: &str, rest: &str) -> usize {
    text[..text.len() - rest.len()].chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(line: &str) -> Vec<String> {
        split(line).unwrap().into_iter().map(|field| field.text.into_owned()).collect()
    }

    #[test]
    fn names_lose_their_blanks_and_keep_everything_else() {
        assert_eq!(
            texts("pip fruit, cream cheese ,red/blush wine,flower (seeds),artif. sweetener"),
            ["pip fruit", "cream cheese", "red/blush wine", "flower (seeds)", "artif. sweetener"]
        );
        assert_eq!(texts("whole milk"), ["whole milk"]);
        assert_eq!(texts("a,,b,"), ["a", "", "b", ""]);
        assert_eq!(texts(""), [""]);
    }

    #[test]
    fn a_quoted_name_may_hold_commas_and_quotes() {
        assert_eq!(texts(r#"a, "beer, wine" ,"4"" pipe""#), ["a", "beer, wine", "4\" pipe"]);
        assert_eq!(texts(r#""", """" ,b"#), ["", "\"", "b"]);
        assert_eq!(texts(r#"5" pipe,b"#), ["5\" pipe", "b"]);
    }

    #[test]
    fn columns_count_characters() {
        let columns: Vec<_> = split("Käse, \"b\",c").unwrap().iter().map(|field| field.column).collect();
        assert_eq!(columns, [1, 7, 11]);
    }

    #[test]
    fn quotes_that_do_not_match_are_refused_with_their_column() {
        assert_eq!(split(r#"a, "b,c"#), Err(SplitError::Unclosed(4)));
        assert_eq!(split(r#"a,"b""c"#), Err(SplitError::Unclosed(3)));
        assert_eq!(split(r#"a,"b" c"#), Err(SplitError::AfterQuote(7)));
    }
}
