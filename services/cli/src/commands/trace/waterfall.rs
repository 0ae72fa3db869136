//! A trace as a tree with bars: who did what for how long, over all nodes. Pure but for the printing.

use std::collections::{BTreeSet, HashSet};

use qmesh::SpanInfo;

use crate::{
    output::{self, Shade, bold, faint, shaded},
    text,
};

/// The width of a terminal of old.
const WIDTH: usize = 80;
/// The widest that the tree and the names of nodes become; the narrowest bars.
const LABEL_MAX: usize = 34;
const NODE_MAX: usize = 12;
const BARS_MIN: usize = 12;

/// A span in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    /// The branch that leads to it, and what it is.
    label: String,
    node: String,
    /// Microseconds from the beginning of the trace.
    from: u64,
    took: u64,
    failed: String,
}

/// Prints the trace.
///
/// # Errors
/// Standard output cannot be written to.
pub(super) fn print(spans: &[SpanInfo]) -> anyhow::Result<()> {
    let lines = lines(spans);
    let Some(first) = spans.first() else { return Ok(()) };
    let nodes: BTreeSet<_> = lines.iter().map(|line| line.node.as_str()).collect();
    let whole = whole(&lines);
    let (spans_shown, nodes) = (text::count(lines.len(), "span"), text::count(nodes.len(), "node"));
    let about = format!("{spans_shown} on {nodes}, {}", text::duration_us(whole));
    output::line(format!("trace {}  {}\n", bold(&first.trace), faint(&about)))?;
    for (line, has_failed) in
        rendered(&lines).into_iter().zip(lines.iter().map(|line| !line.failed.is_empty()))
    {
        output::line(if has_failed { shaded(&line, Shade::Bad) } else { line })?;
    }
    let why: BTreeSet<_> = spans.iter().map(|span| &*span.detail).filter(|why| !why.is_empty()).collect();
    for why in why {
        output::line(faint(&format!("\n{why}")))?;
    }
    Ok(())
}

/// Spans that are shown, and how deep.
const SPANS_MAX: usize = 4096;
const DEPTH_MAX: usize = 64;

/// The spans as lines of a tree.
fn lines(spans: &[SpanInfo]) -> Vec<Line> {
    let mut lines = Vec::new();
    // Each id once, whatever nodes say: so none is below itself.
    let mut known = HashSet::new();
    let spans: Vec<_> = spans.iter().filter(|span| known.insert(&span.span)).take(SPANS_MAX).collect();
    let roots = children(&spans, None);
    let began = roots.iter().map(|root| root.unix_us).min().unwrap_or_default();
    for root in roots {
        grow(&spans, Grown { span: root, above: None, shift: -signed(began) }, ["", ""], &mut lines);
    }
    lines
}

/// The spans below one, or those whose parent nobody keeps.
fn children<'a>(spans: &[&'a SpanInfo], parent: Option<&str>) -> Vec<&'a SpanInfo> {
    let is_known = |id: &str| spans.iter().any(|span| span.span == id);
    let is_below = |span: &&'a SpanInfo| match parent {
        Some(parent) => span.parent.as_deref() == Some(parent),
        None => !span.parent.as_deref().is_some_and(is_known),
    };
    let mut children: Vec<_> = spans.iter().copied().filter(is_below).collect();
    children.sort_by_key(|span| span.unix_us);
    children
}

/// A span that is to have its place.
struct Grown<'a> {
    span: &'a SpanInfo,
    above: Option<(&'a SpanInfo, i64)>,
    /// What its node's clock is ahead, and when the trace began.
    shift: i64,
}

fn grow(spans: &[&SpanInfo], grown: Grown<'_>, [branch, deeper]: [&str; 2], lines: &mut Vec<Line>) {
    if deeper.chars().count() > 3 * DEPTH_MAX {
        return;
    }
    let Grown { span, above, mut shift } = grown;
    let mut from = signed(span.unix_us) + shift;
    // Clocks of two nodes differ: what is not within what it is below of is put into its middle.
    if let Some((above, above_from)) = above.filter(|(above, _)| above.node != span.node) {
        let late = signed(above.duration_us) - signed(span.duration_us);
        if late >= 0 && !(above_from..=above_from + late).contains(&from) {
            shift += above_from + late / 2 - from;
            from = above_from + late / 2;
        }
    }
    lines.push(Line {
        label: format!("{branch}{}", label(span, above.map(|(above, _)| above))),
        node: span.node.clone(),
        from: u64::try_from(from).unwrap_or_default(),
        took: span.duration_us,
        failed: failed(span),
    });
    let below = children(spans, Some(&span.span));
    let count = below.len();
    for (place, child) in below.into_iter().enumerate() {
        let (tip, under) = if place + 1 == count { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        let branches = [format!("{deeper}{tip}"), format!("{deeper}{under}")];
        let grown = Grown { span: child, above: Some((span, from)), shift };
        grow(spans, grown, [&branches[0], &branches[1]], lines);
    }
}

/// What a span is, beside what is known of the one above it.
fn label(span: &SpanInfo, above: Option<&SpanInfo>) -> String {
    let attempt = span.attributes.get("qmesh.attempt").and_then(serde_json::Value::as_u64);
    let peer = span.attributes.get("qmesh.peer").and_then(serde_json::Value::as_str);
    match (&*span.kind, attempt, peer) {
        (_, Some(number), Some(peer)) => format!("attempt {number} at {peer}"),
        ("server", ..) if above.is_some_and(|above| above.name == span.name) => "served".to_owned(),
        ("consumer", ..) if above.is_some_and(|above| above.name == span.name) => "received".to_owned(),
        ("producer", ..) => format!("{}, one way", span.name),
        _ => span.name.clone(),
    }
}

fn failed(span: &SpanInfo) -> String {
    if matches!(&*span.status, "" | "ok") { String::new() } else { span.status.clone() }
}

fn rendered(lines: &[Line]) -> Vec<String> {
    let widest =
        |of: fn(&Line) -> &str| lines.iter().map(|line| of(line).chars().count()).max().unwrap_or_default();
    let label = widest(|line| &line.label).min(LABEL_MAX);
    let node = widest(|line| &line.node).min(NODE_MAX);
    let failed = widest(|line| &line.failed);
    let rest = label + 2 + node + 2 + 6 + 2 + if failed > 0 { failed + 2 } else { 0 };
    let bars = WIDTH.saturating_sub(rest).max(BARS_MIN);
    let whole = whole(lines);
    let row = |line: &Line| {
        let Line { from, took, failed, .. } = line;
        let bar = bar(*from, *took, whole, bars);
        let (name, at) = (fitted(&line.label, label), fitted(&line.node, node));
        let row = format!("{name}  {at}  {:>6}  {bar}  {failed}", text::duration_us(*took));
        row.trim_end().to_owned()
    };
    lines.iter().map(row).collect()
}

/// A part of a line of that width, at least a mark.
fn bar(from: u64, took: u64, whole: u64, width: usize) -> String {
    let place = |time: u64| {
        let place = u128::from(time) * width as u128 / u128::from(whole.max(1));
        usize::try_from(place).unwrap_or(width).min(width)
    };
    let (begin, end) = (place(from), place(from.saturating_add(took)));
    let start = begin.min(width - 1);
    let bar = if end > begin { "█".repeat(end - start) } else { "▏".to_owned() };
    let after = width - start - bar.chars().count();
    format!("{}{bar}{}", " ".repeat(start), " ".repeat(after))
}

/// A text of exactly that many letters.
fn fitted(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return format!("{text:width$}");
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{kept}…")
}

/// When the last of it ends.
fn whole(lines: &[Line]) -> u64 {
    lines.iter().map(|line| line.from.saturating_add(line.took)).max().unwrap_or_default()
}

fn signed(time: u64) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn span(id: &str, parent: Option<&str>, node: &str, about: (&str, &str), times: (u64, u64)) -> SpanInfo {
        let ((kind, name), (unix_us, duration_us)) = (about, times);
        let status = if kind == "internal" { "" } else { "ok" };
        let attributes = if id == "2" { json!({"qmesh.attempt": 1, "qmesh.peer": "far"}) } else { json!({}) };
        let info = json!({
            "trace": "0", "span": id, "parent": parent, "node": node, "name": name, "kind": kind,
            "unix_us": unix_us, "duration_us": duration_us, "status": status, "attributes": attributes,
        });
        serde_json::from_value::<SpanInfo>(info).unwrap()
    }

    fn a_call(ahead: u64) -> Vec<SpanInfo> {
        let mut spans = vec![
            span("4", Some("3"), "far", ("internal", "queue"), (1020 + ahead, 20)),
            span("5", Some("3"), "far", ("internal", "handler"), (1040 + ahead, 40)),
            span("3", Some("2"), "far", ("server", "a.B/c"), (1020 + ahead, 60)),
            span("1", Some("a client's"), "near", ("client", "a.B/c"), (1000, 100)),
            span("2", Some("1"), "near", ("client", "a.B/c"), (1010, 80)),
        ];
        spans[2].status = "panicked".to_owned();
        spans
    }

    #[test]
    fn spans_of_all_nodes_are_one_tree_and_fit_on_a_terminal() {
        let lines = lines(&a_call(0));
        let labels: Vec<_> = lines.iter().map(|line| line.label.as_str()).collect();
        assert_eq!(
            labels,
            ["a.B/c", "└─ attempt 1 at far", "   └─ served", "      ├─ queue", "      └─ handler"]
        );
        let rows = rendered(&lines);
        assert!(rows.iter().all(|row| row.chars().count() <= WIDTH), "{rows:#?}");
        let whole = rows[0].chars().filter(|letter| *letter == '█').count();
        let half = rows[2].chars().filter(|letter| *letter == '█').count();
        assert!(whole >= BARS_MIN && half.abs_diff(whole * 6 / 10) <= 1, "{rows:#?}");
        assert!(rows[2].ends_with("panicked") && rows[2].contains("  far "), "{rows:#?}");
    }

    #[test]
    fn a_clock_that_is_ahead_changes_nothing() {
        let straight = lines(&a_call(0));
        for ahead in [3_000_000, 17] {
            assert_eq!(lines(&a_call(ahead)), straight, "{ahead}");
        }
        // One that is only a little ahead cannot be told from time on the way.
        assert_eq!(lines(&a_call(5))[2].from, 25);
    }

    #[test]
    fn a_bar_is_where_its_time_is() {
        assert_eq!(bar(0, 100, 100, 10), "██████████");
        assert_eq!(bar(50, 25, 100, 10), "     ██   ");
        assert_eq!(bar(100, 0, 100, 10), "         ▏");
        assert_eq!(bar(0, 0, 0, 4), "▏   ");
        assert_eq!(bar(0, u64::MAX, u64::MAX, 4), "████");
    }

    #[test]
    fn what_is_too_long_is_cut() {
        assert_eq!((fitted("abc", 5), fitted("abcdef", 5)), ("abc  ".to_owned(), "abcd…".to_owned()));
    }
}
