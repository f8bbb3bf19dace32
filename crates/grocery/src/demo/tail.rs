//! The lines that a service adds to its audit file, as they come.

use std::path::PathBuf;

use tokio::fs::File;
use tokio::io::AsyncReadExt;

/// Read at once.
const PIECE: usize = 64 * 1024;

/// A place in a file that may not exist yet.
pub(super) struct Tail {
    path: PathBuf,
    file: Option<File>,
    /// The start of a line whose end has not been written yet.
    torn: Vec<u8>,
}

impl Tail {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, file: None, torn: Vec::new() }
    }

    /// Hands every whole line that was added since the last call to `each`. Not cancel safe.
    pub(super) async fn read(&mut self, mut each: impl FnMut(&str)) -> std::io::Result<()> {
        if self.file.is_none() {
            match File::open(&self.path).await {
                Ok(file) => self.file = Some(file),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        let mut piece = vec![0; PIECE];
        loop {
            let length = file.read(&mut piece).await?;
            if length == 0 {
                return Ok(());
            }
            self.torn.extend_from_slice(&piece[..length]);
            let Some(end) = self.torn.iter().rposition(|byte| *byte == b'\n') else { continue };
            for line in self.torn[..end].split(|byte| *byte == b'\n') {
                each(&String::from_utf8_lossy(line));
            }
            self.torn.drain(..=end);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[tokio::test]
    async fn whole_lines_come_once_and_torn_ones_when_they_are_ended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit");
        let mut tail = Tail::new(path.clone());
        let mut seen = Vec::new();
        tail.read(|line| seen.push(line.to_owned())).await.unwrap();
        let mut file = std::fs::File::create(&path).unwrap();
        file.write_all(b"one\ntwo\nthr").unwrap();
        tail.read(|line| seen.push(line.to_owned())).await.unwrap();
        assert_eq!(seen, ["one", "two"]);
        file.write_all(b"ee\n").unwrap();
        tail.read(|line| seen.push(line.to_owned())).await.unwrap();
        assert_eq!(seen, ["one", "two", "three"]);
    }
}
