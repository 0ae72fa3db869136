//! Where the process answers HTTP: an address, or a port of this host alone.

use std::{net::SocketAddr, str::FromStr};

/// An address to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HttpAddress(pub(crate) SocketAddr);

impl HttpAddress {
    /// What a person or a program asks there.
    pub(crate) fn url(self, path: &str) -> String {
        format!("http://{}/{path}", self.0)
    }
}

// === impl HttpAddress ===

impl FromStr for HttpAddress {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let here = text.parse().map(|port: u16| SocketAddr::from(([127, 0, 0, 1], port)));
        here.or_else(|_no_port| text.parse())
            .map(Self)
            .map_err(|_neither| "write a port, for example 9464, or ADDRESS:PORT")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_one_of_this_host_alone_unless_an_address_is_named() {
        let parsed = |text: &str| text.parse::<HttpAddress>().map(|address| address.0.to_string());
        assert_eq!(parsed("9464"), Ok("127.0.0.1:9464".to_owned()));
        assert_eq!(parsed("0.0.0.0:9464"), Ok("0.0.0.0:9464".to_owned()));
        for wrong in ["", "x", "localhost:9464", "70000"] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
    }
}
