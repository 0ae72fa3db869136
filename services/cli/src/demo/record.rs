//! What a service process did, in a file that outlives it: one line for each batch that it executed.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;

/// A process's own record, to append to.
#[derive(Debug)]
pub(crate) struct Record(File);

impl Record {
    /// The record of the process `name`.
    pub(crate) fn create(data: &Path, name: &str) -> anyhow::Result<Self> {
        let path = path(data, name);
        let file = File::options().create(true).append(true).open(&path);
        Ok(Self(file.with_context(|| format!("cannot write {}", path.display()))?))
    }

    /// Appends a batch with a single write(2): when this returns, the line survives a SIGKILL.
    pub(crate) fn append(&self, batch: u64) -> io::Result<()> {
        let line = format!("{batch}\n");
        let written = (&self.0).write(line.as_bytes())?;
        if written < line.len() {
            return Err(io::Error::new(io::ErrorKind::WriteZero, "only a part of the line was written"));
        }
        Ok(())
    }
}

/// The batches that the process `name` executed, in order.
pub(crate) fn read(data: &Path, name: &str) -> anyhow::Result<Vec<u64>> {
    let path = path(data, name);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let batch =
        |line: &str| line.parse().with_context(|| format!("{}: `{line}` is no batch", path.display()));
    text.lines().map(batch).collect()
}

fn path(data: &Path, name: &str) -> PathBuf {
    data.join(format!("{name}.executed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_appended_is_read_in_order_repetitions_included() {
        let data = tempfile::tempdir().unwrap();
        let record = Record::create(data.path(), "words-1").unwrap();
        for batch in [7, 3, 7] {
            record.append(batch).unwrap();
        }
        assert_eq!(read(data.path(), "words-1").unwrap(), [7, 3, 7]);
    }

    #[test]
    fn a_process_without_a_record_is_an_error() {
        let data = tempfile::tempdir().unwrap();
        assert!(read(data.path(), "words-1").unwrap_err().to_string().contains("words-1.executed"));
    }
}
