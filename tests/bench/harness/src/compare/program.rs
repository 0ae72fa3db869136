//! The binary that runs a system: this one, or another of the workspace.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use crate::system::{Entry, Program};

/// The binary that runs this system; builds it if it is another package's.
pub(super) fn of(system: &Entry) -> Result<PathBuf> {
    let this = env::current_exe()?;
    match system.program {
        Program::Here(_) => Ok(this),
        Program::Package(package) => built(package, &this),
    }
}

/// Whether a command is in the search path.
pub(super) fn is_installed(command: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join(command).is_file())
}

/// The binary of a package, of the same profile and beside this one. Cargo has nothing to do if it is there and fresh.
fn built(package: &str, this: &Path) -> Result<PathBuf> {
    let folder = this.parent().context("the binary is in no directory")?;
    let target = folder.parent().context("the binary is in no target directory")?;
    let release = folder.file_name().is_some_and(|profile| profile == "release");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--package", package])
        .args(release.then_some("--release"))
        .args(["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")])
        .arg("--target-dir")
        .arg(target)
        .status()?;
    ensure!(built.success(), "{package} does not build");
    Ok(folder.join(package))
}
