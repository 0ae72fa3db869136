//! Where a node can be reached: a URL.

use std::{fmt, net::SocketAddr, str::FromStr};

/// A transport address, written as a URL: `quic://host:port` or `memory://name`.
///
/// A host is an IP address (an IPv6 one in brackets) or a DNS name.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Address {
    /// QUIC over UDP.
    Quic {
        /// An IP address (IPv6 without brackets) or a DNS name.
        host: String,
        /// The UDP port.
        port: u16,
    },
    /// A name in a [`MemoryNetwork`](crate::MemoryNetwork) of this process.
    Memory(String),
}

/// A text that is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no address: {problem}; write for example quic://10.0.0.5:4433")]
pub struct ParseAddressError {
    text: String,
    problem: &'static str,
}

impl Address {
    /// The QUIC address of a socket address.
    #[must_use]
    pub fn quic(socket: SocketAddr) -> Self {
        Self::Quic { host: socket.ip().to_string(), port: socket.port() }
    }

    /// The memory address of a name.
    pub fn memory(name: impl Into<String>) -> Self {
        Self::Memory(name.into())
    }

    /// `quic` or `memory`.
    #[must_use]
    pub const fn scheme(&self) -> &'static str {
        match self {
            Self::Quic { .. } => "quic",
            Self::Memory(_) => "memory",
        }
    }

    /// The socket address, where the host is an IP address.
    #[must_use]
    pub fn socket(&self) -> Option<SocketAddr> {
        match self {
            Self::Quic { host, port } => Some(SocketAddr::new(host.parse().ok()?, *port)),
            Self::Memory(_) => None,
        }
    }

    /// Whether this is a wildcard such as `0.0.0.0`, which others cannot dial and which is never announced.
    #[must_use]
    pub fn is_unspecified(&self) -> bool {
        self.socket().is_some_and(|socket| socket.ip().is_unspecified())
    }
}

// === impl Address ===

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quic { host, port } if host.contains(':') => write!(f, "quic://[{host}]:{port}"),
            Self::Quic { host, port } => write!(f, "quic://{host}:{port}"),
            Self::Memory(name) => write!(f, "memory://{name}"),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Address {
    type Err = ParseAddressError;

    fn from_str(text: &str) -> Result<Self, ParseAddressError> {
        let error = |problem| ParseAddressError { text: text.to_owned(), problem };
        let (scheme, rest) = text.split_once("://").ok_or_else(|| error("it has no scheme"))?;
        match scheme {
            "quic" => {
                let (host, port) = rest.rsplit_once(':').ok_or_else(|| error("it has no port"))?;
                let port = port
                    .parse()
                    .map_err(|_no_number: std::num::ParseIntError| error("its port is not 0 to 65535"))?;
                let host = match host.strip_prefix('[').map(|inner| inner.strip_suffix(']')) {
                    Some(Some(inner)) => inner,
                    Some(None) => return Err(error("its bracket is not closed")),
                    None if host.contains(':') => return Err(error("an IPv6 host stands in brackets")),
                    None => host,
                };
                let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
                if host.is_empty() || !host.chars().all(legal) {
                    return Err(error("its host is not an IP address or a DNS name"));
                }
                Ok(Self::Quic { host: host.to_owned(), port })
            }
            "memory" if !rest.is_empty() => Ok(Self::Memory(rest.to_owned())),
            "memory" => Err(error("it has no name")),
            _ => Err(error("its scheme is not one of quic, memory")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_their_text() {
        for text in
            ["quic://10.0.0.5:4433", "quic://[::1]:0", "quic://lobby.example.com:65535", "memory://lobby"]
        {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_text_that_is_no_address_is_refused_with_what_is_wrong() {
        for (text, problem) in [
            ("10.0.0.5:4433", "no scheme"),
            ("quic://10.0.0.5", "no port"),
            ("quic://10.0.0.5:70000", "port"),
            ("quic://::1:80", "brackets"),
            ("quic://[::1:80", "bracket"),
            ("quic://:80", "host"),
            ("quic://a b:80", "host"),
            ("carrier-pigeon://x:1", "scheme"),
            ("memory://", "no name"),
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains(problem), "{text}: {error}");
        }
    }

    #[test]
    fn wildcards_are_unspecified() {
        assert!("quic://0.0.0.0:1".parse::<Address>().unwrap().is_unspecified());
        assert!("quic://[::]:1".parse::<Address>().unwrap().is_unspecified());
        assert!(!"quic://127.0.0.1:1".parse::<Address>().unwrap().is_unspecified());
    }

    proptest::proptest! {
        #[test]
        fn any_socket_and_any_name_survive_their_text(
            ip: std::net::IpAddr,
            port: u16,
            host in "[a-zA-Z0-9._%-]{1,30}",
            name in ".{1,30}",
        ) {
            let socket = SocketAddr::new(ip, port);
            let named = Address::Quic { host, port };
            for address in [Address::quic(socket), named, Address::memory(name)] {
                assert_eq!(address.to_string().parse(), Ok(address));
            }
            assert_eq!(Address::quic(socket).socket(), Some(socket));
        }

        #[test]
        fn any_text_is_an_address_or_says_what_is_wrong(scheme in "(quic|memory|tcp)?(://)?", rest in ".{0,30}") {
            let text = format!("{scheme}{rest}");
            match text.parse::<Address>() {
                Ok(address) => assert_eq!(address.to_string().parse(), Ok(address)),
                Err(error) => assert!(error.to_string().contains("is no address")),
            }
        }
    }
}
