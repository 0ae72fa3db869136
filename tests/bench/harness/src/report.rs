//! How the outcome is shown: tables of figures, of ratios and of goals, and what became of messages without an answer.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    thread,
};

use anyhow::Result;
use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};

use crate::{
    args::Compare,
    compare::Cell,
    goals::{self, Verdict},
    sample::Figures,
    scenarios::SCENARIOS,
};

/// The system that the others are related to: it shows what the wire allows.
pub(crate) const BASELINE: &str = "quinn-pipelined";
/// What a cell without a figure shows.
const NONE: &str = "–";

/// Everything that is shown of a comparison.
pub(crate) fn tables(cells: &[Cell], options: &Compare) -> String {
    let mut text = format!(
        "Medians of {} rounds of {} s, {} cores, loopback.\n\n{}\n",
        options.rounds,
        options.length.duration().as_secs(),
        thread::available_parallelism().map_or_else(|_| "unknown".to_owned(), |cores| cores.to_string()),
        figures(cells),
    );
    if let Some(ratios) = ratios(cells) {
        let _infallible = write!(text, "\nRelated to {BASELINE}:\n\n{ratios}\n");
    }
    if let Some(goals) = goals(&goals::judge(cells)) {
        let _infallible = write!(text, "\nGoals of qmesh:\n\n{goals}\n");
    }
    for line in remarks(cells).into_iter().chain(titles(cells)) {
        let _infallible = write!(text, "\n{line}");
    }
    text
}

/// Prints on the standard output.
pub(crate) fn print(text: &str) -> Result<()> {
    Ok(writeln!(io::stdout(), "{text}")?)
}

fn figures(cells: &[Cell]) -> Table {
    let mut table =
        empty(&["", "system"], &["ops/s", "p50 µs", "p99 µs", "p999 µs", "MB/s", "CPU µs/op", "RSS MB"]);
    for Cell { system, scenario, figures, .. } in cells {
        table.add_row([
            (*scenario).to_owned(),
            (*system).to_owned(),
            maybe(figures.ops_per_s, rate),
            maybe(figures.p50_us, amount),
            maybe(figures.p99_us, amount),
            maybe(figures.p999_us, amount),
            maybe(figures.mb_per_s, amount),
            maybe(figures.cpu_us_per_op, amount),
            maybe(figures.rss_mb, amount),
        ]);
    }
    table
}

/// Every cell's figures divided by the baseline's in the same scenario; none if nothing can be related.
fn ratios(cells: &[Cell]) -> Option<Table> {
    let mut table = empty(&["", "system"], &["ops/s", "p50", "p99", "CPU/op", "RSS", "idle"]);
    for cell in cells.iter().filter(|cell| cell.system != BASELINE) {
        let Some(base) = cells.iter().find(|base| base.system == BASELINE && base.scenario == cell.scenario)
        else {
            continue;
        };
        let ratio = |figure: fn(&Figures) -> Option<f64>| {
            maybe(figure(&cell.figures).zip(figure(&base.figures)).map(|(a, b)| a / b), times)
        };
        table.add_row([
            cell.scenario.to_owned(),
            cell.system.to_owned(),
            ratio(|figures| figures.ops_per_s),
            ratio(|figures| figures.p50_us),
            ratio(|figures| figures.p99_us),
            ratio(|figures| figures.cpu_us_per_op),
            ratio(|figures| figures.rss_mb),
            ratio(|figures| figures.idle_kb),
        ]);
    }
    (!table.is_empty()).then_some(table)
}

/// What came of the goals; those that nothing of this run is about are left out.
fn goals(verdicts: &[Verdict]) -> Option<Table> {
    let mut table = empty(&["", "goal"], &["measured", ""]);
    for Verdict { scenario, goal, reached } in verdicts {
        if let Some((value, enough)) = *reached {
            let verdict = if enough { "reached" } else { "NOT REACHED" };
            table.add_row([*scenario, goal, &amount(value), verdict]);
        }
    }
    (!table.is_empty()).then_some(table)
}

/// Figures that few cells have, a line each.
fn remarks(cells: &[Cell]) -> Vec<String> {
    let mut lines = Vec::new();
    for Cell { system, scenario, figures, delivery } in cells {
        let mut remark = |text: String| lines.push(format!("{scenario} {system}: {text}"));
        if let Some(delivery) = delivery {
            remark(format!(
                "received {} of {} sent, {} order breaks",
                delivery.received, delivery.sent, delivery.order_breaks
            ));
        }
        if let Some((sender, receiver)) = figures.sender_growth_mb.zip(figures.receiver_growth_mb) {
            let (sender, receiver) = (amount(sender), amount(receiver));
            remark(format!("the sender grew by {sender} MB, the receiver by {receiver} MB"));
        }
        if let Some(bulk) = figures.bulk_mb_per_s {
            remark(format!("the other stream moved {} MB/s", amount(bulk)));
        }
        if let Some(idle) = figures.idle_kb {
            remark(format!("{} KB each", amount(idle)));
        }
    }
    lines
}

fn titles(cells: &[Cell]) -> impl Iterator<Item = String> {
    SCENARIOS
        .iter()
        .filter(|scenario| cells.iter().any(|cell| cell.scenario == scenario.id))
        .map(|scenario| format!("{}: {}", scenario.id, scenario.title))
}

/// A table of texts on the left and numbers on the right.
fn empty(texts: &[&str; 2], numbers: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header([texts, numbers].concat());
    for column in table.column_iter_mut().skip(texts.len()) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn maybe(value: Option<f64>, show: fn(f64) -> String) -> String {
    value.map_or_else(|| NONE.to_owned(), show)
}

pub(crate) fn rate(value: f64) -> String {
    match value {
        1e6.. => format!("{:.2}M", value / 1e6),
        1e3.. => format!("{:.1}k", value / 1e3),
        _ => format!("{value:.0}"),
    }
}

/// Three digits that mean something.
pub(crate) fn amount(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn times(ratio: f64) -> String {
    format!("{}x", amount(ratio))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Delivery;

    fn cell(system: &'static str, ops_per_s: f64, p50_us: Option<f64>) -> Cell {
        let figures = Figures { ops_per_s: Some(ops_per_s), p50_us, ..Figures::default() };
        Cell { system, scenario: "S2", figures, delivery: None }
    }

    #[test]
    fn figures_are_short() {
        assert_eq!([rate(23_990_000.0), rate(806_100.0), rate(12.3)], ["23.99M", "806.1k", "12"]);
        assert_eq!(
            [amount(577.4), amount(57.75), amount(0.162), amount(-12.34)],
            ["577", "57.8", "0.16", "-12.3"]
        );
    }

    #[test]
    fn ratios_relate_to_the_baseline_of_the_same_scenario() {
        let cells = [cell(BASELINE, 200.0, Some(10.0)), cell("other", 50.0, Some(25.0))];
        let table = ratios(&cells).unwrap().to_string();
        assert!(table.contains("0.25x") && table.contains("2.50x") && !table.contains(BASELINE), "{table}");
        assert!(ratios(&cells[1..]).is_none());
    }

    #[test]
    fn a_goal_is_shown_when_it_was_measured() {
        let cells = [cell(BASELINE, 200.0, None), cell("qmesh", 150.0, None)];
        let table = goals(&goals::judge(&cells)).unwrap().to_string();
        assert!(table.contains("0.75") && table.contains("NOT REACHED"), "{table}");
        assert!(!table.contains("tarpc"), "{table}");
        assert!(goals(&goals::judge(&cells[1..])).is_none());
    }

    #[test]
    fn losses_and_disorder_are_told() {
        let delivery = Delivery { sent: 10, received: 9, order_breaks: 2 };
        let cells = [Cell { delivery: Some(delivery), ..cell("other", 1.0, None) }];
        assert_eq!(remarks(&cells), ["S2 other: received 9 of 10 sent, 2 order breaks"]);
    }

    #[test]
    fn a_cell_is_one_flat_json_object() {
        let keys = |cell: &Cell| {
            let json = serde_json::to_value(cell).unwrap();
            assert!(json["p50_us"].is_null());
            let mut keys: Vec<_> = json.as_object().unwrap().keys().cloned().collect();
            keys.sort_unstable();
            keys.join(" ")
        };
        let plain = "cpu_us_per_op mb_per_s ops_per_s p50_us p999_us p99_us rss_mb scenario system";
        assert_eq!(keys(&cell("other", 1.0, None)), plain);
        let sent = Cell { delivery: Some(Delivery::default()), ..cell("other", 1.0, None) };
        let sent = keys(&sent);
        assert!(["sent", "received", "order_breaks"].iter().all(|key| sent.contains(key)), "{sent}");
    }
}
