//! What a service has finished, written down so that a reconciliation can count it.
//!
//! One line an event, appended. order-producer writes the order id of each acknowledged order, picklist-consumer the order
//! id and the pick list id of each list shown. Lines survive the end of the process however it ends once they are
//! flushed; they are not synced to the disk, so not a power cut.

use std::fmt::Display;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Appends lines to a file, or to nothing if nobody wants to know.
#[derive(Debug, Default)]
pub struct AuditLog {
    open: Option<(BufWriter<File>, PathBuf)>,
}

/// The file does not take what happened.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the audit file {} (--audit): {reason}", path.display())]
pub struct AuditError {
    /// Which file.
    pub path: PathBuf,
    /// What the operating system says.
    pub reason: io::Error,
}

impl AuditLog {
    /// Opens the file to append to; without a path every line is dropped.
    ///
    /// A last line without an end, left by a process that was killed, is ended first.
    ///
    /// # Errors
    /// The file can be neither opened nor made.
    pub fn append(path: Option<&Path>) -> Result<Self, AuditError> {
        let Some(path) = path else { return Ok(Self::default()) };
        let open = || {
            let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
            // A pipe or a terminal has no end to look at.
            if file.metadata()?.is_file() && file.seek(SeekFrom::End(0))? > 0 {
                let mut last = [0];
                file.seek(SeekFrom::End(-1))?;
                file.read_exact(&mut last)?;
                if last != *b"\n" {
                    file.write_all(b"\n")?;
                }
            }
            Ok(BufWriter::new(file))
        };
        let file = open().map_err(|reason| AuditError { path: path.to_owned(), reason })?;
        Ok(Self { open: Some((file, path.to_owned())) })
    }

    /// Adds a line, without its end, to those that the next [`flush`](Self::flush) writes.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn line(&mut self, line: impl Display) -> Result<(), AuditError> {
        self.with(|file| writeln!(file, "{line}"))
    }

    /// Writes all lines so far to the file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn flush(&mut self) -> Result<(), AuditError> {
        self.with(BufWriter::flush)
    }

    fn with(&mut self, write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> Result<(), AuditError> {
        match &mut self.open {
            Some((file, path)) => write(file).map_err(|reason| AuditError { path: path.clone(), reason }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn lines_are_appended_and_a_torn_one_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("orders.audit");
        for line in ["first", "second"] {
            let mut audit = AuditLog::append(Some(&path)).unwrap();
            audit.line(line).unwrap();
            audit.flush().unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "first\nsecond\n");

        fs::write(&path, "first\nsec").unwrap();
        let mut audit = AuditLog::append(Some(&path)).unwrap();
        audit.line("third").unwrap();
        drop(audit);
        assert_eq!(fs::read_to_string(&path).unwrap(), "first\nsec\nthird\n");
    }

    #[test]
    fn without_a_file_nothing_happens() {
        let mut audit = AuditLog::append(None).unwrap();
        audit.line("first").unwrap();
        audit.flush().unwrap();
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named_with_its_flag() {
        let refused = AuditLog::append(Some(Path::new("/nowhere/orders.audit"))).unwrap_err().to_string();
        assert!(refused.starts_with("cannot write the audit file /nowhere/orders.audit (--audit): "), "{refused}");
    }
}
