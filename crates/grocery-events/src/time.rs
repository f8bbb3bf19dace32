//! The events' times: `2025-09-08 14:30:00`, in UTC.
//!
//! The format carries no zone, so one has to be agreed: services run on several machines and their times are compared,
//! hence UTC.

use chrono::{DateTime, NaiveDateTime, Utc};

/// The pattern, in chrono's letters.
const FORMAT: &str = "%Y-%m-%d %H:%M:%S";

/// How many characters every time has.
const LENGTH: usize = "2025-09-08 14:30:00".len();

/// Writes a time as events carry it; anything below a second is dropped.
#[must_use]
pub fn format(at: DateTime<Utc>) -> String {
    at.format(FORMAT).to_string()
}

/// Reads a time of an event; `None` if it is not exactly of the form that [`format()`] writes.
#[must_use]
pub fn parse(text: &str) -> Option<DateTime<Utc>> {
    // chrono would also take missing leading zeros and surplus blanks; other readers of the topic would not.
    if text.len() != LENGTH || text.as_bytes()[10] != b' ' || text.bytes().filter(u8::is_ascii_digit).count() != 14 {
        return None;
    }
    NaiveDateTime::parse_from_str(text, FORMAT).ok().map(|at| at.and_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_survives_writing_and_reading() {
        let at = parse("2025-09-08 14:30:00").unwrap();
        assert_eq!(format(at), "2025-09-08 14:30:00");
        assert_eq!(at.timestamp(), 1_757_341_800);
    }

    #[test]
    fn only_the_agreed_form_is_a_time() {
        for text in [
            "",
            "2025-09-08",
            "2025-09-08T14:30:00",
            "2025-09-08 14:30",
            "2025-9-8 14:30:00",
            " 2025-9-8 14:30:00",
            "2025-13-08 14:30:00",
            "2025-02-30 14:30:00",
            "2025-09-08 24:30:00",
            "2025-09-08 14:30:00Z",
            "2025-09-08 14:30:0é",
            "٢025-09-08 14:30:0",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
