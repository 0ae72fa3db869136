//! quinn's errors in the seam's words.

use quinn::{ApplicationClose, ConnectionError, TransportErrorCode};
use rustls::AlertDescription;

use crate::{
    Address, CertificateRefused, CloseCode, DialError, HandshakeError, SessionClosed, handshake::sentence,
};

use super::tls::Verdict;

/// TLS alerts travel in QUIC's error codes of this range (RFC 9001, section 4.8).
const ALERTS: u64 = 0x100;

/// Why a session ended that the peer, or the path, ended.
pub(super) fn closed(error: &ConnectionError) -> SessionClosed {
    match error {
        ConnectionError::ApplicationClosed(close) => {
            SessionClosed::Peer { code: close_code(close), reason: words(close) }
        }
        ConnectionError::TimedOut => SessionClosed::Silent,
        ConnectionError::Reset => SessionClosed::Restarted,
        other => match peers_alert(other) {
            Some(alert) => SessionClosed::Refused(sentence(alert)),
            None => SessionClosed::Transport(other.to_string()),
        },
    }
}

/// Why a dial to `address` failed.
pub(super) fn dial(error: &ConnectionError, verdict: &Verdict, address: &Address) -> DialError {
    if let Some(Err(refusal)) = verdict.get() {
        return refusal.clone().into_dial_error(address);
    }
    let address = address.clone();
    match error {
        ConnectionError::TimedOut => DialError::Unreachable(address),
        ConnectionError::ConnectionClosed(close)
            if close.error_code == TransportErrorCode::CONNECTION_REFUSED =>
        {
            DialError::RefusedByPeer { address, reason: "it takes no sessions now".to_owned() }
        }
        ConnectionError::ApplicationClosed(close) => {
            let reason = format!("it closed ({}): {}", close_code(close).0, words(close));
            DialError::RefusedByPeer { address, reason }
        }
        other => match peers_alert(other) {
            Some(alert) => DialError::RefusedByPeer { address, reason: sentence(alert) },
            None => DialError::Transport { address, reason: other.to_string() },
        },
    }
}

/// Why a handshake with `remote`, who knocked, failed.
pub(super) fn handshake(error: &ConnectionError, verdict: &Verdict, remote: Address) -> HandshakeError {
    if let Some(Err(refusal)) = verdict.get() {
        return refusal.clone().into_handshake_error(remote);
    }
    match error {
        ConnectionError::TimedOut => HandshakeError::TimedOut { remote },
        error if our_alert(error) == Some(AlertDescription::CertificateRequired) => {
            HandshakeError::Refused { remote, reason: CertificateRefused::Missing.to_string() }
        }
        other => match peers_alert(other) {
            Some(alert) => HandshakeError::RefusedByPeer { remote, reason: sentence(alert) },
            None => HandshakeError::Transport { remote, reason: other.to_string() },
        },
    }
}

// === helpers ===

fn peers_alert(error: &ConnectionError) -> Option<AlertDescription> {
    let ConnectionError::ConnectionClosed(close) = error else { return None };
    alert(close.error_code)
}

fn our_alert(error: &ConnectionError) -> Option<AlertDescription> {
    let ConnectionError::TransportError(error) = error else { return None };
    alert(error.code)
}

fn alert(code: TransportErrorCode) -> Option<AlertDescription> {
    let alert = u64::from(code).checked_sub(ALERTS)?;
    u8::try_from(alert).ok().map(AlertDescription::from)
}

fn close_code(close: &ApplicationClose) -> CloseCode {
    CloseCode(u32::try_from(close.error_code.into_inner()).unwrap_or(u32::MAX))
}

/// The peer's words. They are for a line of text, whatever they are.
fn words(close: &ApplicationClose) -> String {
    String::from_utf8_lossy(&close.reason).replace(char::is_control, " ")
}
