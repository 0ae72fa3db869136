//! Running a simulation: one thread, virtual time, and a seed that is told when it fails.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::Log;

/// Lines of the log that a failing seed prints.
const TAIL: usize = 40;

/// Runs `work` in virtual time: on a current-thread runtime of its own, whose clock stands still while anything can run,
/// and jumps to the next timer when nothing can. What nodes tell goes to the returned log.
///
/// Whatever draws its chances elsewhere is not replayed: in your own code, take them from the seed, write
/// `tokio::select!` with `biased;`, and go through no `HashMap` where the order matters.
///
/// # Panics
/// If `work` does, or no runtime can be made.
pub fn simulate<F: Future>(work: F) -> (F::Output, Log) {
    let log = Log::new();
    let output = under(&log, work);
    (output, log)
}

fn under<F: Future>(log: &Log, work: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without I/O needs nothing that could be missing");
    // While there is one subscriber alone, `tracing` asks the thread that meets an event first whether anybody wants it,
    // and remembers a no for all threads. With two it asks both.
    let _second = tracing::Dispatch::new(log.clone());
    tracing::subscriber::with_default(log.clone(), || {
        let output = runtime.block_on(work);
        // Tasks that still run end under the same log.
        drop(runtime);
        output
    })
}

/// The seeds to run: `all` of them, or the one that `replay` names, which is how one failing seed is run alone.
///
/// # Panics
/// If `replay` is no number.
pub fn seeds(all: impl IntoIterator<Item = u64>, replay: Option<String>) -> Vec<u64> {
    match replay {
        Some(seed) => vec![seed.parse().unwrap_or_else(|_| panic!("the seed `{seed}` is no number"))],
        None => all.into_iter().collect(),
    }
}

/// Runs a test with each of `seeds` ([`simulate`]). The first that fails is printed, with the last lines of its log and
/// the command that runs it alone.
///
/// # Panics
/// If the test does.
pub fn each_seed<F: Future<Output = ()>>(seeds: impl IntoIterator<Item = u64>, test: impl Fn(u64) -> F) {
    for seed in seeds {
        let log = Log::new();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| under(&log, test(seed)))) {
            let entries = log.entries();
            for entry in &entries[entries.len().saturating_sub(TAIL)..] {
                eprintln!("{entry}");
            }
            let thread = std::thread::current();
            let name = thread.name().unwrap_or_default();
            eprintln!("seed {seed} failed; to run it alone: QMESH_SEED={seed} cargo test {name}");
            resume_unwind(panic);
        }
    }
}
