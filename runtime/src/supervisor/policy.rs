//! How often a child may be restarted, and how fast: a value with a pure decision.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

/// At most `intensity` restarts within `period`, each after a pause that doubles from `backoff_min` to `backoff_max`.
///
/// The pause starts over when a child has lived for `period`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestartPolicy {
    /// Restarts allowed within `period`; one more and the child is given up. Default 5.
    pub intensity: u32,
    /// Default 10 s.
    pub period: Duration,
    /// The pause before the first restart. Default 10 ms.
    pub backoff_min: Duration,
    /// The longest pause. Default 1 s.
    pub backoff_max: Duration,
}

/// When a child was restarted.
#[derive(Debug, Default)]
pub(crate) struct RestartHistory {
    recent: VecDeque<Instant>,
}

impl RestartPolicy {
    /// Restarts for ever: for what the node cannot do without.
    #[must_use]
    pub const fn forever() -> Self {
        Self {
            intensity: u32::MAX,
            period: Duration::from_secs(10),
            backoff_min: Duration::from_millis(50),
            backoff_max: Duration::from_secs(5),
        }
    }

    /// The pause before the next restart; `None` when the child is to be given up.
    pub(crate) fn decide(&self, history: &mut RestartHistory, now: Instant) -> Option<Duration> {
        while history.recent.front().is_some_and(|&at| now.saturating_duration_since(at) >= self.period) {
            history.recent.pop_front();
        }
        let count = u32::try_from(history.recent.len()).unwrap_or(u32::MAX);
        if count >= self.intensity {
            return None;
        }
        // A policy without an end needs to remember no more than what its pause grows by.
        if self.intensity == u32::MAX && history.recent.len() >= 64 {
            history.recent.pop_front();
        }
        history.recent.push_back(now);
        let doubled = self.backoff_min.saturating_mul(1 << count.min(20));
        Some(doubled.min(self.backoff_max))
    }
}

// === impl RestartPolicy ===

impl Default for RestartPolicy {
    fn default() -> Self {
        Self {
            intensity: 5,
            period: Duration::from_secs(10),
            backoff_min: Duration::from_millis(10),
            backoff_max: Duration::from_secs(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_given_up_past_its_intensity() {
        let policy = RestartPolicy { intensity: 3, ..RestartPolicy::default() };
        let (mut history, now) = (RestartHistory::default(), Instant::now());
        let pauses: Vec<_> = (0..4).map(|_| policy.decide(&mut history, now)).collect();
        let ms = |ms| Some(Duration::from_millis(ms));
        assert_eq!(pauses, [ms(10), ms(20), ms(40), None]);
    }

    #[test]
    fn an_old_failure_is_forgotten() {
        let policy = RestartPolicy { intensity: 1, ..RestartPolicy::default() };
        let (mut history, now) = (RestartHistory::default(), Instant::now());
        assert!(policy.decide(&mut history, now).is_some());
        assert!(policy.decide(&mut history, now + Duration::from_secs(9)).is_none());
        assert_eq!(policy.decide(&mut history, now + Duration::from_secs(10)), Some(policy.backoff_min));
    }

    #[test]
    fn the_pause_has_a_ceiling() {
        let policy = RestartPolicy::forever();
        let (mut history, now) = (RestartHistory::default(), Instant::now());
        let last = (0..1000).map(|_| policy.decide(&mut history, now)).last().flatten();
        assert_eq!(last, Some(policy.backoff_max));
        assert!(history.recent.len() <= 64);
    }
}
