//! What a process uses: processor time, memory, cores.

use std::{fs, time::Duration};

use anyhow::{Context, Result, anyhow};
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    time::{ClockId, clock_getcpuclockid},
    unistd::Pid,
};

/// A process whose usage can be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process {
    pid: Pid,
    clock: ClockId,
}

/// Restricts this process, and the children it will start, to one core.
pub(crate) fn stay_on_one_core() -> Result<()> {
    let this = Pid::from_raw(0);
    let allowed = sched_getaffinity(this)?;
    // The last one: the first is where interrupts usually go.
    let core = (0..CpuSet::count())
        .rev()
        .find(|core| allowed.is_set(*core) == Ok(true))
        .context("this process may run on no core")?;
    let mut only = CpuSet::new();
    only.set(core)?;
    Ok(sched_setaffinity(this, &only)?)
}

// === impl Process ===

impl Process {
    /// A running process, by its id.
    pub(crate) fn new(id: u32) -> Result<Self> {
        let pid = Pid::from_raw(id.try_into()?);
        Ok(Self { pid, clock: clock_getcpuclockid(pid)? })
    }

    /// This process.
    pub(crate) fn this() -> Result<Self> {
        Self::new(std::process::id())
    }

    /// The processor time that all its threads have used, in user and kernel mode, to the nanosecond.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        Ok(self.clock.now()?.into())
    }

    /// The most memory that it ever had resident.
    pub(crate) fn peak_resident_bytes(&self) -> Result<u64> {
        self.status("VmHWM:")
    }

    /// The memory that it has resident now.
    pub(crate) fn resident_bytes(&self) -> Result<u64> {
        self.status("VmRSS:")
    }

    /// The memory that it has resident now and that is no file's: its heap, above all.
    pub(crate) fn anonymous_bytes(&self) -> Result<u64> {
        self.status("RssAnon:")
    }

    fn status(&self, field: &str) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        bytes_of(field, &status).ok_or_else(|| anyhow!("no {field} in the status of {}", self.pid))
    }
}

fn bytes_of(field: &str, status: &str) -> Option<u64> {
    let kib = status.lines().find_map(|line| line.strip_prefix(field))?.trim().strip_suffix(" kB")?;
    Some(kib.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_a_status_file() {
        let status = "VmSize:\t  9000 kB\nVmHWM:\t    1204 kB\nVmRSS:\t     980 kB\n";
        assert_eq!(bytes_of("VmHWM:", status), Some(1204 * 1024));
        assert_eq!(bytes_of("VmHWM:", "VmRSS:\t 980 kB\n"), None);
        let process = Process::this().unwrap();
        let anonymous = process.anonymous_bytes().unwrap();
        assert!(anonymous > 10_000 && anonymous <= process.resident_bytes().unwrap());
        assert!(process.peak_resident_bytes().unwrap() > 100_000);
    }

    #[test]
    fn work_shows_in_the_processor_time() {
        let process = Process::this().unwrap();
        let before = process.cpu().unwrap();
        let sum: u64 = std::hint::black_box((0..5_000_000u64).map(std::hint::black_box).sum());
        assert!(sum > 0 && process.cpu().unwrap() > before);
    }
}
