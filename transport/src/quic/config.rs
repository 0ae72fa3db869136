//! Every setting of the QUIC transport, chosen on purpose.

use std::{sync::Arc, time::Duration};

use quinn::{IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt};

use super::allowance;
use crate::ConfigError;

/// The smallest packet that every QUIC path carries, in bytes of UDP payload.
const MTU_MIN: u16 = 1200;
/// Above this, sending several packets at once (GSO) exceeds what a UDP datagram can be, and throughput drops.
const MTU_MAX: u16 = 6500;

/// The settings of a [`QuicEndpoint`](super::QuicEndpoint). Start from a preset and change what you must:
///
/// ```
/// let mut config = qmesh_transport::QuicConfig::lan();
/// config.mtu_max = 6400; // these hosts talk over jumbo frames
/// config.validate()?;
/// # Ok::<(), qmesh_transport::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QuicConfig {
    /// A session in which nothing was heard for this long has ended. Default 5 s (local 1 s, wan 30 s). The smaller of
    /// both sides' values counts. A kill is noticed up to a `keep_alive` later than that. Also bounds a dial that nobody answers. Cost
    /// of a small one: false alarms on a bad path.
    pub idle_timeout: Duration,
    /// A session sends something at least this often. Default 1.5 s (local 300 ms, wan 9 s). At most half of
    /// `idle_timeout`. Cost: one packet of about 40 bytes each way per interval and idle session.
    pub keep_alive: Duration,
    /// A handshake that takes longer fails, on either side. Default 5 s (wan 10 s).
    pub handshake_timeout: Duration,
    /// Channels that the peer may have open at once. Default 4096. Cost: about 1 KiB each while open. 64 of them may be open at
    /// first, and twice as many whenever half are, for about 100 bytes each; so a peer that opens many at once waits for some
    /// round trips.
    pub channels_max: u32,
    /// Bytes of one channel that may be under way or unread. Default 1,250,000 (wan 6,000,000): the path's bandwidth
    /// times its round trip. A reader that stalls holds its writer within this and `send_window`.
    pub channel_window: u32,
    /// Bytes of one session that may be under way or unread, over all channels. Default 64 MiB (wan 256 MiB). Cost: the
    /// memory that a peer can make us hold. Readers that stall share it, each with up to a `channel_window`, and once they hold all
    /// of it, nothing comes any more on any channel: so it should be many of them, and is about fifty.
    pub session_window: u32,
    /// Bytes of one session that were written but not acknowledged, over all channels. Default 8 MiB (wan 32 MiB). Cost:
    /// the memory that a slow peer can make us hold.
    pub send_window: u64,
    /// The largest packet to try, in bytes of UDP payload: 1200 to 6500. Default 1452, an Ethernet frame. Paths of jumbo
    /// frames and the loopback interface carry 6400. Cost: receive buffers of 2048 packets per endpoint (3 MiB; 13 MiB).
    pub mtu_max: u16,
    /// The UDP socket's buffer in each direction, in bytes. Default 4 MiB. The system may give less (Linux:
    /// `net.core.rmem_max` and `wmem_max`), which is logged; bursts then lose packets.
    pub udp_buffer: usize,
    /// Whether the kernel cuts one large write into packets (GSO). Default true. A kernel or device that cannot do it is
    /// noticed at the first failure and from then on sent one packet at a time.
    pub segmentation_offload: bool,
    /// Peers that knocked and whose handshake was not yet started. Default 1024. Those beyond are ignored and try again.
    pub incoming_max: usize,
    /// Bytes that such peers may send ahead, all of them together. Default 4 MiB.
    pub incoming_buffer: u64,
}

impl QuicConfig {
    /// Nodes of one host, and tests: a killed peer is noticed after a good second.
    #[must_use]
    pub fn local() -> Self {
        Self { idle_timeout: Duration::from_secs(1), keep_alive: Duration::from_millis(300), ..Self::lan() }
    }

    /// Nodes of one network. The default.
    #[must_use]
    pub fn lan() -> Self {
        Self {
            idle_timeout: Duration::from_secs(5),
            keep_alive: Duration::from_millis(1500),
            handshake_timeout: Duration::from_secs(5),
            channels_max: 4096,
            channel_window: 1_250_000,
            session_window: 64 << 20,
            send_window: 8 << 20,
            mtu_max: 1452,
            udp_buffer: 4 << 20,
            segmentation_offload: true,
            incoming_max: 1024,
            incoming_buffer: 4 << 20,
        }
    }

    /// Nodes of several sites: patient, and with windows for long round trips.
    #[must_use]
    pub fn wan() -> Self {
        Self {
            idle_timeout: Duration::from_secs(30),
            keep_alive: Duration::from_secs(9),
            handshake_timeout: Duration::from_secs(10),
            channel_window: 6_000_000,
            session_window: 256 << 20,
            send_window: 32 << 20,
            ..Self::lan()
        }
    }

    /// Whether the settings fit each other.
    ///
    /// # Errors
    /// The first rule that does not hold.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let patience = self.idle_timeout >= 2 * self.keep_alive;
        let idle_range = Duration::from_millis(100)..=Duration::from_secs(3600);
        ConfigError::unless(
            idle_range.contains(&self.idle_timeout),
            "idle_timeout",
            "is 100 ms to one hour",
        )?;
        ConfigError::unless(!self.keep_alive.is_zero(), "keep_alive", "is more than zero")?;
        ConfigError::unless(patience, "keep_alive", "is at most half of idle_timeout")?;
        ConfigError::unless(!self.handshake_timeout.is_zero(), "handshake_timeout", "is more than zero")?;
        ConfigError::unless(self.channels_max > 0, "channels_max", "is at least 1")?;
        ConfigError::unless(self.channel_window > 0, "channel_window", "is at least 1")?;
        let shared = self.session_window >= self.channel_window;
        ConfigError::unless(shared, "session_window", "is at least channel_window")?;
        ConfigError::unless(self.session_window < 1 << 30, "session_window", "is less than 1 GiB")?;
        ConfigError::unless(self.send_window > 0, "send_window", "is at least 1")?;
        ConfigError::unless((MTU_MIN..=MTU_MAX).contains(&self.mtu_max), "mtu_max", "is 1200 to 6500")?;
        ConfigError::unless(self.udp_buffer > 0, "udp_buffer", "is at least 1")?;
        ConfigError::unless(self.incoming_max > 0, "incoming_max", "is at least 1")
    }

    /// These settings in quinn's words. An acceptor says that it accepts on one unidirectional stream, so only a dialer
    /// allows one.
    pub(super) fn transport(&self, confirmations: u32) -> Arc<TransportConfig> {
        let mut mtu = MtuDiscoveryConfig::default();
        mtu.upper_bound(self.mtu_max);
        let mut transport = TransportConfig::default();
        transport
            .max_concurrent_bidi_streams(allowance::first(self.channels_max).into())
            .max_concurrent_uni_streams(confirmations.into())
            .max_idle_timeout(IdleTimeout::try_from(self.idle_timeout).ok())
            .keep_alive_interval(Some(self.keep_alive))
            .stream_receive_window(self.channel_window.into())
            .receive_window(VarInt::from_u32(self.session_window))
            .send_window(self.send_window)
            .mtu_discovery_config(Some(mtu))
            .enable_segmentation_offload(self.segmentation_offload)
            // Nothing here sends datagrams; a peer need not buffer any.
            .datagram_receive_buffer_size(None);
        Arc::new(transport)
    }
}

impl Default for QuicConfig {
    fn default() -> Self {
        Self::lan()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_presets_are_valid() {
        for preset in [QuicConfig::local(), QuicConfig::lan(), QuicConfig::wan()] {
            preset.validate().unwrap();
        }
    }

    #[test]
    fn a_setting_that_makes_no_sense_is_named() {
        let check = |change: fn(&mut QuicConfig), field: &str| {
            let mut config = QuicConfig::default();
            change(&mut config);
            assert_eq!(config.validate().unwrap_err().field, field);
        };
        check(|c| c.idle_timeout = Duration::from_millis(1), "idle_timeout");
        check(|c| c.keep_alive = c.idle_timeout, "keep_alive");
        check(|c| c.keep_alive = Duration::ZERO, "keep_alive");
        check(|c| c.handshake_timeout = Duration::ZERO, "handshake_timeout");
        check(|c| c.channels_max = 0, "channels_max");
        check(|c| c.session_window = 1, "session_window");
        check(|c| c.session_window = u32::MAX, "session_window");
        check(|c| c.mtu_max = 9000, "mtu_max");
        check(|c| c.incoming_max = 0, "incoming_max");
    }
}
