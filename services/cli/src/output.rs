//! The only place that prints to standard output.

use std::{
    borrow::Cow,
    env,
    io::{self, IsTerminal, Write},
};

use clap::ValueEnum;
use comfy_table::{Attribute, Cell, Color, ContentArrangement, TableStyle};
use serde::Serialize;
use tokio::io::AsyncWriteExt as _;

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// How a cell looks, where colours are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shade {
    Plain,
    /// What the row is about.
    Name,
    /// All is well.
    Good,
    /// Somebody should look.
    Odd,
    /// Something is broken.
    Bad,
    /// What most people skip.
    Faint,
}

/// Rows under headings; a column without any content is left out.
#[derive(Debug, Default)]
pub(crate) struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<(String, Shade)>>,
}

/// Prints a line.
///
/// # Errors
/// Standard output cannot be written to. A reader that went away, such as `head`, is no error.
pub(crate) fn line(text: impl AsRef<str>) -> io::Result<()> {
    bytes(format!("{}\n", harmless(text.as_ref())).as_bytes())
}

/// A text without what would do more to a terminal than colour it: other nodes' words are in it.
fn harmless(text: &str) -> Cow<'_, str> {
    const ESCAPE: char = '\u{1b}';
    let is_plain = |c: char| !c.is_control() || c == '\n' || c == '\t';
    if text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut parts = text.split(ESCAPE);
    let mut plain: String = parts.next().unwrap_or_default().chars().filter(|c| is_plain(*c)).collect();
    for part in parts {
        let code = part
            .strip_prefix('[')
            .map(|code| code.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';'));
        if code.is_some_and(|rest| rest.starts_with('m')) {
            plain.push(ESCAPE);
        }
        plain.extend(part.chars().filter(|c| is_plain(*c)));
    }
    Cow::Owned(plain)
}

/// Prints a value as one line of JSON.
///
/// # Errors
/// As [`line`].
pub(crate) fn json(value: &impl Serialize) -> io::Result<()> {
    line(serde_json::to_string(value)?)
}

/// Prints what is finished already.
///
/// # Errors
/// As [`line`].
pub(crate) fn bytes(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Prints what comes bit by bit: whoever reads it slowly holds up the one who prints, and nobody else.
#[derive(Debug)]
pub(crate) struct Printer(tokio::io::Stdout);

/// A text in bold, on a terminal.
pub(crate) fn bold(text: &str) -> String {
    shaded(text, Shade::Name)
}

/// A text that most people skip, on a terminal.
pub(crate) fn faint(text: &str) -> String {
    shaded(text, Shade::Faint)
}

/// A text in a shade, on a terminal.
pub(crate) fn shaded(text: &str, shade: Shade) -> String {
    coloured(text, shade, has_colours(&io::stdout()))
}

/// The word that begins an error, on standard error.
pub(crate) fn alarm(text: &str) -> String {
    styled(text, "1;31", has_colours(&io::stderr()))
}

/// Whether a stream wants colours: a terminal does, unless `NO_COLOR` is set.
pub(crate) fn has_colours(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && env::var_os("NO_COLOR").is_none_or(|set| set.is_empty())
}

/// A text in a shade, where colours are wanted.
pub(crate) fn coloured(text: &str, shade: Shade, colours: bool) -> String {
    let code = match shade {
        Shade::Plain => return text.to_owned(),
        Shade::Name => "1",
        Shade::Good => "32",
        Shade::Odd => "33",
        Shade::Bad => "31",
        Shade::Faint => "2",
    };
    styled(text, code, colours)
}

fn styled(text: &str, code: &str, wanted: bool) -> String {
    if wanted { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
}

// === impl Printer ===

impl Printer {
    pub(crate) fn new() -> Self {
        Self(tokio::io::stdout())
    }

    /// Prints a value as one line of JSON; `false` if the reader went away.
    ///
    /// # Errors
    /// Standard output cannot be written to.
    ///
    /// # Cancel safety
    /// Part of the line may be printed.
    pub(crate) async fn json(&mut self, value: &impl Serialize) -> io::Result<bool> {
        self.line(&serde_json::to_string(value)?).await
    }

    /// Prints a line; `false` if the reader went away.
    ///
    /// # Errors
    /// As [`json`](Self::json).
    ///
    /// # Cancel safety
    /// Part of the line may be printed.
    pub(crate) async fn line(&mut self, line: &str) -> io::Result<bool> {
        let printed = async {
            self.0.write_all(format!("{}\n", harmless(line)).as_bytes()).await?;
            self.0.flush().await
        };
        match printed.await {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            printed => printed.map(|()| true),
        }
    }
}

// === impl Table ===

impl Table {
    pub(crate) fn new(headings: impl IntoIterator<Item = &'static str>) -> Self {
        Self { headings: headings.into_iter().collect(), rows: Vec::new() }
    }

    /// Adds a row; it has as many cells as there are headings.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = (String, Shade)>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Prints it.
    ///
    /// # Errors
    /// As [`line`].
    pub(crate) fn print(&self) -> io::Result<()> {
        line(self.render(has_colours(&io::stdout())))
    }

    fn render(&self, colours: bool) -> String {
        let used = |column: usize| self.rows.iter().any(|row| !row[column].0.is_empty());
        let columns: Vec<usize> = (0..self.headings.len()).filter(|column| used(*column)).collect();
        let mut table = comfy_table::Table::new();
        table.load_style(TableStyle::new()).set_content_arrangement(ContentArrangement::Dynamic);
        let heading = |column: &usize| cell(self.headings[*column], Shade::Faint, colours);
        if self.headings.iter().any(|heading| !heading.is_empty()) {
            table.set_header(columns.iter().map(heading));
        }
        for row in &self.rows {
            table.add_row(columns.iter().map(|column| cell(&row[*column].0, row[*column].1, colours)));
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        table.trim_fmt()
    }
}

fn cell(text: &str, shade: Shade, colours: bool) -> Cell {
    let cell = Cell::new(text);
    match shade {
        _ if !colours => cell,
        Shade::Plain => cell,
        Shade::Name => cell.add_attribute(Attribute::Bold),
        Shade::Good => cell.fg(Color::Green),
        Shade::Odd => cell.fg(Color::Yellow),
        Shade::Bad => cell.fg(Color::Red),
        Shade::Faint => cell.add_attribute(Attribute::Dim),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_leaves_out_columns_without_content() {
        let mut table = Table::new(["NODE", "ZONE", "STATE"]);
        for (name, state) in [("lobby", "ready"), ("b", "gone")] {
            table.row([
                (name.to_owned(), Shade::Name),
                (String::new(), Shade::Plain),
                (state.to_owned(), Shade::Good),
            ]);
        }
        assert_eq!(table.render(false), "NODE   STATE\nlobby  ready\nb      gone");
    }

    #[test]
    fn others_words_do_nothing_to_a_terminal_but_colour_it() {
        assert_eq!(harmless("a\tb\nc"), "a\tb\nc");
        assert_eq!(harmless("\u{1b}[1;31mred\u{1b}[0m"), "\u{1b}[1;31mred\u{1b}[0m");
        assert_eq!(harmless("\u{1b}]0;title\u{7}x\u{1b}[2Jy\u{9b}z\r\u{1b}"), "]0;titlex[2Jyz");
    }

    #[test]
    fn colours_are_for_those_who_want_them() {
        assert_eq!(styled("x", "1", false), "x");
        assert_eq!(styled("x", "1", true), "\u{1b}[1mx\u{1b}[0m");
    }
}
