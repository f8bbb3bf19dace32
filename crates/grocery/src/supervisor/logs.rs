//! The newest log lines of one service, numbered, so that a reader can ask for those after the last one it has.

use std::collections::VecDeque;

use serde::Serialize;

/// Lines kept for each service.
const KEPT: usize = 1_000;

/// A longer line is cut: one line must not be able to fill a page.
const LONGEST: usize = 4_000;

/// One line as the page shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// `14:30:00`, UTC; empty when the line did not say.
    pub time: String,
    /// `info`, `warn`, `error`, `debug`, or `out` for standard output.
    pub level: &'static str,
    /// The rest.
    pub text: String,
}

impl Line {
    /// Reads one line of a service's standard error: a JSON log line, or anything else as it is.
    #[must_use]
    pub fn from_stderr(raw: &str) -> Self {
        Self::from_json(raw).unwrap_or_else(|| Self { time: String::new(), level: "error", text: cut(raw) })
    }

    /// A line of standard output.
    #[must_use]
    pub fn from_stdout(raw: &str) -> Self {
        Self { time: String::new(), level: "out", text: cut(raw) }
    }

    fn from_json(raw: &str) -> Option<Self> {
        let line: serde_json::Value = serde_json::from_str(raw).ok()?;
        let level = match line.get("level")?.as_str()? {
            "ERROR" => "error",
            "WARN" => "warn",
            "INFO" => "info",
            _ => "debug",
        };
        // 2026-11-23T11:38:58.123456Z
        let time = line.get("timestamp").and_then(|at| at.as_str()).and_then(|at| at.get(11..19)).unwrap_or_default();
        let fields = line.get("fields")?.as_object()?;
        let mut text = fields.get("message").and_then(|m| m.as_str()).unwrap_or_default().to_owned();
        for (name, value) in fields.iter().filter(|(name, _)| *name != "message" && *name != "service") {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            text.push_str(&format!("  {name}={value}"));
        }
        Some(Self { time: time.to_owned(), level, text: cut(text.trim_start()) })
    }

    /// A field of a JSON log line, such as the address that a service announces at its start.
    #[must_use]
    pub fn field(raw: &str, name: &str) -> Option<String> {
        let line: serde_json::Value = serde_json::from_str(raw).ok()?;
        Some(line.get("fields")?.get(name)?.as_str()?.to_owned())
    }
}

fn cut(text: &str) -> String {
    let end = text.char_indices().nth(LONGEST).map_or(text.len(), |(at, _)| at);
    text.get(..end).unwrap_or_default().to_owned()
}

/// A ring of lines. `cleared` counts how often it was emptied by hand.
#[derive(Debug, Default)]
pub struct LogBuffer {
    lines: VecDeque<Line>,
    next: u64,
    cleared: u64,
}

/// Where a reader stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cursor {
    next: u64,
    cleared: u64,
}

/// What a reader has not seen yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// Whether the buffer was emptied since: the reader shall forget what it shows.
    pub cleared: bool,
    /// The lines after the cursor that are still kept.
    pub lines: Vec<Line>,
}

impl LogBuffer {
    /// Adds a line; the oldest goes when the ring is full.
    pub fn push(&mut self, line: Line) {
        if self.lines.len() == KEPT {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
        self.next += 1;
    }

    /// Forgets every line.
    pub fn clear(&mut self) {
        self.lines.clear();
        self.cleared += 1;
    }

    /// The lines after `cursor`, which moves to the end; none when there is nothing new.
    pub fn unread(&self, cursor: &mut Cursor) -> Option<Unread> {
        let cleared = cursor.cleared != self.cleared;
        let first_kept = self.next - self.lines.len() as u64;
        let from = usize::try_from(cursor.next.max(first_kept) - first_kept).unwrap_or(usize::MAX);
        *cursor = Cursor { next: self.next, cleared: self.cleared };
        let lines: Vec<Line> = self.lines.iter().skip(from).cloned().collect();
        (cleared || !lines.is_empty()).then_some(Unread { cleared, lines })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Line {
        Line::from_stdout(text)
    }

    #[test]
    fn a_reader_gets_each_line_once_and_is_told_of_a_clear() {
        let mut buffer = LogBuffer::default();
        let mut cursor = Cursor::default();
        assert_eq!(buffer.unread(&mut cursor), None);
        buffer.push(line("a"));
        buffer.push(line("b"));
        assert_eq!(buffer.unread(&mut cursor).unwrap().lines.len(), 2);
        assert_eq!(buffer.unread(&mut cursor), None);
        buffer.clear();
        buffer.push(line("c"));
        assert_eq!(buffer.unread(&mut cursor), Some(Unread { cleared: true, lines: vec![line("c")] }));
    }

    #[test]
    fn the_ring_keeps_the_newest() {
        let mut buffer = LogBuffer::default();
        for number in 0..(KEPT + 5) {
            buffer.push(line(&number.to_string()));
        }
        let unread = buffer.unread(&mut Cursor::default()).unwrap();
        assert_eq!((unread.lines.len(), unread.lines[0].text.as_str()), (KEPT, "5"));
    }

    #[test]
    fn a_json_line_becomes_text_with_its_fields() {
        let raw = r#"{"timestamp":"2026-11-23T11:38:58.123Z","level":"WARN","fields":{"message":"waiting","broker":1,"http":"127.0.0.1:9"},"target":"x"}"#;
        let read = Line::from_stderr(raw);
        assert_eq!((read.time.as_str(), read.level), ("11:38:58", "warn"));
        assert!(read.text.starts_with("waiting") && read.text.contains("broker=1"), "{}", read.text);
        assert_eq!(Line::field(raw, "http").as_deref(), Some("127.0.0.1:9"));
        assert_eq!(Line::from_stderr("thread panicked").level, "error");
    }
}
