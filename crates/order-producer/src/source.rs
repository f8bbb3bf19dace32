//! Where the next basket comes from: a file that a thread of its own reads, or the simulator.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use fastrand::Rng;
use grocery_events::Catalogue;
use tokio::sync::mpsc;

use crate::baskets::{BadLine, BasketReader};
use crate::simulator::Simulator;

/// Baskets read ahead of their turn.
const READ_AHEAD: usize = 1024;

/// Mixed into the seed, so that baskets and customers do not follow one sequence.
const BASKET_SEED: u64 = 0x6261_736b_6574_7321;

/// What the source has next.
#[derive(Debug)]
pub enum Next {
    /// A basket with at least one item.
    Basket(Vec<String>),
    /// A line that holds none; reading goes on.
    BadLine(BadLine),
    /// The file was read to its end, has given this many baskets, and begins again.
    Again(u64),
    /// The file was read to its end, and nothing follows.
    End,
}

/// The file of baskets cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// It cannot be opened or read.
    #[error("cannot read the baskets of {} (--baskets): {reason}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the operating system says.
        reason: io::Error,
    },
    /// It was read to its end in vain.
    #[error("{} (--baskets) holds no basket: a basket is a line of item names separated by commas", path.display())]
    NoBasket {
        /// Which file.
        path: PathBuf,
    },
}

/// A source of baskets.
#[derive(Debug)]
pub enum Source {
    /// Draws them.
    Simulator(Simulator, Rng),
    /// Receives what the thread reads.
    File(mpsc::Receiver<Result<Next, SourceError>>),
}

impl Source {
    /// Baskets drawn from the catalogue; the same ones for the same seed.
    #[must_use]
    pub fn simulator(catalogue: &Catalogue, seed: Option<u64>) -> Self {
        let rng = seed.map_or_else(Rng::new, |seed| Rng::with_seed(seed ^ BASKET_SEED));
        Self::Simulator(Simulator::new(catalogue), rng)
    }

    /// Baskets of a file, `-` being standard input. With `again` a file starts over at its end; what cannot be read twice
    /// (standard input, a pipe) ends there.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn file(path: &Path, again: bool) -> Result<Self, SourceError> {
        let unreadable = |reason| SourceError::Unreadable { path: path.to_owned(), reason };
        let (again, input): (bool, Box<dyn Read + Send>) = if path == Path::new("-") {
            (false, Box::new(io::stdin()))
        } else {
            let file = File::open(path).map_err(unreadable)?;
            let kind = file.metadata().map_err(unreadable)?;
            if kind.is_dir() {
                return Err(unreadable(io::ErrorKind::IsADirectory.into()));
            }
            (again && kind.is_file(), Box::new(file))
        };
        let (baskets, received) = mpsc::channel(READ_AHEAD);
        let thread = Thread { path: path.to_owned(), again, baskets };
        // Reading a pipe or a terminal may block for as long as it likes, so neither the runtime nor its end may wait.
        std::thread::Builder::new().name("baskets".into()).spawn(move || thread.read(input)).map_err(unreadable)?;
        Ok(Self::File(received))
    }

    /// The next basket, or what came instead of it.
    ///
    /// Cancel safe: a basket that is not returned is kept.
    ///
    /// # Errors
    /// The file cannot be read on, or holds nothing.
    pub async fn next(&mut self) -> Result<Next, SourceError> {
        match self {
            Self::Simulator(simulator, rng) => Ok(Next::Basket(simulator.basket(rng))),
            Self::File(received) => received.recv().await.unwrap_or(Ok(Next::End)),
        }
    }
}

/// The reading side; ends when nobody receives.
struct Thread {
    path: PathBuf,
    again: bool,
    baskets: mpsc::Sender<Result<Next, SourceError>>,
}

impl Thread {
    fn read(self, mut input: Box<dyn Read + Send>) {
        loop {
            let count = match self.read_once(input) {
                Ok(Some(count)) => count,
                Ok(None) => return,
                Err(reason) => return self.unreadable(reason),
            };
            if count == 0 {
                let _ = self.baskets.blocking_send(Err(SourceError::NoBasket { path: self.path }));
                return;
            }
            if !self.again || self.baskets.blocking_send(Ok(Next::Again(count))).is_err() {
                return;
            }
            input = match File::open(&self.path) {
                Ok(file) => Box::new(file),
                Err(reason) => return self.unreadable(reason),
            };
        }
    }

    /// Reads to the end and returns how many baskets that were; `None` if nobody receives any more.
    fn read_once(&self, input: impl Read) -> io::Result<Option<u64>> {
        let mut reader = BasketReader::new(BufReader::new(input));
        let mut count = 0;
        while let Some(line) = reader.next_basket()? {
            let next = match line {
                Ok(items) => {
                    count += 1;
                    Next::Basket(items)
                }
                Err(bad_line) => Next::BadLine(bad_line),
            };
            if self.baskets.blocking_send(Ok(next)).is_err() {
                return Ok(None);
            }
        }
        Ok(Some(count))
    }

    fn unreadable(self, reason: io::Error) {
        let _ = self.baskets.blocking_send(Err(SourceError::Unreadable { path: self.path, reason }));
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn a_file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    /// The next thing in short: a basket's items, or what came instead.
    async fn next(source: &mut Source) -> String {
        match source.next().await {
            Ok(Next::Basket(items)) => items.join("+"),
            Ok(Next::BadLine(bad_line)) => format!("bad line {}", bad_line.line),
            Ok(Next::Again(count)) => format!("again after {count}"),
            Ok(Next::End) => "end".into(),
            Err(error) => error.to_string(),
        }
    }

    #[tokio::test]
    async fn a_file_is_read_once_or_over_and_over() {
        let file = a_file("a,b\n\"c\nd");
        let mut once = Source::file(file.path(), false).unwrap();
        for expected in ["a+b", "bad line 2", "d", "end", "end"] {
            assert_eq!(next(&mut once).await, expected);
        }
        let mut again = Source::file(file.path(), true).unwrap();
        for expected in ["a+b", "bad line 2", "d", "again after 2", "a+b", "bad line 2", "d", "again after 2", "a+b"] {
            assert_eq!(next(&mut again).await, expected);
        }
    }

    #[tokio::test]
    async fn a_file_without_a_basket_is_an_error_and_not_an_endless_loop() {
        for text in ["", "\n\n", "\"a\n"] {
            let file = a_file(text);
            let mut source = Source::file(file.path(), true).unwrap();
            let mut last = next(&mut source).await;
            while last.starts_with("bad line") {
                last = next(&mut source).await;
            }
            assert!(last.contains("(--baskets) holds no basket"), "{last}");
        }
    }

    #[tokio::test]
    async fn a_missing_file_and_a_folder_are_named_with_the_flag() {
        for path in [Path::new("/nowhere/baskets.csv"), Path::new("/")] {
            let refused = Source::file(path, false).unwrap_err().to_string();
            let expected = format!("cannot read the baskets of {} (--baskets): ", path.display());
            assert!(refused.starts_with(&expected), "{refused}");
        }
    }

    #[tokio::test]
    async fn the_simulator_never_ends() {
        let mut source = Source::simulator(Catalogue::builtin(), Some(7));
        let first = next(&mut source).await;
        assert!(!first.is_empty());
        assert_eq!(next(&mut Source::simulator(Catalogue::builtin(), Some(7))).await, first);
    }
}
