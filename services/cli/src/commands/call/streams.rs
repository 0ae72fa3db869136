//! A call with streams: standard input goes in, line by line, and what comes is printed, line by line.

use std::time::Duration;

use qmesh::{ControlClient, Failure, MethodInfo, Receiver, StreamAnswer, StreamTimes, stream};
use serde_json::Value;
use tokio::time::timeout;

use super::{input, print_answer, problem};
use crate::{
    exit::Problem,
    output::{OutputFormat, Printer},
};

/// How long a call goes on whose input has broken: the service may want to say something to it.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Calls, and prints what comes.
///
/// # Errors
/// A [`Problem`] with the exit code of what became of the call; what came before is printed.
pub(super) async fn run(
    client: &ControlClient,
    method: &MethodInfo,
    arguments: &Value,
    times: StreamTimes,
    output: OutputFormat,
) -> anyhow::Result<()> {
    // No further line is read before the last one has left.
    let (items, upload) = stream(1);
    let reading = async {
        if method.upload {
            return input::send(items).await;
        }
        items.finish();
        Ok(())
    };
    let calling = async {
        let called = client.call_with_streams(method, arguments, Some(upload), times).await;
        match called.map_err(|error| problem(&method.service, &method.name, error))? {
            StreamAnswer::Value(value) => print_answer(&value, output),
            StreamAnswer::Items(items) => print(items).await,
        }
    };
    tokio::pin!(reading, calling);
    tokio::select! {
        ended = &mut calling => ended,
        read = &mut reading => match read {
            Ok(()) => calling.await,
            Err(broken) => {
                // What the call makes of it is printed, and the reason is the input's.
                drop(timeout(LAST_WORDS, calling).await);
                Err(broken)
            }
        }
    }
}

/// Prints a stream, one line of JSON for each item, in either format. A reader that went away wants no more of it: the
/// call is cancelled, and all is well.
async fn print(mut items: Receiver<Value>) -> anyhow::Result<()> {
    let (mut printer, mut count) = (Printer::new(), 0_u64);
    while let Some(item) = items.recv().await.map_err(|failure| broken(count, failure))? {
        if !printer.json(&item).await? {
            break;
        }
        count += 1;
    }
    Ok(())
}

fn broken(count: u64, failure: Failure) -> Problem {
    let items = if count == 1 { "item" } else { "items" };
    Problem::from(failure).hint(format!("the stream is not complete: it broke after {count} {items}"))
}
