//! Reading real baskets: a basket a line, item names separated by commas (see [`grocery_events::basket`]).

use std::io::{self, BufRead};

use grocery_events::basket::{self, SplitError};

/// The longest line that is read, in bytes: room for a thousand items with long names.
pub const MAX_LINE_BYTES: usize = 128 * 1024;

/// A line that holds no basket. Reading goes on behind it.
#[derive(Debug, thiserror::Error)]
#[error("line {line} is left out: {reason}")]
pub struct BadLine {
    /// The line, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub reason: LineError,
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// Nothing usable is that long.
    #[error("it is longer than {MAX_LINE_BYTES} bytes")]
    TooLong,
    /// It is text in another encoding, or no text.
    #[error("byte {0} of it is not UTF-8")]
    NotUtf8(usize),
    /// Its quotes do not match.
    #[error(transparent)]
    Quotes(#[from] SplitError),
}

/// Reads baskets one after the other; never holds more than one line.
#[derive(Debug)]
pub struct BasketReader<R> {
    input: R,
    line: u64,
    bytes: Vec<u8>,
}

impl<R: BufRead> BasketReader<R> {
    /// Reads from `input`, which is at its start.
    pub fn new(input: R) -> Self {
        Self { input, line: 0, bytes: Vec::new() }
    }

    /// The next basket, or what is wrong with the next line; `None` at the end. Lines without a name are skipped.
    ///
    /// # Errors
    /// The input cannot be read.
    pub fn next_basket(&mut self) -> io::Result<Option<Result<Vec<String>, BadLine>>> {
        loop {
            let Some(complete) = self.read_line()? else { return Ok(None) };
            self.line += 1;
            let names = if complete { self.names() } else { Err(LineError::TooLong) };
            match names {
                Ok(names) if names.is_empty() => {}
                Ok(names) => return Ok(Some(Ok(names))),
                Err(reason) => return Ok(Some(Err(BadLine { line: self.line, reason }))),
            }
        }
    }

    /// Reads a line into `bytes` without its end. `None` at the end of the input, `false` if the line is too long: it is
    /// skipped to its end then.
    fn read_line(&mut self) -> io::Result<Option<bool>> {
        self.bytes.clear();
        let mut complete = true;
        let mut any = false;
        loop {
            let buffer = self.input.fill_buf()?;
            if buffer.is_empty() {
                return Ok(any.then_some(complete));
            }
            any = true;
            let end = buffer.iter().position(|&byte| byte == b'\n');
            let part = &buffer[..end.unwrap_or(buffer.len())];
            if complete && self.bytes.len() + part.len() <= MAX_LINE_BYTES {
                self.bytes.extend_from_slice(part);
            } else {
                complete = false;
            }
            let used = end.map_or(buffer.len(), |end| end + 1);
            self.input.consume(used);
            if end.is_some() {
                return Ok(Some(complete));
            }
        }
    }

    fn names(&self) -> Result<Vec<String>, LineError> {
        let text = str::from_utf8(&self.bytes).map_err(|error| LineError::NotUtf8(error.valid_up_to() + 1))?;
        let text = if self.line == 1 { text.strip_prefix('\u{feff}').unwrap_or(text) } else { text };
        let fields = basket::split(text)?;
        Ok(fields.into_iter().filter(|field| !field.text.is_empty()).map(|field| field.text.into_owned()).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    /// What a file of these bytes gives, read through a buffer so small that lines span it.
    fn read(bytes: &[u8]) -> Vec<Result<Vec<String>, String>> {
        let mut reader = BasketReader::new(BufReader::with_capacity(7, bytes));
        std::iter::from_fn(|| reader.next_basket().unwrap())
            .map(|basket| basket.map_err(|bad_line| bad_line.to_string()))
            .collect()
    }

    fn basket(names: &[&str]) -> Result<Vec<String>, String> {
        Ok(names.iter().map(|&name| name.to_owned()).collect())
    }

    #[test]
    fn a_line_is_a_basket_whatever_its_end() {
        let expected =
            [basket(&["citrus fruit", "ready soups"]), basket(&["whole milk"]), basket(&["cream cheese", "soda"])];
        assert_eq!(read(b"citrus fruit,ready soups\nwhole milk\ncream cheese ,soda\n"), expected);
        assert_eq!(
            read(b"\xef\xbb\xbfcitrus fruit,ready soups\r\n\r\nwhole milk\r\n , \r\ncream cheese , soda,"),
            expected
        );
    }

    #[test]
    fn an_empty_file_holds_no_basket() {
        assert_eq!(read(b""), []);
        assert_eq!(read(b"\n\r\n \n"), []);
    }

    #[test]
    fn a_line_that_is_not_utf8_is_named_and_reading_goes_on() {
        let expected =
            [basket(&["a"]), Err("line 2 is left out: byte 2 of it is not UTF-8".to_owned()), basket(&["b"])];
        assert_eq!(read(b"a\nK\xe4se\nb"), expected);
    }

    #[test]
    fn an_endless_line_is_left_out_and_not_kept_in_memory() {
        let mut bytes = vec![b'x'; 40 * MAX_LINE_BYTES];
        bytes.extend_from_slice(b"\nsoda\n");
        let mut reader = BasketReader::new(BufReader::new(bytes.as_slice()));
        let refused = reader.next_basket().unwrap().unwrap().unwrap_err();
        assert_eq!(refused.to_string(), "line 1 is left out: it is longer than 131072 bytes");
        assert_eq!(reader.next_basket().unwrap().unwrap().unwrap(), ["soda"]);
        assert!(reader.bytes.capacity() <= 2 * MAX_LINE_BYTES);
    }

    #[test]
    fn quotes_protect_commas_and_are_refused_when_they_do_not_match() {
        let expected = [
            basket(&["beer, wine", "soda"]),
            Err("line 2 is left out: column 6: the quote that opens here is not closed in this line".to_owned()),
        ];
        assert_eq!(read(b"\"beer, wine\",soda\nsoda,\"beer\n"), expected);
    }

    #[test]
    fn the_traps_of_real_files_are_read_as_they_are_meant() {
        let line = "UHT-milk,flower (seeds),artif. sweetener,red/blush wine,cream cheese ,curd ,yogurt,soda,rice,tea,jam,oil,\
                    ham,fish,rum,beef,pork,bags,candles,honey,soap,cream,cereals,spices,sauces,ketchup,candy,butter,curd \
                    ,meat,salt,sugar";
        let baskets = read(line.as_bytes());
        let names = baskets[0].as_ref().unwrap();
        assert_eq!(names.len(), 32);
        assert_eq!(names[..5], ["UHT-milk", "flower (seeds)", "artif. sweetener", "red/blush wine", "cream cheese"]);
        assert!(names.iter().all(|name| name == name.trim()));
    }
}
