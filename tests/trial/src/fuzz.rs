//! Fuzz targets as ordinary tests: over the corpus, all its cuts, seeded noise, and seeded changes of the corpus.
//!
//! A target is a function that takes any bytes and panics if something is wrong. `fuzz/` runs the same functions under
//! libFuzzer; what it finds goes into `fuzz/corpus/<target>/`, and is tried here from then on.

use std::{cell::Cell, fs, path::PathBuf};

use proptest::{
    collection::vec,
    prelude::*,
    sample::Index,
    test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner},
};

/// A decoder, and what it may cost.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, which is that of its file in `fuzz/fuzz_targets` and of its folder in `fuzz/corpus`.
    pub name: &'static str,
    /// Takes any bytes; panics if it does not keep what it promises.
    pub run: fn(&[u8]),
    /// The most that it may hold at once, in bytes, whatever it is given.
    pub held_max: u64,
}

/// Inputs that are drawn for each target.
const CASES: u32 = 2_000;
/// The longest input that is drawn, before changes, in bytes.
const NOISE_MAX: usize = 600;
/// The first bytes of an input of the corpus, at each of which it is cut.
const CUTS_MAX: usize = 300;

/// Tries the targets of one crate, whose names begin with `prefix`.
///
/// # Panics
/// If one fails, with the smallest input that was found; or if a target is here and not in `fuzz/`, or the reverse.
pub fn try_all(prefix: &str, targets: &[Target]) {
    assert_eq!(
        names(prefix),
        sorted(targets),
        "the files of fuzz/fuzz_targets and the targets of this crate"
    );
    for target in targets {
        target.try_out();
    }
}

impl Target {
    fn try_out(&self) {
        let (corpus, most) = (corpus(self.name), Cell::new(0));
        for (file, bytes) in &corpus {
            for cut in (0..bytes.len().min(CUTS_MAX)).chain([bytes.len()]) {
                self.check(&bytes[..cut], &most)
                    .unwrap_or_else(|why| panic!("{}: {file}, cut at {cut}: {why}", self.name));
            }
        }
        let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
        // Seeded: what passes here passes everywhere. New ground is for libFuzzer.
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
        let corpus = corpus.into_iter().map(|(_, bytes)| bytes).collect();
        let tried = TestRunner::new_with_rng(config, rng)
            .run(&input(corpus), |bytes| self.check(&bytes, &most).map_err(TestCaseError::fail));
        if let Err(TestError::Fail(why, bytes)) = tried {
            panic!("{}: {why}\n  input: {}", self.name, data_encoding::HEXLOWER.encode(&bytes));
        }
        eprintln!("{}: held at most {} bytes, may hold {}", self.name, most.get(), self.held_max);
    }

    fn check(&self, bytes: &[u8], most: &Cell<u64>) -> Result<(), String> {
        let held = allocation_counter::measure(|| (self.run)(bytes)).bytes_max;
        most.set(most.get().max(held));
        if held <= self.held_max {
            return Ok(());
        }
        let (length, limit) = (bytes.len(), self.held_max);
        Err(format!("{length} bytes made it hold {held}; the limit is {limit}"))
    }
}

/// Noise, or an input of the corpus with a few changes.
fn input(corpus: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let change = (0_u8..5, any::<Index>(), any::<Index>(), vec(any::<u8>(), 1..8));
    let changed = (prop::sample::select(corpus), vec(change, 1..4)).prop_map(|(mut bytes, changes)| {
        for (kind, at, to, new) in changes {
            apply(&mut bytes, kind, (at, to), &new);
        }
        bytes
    });
    prop_oneof![1 => vec(any::<u8>(), 0..NOISE_MAX), 3 => changed]
}

fn apply(bytes: &mut Vec<u8>, kind: u8, (at, to): (Index, Index), new: &[u8]) {
    let (one, other) = (at.index(bytes.len() + 1), to.index(bytes.len() + 1));
    let range = one.min(other)..one.max(other);
    match kind {
        // Lengths like to be the largest.
        0 => bytes.iter_mut().skip(one).take(new.len().min(4)).for_each(|byte| *byte = 0xff),
        1 => bytes.iter_mut().skip(one).zip(new).for_each(|(byte, new)| *byte = *new),
        2 => drop(bytes.splice(one..one, new.iter().copied())),
        3 => drop(bytes.drain(range)),
        _ => {
            let again = bytes[range].to_vec();
            bytes.extend(again);
        }
    }
}

fn sorted(targets: &[Target]) -> Vec<String> {
    let mut names: Vec<_> = targets.iter().map(|target| target.name.to_owned()).collect();
    names.sort();
    names
}

/// The targets of `fuzz/` whose names begin so.
fn names(prefix: &str) -> Vec<String> {
    let files = entries("fuzz_targets").into_iter();
    let names = files.filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned()));
    names.filter(|name| name.starts_with(prefix)).collect()
}

fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let read = |path: PathBuf| {
        let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (path.display().to_string(), bytes)
    };
    let corpus: Vec<_> = entries(&format!("corpus/{target}")).into_iter().map(read).collect();
    assert!(!corpus.is_empty(), "fuzz/corpus/{target} is empty");
    corpus
}

fn entries(folder: &str) -> Vec<PathBuf> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz")).join(folder);
    let found = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = found.map(|entry| entry.expect("an entry can be read").path()).collect();
    paths.sort();
    paths
}
