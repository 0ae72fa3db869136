//! The service of the demo: it counts the words of a batch of lines.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What is in some lines. The counts of all batches of a text, added up, are the counts of the text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts {
    pub(crate) lines: u64,
    pub(crate) words: u64,
    pub(crate) bytes: u64,
    /// How often each word occurs.
    pub(crate) frequencies: BTreeMap<String, u64>,
}

/// A batch, counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counted {
    /// The process that did it.
    pub(crate) by: String,
    pub(crate) counts: Counts,
}

/// Why a batch was not counted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub(crate) enum CountError {
    /// What cannot be recorded is not answered either.
    #[error("{by} cannot record batch {batch}: {problem}")]
    NotRecorded { by: String, batch: u64, problem: String },
}

/// Counts words.
#[qmesh::service(name = "words.Counter")]
pub(crate) trait Counter {
    /// Counts a batch of lines. Twice is as good as once, so a call whose outcome is unknown is made again.
    #[idempotent]
    async fn count(&self, batch: u64, lines: Vec<String>) -> Result<Counted, CountError>;
}

/// Counts what is in the lines. Words are what stands between white space, without what is neither letter nor digit at
/// their ends, in lower case.
pub(crate) fn count<'a>(lines: impl IntoIterator<Item = &'a String>) -> Counts {
    let mut counts = Counts::default();
    for line in lines {
        counts.lines += 1;
        counts.bytes += line.len() as u64;
        let words = line.split_whitespace().map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()));
        for word in words.filter(|word| !word.is_empty()) {
            counts.words += 1;
            *counts.frequencies.entry(word.to_lowercase()).or_default() += 1;
        }
    }
    counts
}

// === impl Counts ===

impl Counts {
    /// Adds the counts of further lines.
    pub(crate) fn add(&mut self, other: Self) {
        self.lines += other.lines;
        self.words += other.words;
        self.bytes += other.bytes;
        for (word, times) in other.frequencies {
            *self.frequencies.entry(word).or_default() += times;
        }
    }

    /// The most frequent word, the first by alphabet among equals.
    pub(crate) fn most_frequent(&self) -> Option<(&str, u64)> {
        let most = self.frequencies.iter().rev().max_by_key(|(_, times)| **times);
        most.map(|(word, times)| (word.as_str(), *times))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.split_inclusive('\n').map(str::to_owned).collect()
    }

    #[test]
    fn words_are_counted_without_case_and_punctuation() {
        let counts = count(&lines("One, two; (two) don't\n\n -- ÜBER über\n"));
        assert_eq!((counts.lines, counts.words, counts.bytes), (3, 6, 39));
        let frequencies: Vec<_> =
            counts.frequencies.iter().map(|(word, times)| (word.as_str(), *times)).collect();
        assert_eq!(frequencies, [("don't", 1), ("one", 1), ("two", 2), ("über", 2)]);
        assert_eq!(counts.most_frequent(), Some(("two", 2)));
    }

    #[test]
    fn the_counts_of_batches_add_up_to_those_of_the_text() {
        let lines = lines("a b c\nb c\nc\n\nlast a");
        let mut sum = Counts::default();
        for batch in lines.chunks(2) {
            sum.add(count(batch));
        }
        assert_eq!(sum, count(&lines));
    }
}
