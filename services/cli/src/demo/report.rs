//! What a run showed: the comparison, and the table at its end.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

use serde::Serialize;

use crate::{
    demo::{
        CAST, NEWCOMER,
        progress::{number, things},
        record,
        run::Outcome,
        words::Counts,
    },
    output::{self, OutputFormat, Shade, Table},
};

/// The figures of a run, as programs get them.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Figures {
    lines: u64,
    calls: usize,
    failed: usize,
    retried: u64,
    executed_twice: usize,
    killed: String,
    answered_by_killed: usize,
    dead_in_directory_ms: u64,
    verified: bool,
}

/// A run, judged.
#[derive(Debug)]
pub(crate) struct Report {
    figures: Figures,
    /// What is in the text, counted in this process.
    expected: Counts,
    in_flight_at_kill: usize,
    took: Duration,
    rows: Vec<Row>,
    /// What is wrong.
    complaints: Vec<String>,
}

/// A service process, by the answers that came from it and by its own record.
#[derive(Debug)]
struct Row {
    name: String,
    answered: BTreeSet<u64>,
    executed: Vec<u64>,
}

impl Report {
    /// Compares the answers with a count done here, and with what the processes recorded.
    pub(crate) fn new(
        outcome: &Outcome,
        expected: Counts,
        retried: u64,
        data: &Path,
        names: &[String],
    ) -> anyhow::Result<Self> {
        let row = |name: &String| {
            let answered = outcome.ledger.answered_by(name).collect();
            Ok(Row { name: name.clone(), answered, executed: record::read(data, name)? })
        };
        let rows: Vec<_> = names.iter().map(row).collect::<anyhow::Result<_>>()?;
        let complaints = complaints(outcome, &expected, &rows);
        let (ledger, kill) = (&outcome.ledger, &outcome.kill);
        let dead_in_directory = kill.gone_after.unwrap_or_default().as_millis();
        let figures = Figures {
            lines: expected.lines,
            calls: ledger.settled(),
            failed: ledger.failures().len(),
            retried,
            executed_twice: executed_twice(&rows),
            killed: kill.name.clone(),
            answered_by_killed: ledger.answered_by(&kill.name).len(),
            dead_in_directory_ms: u64::try_from(dead_in_directory).unwrap_or(u64::MAX),
            verified: complaints.is_empty(),
        };
        let (in_flight_at_kill, took) = (kill.in_flight, outcome.took);
        Ok(Self { figures, expected, in_flight_at_kill, took, rows, complaints })
    }

    /// Whether nothing failed and everything is right.
    pub(crate) const fn holds(&self) -> bool {
        self.figures.verified && self.figures.failed == 0
    }

    /// Prints it. In JSON it is one line.
    ///
    /// # Errors
    /// Standard output cannot be written to.
    pub(crate) fn print(&self, output: OutputFormat) -> anyhow::Result<()> {
        match output {
            OutputFormat::Table => {
                output::line("")?;
                self.processes().print()?;
                output::line("")?;
                self.summary().print()?;
                output::line(format!("\n{}", self.verdict()))?;
            }
            OutputFormat::Json => {
                self.complaints.iter().for_each(|complaint| eprintln!("not verified: {complaint}"));
                output::json(&self.figures)?;
            }
        }
        Ok(())
    }

    fn processes(&self) -> Table {
        let mut table = Table::new(["PROCESS", "ANSWERED", "EXECUTED", "NOTE"]);
        for row in &self.rows {
            let (note, shade) = match row.name.as_str() {
                name if name == self.figures.killed => {
                    (format!("killed with {} in flight", things(self.in_flight_at_kill, "call")), Shade::Bad)
                }
                NEWCOMER => ("started after the kill".to_owned(), Shade::Good),
                name if name == CAST[0] => {
                    ("the seed, the one node that all others knew of".to_owned(), Shade::Faint)
                }
                _ => (String::new(), Shade::Plain),
            };
            let (answered, executed) = (row.answered.len() as u64, row.executed.len() as u64);
            table.row([
                (row.name.clone(), Shade::Name),
                (format!("{:>8}", number(answered)), Shade::Plain),
                (format!("{:>8}", number(executed)), Shade::Plain),
                (note, shade),
            ]);
        }
        table
    }

    fn summary(&self) -> Table {
        let (figures, expected) = (&self.figures, &self.expected);
        let (word, times) = expected.most_frequent().unwrap_or_default();
        let different = number(expected.frequencies.len() as u64);
        let words = number(expected.words);
        let dead = number(figures.dead_in_directory_ms);
        let mut table = Table::new(["", ""]);
        for (figure, value) in [
            ("lines", number(expected.lines)),
            ("words", format!("{words}, {different} different; “{word}” {} times", number(times))),
            ("calls", format!("{} in {:.1} s", number(figures.calls as u64), self.took.as_secs_f64())),
            ("failed", number(figures.failed as u64)),
            ("retried", number(figures.retried)),
            ("executed twice", format!("{}, counted once", number(figures.executed_twice as u64))),
            ("dead in directory", format!("{dead} ms after {} was killed", figures.killed)),
        ] {
            table.row([(figure.to_owned(), Shade::Faint), (value, Shade::Plain)]);
        }
        table
    }

    fn verdict(&self) -> String {
        if self.complaints.is_empty() {
            return format!(
                "{}: the answers add up to exactly what this process counts",
                output::bold("verified")
            );
        }
        format!("{}: {}", output::bold("NOT verified"), self.complaints.join("; "))
    }
}

/// What is wrong with the answers; nothing, if all is well.
fn complaints(outcome: &Outcome, expected: &Counts, rows: &[Row]) -> Vec<String> {
    let mut complaints = Vec::new();
    if outcome.ledger.sum() != expected {
        let (sum, expected) = (outcome.ledger.sum(), expected);
        complaints.push(format!(
            "the answers add up to {} lines, {} words and {} bytes, this process counts {}, {} and {}",
            sum.lines, sum.words, sum.bytes, expected.lines, expected.words, expected.bytes
        ));
    }
    for Row { name, answered, executed } in rows {
        let recorded: BTreeSet<_> = executed.iter().collect();
        let unrecorded = answered.iter().filter(|batch| !recorded.contains(batch)).count();
        if unrecorded > 0 {
            complaints.push(format!("{name} answered {} it did not record", things(unrecorded, "call")));
        }
    }
    if let Some((batch, why)) = outcome.ledger.failures().first_key_value() {
        let failed = things(outcome.ledger.failures().len(), "call");
        complaints.push(format!("{failed} failed, first batch {batch}: {why}"));
    }
    complaints
}

/// How many batches the records name more than once.
fn executed_twice(rows: &[Row]) -> usize {
    let mut times: BTreeMap<u64, usize> = BTreeMap::new();
    for batch in rows.iter().flat_map(|row| &row.executed) {
        *times.entry(*batch).or_default() += 1;
    }
    times.values().filter(|times| **times > 1).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, executed: &[u64]) -> Row {
        Row { name: name.to_owned(), answered: BTreeSet::new(), executed: executed.to_vec() }
    }

    #[test]
    fn a_batch_in_two_records_or_twice_in_one_was_executed_twice() {
        let rows = [row("a", &[1, 2, 3, 3]), row("b", &[2, 4, 3])];
        assert_eq!(executed_twice(&rows), 2);
        assert_eq!(executed_twice(&rows[..0]), 0);
    }

    #[test]
    fn programs_get_the_figures_in_the_documented_order() {
        let figures = Figures {
            lines: 20_000,
            calls: 1000,
            failed: 0,
            retried: 21,
            executed_twice: 9,
            killed: "words-2".into(),
            answered_by_killed: 84,
            dead_in_directory_ms: 1600,
            verified: true,
        };
        assert_eq!(
            serde_json::to_string(&figures).unwrap(),
            r#"{"lines":20000,"calls":1000,"failed":0,"retried":21,"executed_twice":9,"killed":"words-2","answered_by_killed":84,"dead_in_directory_ms":1600,"verified":true}"#
        );
    }
}
