//! Every example runs to its end: each asserts what it shows.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

/// Where cargo puts the examples: beside the folder of this test.
fn built() -> Result<PathBuf> {
    let test = env::current_exe()?;
    let folder = test.ancestors().nth(2).context("a test lies two folders deep")?;
    Ok(folder.join("examples"))
}

/// An example is a file, or a folder of some.
fn files(source: &Path) -> Result<Vec<PathBuf>> {
    if source.is_file() {
        return Ok(vec![source.to_owned()]);
    }
    Ok(std::fs::read_dir(source)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?)
}

#[test]
fn every_example_shows_what_it_says() -> Result<()> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut examples = 0;
    for source in std::fs::read_dir(sources)? {
        let source = source?.path();
        let name = source.file_stem().context("a file has a name")?;
        for file in files(&source)? {
            let lines = std::fs::read_to_string(&file)?.lines().count();
            ensure!(lines <= 120, "{} has {lines} lines; one idea takes 120 at most", file.display());
        }
        let ran =
            Command::new(built()?.join(name)).output().with_context(|| format!("{}", source.display()))?;
        ensure!(ran.status.success(), "{}: {}", source.display(), String::from_utf8_lossy(&ran.stderr));
        examples += 1;
    }
    ensure!(examples >= 6, "only {examples} examples");
    Ok(())
}
