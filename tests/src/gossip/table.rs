//! The figures as a table of Markdown.

use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};

use super::{Figures, protocol_name};

/// One line for each mesh.
#[must_use]
pub fn table(all: &[Figures]) -> String {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header([
        "protocol",
        "interval",
        "nodes",
        "KB/s per node",
        "messages/s per node",
        "CPU ms/s per node",
        "join s",
        "kill s",
        "false alarms",
    ]);
    for column in table.column_iter_mut() {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for figures in all {
        table.add_row([
            protocol_name(figures.shape.protocol).to_owned(),
            format!("{} ms", figures.interval_ms),
            figures.shape.nodes.to_string(),
            format!("{:.2}", figures.bytes_per_node_s / 1e3),
            format!("{:.0}", figures.messages_per_node_s),
            format!("{:.2}", figures.cpu_us_per_node_s / 1e3),
            format!("{:.2}", figures.join_s),
            format!("{:.2}", figures.kill_s),
            figures.changes_at_rest.to_string(),
        ]);
    }
    table.to_string()
}
