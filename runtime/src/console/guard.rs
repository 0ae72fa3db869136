//! Who may ask: a pure judgement of the head of a request.
//!
//! On a host's loopback address there is no token, but other sites' pages, which the same browser shows, can send requests
//! there. Three things keep them out. The request names this host (`Host`), so a foreign name that was made to mean
//! 127.0.0.1 does not pass. It comes from one of our pages (`Origin`, `Sec-Fetch-Site`), where the browser says so. And a question is
//! `application/json`, which a browser sends across sites only after asking, and we never say yes.

use std::net::{IpAddr, SocketAddr};

use hyper::{
    HeaderMap, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, ORIGIN},
};
use subtle::ConstantTimeEq as _;

use crate::console::Token;

/// What a request is judged by.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    /// Where the console listens.
    pub(super) address: SocketAddr,
    /// Without one, whoever is on this host may ask.
    pub(super) token: Option<Token>,
}

/// A request that is not answered, and what its sender is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refused(pub(super) StatusCode, pub(super) &'static str);

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// The names of this host that need no look-up.
const LOOPBACK: [&str; 3] = ["127.0.0.1", "localhost", "[::1]"];

impl Guard {
    /// Judges a request for a page. Pages hold no secret: a token is wanted for questions alone.
    pub(super) fn page(&self, headers: &HeaderMap) -> Result<(), Refused> {
        let host = text(headers, &HOST).unwrap_or_default();
        // With a token it may have any name: another site's page does not know the token.
        let is_own = self.token.is_some() || self.is_at_home(host);
        if is_own {
            Ok(())
        } else {
            Err(Refused(StatusCode::FORBIDDEN, "this is no name of the console's host"))
        }
    }

    /// Judges a question.
    pub(super) fn question(&self, headers: &HeaderMap) -> Result<(), Refused> {
        self.page(headers)?;
        let foreign = Refused(StatusCode::FORBIDDEN, "the console's own pages alone may ask");
        let host = text(headers, &HOST).unwrap_or_default();
        if let Some(origin) = headers.get(ORIGIN) {
            let origin = origin.to_str().unwrap_or_default();
            let origin = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
            if origin != Some(host) {
                return Err(foreign);
            }
        }
        if headers.get(FETCH_SITE).is_some_and(|site| site != "same-origin") {
            return Err(foreign);
        }
        if !text(headers, &CONTENT_TYPE).is_some_and(is_json) {
            return Err(Refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, "a question is application/json"));
        }
        self.knows_token(headers)
    }

    fn knows_token(&self, headers: &HeaderMap) -> Result<(), Refused> {
        let Some(Token(token)) = &self.token else { return Ok(()) };
        let given = text(headers, &AUTHORIZATION).and_then(|given| given.strip_prefix("Bearer "));
        let given = given.ok_or(Refused(StatusCode::UNAUTHORIZED, "a token is wanted"))?;
        if bool::from(given.as_bytes().ct_eq(token.as_bytes())) {
            Ok(())
        } else {
            Err(Refused(StatusCode::UNAUTHORIZED, "the token is not right"))
        }
    }

    /// Whether `host` is a name of this host, or the very address that is listened on.
    fn is_at_home(&self, host: &str) -> bool {
        let listens = match self.address.ip() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        LOOPBACK.into_iter().chain([&*listens]).any(|name| self.is_at(host, name))
    }

    /// Whether `host` is that name with this console's port; a browser leaves 80 out.
    fn is_at(&self, host: &str, name: &str) -> bool {
        let Some(rest) = host.get(..name.len()).filter(|start| start.eq_ignore_ascii_case(name)) else {
            return false;
        };
        match &host[rest.len()..] {
            "" => self.address.port() == 80,
            port => port.strip_prefix(':').is_some_and(|port| port == self.address.port().to_string()),
        }
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn is_json(kind: &str) -> bool {
    let essence = kind.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    const SECRET: &str = "a-token-of-some-length";

    fn guard(token: Option<&str>) -> Guard {
        Guard { address: ([127, 0, 0, 1], 4242).into(), token: token.map(|token| Token(token.into())) }
    }

    fn head(fields: &[(&'static str, &str)]) -> HeaderMap {
        let field = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        fields.iter().map(field).collect()
    }

    fn status(judged: Result<(), Refused>) -> u16 {
        judged.map_or_else(|refused| refused.0.as_u16(), |()| 200)
    }

    #[test]
    fn a_page_is_for_names_of_this_host_alone() {
        for (host, expected) in [
            ("127.0.0.1:4242", 200),
            ("localhost:4242", 200),
            ("LOCALHOST:4242", 200),
            ("[::1]:4242", 200),
            ("127.0.0.1", 403),
            ("127.0.0.1:4243", 403),
            ("127.0.0.2:4242", 403),
            ("127.0.0.1.evil.example:4242", 403),
            ("localhost.evil.example:4242", 403),
            ("evil.example:4242", 403),
            ("é:4242", 403),
            ("", 403),
        ] {
            assert_eq!(status(guard(None).page(&head(&[("host", host)]))), expected, "{host}");
        }
        assert_eq!(status(guard(None).page(&head(&[]))), 403, "without a name");
        assert_eq!(status(guard(Some(SECRET)).page(&head(&[("host", "mesh.example")]))), 200);
    }

    #[test]
    fn the_address_that_is_listened_on_is_a_name_of_this_host() {
        for (address, host, expected) in [
            ("127.0.0.2:4242", "127.0.0.2:4242", 200),
            ("127.0.0.2:4242", "localhost:4242", 200),
            ("127.0.0.2:4242", "127.0.0.3:4242", 403),
            ("127.0.0.2:4242", "127.0.0.2:4243", 403),
            ("127.0.0.2:80", "127.0.0.2", 200),
            ("[::1]:4242", "[::1]:4242", 200),
        ] {
            let guard = Guard { address: address.parse().unwrap(), token: None };
            assert_eq!(status(guard.page(&head(&[("host", host)]))), expected, "{host} on {address}");
        }
    }

    #[test]
    fn a_question_comes_from_our_pages_and_is_json() {
        let host = ("host", "127.0.0.1:4242");
        let json = ("content-type", "application/json; charset=utf-8");
        let judged =
            |more: &[(&'static str, &str)]| status(guard(None).question(&head(&[&[host], more].concat())));
        assert_eq!(judged(&[json]), 200, "from a program, which is no browser");
        assert_eq!(
            judged(&[json, ("origin", "http://127.0.0.1:4242"), ("sec-fetch-site", "same-origin")]),
            200
        );
        for origin in ["null", "http://evil.example", "http://127.0.0.1:4243", "http://localhost:4242", ""] {
            assert_eq!(judged(&[json, ("origin", origin)]), 403, "{origin}");
        }
        for site in ["cross-site", "same-site", "none"] {
            assert_eq!(judged(&[json, ("sec-fetch-site", site)]), 403, "{site}");
        }
        for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""] {
            assert_eq!(judged(&[("content-type", kind)]), 415, "{kind}");
        }
        assert_eq!(judged(&[]), 415, "without a type");
    }

    #[test]
    fn a_token_is_wanted_whole() {
        let judged = |authorization: Option<&str>| {
            let mut fields = vec![("host", "mesh.example"), ("content-type", "application/json")];
            fields.extend(authorization.map(|given| ("authorization", given)));
            status(guard(Some(SECRET)).question(&head(&fields)))
        };
        assert_eq!(judged(Some("Bearer a-token-of-some-length")), 200);
        for wrong in [
            "Bearer a-token-of-some-lengt",
            "Bearer a-token-of-some-length2",
            "Bearer ",
            "Basic eA==",
            SECRET,
        ] {
            assert_eq!(judged(Some(wrong)), 401, "{wrong}");
        }
        assert_eq!(judged(None), 401);
    }
}
