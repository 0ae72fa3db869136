//! Files of secrets: private, written whole or not at all, and under a lock between processes.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    path::Path,
};

use super::IdentityError;

/// Holds a directory for this process until dropped.
#[must_use]
pub(super) struct Lock(#[expect(dead_code, reason = "held for the lock that closing it releases")] File);

/// Makes `dir` (mode 0700) where it is missing and waits until no other process holds it.
pub(super) fn lock(dir: &Path) -> Result<Lock, IdentityError> {
    make_dir(dir)?;
    let path = dir.join("lock");
    let open = private(OpenOptions::new().create(true).truncate(false).write(true)).open(&path);
    let file = open.map_err(|source| failed(&path, source))?;
    file.lock().map_err(|source| failed(&path, source))?;
    Ok(Lock(file))
}

/// The text of a file, `None` where there is none.
pub(super) fn read(path: &Path) -> Result<Option<String>, IdentityError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(path, error)),
    }
}

/// The text of a file that must be there.
pub(super) fn read_existing(path: &Path) -> Result<String, IdentityError> {
    fs::read_to_string(path).map_err(|source| failed(path, source))
}

/// Writes a file (mode 0600) so that others see the old one or the new one, never a part.
pub(super) fn write(path: &Path, text: &str) -> Result<(), IdentityError> {
    let draft = path.with_extension(format!("{}.draft", std::process::id()));
    let written = write_new(&draft, text).and_then(|()| fs::rename(&draft, path));
    written.map_err(|source| {
        // The draft may hold a secret; that it cannot be removed changes nothing about the first failure.
        drop(fs::remove_file(&draft));
        failed(path, source)
    })
}

pub(super) fn make_dir(dir: &Path) -> Result<(), IdentityError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir).map_err(|source| failed(dir, source))
}

// === helpers ===

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = private(OpenOptions::new().create(true).truncate(true).write(true)).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

fn failed(path: &Path, source: io::Error) -> IdentityError {
    IdentityError::File { path: path.to_owned(), source }
}
