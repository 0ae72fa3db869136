//! The run as it happens, on standard error: bars on a terminal, plain lines elsewhere.

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal as _},
    time::Duration,
};

use clap::builder::styling::{AnsiColor, Style};
use indicatif::{HumanCount, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

use crate::output;

/// Without bars, how often it is told who answered how much, over the whole run.
const REPORTS: u64 = 5;

/// Shows a run.
#[derive(Debug)]
pub(crate) struct Progress {
    began: Instant,
    total: u64,
    answered: BTreeMap<String, u64>,
    view: View,
}

#[derive(Debug)]
enum View {
    Bars { all: MultiProgress, calls: ProgressBar, workers: BTreeMap<String, ProgressBar>, colours: bool },
    Lines,
}

/// How an event is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Good,
    Bad,
}

impl Progress {
    /// Shows a run of so many calls.
    pub(crate) fn new(total: usize) -> Self {
        let total = total as u64;
        let view = if io::stderr().is_terminal() { View::bars(total) } else { View::Lines };
        Self { began: Instant::now(), total, answered: BTreeMap::new(), view }
    }

    /// Something happened to `who`.
    pub(crate) fn event(&self, tone: Tone, who: &str, what: &str, more: &str) {
        let text = format!("{who:<8} {what:<9}");
        self.line(&format!("{} {more}", self.paint(tone, &text)));
    }

    /// A worker answered.
    pub(crate) fn answered(&mut self, by: &str) {
        if !self.answered.contains_key(by) {
            self.event(Tone::Good, by, "answers", "its first call");
        }
        let count = self.answered.entry(by.to_owned()).or_default();
        *count += 1;
        let (count, sum) = (*count, self.answered.values().sum::<u64>());
        match &mut self.view {
            View::Bars { all, calls, workers, .. } => {
                if sum == 1 {
                    calls.reset_eta();
                }
                calls.set_position(sum);
                let bar = workers.entry(by.to_owned()).or_insert_with(|| all.add(worker_bar(by, self.total)));
                bar.set_position(count);
            }
            View::Lines if sum * REPORTS / self.total > (sum - 1) * REPORTS / self.total => {
                let each: Vec<_> =
                    self.answered.iter().map(|(who, count)| format!("{who} {count}")).collect();
                let (sum, total) = (number(sum), number(self.total));
                self.line(&format!("{sum} of {total} calls answered: {}", each.join(", ")));
            }
            View::Lines => {}
        }
    }

    /// A worker will not answer any more.
    pub(crate) fn ended(&self, who: &str) {
        if let View::Bars { workers, .. } = &self.view
            && let Some(bar) = workers.get(who)
        {
            bar.set_style(style("          {prefix:<8} {bar:32.red/8} {pos:>6}  {msg:.red}"));
            bar.abandon_with_message("killed");
        }
    }

    /// How long the run took so far.
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Takes the bars away; the lines stay.
    pub(crate) fn clear(&self) {
        if let View::Bars { all, calls, workers, .. } = &self.view {
            workers.values().chain([calls]).for_each(ProgressBar::finish_and_clear);
            all.clear().ok();
        }
    }

    fn line(&self, text: &str) {
        let line = format!("{:>6.2} s  {text}", self.elapsed().as_secs_f64());
        match &self.view {
            View::Bars { all, .. } => drop(all.println(line)),
            View::Lines => eprintln!("{line}"),
        }
    }

    fn paint(&self, tone: Tone, text: &str) -> String {
        let style = match tone {
            Tone::Plain => Style::new(),
            Tone::Good => AnsiColor::Green.on_default(),
            Tone::Bad => AnsiColor::Red.on_default().bold(),
        };
        match self.view {
            View::Bars { colours: true, .. } => format!("{style}{text}{style:#}"),
            View::Bars { .. } | View::Lines => text.to_owned(),
        }
    }
}

impl View {
    fn bars(total: u64) -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(20));
        let calls =
            all.add(ProgressBar::new(total).with_style(style(
                "          {bar:41.cyan/8} {human_pos:>6} of {human_len} calls, {per_sec}",
            )));
        Self::Bars { all, calls, workers: BTreeMap::new(), colours: output::has_colours(&io::stderr()) }
    }
}

impl Drop for Progress {
    /// An error is printed below the lines and not between bars.
    fn drop(&mut self) {
        self.clear();
    }
}

fn worker_bar(name: &str, total: u64) -> ProgressBar {
    let style = style("          {prefix:<8} {bar:32.green/8} {pos:>6}  {msg}");
    // No worker answers half of all calls: the bar is for comparison.
    ProgressBar::new(total.div_ceil(2)).with_style(style).with_prefix(name.to_owned())
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style
        .with_key("per_sec", |state: &indicatif::ProgressState, to: &mut dyn std::fmt::Write| {
            write!(to, "{:.0} a second", state.per_sec()).ok();
        })
        .progress_chars("━━─")
}

/// A number for people: with separators between the thousands.
pub(crate) fn number(number: impl TryInto<u64>) -> String {
    HumanCount(number.try_into().unwrap_or(u64::MAX)).to_string()
}

/// A number of things.
pub(crate) fn things(count: usize, thing: &str) -> String {
    format!("{} {thing}{}", number(count), if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(number(20_000_u64), "20,000");
        assert_eq!(
            (things(1, "call"), things(1000, "call")),
            ("1 call".to_owned(), "1,000 calls".to_owned())
        );
    }
}
