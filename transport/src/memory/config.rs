//! The settings of a memory network and of the links in it.

use std::time::Duration;

use rand::{Rng, rngs::StdRng};

use crate::ConfigError;

/// The settings of a [`MemoryNetwork`](super::MemoryNetwork), alike for all of its endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryConfig {
    /// Bytes of one channel and direction that may be under way or unread. Default 256 KiB.
    pub window: u32,
    /// Channels that one side may have open at once. Default 4096.
    pub channels_max: u32,
    /// A session whose peer cannot be heard for this long has ended. Default 1 s. Sessions are kept alive without
    /// traffic of their own, so that idle ones cost nothing, not even a timer.
    pub idle_timeout: Duration,
    /// A handshake that takes longer fails, on either side. Default 5 s.
    pub handshake_timeout: Duration,
    /// Peers that knocked and were not yet accepted. Default 1024. Those beyond get no answer.
    pub incoming_max: usize,
}

/// One direction between two names.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Link {
    /// How long a frame travels. Default zero: at once.
    pub delay: Duration,
    /// Up to how much longer, evenly distributed. Frames of a session keep their order all the same.
    pub jitter: Duration,
    /// The share of frames that are lost, from 0 to 0.9 (more counts as 0.9). A lost frame is sent again, so that it
    /// comes late: by three delays and 10 ms for each time that it is lost.
    pub loss: f64,
}

/// What sending again costs at least.
const RETRANSMISSION_MIN: Duration = Duration::from_millis(10);
const LOSS_MAX: f64 = 0.9;

// === impl MemoryConfig ===

impl MemoryConfig {
    /// Whether the settings make sense.
    ///
    /// # Errors
    /// The first rule that does not hold.
    pub fn validate(&self) -> Result<(), ConfigError> {
        ConfigError::unless(self.window > 0, "window", "is at least 1")?;
        ConfigError::unless(self.channels_max > 0, "channels_max", "is at least 1")?;
        ConfigError::unless(!self.idle_timeout.is_zero(), "idle_timeout", "is more than zero")?;
        ConfigError::unless(!self.handshake_timeout.is_zero(), "handshake_timeout", "is more than zero")?;
        ConfigError::unless(self.incoming_max > 0, "incoming_max", "is at least 1")
    }
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self {
            window: 256 << 10,
            channels_max: 4096,
            idle_timeout: Duration::from_secs(1),
            handshake_timeout: Duration::from_secs(5),
            incoming_max: 1024,
        }
    }
}

// === impl Link ===

impl Link {
    /// A link that only delays.
    #[must_use]
    pub fn with_delay(delay: Duration) -> Self {
        Self { delay, ..Self::default() }
    }

    /// How long the next frame travels.
    pub(super) fn sample(&self, rng: &mut StdRng) -> Duration {
        let mut travel = self.delay;
        if !self.jitter.is_zero() {
            travel += self.jitter.mul_f64(rng.random());
        }
        if self.loss > 0.0 {
            while rng.random::<f64>() < self.loss.min(LOSS_MAX) {
                travel += 3 * self.delay + RETRANSMISSION_MIN;
            }
        }
        travel
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn a_link_delays_by_its_delay_its_jitter_and_its_losses() {
        let mut rng = StdRng::seed_from_u64(1);
        let ms = Duration::from_millis;
        assert_eq!(Link::default().sample(&mut rng), Duration::ZERO);
        assert_eq!(Link::with_delay(ms(5)).sample(&mut rng), ms(5));
        let shaky = Link { delay: ms(5), jitter: ms(2), loss: 0.0 };
        assert!((0..100).map(|_| shaky.sample(&mut rng)).all(|travel| (ms(5)..=ms(7)).contains(&travel)));
        let lossy = Link { delay: ms(5), jitter: ms(0), loss: 0.5 };
        let late = (0..1000).filter(|_| lossy.sample(&mut rng) >= ms(30)).count();
        assert!((400..600).contains(&late), "{late}");
        assert!(Link { loss: 7.0, ..lossy }.sample(&mut rng) < Duration::from_secs(60));
    }

    #[test]
    fn a_setting_that_makes_no_sense_is_named() {
        MemoryConfig::default().validate().unwrap();
        let config = MemoryConfig { window: 0, ..MemoryConfig::default() };
        assert_eq!(config.validate().unwrap_err().field, "window");
    }
}
