//! How somebody looks at a mesh: which table, sorted by what, filtered, how deep. Keys change it, and nothing else.

use std::collections::{HashMap, VecDeque};

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::top::{
    columns::{Listed, Order},
    model::{EdgeRow, NodeRow, ServiceRow, Snapshot},
};

/// What a table has beside its rows.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    /// The column that it is sorted by.
    pub(super) sort: usize,
    pub(super) is_reversed: bool,
    /// The row that the keys mean, by its key: it stays when others move.
    pub(super) selected: String,
}

/// The tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Pane {
    #[default]
    Services = 0,
    Nodes = 1,
    Edges = 2,
}

/// A row that is looked into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Inside {
    Service(String),
    Node(String),
}

/// How somebody looks.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    pub(super) pane: Pane,
    pub(super) tables: [Table; 3],
    pub(super) filter: String,
    /// The filter is being typed.
    pub(super) types: bool,
    pub(super) inside: Option<Inside>,
    pub(super) shows_help: bool,
    pub(super) is_paused: bool,
    /// What went wrong last, until something goes well.
    pub(super) trouble: Option<String>,
    /// The rates of each service of late.
    pub(super) history: HashMap<String, VecDeque<f64>>,
}

/// What the keys ask for beyond the look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Stay,
    Quit,
}

/// How many rates of a service are kept: what the trend shows at most.
pub(super) const HISTORY_MAX: usize = 24;

const PANES: [Pane; 3] = [Pane::Services, Pane::Nodes, Pane::Edges];

impl Look {
    /// The services by their rate, the nodes by their name, the edges by their rate.
    pub(crate) fn new() -> Self {
        let by = |sort| Table { sort, ..Table::default() };
        Self {
            pane: Pane::Services,
            tables: [by(1), by(0), by(4)],
            filter: String::new(),
            types: false,
            inside: None,
            shows_help: false,
            is_paused: false,
            trouble: None,
            history: HashMap::new(),
        }
    }

    pub(crate) const fn is_paused(&self) -> bool {
        self.is_paused
    }

    /// There is news.
    pub(crate) fn saw(&mut self, snapshot: &Snapshot) {
        self.trouble = None;
        self.history.retain(|service, _| snapshot.services.iter().any(|row| row.service == *service));
        for row in &snapshot.services {
            let rates = self.history.entry(row.service.clone()).or_default();
            rates.push_back(row.calls.rate);
            if rates.len() > HISTORY_MAX {
                rates.pop_front();
            }
        }
    }

    /// There is none, and why.
    pub(crate) fn missed(&mut self, why: String) {
        self.trouble = Some(why);
    }

    /// A key was pressed.
    pub(crate) fn press(&mut self, key: KeyEvent, snapshot: &Snapshot) -> Wish {
        if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
            return Wish::Quit;
        }
        if self.types {
            self.type_filter(key.code);
            return Wish::Stay;
        }
        if std::mem::take(&mut self.shows_help) {
            return Wish::Stay;
        }
        match key.code {
            KeyCode::Char('q') => return Wish::Quit,
            KeyCode::Char('?' | 'h') => self.shows_help = true,
            KeyCode::Char('/') => self.types = true,
            KeyCode::Char(' ' | 'p') => self.is_paused = !self.is_paused,
            KeyCode::Esc | KeyCode::Backspace if self.inside.is_some() => self.inside = None,
            KeyCode::Esc => self.filter.clear(),
            _ if self.inside.is_some() => {}
            KeyCode::Enter => self.inside = self.row_inside(snapshot),
            KeyCode::Tab | KeyCode::Right | KeyCode::Char('l') => self.turn(1),
            KeyCode::BackTab | KeyCode::Left => self.turn(PANES.len() - 1),
            KeyCode::Char('1') => self.pane = Pane::Services,
            KeyCode::Char('2') => self.pane = Pane::Nodes,
            KeyCode::Char('3') => self.pane = Pane::Edges,
            KeyCode::Char('s') => self.sort_by_next(),
            KeyCode::Char('r') => {
                let table = self.table_mut();
                table.is_reversed = !table.is_reversed;
            }
            KeyCode::Down | KeyCode::Char('j') => self.select(snapshot, 1),
            KeyCode::Up | KeyCode::Char('k') => self.select(snapshot, -1),
            KeyCode::PageDown => self.select(snapshot, 10),
            KeyCode::PageUp => self.select(snapshot, -10),
            KeyCode::Home | KeyCode::Char('g') => self.select(snapshot, isize::MIN),
            KeyCode::End | KeyCode::Char('G') => self.select(snapshot, isize::MAX),
            _ => {}
        }
        Wish::Stay
    }

    fn type_filter(&mut self, key: KeyCode) {
        match key {
            KeyCode::Enter => self.types = false,
            KeyCode::Esc => {
                self.types = false;
                self.filter.clear();
            }
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Char(letter) => self.filter.push(letter),
            _ => {}
        }
    }

    fn turn(&mut self, by: usize) {
        self.pane = PANES[(self.pane as usize + by) % PANES.len()];
    }

    pub(super) const fn table(&self, pane: Pane) -> &Table {
        &self.tables[pane as usize]
    }

    const fn table_mut(&mut self) -> &mut Table {
        &mut self.tables[self.pane as usize]
    }

    fn sort_by_next(&mut self) {
        let columns = match self.pane {
            Pane::Services => ServiceRow::COLUMNS.len(),
            Pane::Nodes => NodeRow::COLUMNS.len(),
            Pane::Edges => EdgeRow::COLUMNS.len(),
        };
        let table = self.table_mut();
        table.sort = (table.sort + 1) % columns;
        table.is_reversed = false;
    }

    /// The rows of a table that the filter lets through, in order.
    pub(super) fn rows<'a, R: Listed>(&self, pane: Pane, rows: &'a [R]) -> Vec<&'a R> {
        let filter = self.filter.to_lowercase();
        let passes = |row: &&R| row.key().to_lowercase().contains(&filter);
        let mut rows: Vec<_> = rows.iter().filter(passes).collect();
        sort(&mut rows, self.table(pane));
        rows
    }

    fn keys(&self, snapshot: &Snapshot) -> Vec<String> {
        fn keys<R: Listed>(rows: &[&R]) -> Vec<String> {
            rows.iter().map(|row| row.key()).collect()
        }
        match self.pane {
            Pane::Services => keys(&self.rows(self.pane, &snapshot.services)),
            Pane::Nodes => keys(&self.rows(self.pane, &snapshot.nodes)),
            Pane::Edges => keys(&self.rows(self.pane, &snapshot.edges)),
        }
    }

    fn select(&mut self, snapshot: &Snapshot, by: isize) {
        let keys = self.keys(snapshot);
        let at = keys.iter().position(|key| *key == self.table(self.pane).selected).unwrap_or(0);
        let to = at.saturating_add_signed(by).min(keys.len().saturating_sub(1));
        if let Some(key) = keys.into_iter().nth(to) {
            self.table_mut().selected = key;
        }
    }

    /// What is inside of the row that the keys mean: of an edge, the service that is called.
    fn row_inside(&self, snapshot: &Snapshot) -> Option<Inside> {
        let keys = self.keys(snapshot);
        let selected = &self.table(self.pane).selected;
        let key = keys.iter().find(|key| *key == selected).or_else(|| keys.first())?;
        match self.pane {
            Pane::Services => Some(Inside::Service(key.clone())),
            Pane::Nodes => Some(Inside::Node(key.clone())),
            Pane::Edges => {
                let edge = snapshot.edges.iter().find(|edge| edge.key() == *key)?;
                Some(Inside::Service(edge.service.clone()))
            }
        }
    }
}

/// Numbers begin with the largest, names with the first.
pub(super) fn sort<R: Listed>(rows: &mut [&R], table: &Table) {
    let Some(column) = R::COLUMNS.get(table.sort) else { return };
    rows.sort_by(|one, other| {
        let ordering = match ((column.order)(one), (column.order)(other)) {
            (Order::Number(one), Order::Number(other)) => other.total_cmp(&one),
            (Order::Name(one), Order::Name(other)) => one.cmp(&other),
            (Order::Number(_), Order::Name(_)) | (Order::Name(_), Order::Number(_)) => {
                std::cmp::Ordering::Equal
            }
        };
        let ordering = if table.is_reversed { ordering.reverse() } else { ordering };
        ordering.then_with(|| one.key().cmp(&other.key()))
    });
}

#[cfg(test)]
pub(super) mod tests;
