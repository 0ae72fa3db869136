//! What a call reads from standard input: its arguments, or the stream that it sends.

use std::io::{IsTerminal as _, stdin};

use anyhow::Context as _;
use qmesh::{Failure, MethodInfo, Outcome, Reason, Sender};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};

use crate::exit::Problem;

/// The longest line, in bytes: an item of a stream may be no larger.
const LINE_MAX: usize = 4 << 20;

/// The arguments, where `-` stands for them.
pub(super) async fn arguments(method: Option<&MethodInfo>) -> anyhow::Result<String> {
    if let Some(method) = method.filter(|method| method.upload) {
        let what = format!("standard input is the stream that {}/{} takes", method.service, method.name);
        return Err(Problem::usage(what).hint("write the arguments on the command line").into());
    }
    let mut text = String::new();
    let read = tokio::io::stdin().read_to_string(&mut text).await;
    read.context("cannot read the arguments from standard input")?;
    Ok(text)
}

/// Sends each line as an item, then the end. Reads no further than the service takes.
///
/// # Errors
/// A line that is no JSON, or an input that cannot be read: the stream is cut, and the service is told why.
pub(super) async fn send(items: Sender<Value>) -> anyhow::Result<()> {
    if stdin().is_terminal() {
        eprintln!("one JSON value per line, for example \"hello\"; Ctrl-D ends the stream, Ctrl-C cuts it");
    }
    let mut input = BufReader::new(tokio::io::stdin());
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        let most = LINE_MAX as u64 + 1;
        let read = (&mut input).take(most).read_until(b'\n', &mut line).await;
        if read.context("cannot read standard input")? == 0 {
            break;
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let item = if line.len() > LINE_MAX {
            Err(format!("is longer than {LINE_MAX} bytes"))
        } else {
            serde_json::from_slice(&line).map_err(|error| no_json(&error))
        };
        match item {
            Ok(item) => {
                if items.send(item).await.is_err() {
                    // The service takes no more of them, and says why in its answer.
                    return Ok(());
                }
            }
            Err(wrong) => {
                let what = format!("line {number} of standard input {wrong}");
                items.fail(Failure::new(Outcome::Unknown, Reason::BadArguments, what.clone()));
                let hint = "write one JSON value per line, a text in quotes: \"hello\"\n\
                            the service was told that its stream is cut; it may have worked on the lines before";
                return Err(Problem::usage(what).hint(hint).into());
            }
        }
    }
    items.finish();
    Ok(())
}

/// What is wrong with a line, without the number of the line, which is always 1.
fn no_json(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
    format!("is no JSON: {what} at column {}", error.column())
}
