//! The screen of `qmesh top`.

use ratatui::{
    Frame,
    layout::{Alignment, Constraint, Layout, Rect},
    style::{Color, Modifier, Style, Stylize as _},
    text::{Line, Span},
    widgets::{Block, BorderType, Cell, Clear, Paragraph, Row, Table as Widget, TableState},
};

use crate::{
    text,
    top::{
        columns::{self, Column, Listed, Tone},
        look::{self, HISTORY_MAX, Inside, Look, Pane, Table},
        model::{EndpointRow, NodeRow, ServiceRow, Snapshot},
    },
};

/// Below so many lines, or columns, there is room for one table alone.
const LINES_FOR_ALL: u16 = 24;
const COLUMNS_FOR_TWO: u16 = 120;
/// What the trend takes.
const TREND: u16 = 12;

/// A mesh is drawn.
pub(crate) fn draw(frame: &mut Frame<'_>, look: &Look, snapshot: &Snapshot) {
    let deadlocks = u16::try_from(snapshot.deadlocks.len().min(3)).unwrap_or(0);
    let [head, alarm, body, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(deadlocks),
        Constraint::Min(3),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    draw_head(frame, head, look, snapshot);
    draw_deadlocks(frame, alarm, snapshot);
    match &look.inside {
        Some(Inside::Service(name)) => draw_service(frame, body, name, snapshot),
        Some(Inside::Node(name)) => draw_node(frame, body, name, snapshot),
        None => draw_tables(frame, body, look, snapshot),
    }
    draw_foot(frame, foot, look);
    if look.shows_help {
        draw_help(frame);
    }
}

fn draw_head(frame: &mut Frame<'_>, area: Rect, look: &Look, snapshot: &Snapshot) {
    let dot = || Span::from(" · ").dim();
    let mut line = vec![
        Span::from(" qmesh top ").bold().reversed(),
        Span::from(format!(" {}", text::count(snapshot.nodes.len(), "node"))),
        dot(),
        Span::from(text::count(snapshot.services.len(), "service")),
        dot(),
        Span::from(format!("{} calls/s", columns::rate(snapshot.rate))).bold(),
        dot(),
        if snapshot.errors > 0.0 {
            Span::from(format!("{} errors", columns::percent(snapshot.errors))).style(tone(Tone::Bad))
        } else {
            Span::from("no errors").style(tone(Tone::Good))
        },
    ];
    if look.is_paused {
        line.extend([dot(), Span::from("paused").style(tone(Tone::Odd)).bold()]);
    }
    match &look.trouble {
        Some(trouble) => line.extend([dot(), Span::from(trouble.as_str()).style(tone(Tone::Bad))]),
        None => line.extend([dot(), Span::from(format!("through {}", snapshot.asked)).dim()]),
    }
    frame.render_widget(Line::from(line), area);
}

fn draw_deadlocks(frame: &mut Frame<'_>, area: Rect, snapshot: &Snapshot) {
    let lines = snapshot.deadlocks.iter().take(usize::from(area.height)).map(|deadlock| {
        let mut line = vec![Span::from(" DEADLOCK ").bold().white().on_red(), Span::from(" ")];
        for (node, wait) in &deadlock.circle {
            line.push(Span::from(format!("{}/{}", wait.from, wait.handler)).bold());
            line.push(Span::from(format!(" on {node} → ")));
        }
        if let Some((_, first)) = deadlock.circle.first() {
            line.push(Span::from(first.from.as_str()).bold());
        }
        line.push(Span::from(format!("  for {}", text::duration_ms(deadlock.for_ms))));
        if deadlock.held_up > 0 {
            line.push(Span::from(format!(", {} more calls wait", deadlock.held_up)));
        }
        Line::from(line).style(tone(Tone::Bad))
    });
    frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()), area);
}

fn draw_tables(frame: &mut Frame<'_>, area: Rect, look: &Look, snapshot: &Snapshot) {
    if area.height < LINES_FOR_ALL {
        return draw_pane(frame, area, look, snapshot, look.pane);
    }
    let wanted = u16::try_from(snapshot.services.len()).unwrap_or(u16::MAX).saturating_add(4);
    let top = wanted.clamp(8, area.height / 2);
    let [services, below] = Layout::vertical([Constraint::Length(top), Constraint::Min(8)]).areas(area);
    draw_pane(frame, services, look, snapshot, Pane::Services);
    let [nodes, edges] = if area.width >= COLUMNS_FOR_TWO {
        Layout::horizontal([Constraint::Percentage(38), Constraint::Percentage(62)]).areas(below)
    } else {
        let wanted = u16::try_from(snapshot.nodes.len()).unwrap_or(u16::MAX).saturating_add(3);
        let nodes = wanted.clamp(5, below.height / 2);
        Layout::vertical([Constraint::Length(nodes), Constraint::Min(5)]).areas(below)
    };
    draw_pane(frame, nodes, look, snapshot, Pane::Nodes);
    draw_pane(frame, edges, look, snapshot, Pane::Edges);
}

fn draw_pane(frame: &mut Frame<'_>, area: Rect, look: &Look, snapshot: &Snapshot, pane: Pane) {
    let is_alone = area.height == frame.area().height.saturating_sub(2);
    let focus = if pane == look.pane { Focus::Here } else { Focus::Elsewhere };
    let title = |name: &str, number: u8, shown: usize, all: usize| {
        let of = if shown == all { all.to_string() } else { format!("{shown} of {all}") };
        let others = if is_alone { "  (Tab: the other tables)" } else { "" };
        format!(" {number} {name} {of}{others} ")
    };
    match pane {
        Pane::Services => {
            let rows = look.rows(pane, &snapshot.services);
            let title = title("services", 1, rows.len(), snapshot.services.len());
            let trend = |row: &ServiceRow| look.history.get(&row.service).map(trend);
            draw_table(frame, area, &title, (&rows, look.table(pane), focus), Some(&trend));
        }
        Pane::Nodes => {
            let rows = look.rows(pane, &snapshot.nodes);
            let title = title("nodes", 2, rows.len(), snapshot.nodes.len());
            draw_table(frame, area, &title, (&rows, look.table(pane), focus), None);
        }
        Pane::Edges => {
            let rows = look.rows(pane, &snapshot.edges);
            let title = title("who calls whom", 3, rows.len(), snapshot.edges.len());
            draw_table(frame, area, &title, (&rows, look.table(pane), focus), None);
        }
    }
}

/// Whether the keys mean a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Focus {
    Here,
    Elsewhere,
    /// They mean none.
    Nowhere,
}

type Trend<'a, R> = &'a dyn Fn(&R) -> Option<String>;

fn draw_table<R: Listed>(
    frame: &mut Frame<'_>,
    area: Rect,
    title: &str,
    (rows, table, focus): (&[&R], &Table, Focus),
    trend: Option<Trend<'_, R>>,
) {
    let is_here = focus == Focus::Here;
    let border = if is_here { Style::new().cyan() } else { Style::new().dim() };
    let title = Span::from(title.to_owned()).style(if is_here { Style::new().bold() } else { Style::new() });
    let block = Block::bordered().border_type(BorderType::Rounded).border_style(border).title(title);
    let room = block.inner(area).width;
    let shown = fitting::<R>(room);
    let used: u16 = shown.iter().map(|(_, column)| column.width + 1).sum();
    let trend = trend.filter(|_| room.saturating_sub(used) >= TREND + 16);
    let mut widths: Vec<_> = shown.iter().map(|(_, column)| width(column)).collect();
    let mut head: Vec<_> = shown
        .iter()
        .map(|(at, column)| {
            let arrow = if *at != table.sort || focus == Focus::Nowhere {
                ""
            } else if table.is_reversed {
                "▲"
            } else {
                "▼"
            };
            let name = Line::from(format!("{}{arrow}", column.title));
            Cell::from(if column.is_number { name.alignment(Alignment::Right) } else { name })
        })
        .collect();
    if trend.is_some() {
        widths.push(Constraint::Length(TREND));
        head.push(Cell::from("TREND"));
    }
    let lines = rows.iter().map(|row| {
        let mut cells: Vec<_> = shown.iter().map(|(_, column)| cell(column, row)).collect();
        if let Some(trend) = trend {
            cells.push(Cell::from(trend(row).unwrap_or_default()).style(Style::new().cyan()));
        }
        Row::new(cells)
    });
    let selected = rows.iter().position(|row| row.key() == table.selected).unwrap_or(0);
    let mut state = TableState::new();
    if is_here && !rows.is_empty() {
        state.select(Some(selected));
    }
    let widget = Widget::new(lines, widths)
        .header(Row::new(head).style(Style::new().dim()))
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED))
        .block(block);
    frame.render_stateful_widget(widget, area, &mut state);
}

/// The columns for which there is room: those that can be spared go first.
fn fitting<R: Listed>(room: u16) -> Vec<(usize, &'static Column<R>)> {
    let mut shown: Vec<_> = R::COLUMNS.iter().enumerate().collect();
    while shown.iter().map(|(_, column)| column.width + 1).sum::<u16>() > room + 1 {
        let least = shown.iter().enumerate().max_by_key(|(at, (_, column))| (column.spare, *at));
        match least {
            Some((at, (_, column))) if column.spare > 0 => drop(shown.remove(at)),
            _ => break,
        }
    }
    shown
}

const fn width<R>(column: &Column<R>) -> Constraint {
    if column.is_number { Constraint::Length(column.width) } else { Constraint::Min(column.width) }
}

fn cell<R>(column: &Column<R>, row: &R) -> Cell<'static> {
    let line = Line::from((column.text)(row));
    let line = if column.is_number { line.alignment(Alignment::Right) } else { line };
    Cell::from(line).style(tone((column.tone)(row)))
}

const fn tone(tone: Tone) -> Style {
    match tone {
        Tone::Plain => Style::new(),
        Tone::Good => Style::new().fg(Color::Green),
        Tone::Odd => Style::new().fg(Color::Yellow),
        Tone::Bad => Style::new().fg(Color::Red),
        Tone::Faint => Style::new().add_modifier(Modifier::DIM),
    }
}

/// Rates as bars, the newest at the right, the highest of them as the full height.
fn trend<'a>(rates: impl IntoIterator<Item = &'a f64>) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let rates: Vec<_> = rates.into_iter().copied().collect();
    let rates = &rates[rates.len().saturating_sub(usize::from(TREND).min(HISTORY_MAX))..];
    let highest = rates.iter().copied().fold(0.0, f64::max);
    let bar = |rate: &f64| {
        let eighth =
            (1..8_u8).rev().find(|eighth| *rate >= highest * f64::from(*eighth) / 8.0 && highest > 0.0);
        BARS[usize::from(eighth.unwrap_or(0))]
    };
    rates.iter().map(bar).collect()
}

/// What is to be known of one service.
fn draw_service(frame: &mut Frame<'_>, area: Rect, name: &str, snapshot: &Snapshot) {
    let Some(row) = snapshot.services.iter().find(|row| row.service == name) else {
        return draw_gone(frame, area, &format!("{name} is served nowhere, and nobody calls it"));
    };
    let lines =
        |count: usize| u16::try_from(count).unwrap_or(u16::MAX).saturating_add(3).min(area.height / 3);
    let [endpoints, methods, callers] = Layout::vertical([
        Constraint::Length(lines(row.endpoints.len())),
        Constraint::Length(lines(row.methods.len())),
        Constraint::Min(4),
    ])
    .areas(area);
    draw_list(frame, endpoints, &format!(" {name}: where it is served "), &row.endpoints, 0);
    draw_list(frame, methods, " methods ", &row.methods, 1);
    draw_list(frame, callers, " callers ", &row.callers, 2);
}

/// What is to be known of one node.
fn draw_node(frame: &mut Frame<'_>, area: Rect, name: &str, snapshot: &Snapshot) {
    let Some(row) = snapshot.nodes.iter().find(|row| row.node == name) else {
        return draw_gone(frame, area, &format!("there is no node {name} any more"));
    };
    let NodeRow { silent, sessions, .. } = row;
    if let Some(why) = silent {
        return draw_gone(frame, area, &format!("{name} tells nothing of itself: {why}"));
    }
    let served = snapshot.services.iter().flat_map(|service| &service.endpoints);
    let served: Vec<EndpointRow> = served.filter(|endpoint| endpoint.node == name).cloned().collect();
    let lines = u16::try_from(served.len()).unwrap_or(u16::MAX).saturating_add(3).min(area.height / 2);
    let [services, below] = Layout::vertical([Constraint::Length(lines), Constraint::Min(4)]).areas(area);
    draw_list(frame, services, &format!(" {name}: what it serves "), &served, 1);
    draw_list(frame, below, " sessions ", sessions, 0);
}

fn draw_list<R: Listed>(frame: &mut Frame<'_>, area: Rect, title: &str, rows: &[R], sort: usize) {
    let table = Table { sort, ..Table::default() };
    let mut rows: Vec<_> = rows.iter().collect();
    look::sort(&mut rows, &table);
    draw_table(frame, area, title, (&rows, &table, Focus::Nowhere), None);
}

fn draw_gone(frame: &mut Frame<'_>, area: Rect, why: &str) {
    let block = Block::bordered().border_type(BorderType::Rounded).border_style(Style::new().dim());
    frame.render_widget(Paragraph::new(why.to_owned()).style(tone(Tone::Odd)).block(block), area);
}

fn draw_foot(frame: &mut Frame<'_>, area: Rect, look: &Look) {
    let key = |key: &'static str, what: &'static str| [Span::from(key).bold().cyan(), Span::from(what).dim()];
    let line = if look.types {
        vec![Span::from(" /").bold(), Span::from(look.filter.as_str()), Span::from("▏").bold()]
    } else if look.inside.is_some() {
        [key(" esc", " back  "), key("space", " pause  "), key("?", " help  "), key("q", " quit")].concat()
    } else {
        let mut line = [
            key(" ↑↓", " select  "),
            key("enter", " look into  "),
            key("tab", " next table  "),
            key("s", " sort  "),
            key("/", " filter  "),
            key("?", " help  "),
            key("q", " quit"),
        ]
        .concat();
        if !look.filter.is_empty() {
            line.insert(0, Span::from(format!(" /{} ", look.filter)).style(tone(Tone::Odd)).bold());
        }
        line
    };
    frame.render_widget(Line::from(line), area);
}

const HELP: [(&str, &str); 15] = [
    ("1 2 3, tab", "services, nodes, who calls whom"),
    ("↑ ↓, j k", "select a row"),
    ("enter", "methods and callers of a service, sessions of a node"),
    ("esc", "back; forget the filter"),
    ("s, r", "sort by the next column; the other way round"),
    ("/", "show what holds a text"),
    ("space", "stand still"),
    ("q", "quit"),
    ("", ""),
    ("CALLS/S", "calls that ended in the last second"),
    ("ERRORS", "of them, the share that did not end well"),
    ("P50, P99", "half of them, 99 % of them took no longer"),
    ("OPEN", "calls that wait or run"),
    ("OLDEST", "how long the oldest call in a queue waits"),
    ("TRIP", "the slowest round trip to another node"),
];

fn draw_help(frame: &mut Frame<'_>) {
    let screen = frame.area();
    let lines = u16::try_from(HELP.len()).unwrap_or(u16::MAX).saturating_add(2);
    let (width, height) = (70.min(screen.width), lines.min(screen.height));
    let area = Rect { x: (screen.width - width) / 2, y: (screen.height - height) / 2, width, height };
    let lines = HELP.map(|(key, what)| {
        Line::from(vec![Span::from(format!(" {key:<12}")).bold().cyan(), Span::from(what)])
    });
    let block = Block::bordered().border_type(BorderType::Rounded).title(" keys and columns ".bold());
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(lines.to_vec()).block(block), area);
}

#[cfg(test)]
mod tests;
