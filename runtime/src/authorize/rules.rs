//! Rules: who may call what, by identity.

use std::str::FromStr;

use qmesh_transport::{NodeId, Role};
use serde::{Deserialize, Deserializer, de::Error as _};

use crate::{authorize::Decision, service::Caller};

/// Who may call what. **What no rule allows is denied, and what any rule denies is denied**, in whatever order they stand.
///
/// A rule names callers and calls by patterns, in which `*` stands for any number of characters:
///
/// | pattern | means |
/// |---|---|
/// | `node/billing-*` | nodes whose name in the certificate begins with `billing-` |
/// | `client/ops` | the command line with that name in its certificate |
/// | `id/6mrhyw…` | whoever has this key: the id that `qmesh nodes` shows, in full |
/// | `*` | everybody in the mesh, as a caller; everything, as a call |
/// | `shop.Cart/*`, `shop.*/list` | methods of services, named as in the trait |
///
/// ```
/// use qmesh::Rules;
/// # fn main() -> Result<(), qmesh::RuleError> {
/// let rules = Rules::new()
///     .allow(["node/billing-*", "client/ops"], ["shop.Cart/*"])?
///     .deny(["node/billing-7"], ["shop.Cart/empty"])?;
/// # Ok(())
/// # }
/// ```
///
/// Deserialised, it is two lists, `allow` and `deny`, of rules with the lists `callers` and `calls`:
///
/// ```toml
/// [[allow]]
/// callers = ["node/billing-*", "client/ops"]
/// calls = ["shop.Cart/*"]
///
/// [[deny]]
/// callers = ["node/billing-7"]
/// calls = ["shop.Cart/empty"]
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    #[serde(default)]
    allow: Vec<Rule>,
    #[serde(default)]
    deny: Vec<Rule>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    #[serde(deserialize_with = "patterns")]
    callers: Vec<Callers>,
    #[serde(deserialize_with = "patterns")]
    calls: Vec<Calls>,
}

/// A pattern of callers.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Callers {
    All,
    Named(Role, Glob),
    Id(NodeId),
}

/// A pattern of calls.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Calls {
    service: Glob,
    method: Glob,
}

/// A text in which `*` stands for any number of characters.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Glob(String);

/// A rule that makes no sense. No rule is changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// A text that is no pattern of callers.
    #[error(
        "`{0}` names no callers: write node/NAME, client/NAME, id/ID or *, for example node/billing-* (names have no capitals)"
    )]
    Callers(String),
    /// A text that is no pattern of calls.
    #[error(
        "`{0}` names no calls: write SERVICE/METHOD or *, for example shop.Cart/* (the method as in its trait, without capitals: say, not Say)"
    )]
    Calls(String),
    /// A rule with an empty list.
    #[error("a rule with an empty list says nothing: name at least one, or * for all")]
    Empty,
}

impl Rules {
    /// No rule: nobody may call anything.
    #[must_use]
    pub const fn new() -> Self {
        Self { allow: Vec::new(), deny: Vec::new() }
    }

    /// Allows these callers these calls, unless a rule denies them.
    ///
    /// # Errors
    /// [`RuleError`]: a pattern makes no sense, or a list is empty.
    pub fn allow<'a, 'b>(
        mut self,
        callers: impl IntoIterator<Item = &'a str>,
        calls: impl IntoIterator<Item = &'b str>,
    ) -> Result<Self, RuleError> {
        self.allow.push(Rule::new(callers, calls)?);
        Ok(self)
    }

    /// Denies these callers these calls, whatever other rules allow.
    ///
    /// # Errors
    /// [`RuleError`]: a pattern makes no sense, or a list is empty.
    pub fn deny<'a, 'b>(
        mut self,
        callers: impl IntoIterator<Item = &'a str>,
        calls: impl IntoIterator<Item = &'b str>,
    ) -> Result<Self, RuleError> {
        self.deny.push(Rule::new(callers, calls)?);
        Ok(self)
    }

    /// Whether no rule allows anything.
    #[must_use]
    pub fn allows_nothing(&self) -> bool {
        self.allow.is_empty()
    }

    /// What the rules say of a caller and a method.
    #[must_use]
    pub fn decide(&self, caller: &Caller, service: &str, method: &str) -> Decision {
        let any = |rules: &[Rule]| rules.iter().any(|rule| rule.is_about(caller, service, method));
        if any(&self.allow) && !any(&self.deny) { Decision::Allow } else { Decision::Deny }
    }
}

// === impl Rule ===

impl Rule {
    fn new<'a, 'b>(
        callers: impl IntoIterator<Item = &'a str>,
        calls: impl IntoIterator<Item = &'b str>,
    ) -> Result<Self, RuleError> {
        let callers = callers.into_iter().map(str::parse).collect::<Result<Vec<_>, _>>()?;
        let calls = calls.into_iter().map(str::parse).collect::<Result<Vec<_>, _>>()?;
        if callers.is_empty() || calls.is_empty() {
            Err(RuleError::Empty)
        } else {
            Ok(Self { callers, calls })
        }
    }

    fn is_about(&self, caller: &Caller, service: &str, method: &str) -> bool {
        self.callers.iter().any(|callers| callers.matches(caller))
            && self.calls.iter().any(|calls| calls.service.matches(service) && calls.method.matches(method))
    }
}

/// A list of patterns, at least one.
fn patterns<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let patterns = Vec::deserialize(deserializer)?;
    if patterns.is_empty() { Err(D::Error::custom(RuleError::Empty)) } else { Ok(patterns) }
}

// === impl Callers, Calls ===

impl Callers {
    fn matches(&self, caller: &Caller) -> bool {
        match self {
            Self::All => true,
            Self::Named(role, name) => *role == caller.role() && name.matches(caller.name()),
            Self::Id(id) => *id == caller.id(),
        }
    }
}

impl FromStr for Callers {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let wrong = || RuleError::Callers(text.to_owned());
        if text == "*" {
            return Ok(Self::All);
        }
        let (kind, name) = text.split_once('/').ok_or_else(wrong)?;
        let is_name =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.*".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_name) {
            return Err(wrong());
        }
        match kind {
            "node" => Ok(Self::Named(Role::Node, Glob(name.to_owned()))),
            "client" => Ok(Self::Named(Role::Client, Glob(name.to_owned()))),
            "id" => name.parse().map(Self::Id).map_err(|_no_id| wrong()),
            _ => Err(wrong()),
        }
    }
}

impl FromStr for Calls {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let wrong = || RuleError::Calls(text.to_owned());
        let (service, method) =
            if text == "*" { ("*", "*") } else { text.split_once('/').ok_or_else(wrong)? };
        let is_service = |byte: u8| byte.is_ascii_alphanumeric() || b"_.*".contains(&byte);
        // A pattern with capitals would never match a method, and so never deny one.
        let is_method =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_*".contains(&byte);
        if service.is_empty()
            || method.is_empty()
            || !service.bytes().all(is_service)
            || !method.bytes().all(is_method)
        {
            return Err(wrong());
        }
        Ok(Self { service: Glob(service.to_owned()), method: Glob(method.to_owned()) })
    }
}

impl<'de> Deserialize<'de> for Callers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Calls {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

// === impl Glob ===

impl Glob {
    fn matches(&self, text: &str) -> bool {
        let Some((first, rest)) = self.0.split_once('*') else { return self.0 == text };
        let Some(mut text) = text.strip_prefix(first) else { return false };
        let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
        // Between two stars, the first place that fits leaves the most to the others.
        for part in middle.split('*') {
            let Some(at) = text.find(part) else { return false };
            text = &text[at + part.len()..];
        }
        text.ends_with(last)
    }
}

#[cfg(test)]
mod tests;
