//! What all nodes of the mesh keep of traces, asked of each of them.

use std::collections::{BTreeMap, BTreeSet};

use qmesh::{ControlClient, Failure, SpanInfo, TraceFilter, TraceInfo};

use crate::exit::{Exit, Problem};

/// The digits of an id that tell it from others.
pub(crate) const SHORT: usize = 12;
/// The digits that have to be typed.
const TYPED_MIN: usize = 6;
/// The digits of an id.
const DIGITS: usize = 32;

/// An id as it was typed.
///
/// # Errors
/// It is none, or too little of one.
pub(crate) fn id(text: &str) -> Result<String, String> {
    let is_id = (TYPED_MIN..=DIGITS).contains(&text.len()) && text.chars().all(|c| c.is_ascii_hexdigit());
    if is_id {
        Ok(text.to_ascii_lowercase())
    } else {
        Err(format!("an id is {DIGITS} hexadecimal digits; the first {TYPED_MIN} are enough"))
    }
}

/// The calls that nodes keep.
///
/// # Errors
/// The node that is asked gives no answer.
pub(crate) async fn traces(
    client: &mut ControlClient,
    filter: &TraceFilter,
) -> anyhow::Result<Vec<TraceInfo>> {
    Ok(told(client.traces(filter).await?))
}

/// The spans of the one trace whose id begins so.
///
/// # Errors
/// No node keeps it, or there are several.
pub(crate) async fn spans(client: &mut ControlClient, id: &str) -> anyhow::Result<Vec<SpanInfo>> {
    let spans = told(client.trace(id).await?);
    let ids: BTreeSet<_> = spans.iter().map(|span| span.trace.as_str()).collect();
    match ids.len() {
        0 => {
            let what = format!("no node keeps a trace {id}");
            let hint =
                "traces are kept in memory until newer ones take their place: qmesh trace --all lists them";
            Err(Problem::new(Exit::Failed, what).hint(hint).into())
        }
        1 => Ok(spans),
        count => {
            let what = format!("{count} traces begin with {id}");
            Err(Problem::usage(what).hint(ids.into_iter().collect::<Vec<_>>().join("\n")).into())
        }
    }
}

/// What the nodes tell that answer. Who does not is named.
fn told<T>(answers: BTreeMap<String, Result<Vec<T>, Failure>>) -> Vec<T> {
    let answers = answers.into_iter().filter_map(|(node, answer)| {
        answer.inspect_err(|failure| eprintln!("{node} tells nothing: {failure}")).ok()
    });
    answers.flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_typed_in_part_or_whole() {
        assert_eq!(id("3F2a91"), Ok("3f2a91".to_owned()));
        assert!(id(&"0".repeat(32)).is_ok());
        for wrong in ["", "3f2a9", "3f2a9x", &"0".repeat(33), "3f2a-91"] {
            assert!(id(wrong).is_err(), "{wrong}");
        }
    }
}
