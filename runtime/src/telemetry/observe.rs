//! What a node tells of itself when it is asked: sessions, queues, the directory, gossip, and what it has counted.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
};

use opentelemetry::{KeyValue, metrics::AsyncInstrument};
use tokio::time::Instant;

use crate::{
    duration::millis,
    node::{NodeInner, gossip, wall_clock::unix_secs},
    supervisor::ActorInfo,
    telemetry::{meter::Meter, names},
};

/// What is told of one metric: numbers with attributes.
type Told = Vec<(u64, Vec<KeyValue>)>;

/// A metric that a node is asked for.
struct Observed {
    name: &'static str,
    unit: &'static str,
    kind: Kind,
    description: &'static str,
    look: fn(&NodeInner) -> Told,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Only grows.
    Counter,
    Gauge,
    /// Told in milliseconds, and exported in seconds.
    Seconds,
}

use Kind::{Counter, Gauge, Seconds};

const fn observed(
    (name, unit, kind): (&'static str, &'static str, Kind),
    description: &'static str,
    look: fn(&NodeInner) -> Told,
) -> Observed {
    Observed { name, unit, kind, description, look }
}

const OBSERVED: &[Observed] = &[
    observed(("qmesh.calls.retries", "{attempt}", Counter), "Attempts beyond the first.", |node| {
        alone(node.counters().read().retries)
    }),
    observed(
        ("qmesh.calls.retries.refused", "{attempt}", Counter),
        "Attempts that a budget did not allow.",
        |node| alone(node.counters().read().refused_retries),
    ),
    observed(
        ("qmesh.calls.retries.left", "{attempt}", Gauge),
        "Attempts beyond the first that are left to calls of the service that has the fewest.",
        |node| node.retries_left().map_or_else(Vec::new, alone),
    ),
    observed(
        ("qmesh.calls.ran_cancelled", "{call}", Counter),
        "Calls that ran to their end though they had been given up.",
        |node| alone(node.counters().read().ran_cancelled),
    ),
    observed(("qmesh.calls.refused", "{call}", Counter), "Calls that a policy refused.", |node| {
        alone(node.counters().read().refused_calls)
    }),
    observed(
        ("qmesh.one_way.ended", "{message}", Counter),
        "One-way sends to other nodes on channels that have ended, by what became of them.",
        |node| {
            let one_way = node.counters().read().one_way;
            let ends = [
                ("handled", one_way.handled),
                ("refused", one_way.refused),
                ("unknown", one_way.unknown),
                ("lost", one_way.lost),
            ];
            ends.map(|(end, count)| (count, vec![KeyValue::new(names::END, end)])).into()
        },
    ),
    observed(("qmesh.sessions", "{session}", Gauge), "Sessions with peers, by their path.", |node| {
        counted(
            names::PATH,
            node.links().iter().map(|link| link.session().local_address().scheme().to_owned()),
        )
    }),
    observed(
        ("qmesh.sessions.refused", "{session}", Counter),
        "Peers that knocked and were refused.",
        |node| alone(node.counters().read().refused_sessions),
    ),
    observed(("qmesh.sessions.retired", "{session}", Counter), "Sessions that others replaced.", |node| {
        alone(node.counters().read().retired_sessions)
    }),
    observed(("qmesh.sessions.cut", "{session}", Counter), "Replaced sessions that were cut.", |node| {
        alone(node.counters().read().cut_sessions)
    }),
    observed(("qmesh.channels", "{channel}", Gauge), "Channels that this node opened.", |node| {
        alone(node.tree().list().iter().filter(|actor| actor.kind == "channel").count() as u64)
    }),
    observed(
        ("qmesh.channels.broken", "{channel}", Counter),
        "Channels that were closed for what came on them, or did not.",
        |node| alone(node.counters().read().broken_channels),
    ),
    observed(
        ("qmesh.service.queue.depth", "{call}", Gauge),
        "Calls that wait or run at a service.",
        |node| of_services(node, |endpoint| endpoint.depth(Instant::now()).0 as u64),
    ),
    observed(
        ("qmesh.service.queue.limit", "{call}", Gauge),
        "Calls that may wait or run at a service.",
        |node| of_services(node, |endpoint| endpoint.capacity() as u64),
    ),
    observed(
        ("qmesh.service.queue.oldest", "s", Seconds),
        "How long the oldest call waits at a service.",
        |node| of_services(node, |endpoint| millis(endpoint.depth(Instant::now()).1)),
    ),
    observed(("qmesh.service.ready", "1", Gauge), "Whether a service takes calls.", |node| {
        of_services(node, |endpoint| u64::from(endpoint.is_ready()))
    }),
    observed(
        ("qmesh.service.restarts", "{restart}", Counter),
        "How often a service was restarted.",
        |node| {
            let told = |(name, actor): (String, ActorInfo)| {
                (actor.restarts, vec![KeyValue::new(names::SERVICE, name)])
            };
            node.services_of_the_tree().map(told).collect()
        },
    ),
    observed(("qmesh.directory.nodes", "{node}", Gauge), "Nodes that are alive, by state.", |node| {
        let snapshot = node.snapshot();
        counted(names::STATE, snapshot.nodes().map(|record| format!("{:?}", record.state).to_lowercase()))
    }),
    observed(
        ("qmesh.directory.age", "s", Seconds),
        "How long nothing was heard of any other node.",
        |node| {
            let heard = node.gopher_map().stats().heard_ago;
            heard.map_or_else(Vec::new, |ago| alone(millis(ago)))
        },
    ),
    observed(("qmesh.directory.services", "{service}", Gauge), "Services that have an endpoint.", |node| {
        alone(node.snapshot().service_names().len() as u64)
    }),
    observed(("qmesh.directory.changes", "{change}", Counter), "How often the directory changed.", |node| {
        alone(node.snapshot().version())
    }),
    observed(("qmesh.gossip.messages", "{message}", Counter), "Messages of gossip, by direction.", |node| {
        let stats = node.gopher_map().stats();
        directions(stats.messages_in, stats.messages_out)
    }),
    observed(("qmesh.gossip.io", "By", Counter), "Bytes of gossip, by direction.", |node| {
        let stats = node.gopher_map().stats();
        directions(stats.bytes_in, stats.bytes_out)
    }),
    observed(
        ("qmesh.gossip.rejected", "{rejection}", Counter),
        "What was kept from gossip, by reason.",
        |node| {
            let rejected = node.gopher_map().stats().rejected.into_iter();
            let told = rejected.map(|(reason, count)| {
                (count, vec![KeyValue::new(names::ERROR_TYPE, gossip::label(reason))])
            });
            told.collect()
        },
    ),
    observed(
        ("qmesh.certificate.expiry", "s", Gauge),
        "When the node's certificate ends, in seconds since 1970.",
        |node| alone(unix_secs(node.current_credentials().expires_at())),
    ),
];

fn alone(count: u64) -> Told {
    vec![(count, Vec::new())]
}

fn counted(key: &'static str, values: impl Iterator<Item = String>) -> Told {
    let mut counts = BTreeMap::new();
    for value in values {
        *counts.entry(value).or_insert(0) += 1;
    }
    counts.into_iter().map(|(value, count)| (count, vec![KeyValue::new(key, value)])).collect()
}

fn directions(received: u64, sent: u64) -> Told {
    let of = |count, direction| (count, vec![KeyValue::new(names::DIRECTION, direction)]);
    vec![of(received, "receive"), of(sent, "transmit")]
}

fn of_services(node: &NodeInner, look: impl Fn(&dyn crate::service::Endpoint) -> u64) -> Told {
    let of = |endpoint: Arc<dyn crate::service::Endpoint>| {
        (look(&*endpoint), vec![KeyValue::new(names::SERVICE, endpoint.name())])
    };
    node.endpoints().into_iter().map(of).collect()
}

/// The books, which are told to the reader's end: the last that it asks for is when the node is gone.
fn observe_books(meter: &Arc<Meter>) {
    let (books, node) = (Arc::clone(meter), [KeyValue::new(names::NODE, meter.node.clone())]);
    let counter = meter.meter.u64_observable_counter("qmesh.calls.started").with_unit("{call}");
    let _known = counter
        .with_description("Calls and sends of this node that were started.")
        .with_callback(move |instrument| instrument.observe(books.books.read().1, &node))
        .build();
    let books = Arc::clone(meter);
    let counter = meter.meter.u64_observable_counter("qmesh.calls.ended").with_unit("{call}");
    let _known = counter
        .with_description("Those that have ended, by how.")
        .with_callback(move |instrument| {
            for (end, count) in names::ENDS.into_iter().zip(books.books.read().0) {
                let node = KeyValue::new(names::NODE, books.node.clone());
                instrument.observe(count, &[KeyValue::new(names::END, end), node]);
            }
        })
        .build();
}

/// Lets the program's reader ask the node, for as long as it lives.
pub(crate) fn observe(meter: &Arc<Meter>, node: &Weak<NodeInner>) {
    observe_books(meter);
    for observed in OBSERVED {
        let (look, name) = (observed.look, meter.node.clone());
        let node = Weak::clone(node);
        let told = move || {
            let told = node.upgrade().filter(|node| !node.has_ended()).map(|node| look(&node));
            told.unwrap_or_default()
                .into_iter()
                .map(|(number, mut attributes)| {
                    attributes.push(KeyValue::new(names::NODE, name.clone()));
                    (number, attributes)
                })
                .collect::<Told>()
        };
        let count = move |instrument: &dyn AsyncInstrument<u64>| {
            for (number, attributes) in told() {
                instrument.observe(number, &attributes);
            }
        };
        let Observed { name, unit, description, kind, .. } = *observed;
        // The reader has them from here on.
        match kind {
            Counter => {
                let counter = meter.meter.u64_observable_counter(name).with_unit(unit);
                let _known = counter.with_description(description).with_callback(count).build();
            }
            Gauge => {
                let gauge = meter.meter.u64_observable_gauge(name).with_unit(unit);
                let _known = gauge.with_description(description).with_callback(count).build();
            }
            Seconds => {
                let seconds = move |instrument: &dyn AsyncInstrument<f64>| count(&Thousandths(instrument));
                let gauge = meter.meter.f64_observable_gauge(name).with_unit(unit);
                let _known = gauge.with_description(description).with_callback(seconds).build();
            }
        }
    }
}

/// Takes milliseconds for seconds.
struct Thousandths<'a>(&'a dyn AsyncInstrument<f64>);

impl AsyncInstrument<u64> for Thousandths<'_> {
    fn observe(&self, millis: u64, attributes: &[KeyValue]) {
        self.0.observe(millis as f64 / 1000.0, attributes);
    }
}
