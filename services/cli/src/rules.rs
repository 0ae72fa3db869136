//! The file that says who may call what.

use std::{fs, path::Path};

use qmesh::Rules;

use crate::exit::Problem;

/// The end of `qmesh serve --help`.
pub(crate) const HELP: &str = r#"A file for --authorize, in which what no rule allows is denied, and what any rule denies is denied:

  [[allow]]
  callers = ["node/billing-*", "client/ops"]
  calls = ["echo.Echo/*"]

  [[deny]]
  callers = ["node/billing-7"]
  calls = ["echo.Echo/fail"]

Callers are node/NAME, client/NAME, id/ID or *, as their certificates say; a command line of this host is
client/cli. `*` stands for any characters. The file is read at the start."#;

const EXAMPLE: &str = "`qmesh serve --help` shows an example";

/// Reads the file.
///
/// # Errors
/// It cannot be read, or makes no sense: where, and what to write instead.
pub(crate) fn read(path: &Path) -> Result<Rules, Problem> {
    let text = fs::read_to_string(path).map_err(|error| {
        Problem::usage(format!("cannot read the rules in {}: {error}", path.display())).hint(EXAMPLE)
    })?;
    let rules: Rules = toml::from_str(&text).map_err(|error| {
        Problem::usage(format!("the rules in {} make no sense: {error}", path.display())).hint(EXAMPLE)
    })?;
    if rules.allows_nothing() {
        let what = format!("the rules in {} allow nothing, so that nobody could call", path.display());
        return Err(Problem::usage(what).hint(format!("add an [[allow]]; {EXAMPLE}")));
    }
    Ok(rules)
}
