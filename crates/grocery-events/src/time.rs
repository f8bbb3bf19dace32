//! The events' times: `2025-09-08 14:30:00`, in UTC.
//!
//! The format carries no zone, so one has to be agreed: services run on several machines and their times are compared,
//! hence UTC.

use chrono::{DateTime, Datelike as _, NaiveDate, Timelike as _, Utc};

/// The pattern, in chrono's letters.
const FORMAT: &str = "%Y-%m-%d %H:%M:%S";

/// How many characters every time has.
const LENGTH: usize = "2025-09-08 14:30:00".len();

/// Writes a time as events carry it; anything below a second is dropped.
#[must_use]
pub fn format(at: DateTime<Utc>) -> String {
    let Some(year) = u32::try_from(at.year()).ok().filter(|&year| year < 10_000) else {
        return at.format(FORMAT).to_string();
    };
    // A leap second is the second before with more than a second's nanoseconds.
    let second = at.second() + at.nanosecond() / 1_000_000_000;
    let fields = [year / 100, year % 100, at.month(), at.day(), at.hour(), at.minute(), second];
    let mut text = String::with_capacity(LENGTH);
    for (field, separator) in fields.into_iter().zip(["", "-", "-", " ", ":", ":", ""]) {
        text.extend([field / 10, field % 10].map(|digit| char::from(b'0' + digit as u8)));
        text.push_str(separator);
    }
    text
}

/// Reads a time of an event; `None` if it is not exactly of the form that [`format()`] writes.
///
/// By hand, because every order has one: chrono reads a pattern's letters anew each time, which costs more than all the rest of
/// checking an order. It would also take missing leading zeros and surplus blanks, which other readers of the topic would not.
#[must_use]
pub fn parse(text: &str) -> Option<DateTime<Utc>> {
    let text: &[u8; LENGTH] = text.as_bytes().try_into().ok()?;
    if (text[4], text[7], text[10], text[13], text[16]) != (b'-', b'-', b' ', b':', b':') {
        return None;
    }
    let digit = |at: usize| text[at].is_ascii_digit().then(|| u32::from(text[at] - b'0'));
    let two = |at: usize| Some(digit(at)? * 10 + digit(at + 1)?);
    let date = NaiveDate::from_ymd_opt((two(0)? * 100 + two(2)?) as i32, two(5)?, two(8)?)?;
    // A leap second, as chrono has it.
    let (second, nanoseconds) = if two(17)? == 60 { (59, 1_000_000_000) } else { (two(17)?, 0) };
    Some(date.and_hms_nano_opt(two(11)?, two(14)?, second, nanoseconds)?.and_utc())
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDateTime;

    use super::*;

    #[test]
    fn a_time_survives_writing_and_reading() {
        let at = parse("2025-09-08 14:30:00").unwrap();
        assert_eq!(format(at), "2025-09-08 14:30:00");
        assert_eq!(at.timestamp(), 1_757_341_800);
    }

    #[test]
    fn reading_and_writing_are_chronos() {
        for text in [
            "0000-01-01 00:00:00",
            "1969-12-31 23:59:59",
            "2000-02-29 12:00:01",
            "2016-12-31 23:59:60",
            "2025-09-08 14:30:61",
            "2025-09-08 14:60:00",
            "1900-02-29 00:00:00",
            "9999-12-31 23:59:59",
        ] {
            let chronos = NaiveDateTime::parse_from_str(text, FORMAT).ok().map(|at| at.and_utc());
            assert_eq!(parse(text), chronos, "{text}");
            if let Some(at) = chronos {
                assert_eq!(format(at), text);
            }
        }
        let far = DateTime::from_timestamp(400_000_000_000, 0).unwrap();
        assert_eq!(format(far), far.format(FORMAT).to_string());
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
