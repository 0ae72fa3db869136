//! What a mesh does in a second: the difference of two answers of all its nodes. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use qmesh::{Deadlock, Failure, Flow, Latency, NodeInfo, ServiceLoad, SessionLoad, Traffic, deadlocks};
use serde::Serialize;

/// What all nodes said at one time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answers {
    /// The node that was asked.
    pub(crate) asked: String,
    /// Who is there, as the node that was asked sees it.
    pub(crate) nodes: Vec<NodeInfo>,
    pub(crate) traffic: BTreeMap<String, Result<Traffic, Failure>>,
}

/// What a mesh does.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Snapshot {
    /// The node that was asked.
    pub(crate) asked: String,
    /// Served calls per second, of all services.
    pub(crate) rate: f64,
    /// Those of them that did not end well, from 0 to 1.
    pub(crate) errors: f64,
    pub(crate) services: Vec<ServiceRow>,
    pub(crate) nodes: Vec<NodeRow>,
    pub(crate) edges: Vec<EdgeRow>,
    pub(crate) deadlocks: Vec<Deadlock>,
}

/// Calls of one kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Calls {
    /// Calls per second that ended.
    pub(crate) rate: f64,
    /// The share of them that did not end well, from 0 to 1.
    pub(crate) errors: f64,
    /// By status, per second.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) failed: BTreeMap<String, f64>,
    pub(crate) p50_us: Option<u64>,
    pub(crate) p99_us: Option<u64>,
    pub(crate) in_flight: u64,
}

/// A service of the mesh.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct ServiceRow {
    pub(crate) service: String,
    #[serde(flatten)]
    pub(crate) calls: Calls,
    /// Calls that wait or run, at all endpoints.
    pub(crate) depth: u64,
    /// How long the oldest one waits.
    pub(crate) oldest_ms: u64,
    pub(crate) restarts: u64,
    /// The nodes that serve it.
    pub(crate) endpoints: Vec<EndpointRow>,
    pub(crate) methods: Vec<MethodRow>,
    pub(crate) callers: Vec<CallerRow>,
}

/// A service on one node.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct EndpointRow {
    pub(crate) node: String,
    #[serde(flatten)]
    pub(crate) load: ServiceLoad,
}

/// A method of a service.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct MethodRow {
    pub(crate) method: String,
    #[serde(flatten)]
    pub(crate) calls: Calls,
}

/// Who calls a service.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct CallerRow {
    pub(crate) from: String,
    pub(crate) node: String,
    #[serde(flatten)]
    pub(crate) calls: Calls,
}

/// A node of the mesh.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct NodeRow {
    pub(crate) node: String,
    pub(crate) state: String,
    /// Calls per second that its services serve.
    pub(crate) serves: f64,
    /// Calls per second that it makes.
    pub(crate) makes: f64,
    pub(crate) services: u64,
    /// The slowest round trip of its sessions.
    pub(crate) round_trip_us: Option<u64>,
    pub(crate) sessions: Vec<SessionLoad>,
    /// Why it tells nothing of itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) silent: Option<String>,
}

/// Who calls whom.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct EdgeRow {
    /// The service whose handler calls, `client/NAME` for a command line, and empty for the program itself.
    pub(crate) from: String,
    pub(crate) from_node: String,
    pub(crate) service: String,
    pub(crate) node: String,
    #[serde(flatten)]
    pub(crate) calls: Calls,
}

/// Calls of several flows.
#[derive(Debug, Default)]
struct Sum {
    rate: f64,
    failed: BTreeMap<String, f64>,
    latency: Vec<(u16, u64)>,
    in_flight: u64,
}

/// What tells the flows of an answer apart.
type Names<'a> = (&'a str, &'a str, &'a str, &'a str);

/// What a node's flows have become since its last answer.
struct Difference<'a> {
    node: &'a str,
    seconds: f64,
    flows: Vec<(&'a Flow, Flow)>,
    served: Vec<(&'a Flow, Flow)>,
}

impl Snapshot {
    /// What came between two answers.
    pub(crate) fn between(before: &Answers, after: &Answers) -> Self {
        let told: Vec<&Traffic> = after.traffic.values().filter_map(|told| told.as_ref().ok()).collect();
        let differences: Vec<_> = told
            .iter()
            .map(|now| {
                let then = before.traffic.get(&now.node).and_then(|then| then.as_ref().ok());
                Difference::of(then, now)
            })
            .collect();
        let mut all = Sum::default();
        for difference in &differences {
            for (_, grown) in &difference.served {
                all.add(grown, difference.seconds);
            }
        }
        let all = all.calls();
        Self {
            asked: after.asked.clone(),
            rate: all.rate,
            errors: all.errors,
            services: services(&differences, &told),
            nodes: nodes(&differences, after),
            edges: edges(&differences),
            deadlocks: deadlocks(told),
        }
    }
}

fn services(differences: &[Difference<'_>], told: &[&Traffic]) -> Vec<ServiceRow> {
    let mut rows: BTreeMap<&str, (ServiceRow, Sum)> = BTreeMap::new();
    for traffic in told {
        for load in &traffic.services {
            let (row, _) = rows.entry(&load.service).or_default();
            row.depth += load.depth;
            row.oldest_ms = row.oldest_ms.max(load.oldest_ms);
            row.restarts += load.restarts;
            row.endpoints.push(EndpointRow { node: traffic.node.clone(), load: load.clone() });
        }
    }
    let mut methods: BTreeMap<(&str, &str), Sum> = BTreeMap::new();
    let mut callers: BTreeMap<(&str, &str, &str), Sum> = BTreeMap::new();
    for Difference { node, seconds, flows, served } in differences {
        for (flow, grown) in served {
            rows.entry(&flow.service).or_default().1.add(grown, *seconds);
            methods.entry((&flow.service, &flow.method)).or_default().add(grown, *seconds);
        }
        for (flow, grown) in flows {
            callers.entry((&flow.service, &flow.from, node)).or_default().add(grown, *seconds);
        }
    }
    for ((service, method), sum) in methods {
        if let Some((row, _)) = rows.get_mut(service) {
            row.methods.push(MethodRow { method: method.to_owned(), calls: sum.calls() });
        }
    }
    for ((service, from, node), sum) in callers {
        // One that is served nowhere is seen where it is called.
        let (row, _) = rows.entry(service).or_default();
        row.callers.push(CallerRow { from: from.to_owned(), node: node.to_owned(), calls: sum.calls() });
    }
    let rows = rows.into_iter().map(|(service, (row, sum))| ServiceRow {
        service: service.to_owned(),
        calls: sum.calls(),
        ..row
    });
    rows.collect()
}

fn nodes(differences: &[Difference<'_>], after: &Answers) -> Vec<NodeRow> {
    let known: BTreeSet<&str> = after.nodes.iter().map(|node| node.name.as_str()).collect();
    let names = known.into_iter().chain(after.traffic.keys().map(String::as_str)).collect::<BTreeSet<_>>();
    let row = |name: &str| {
        let state = after.nodes.iter().find(|node| node.name == name).map(|node| node.state.clone());
        let traffic = after.traffic.get(name);
        let told = traffic.and_then(|told| told.as_ref().ok());
        let difference = differences.iter().find(|difference| difference.node == name);
        let rate = |flows: fn(&Difference<'_>) -> u64| {
            difference.map_or(0.0, |difference| flows(difference) as f64 / difference.seconds)
        };
        let sessions = told.map(|told| told.sessions.clone()).unwrap_or_default();
        NodeRow {
            node: name.to_owned(),
            state: state.unwrap_or_default(),
            serves: rate(|difference| difference.served.iter().map(|(_, grown)| grown.calls).sum()),
            makes: rate(|difference| difference.flows.iter().map(|(_, grown)| grown.calls).sum()),
            services: told.map_or(0, |told| told.services.len() as u64),
            round_trip_us: sessions.iter().filter_map(|session| session.round_trip_us).max(),
            sessions,
            silent: traffic.and_then(|told| told.as_ref().err()).map(Failure::to_string),
        }
    };
    names.into_iter().map(row).collect()
}

fn edges(differences: &[Difference<'_>]) -> Vec<EdgeRow> {
    let mut sums: BTreeMap<Names<'_>, Sum> = BTreeMap::new();
    for Difference { node, seconds, flows, .. } in differences {
        for (flow, grown) in flows {
            sums.entry((&flow.from, node, &flow.service, &flow.node)).or_default().add(grown, *seconds);
        }
    }
    let rows = sums.into_iter().map(|((from, from_node, service, node), sum)| EdgeRow {
        from: from.to_owned(),
        from_node: from_node.to_owned(),
        service: service.to_owned(),
        node: node.to_owned(),
        calls: sum.calls(),
    });
    rows.collect()
}

impl<'a> Difference<'a> {
    fn of(then: Option<&Traffic>, now: &'a Traffic) -> Self {
        // One that has forgotten in between began anew.
        let then = then.filter(|then| then.since_us == now.since_us && then.clock_us < now.clock_us);
        let begun = then.map_or(now.since_us, |then| then.clock_us);
        let seconds = (now.clock_us.saturating_sub(begun).max(1)) as f64 / 1_000_000.0;
        Self {
            node: &now.node,
            seconds,
            flows: grown(then.map(|then| &*then.flows), &now.flows),
            served: grown(then.map(|then| &*then.served), &now.served),
        }
    }
}

fn grown<'a>(then: Option<&[Flow]>, now: &'a [Flow]) -> Vec<(&'a Flow, Flow)> {
    let then: HashMap<_, _> = then.unwrap_or_default().iter().map(|flow| (names(flow), flow)).collect();
    now.iter().map(|flow| (flow, flow.since(then.get(&names(flow)).copied()))).collect()
}

fn names(flow: &Flow) -> Names<'_> {
    (&flow.from, &flow.node, &flow.service, &flow.method)
}

impl Sum {
    fn add(&mut self, grown: &Flow, seconds: f64) {
        self.rate += grown.calls as f64 / seconds;
        for (status, count) in &grown.failed {
            *self.failed.entry(status.clone()).or_default() += *count as f64 / seconds;
        }
        Latency::add(&mut self.latency, &grown.latency);
        self.in_flight += grown.in_flight;
    }

    fn calls(self) -> Calls {
        let failures: f64 = self.failed.values().sum();
        Calls {
            rate: self.rate,
            errors: if failures > 0.0 { failures / self.rate } else { 0.0 },
            p50_us: Latency::quantile_us(&self.latency, 0.5),
            p99_us: Latency::quantile_us(&self.latency, 0.99),
            in_flight: self.in_flight,
            failed: self.failed,
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
