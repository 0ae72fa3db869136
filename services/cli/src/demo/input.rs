//! The text that the demo works on, cut into batches of lines.

use std::{fs, path::Path};

use anyhow::{Context as _, bail};

use crate::demo::words::{self, Counts};

/// The text of the repository that is counted when no file is named.
const NOTES: &str = include_str!("../../demo/notes.txt");

/// Lines that the text of the repository is repeated to, at least.
const LINES_MIN: usize = 20_000;

/// About how many batches a text is cut into.
const BATCHES: usize = 1000;

/// With fewer batches, the work would be over before a process can be killed amid it and replaced.
const BATCHES_MIN: usize = 100;

/// No call carries more of the text: well below the 4 MiB of a message, for the answer is longer than its lines.
const BATCH_BYTES_MAX: usize = 512 << 10;

/// A text in batches.
#[derive(Debug)]
pub(crate) struct Input {
    /// What it is, for people.
    pub(crate) title: String,
    /// Each batch's lines, with their line ends.
    pub(crate) batches: Vec<Vec<String>>,
}

impl Input {
    /// Reads the file, or takes the text of the repository, and cuts it into batches of `batch` lines (default: about
    /// a thousand batches).
    pub(crate) fn read(file: Option<&Path>, batch: Option<usize>) -> anyhow::Result<Self> {
        let (title, text) = match file {
            Some(path) => {
                let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
                (path.display().to_string(), bytes)
            }
            None => {
                let times = LINES_MIN.div_ceil(NOTES.lines().count());
                ("the notes of the repository".to_owned(), NOTES.repeat(times).into_bytes())
            }
        };
        Self::cut(title, &text, batch)
    }

    /// Line ends survive the lossy conversion, so the number of lines is the file's also where it is no UTF-8.
    fn cut(title: String, text: &[u8], batch: Option<usize>) -> anyhow::Result<Self> {
        let text = String::from_utf8_lossy(text);
        let lines: Vec<_> = text.split_inclusive('\n').map(str::to_owned).collect();
        if lines.is_empty() {
            bail!("{title} is empty: there is nothing to count");
        }
        if let Some(at) = lines.iter().position(|line| line.len() > BATCH_BYTES_MAX) {
            bail!(
                "line {} of {title} is over {} KiB, more than a call should carry",
                at + 1,
                BATCH_BYTES_MAX >> 10
            );
        }
        let count = lines.len();
        let batches = batches(lines, batch.unwrap_or(count / BATCHES).max(1));
        if batches.len() < BATCHES_MIN {
            bail!(
                "{title} has {count} lines, which make {} calls; to kill a process amid the work, the demo needs {BATCHES_MIN}: \
                 take a longer file{}",
                batches.len(),
                if count < BATCHES_MIN { "" } else { ", or a smaller --batch" }
            );
        }
        Ok(Self { title, batches })
    }

    /// What is in all of it, counted here.
    pub(crate) fn count(&self) -> Counts {
        words::count(self.batches.iter().flatten())
    }
}

/// Cuts after `lines_max` lines, or earlier where the lines are long.
fn batches(lines: Vec<String>, lines_max: usize) -> Vec<Vec<String>> {
    let mut batches: Vec<Vec<String>> = Vec::new();
    let mut bytes = 0;
    for line in lines {
        bytes += line.len();
        match batches.last_mut() {
            Some(batch) if batch.len() < lines_max && bytes <= BATCH_BYTES_MAX => batch.push(line),
            _ => {
                bytes = line.len();
                batches.push(vec![line]);
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &[u8], batch: Option<usize>) -> anyhow::Result<Input> {
        Input::cut("text".to_owned(), text, batch)
    }

    #[test]
    fn the_notes_make_about_a_thousand_calls() {
        let input = Input::read(None, None).unwrap();
        assert!((1000..1100).contains(&input.batches.len()), "{}", input.batches.len());
        assert!(input.count().lines >= 20_000);
    }

    #[test]
    fn nothing_of_a_file_is_lost_or_added() {
        let text = "a\r\n\nb \n".repeat(100) + "no end of line";
        let input = cut(text.as_bytes(), Some(3)).unwrap();
        assert_eq!(input.batches.concat().concat(), text);
        assert_eq!(input.count().lines, 301);
    }

    #[test]
    fn bytes_that_are_no_text_keep_their_lines() {
        let input = cut(&b"\xff\xfe \x00\n".repeat(150), None).unwrap();
        assert_eq!(input.count().lines, 150);
    }

    #[test]
    fn long_lines_make_smaller_batches() {
        let line = "x".repeat(BATCH_BYTES_MAX / 2 - 1) + "\n";
        let batches = batches(vec![line; 5], 20);
        assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 1]);
    }

    #[test]
    fn what_cannot_be_shown_is_refused_with_the_reason() {
        let check = |text: &[u8], batch, expected: &str| {
            let error = cut(text, batch).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(b"", None, "text is empty");
        check(&b"x\n".repeat(60), None, "60 lines, which make 60 calls");
        check(&b"x\n".repeat(600), Some(50), "which make 12 calls");
        check(&[b'x'; BATCH_BYTES_MAX + 1], None, "line 1 of text is over 512 KiB");
    }
}
