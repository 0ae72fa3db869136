//! How the outcome is shown: a table of figures, a table of ratios, and what became of one-way messages.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    thread,
};

use anyhow::Result;
use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};

use crate::{args::Compare, compare::Cell, sample::Figures, scenarios::SCENARIOS, systems::BASELINE};

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
    for line in deliveries(cells).chain(titles(cells)) {
        let _infallible = write!(text, "\n{line}");
    }
    text
}

/// Prints on the standard output.
pub(crate) fn print(text: &str) -> Result<()> {
    Ok(writeln!(io::stdout(), "{text}")?)
}

fn figures(cells: &[Cell]) -> Table {
    let mut table = empty(&["ops/s", "p50 µs", "p99 µs", "p999 µs", "MB/s", "CPU µs/op", "RSS MB"]);
    for Cell { system, scenario, figures, .. } in cells {
        table.add_row([
            (*scenario).to_owned(),
            (*system).to_owned(),
            rate(figures.ops_per_s),
            maybe(figures.p50_us, amount),
            maybe(figures.p99_us, amount),
            maybe(figures.p999_us, amount),
            amount(figures.mb_per_s),
            amount(figures.cpu_us_per_op),
            amount(figures.rss_mb),
        ]);
    }
    table
}

/// Every cell's figures divided by the baseline's in the same scenario; none if nothing can be related.
fn ratios(cells: &[Cell]) -> Option<Table> {
    let mut table = empty(&["ops/s", "p50", "p99", "CPU/op", "RSS"]);
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
            ratio(|figures| Some(figures.ops_per_s)),
            ratio(|figures| figures.p50_us),
            ratio(|figures| figures.p99_us),
            ratio(|figures| Some(figures.cpu_us_per_op)),
            ratio(|figures| Some(figures.rss_mb)),
        ]);
    }
    (!table.is_empty()).then_some(table)
}

fn deliveries(cells: &[Cell]) -> impl Iterator<Item = String> {
    cells.iter().filter_map(|cell| {
        let delivery = cell.delivery?;
        Some(format!(
            "{} {}: received {} of {} sent, {} order breaks",
            cell.scenario, cell.system, delivery.received, delivery.sent, delivery.order_breaks
        ))
    })
}

fn titles(cells: &[Cell]) -> impl Iterator<Item = String> {
    SCENARIOS
        .iter()
        .filter(|scenario| cells.iter().any(|cell| cell.scenario == scenario.id))
        .map(|scenario| format!("{}: {}", scenario.id, scenario.title))
}

fn empty(columns: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header([&["", "system"], columns].concat());
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn maybe(value: Option<f64>, show: fn(f64) -> String) -> String {
    value.map_or_else(|| NONE.to_owned(), show)
}

fn rate(value: f64) -> String {
    match value {
        1e6.. => format!("{:.2}M", value / 1e6),
        1e3.. => format!("{:.1}k", value / 1e3),
        _ => format!("{value:.0}"),
    }
}

/// Three digits that mean something.
fn amount(value: f64) -> String {
    match value {
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
        let figures = Figures {
            ops_per_s,
            p50_us,
            p99_us: None,
            p999_us: None,
            mb_per_s: 1.0,
            cpu_us_per_op: 2.0,
            rss_mb: 3.0,
        };
        Cell { system, scenario: "S2", figures, delivery: None }
    }

    #[test]
    fn figures_are_short() {
        assert_eq!([rate(23_990_000.0), rate(806_100.0), rate(12.3)], ["23.99M", "806.1k", "12"]);
        assert_eq!([amount(577.4), amount(57.75), amount(0.162)], ["577", "57.8", "0.16"]);
    }

    #[test]
    fn ratios_relate_to_the_baseline_of_the_same_scenario() {
        let cells = [cell(BASELINE, 200.0, Some(10.0)), cell("other", 50.0, Some(25.0))];
        let table = ratios(&cells).unwrap().to_string();
        assert!(table.contains("0.25x") && table.contains("2.50x") && !table.contains(BASELINE), "{table}");
        assert!(ratios(&cells[1..]).is_none());
    }

    #[test]
    fn losses_and_disorder_are_told() {
        let delivery = Delivery { sent: 10, received: 9, order_breaks: 2 };
        let cells = [Cell { delivery: Some(delivery), ..cell("other", 1.0, None) }];
        assert_eq!(
            deliveries(&cells).collect::<Vec<_>>(),
            ["S2 other: received 9 of 10 sent, 2 order breaks"]
        );
    }

    #[test]
    fn a_cell_is_one_flat_json_object() {
        let json = serde_json::to_value(cell("other", 1.0, None)).unwrap();
        let mut keys: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
        keys.sort_unstable();
        let expected = "cpu_us_per_op mb_per_s ops_per_s p50_us p999_us p99_us rss_mb scenario system";
        assert_eq!(keys.join(" "), expected);
        assert!(json["p50_us"].is_null());
    }
}
