//! The columns of each table: what is in them, how they sort, and which go first where there is little room.

use crate::{
    text,
    top::model::{CallerRow, Calls, EdgeRow, EndpointRow, MethodRow, NodeRow, ServiceRow},
};

/// What a table lists.
pub(super) trait Listed: Sized + 'static {
    const COLUMNS: &'static [Column<Self>];

    /// Tells rows apart, and is what a filter looks at.
    fn key(&self) -> String;
}

/// A column of a table.
pub(super) struct Column<R> {
    pub(super) title: &'static str,
    /// The least that it takes.
    pub(super) width: u16,
    /// Numbers stand at the right.
    pub(super) is_number: bool,
    /// 0 stays; the highest goes first where there is no room.
    pub(super) spare: u8,
    pub(super) text: fn(&R) -> String,
    pub(super) order: fn(&R) -> Order,
    pub(super) tone: fn(&R) -> Tone,
}

/// What rows are sorted by: numbers begin with the largest, names with the first.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
pub(super) enum Order {
    Number(f64),
    Name(String),
}

/// How a cell looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Good,
    Odd,
    Bad,
    Faint,
}

/// A queue that waits for so long is worth a look; for so long, worth a call.
const OLD_MS: u64 = 100;
const TOO_OLD_MS: u64 = 1000;

const fn name<R>(
    title: &'static str,
    width: u16,
    spare: u8,
    text: fn(&R) -> String,
    order: fn(&R) -> Order,
) -> Column<R> {
    Column { title, width, is_number: false, spare, text, order, tone: |_| Tone::Plain }
}

const fn number<R>(
    (title, width, spare): (&'static str, u16, u8),
    text: fn(&R) -> String,
    order: fn(&R) -> Order,
    tone: fn(&R) -> Tone,
) -> Column<R> {
    Column { title, width, is_number: true, spare, text, order, tone }
}

/// The columns about calls of any row that has some.
macro_rules! of_calls {
    (rate) => {
        number(
            ("CALLS/S", 8, 0),
            |row| rate(row.calls.rate),
            |row| Order::Number(row.calls.rate),
            |row| idle(&row.calls),
        )
    };
    (errors) => {
        number(
            ("ERRORS", 7, 0),
            |row| share(&row.calls),
            |row| Order::Number(row.calls.errors),
            |row| failing(&row.calls),
        )
    };
    (p50) => {
        number(("P50", 7, 1), |row| time(row.calls.p50_us), |row| order(row.calls.p50_us), |_| Tone::Plain)
    };
    (p99) => {
        number(("P99", 7, 0), |row| time(row.calls.p99_us), |row| order(row.calls.p99_us), |_| Tone::Plain)
    };
    (in_flight) => {
        number(
            ("OPEN", 5, 2),
            |row| count(row.calls.in_flight),
            |row| Order::Number(row.calls.in_flight as f64),
            |_| Tone::Plain,
        )
    };
}

impl Listed for ServiceRow {
    const COLUMNS: &'static [Column<Self>] = &[
        name("SERVICE", 14, 0, |row| row.service.clone(), |row| Order::Name(row.service.clone())),
        of_calls!(rate),
        of_calls!(errors),
        of_calls!(p50),
        of_calls!(p99),
        number(
            ("OPEN", 5, 2),
            |row| count(row.depth),
            |row| Order::Number(row.depth as f64),
            |_| Tone::Plain,
        ),
        number(
            ("OLDEST", 7, 1),
            |row| if row.depth == 0 { String::new() } else { text::duration_ms(row.oldest_ms) },
            |row| Order::Number(row.oldest_ms as f64),
            |row| age(row.oldest_ms),
        ),
        number(
            ("RESTARTS", 8, 4),
            |row| count(row.restarts),
            |row| Order::Number(row.restarts as f64),
            |_| Tone::Odd,
        ),
        name(
            "ENDPOINTS",
            10,
            3,
            |row| match row.endpoints.len() {
                0 => "nowhere".to_owned(),
                1 => row.endpoints[0].node.clone(),
                many => format!("{many} nodes"),
            },
            |row| Order::Number(row.endpoints.len() as f64),
        ),
    ];

    fn key(&self) -> String {
        self.service.clone()
    }
}

impl Listed for NodeRow {
    const COLUMNS: &'static [Column<Self>] = &[
        name("NODE", 10, 0, |row| row.node.clone(), |row| Order::Name(row.node.clone())),
        Column {
            title: "STATE",
            width: 8,
            is_number: false,
            spare: 1,
            text: |row| if row.silent.is_some() { "silent".to_owned() } else { row.state.clone() },
            order: |row| Order::Name(row.state.clone()),
            tone: |row| match row.state.as_str() {
                _ if row.silent.is_some() => Tone::Bad,
                "ready" => Tone::Good,
                _ => Tone::Odd,
            },
        },
        number(("SERVES/S", 8, 0), |row| rate(row.serves), |row| Order::Number(row.serves), |_| Tone::Plain),
        number(("MAKES/S", 8, 0), |row| rate(row.makes), |row| Order::Number(row.makes), |_| Tone::Plain),
        number(
            ("SERVICES", 8, 4),
            |row| count(row.services),
            |row| Order::Number(row.services as f64),
            |_| Tone::Plain,
        ),
        number(
            ("SESSIONS", 8, 3),
            |row| count(row.sessions.len() as u64),
            |row| Order::Number(row.sessions.len() as f64),
            |_| Tone::Plain,
        ),
        number(
            ("TRIP", 7, 2),
            |row| time(row.round_trip_us),
            |row| order(row.round_trip_us),
            |_| Tone::Plain,
        ),
    ];

    fn key(&self) -> String {
        self.node.clone()
    }
}

impl Listed for EdgeRow {
    const COLUMNS: &'static [Column<Self>] = &[
        name("FROM", 12, 0, |row| caller(&row.from), |row| Order::Name(row.from.clone())),
        name("ON", 7, 2, |row| row.from_node.clone(), |row| Order::Name(row.from_node.clone())),
        name("TO", 13, 0, |row| format!("→ {}", row.service), |row| Order::Name(row.service.clone())),
        name("ON", 7, 1, |row| place(&row.node), |row| Order::Name(row.node.clone())),
        of_calls!(rate),
        of_calls!(errors),
        of_calls!(p50),
        of_calls!(p99),
        of_calls!(in_flight),
    ];

    fn key(&self) -> String {
        format!("{} {} {} {}", caller(&self.from), self.from_node, self.service, self.node)
    }
}

impl Listed for MethodRow {
    const COLUMNS: &'static [Column<Self>] = &[
        name("METHOD", 14, 0, |row| row.method.clone(), |row| Order::Name(row.method.clone())),
        of_calls!(rate),
        of_calls!(errors),
        of_calls!(p50),
        of_calls!(p99),
        of_calls!(in_flight),
        name("WHY", 10, 3, |row| reasons(&row.calls), |row| Order::Name(reasons(&row.calls))),
    ];

    fn key(&self) -> String {
        self.method.clone()
    }
}

impl Listed for CallerRow {
    const COLUMNS: &'static [Column<Self>] = &[
        name("CALLER", 14, 0, |row| caller(&row.from), |row| Order::Name(row.from.clone())),
        name("ON", 8, 0, |row| row.node.clone(), |row| Order::Name(row.node.clone())),
        of_calls!(rate),
        of_calls!(errors),
        of_calls!(p50),
        of_calls!(p99),
        of_calls!(in_flight),
    ];

    fn key(&self) -> String {
        format!("{} {}", caller(&self.from), self.node)
    }
}

impl Listed for EndpointRow {
    const COLUMNS: &'static [Column<Self>] = &[
        name("NODE", 10, 0, |row| row.node.clone(), |row| Order::Name(row.node.clone())),
        name("SERVICE", 12, 1, |row| row.load.service.clone(), |row| Order::Name(row.load.service.clone())),
        number(
            ("QUEUE", 10, 0),
            |row| format!("{}/{}", row.load.depth, row.load.capacity),
            |row| Order::Number(row.load.depth as f64),
            |row| if row.load.depth >= row.load.capacity { Tone::Bad } else { Tone::Plain },
        ),
        number(
            ("OLDEST", 7, 0),
            |row| if row.load.depth == 0 { String::new() } else { text::duration_ms(row.load.oldest_ms) },
            |row| Order::Number(row.load.oldest_ms as f64),
            |row| age(row.load.oldest_ms),
        ),
        number(
            ("RESTARTS", 8, 2),
            |row| count(row.load.restarts),
            |row| Order::Number(row.load.restarts as f64),
            |_| Tone::Odd,
        ),
        Column {
            title: "AT",
            width: 12,
            is_number: false,
            spare: 0,
            text: |row| at_work(row),
            order: |row| Order::Name(at_work(row)),
            tone: |row| if row.load.ready { age(row.load.running_ms) } else { Tone::Odd },
        },
    ];

    fn key(&self) -> String {
        format!("{} {}", self.node, self.load.service)
    }
}

impl Listed for qmesh::SessionLoad {
    const COLUMNS: &'static [Column<Self>] = &[
        name("SESSION WITH", 12, 0, |row| row.peer.clone(), |row| Order::Name(row.peer.clone())),
        name("OVER", 7, 1, |row| row.path.clone(), |row| Order::Name(row.path.clone())),
        number(
            ("TRIP", 7, 0),
            |row| time(row.round_trip_us),
            |row| order(row.round_trip_us),
            |_| Tone::Plain,
        ),
        number(
            ("CHANNELS", 8, 0),
            |row| count(row.channels),
            |row| Order::Number(row.channels as f64),
            |_| Tone::Plain,
        ),
        number(
            ("UP", 8, 1),
            |row| text::duration_ms(row.up_ms),
            |row| Order::Number(row.up_ms as f64),
            |_| Tone::Plain,
        ),
        name(
            "DIALLED BY",
            10,
            2,
            |row| if row.dialled { "this node" } else { "the peer" }.to_owned(),
            |row| Order::Number(f64::from(u8::from(row.dialled))),
        ),
    ];

    fn key(&self) -> String {
        self.peer.clone()
    }
}

/// What a service is at.
fn at_work(row: &EndpointRow) -> String {
    match (&row.load.running, &row.load.held_up) {
        _ if !row.load.ready => "takes no calls".to_owned(),
        (Some(method), _) => format!("{method} for {}", text::duration_ms(row.load.running_ms)),
        (_, Some(method)) => format!("{method} waits for others"),
        _ => String::new(),
    }
}

/// Who calls, for people.
pub(super) fn caller(from: &str) -> String {
    if from.is_empty() { "(program)".to_owned() } else { from.to_owned() }
}

fn place(node: &str) -> String {
    if node.is_empty() { "nowhere".to_owned() } else { node.to_owned() }
}

/// Calls per second.
pub(super) fn rate(rate: f64) -> String {
    match rate {
        0.0 => "0".to_owned(),
        rate if rate < 10.0 => format!("{rate:.1}"),
        rate if rate < 10_000.0 => format!("{rate:.0}"),
        rate if rate < 1_000_000.0 => format!("{:.1}k", rate / 1000.0),
        rate => format!("{:.1}M", rate / 1_000_000.0),
    }
}

fn share(calls: &Calls) -> String {
    if calls.rate == 0.0 || calls.errors == 0.0 { String::new() } else { percent(calls.errors) }
}

/// A share as people say it.
pub(super) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent >= 10.0 { format!("{percent:.0}%") } else { format!("{percent:.1}%") }
}

fn time(us: Option<u64>) -> String {
    us.map(text::duration_us).unwrap_or_default()
}

fn order(us: Option<u64>) -> Order {
    Order::Number(us.unwrap_or(0) as f64)
}

fn count(count: u64) -> String {
    if count == 0 { String::new() } else { count.to_string() }
}

fn reasons(calls: &Calls) -> String {
    let mut failed: Vec<_> = calls.failed.iter().filter(|(_, rate)| **rate > 0.0).collect();
    failed.sort_by(|one, other| other.1.total_cmp(one.1));
    let told: Vec<_> = failed.into_iter().map(|(status, rate)| format!("{status} {rate:.1}/s")).collect();
    told.join(", ")
}

fn idle(calls: &Calls) -> Tone {
    if calls.rate == 0.0 { Tone::Faint } else { Tone::Plain }
}

fn failing(calls: &Calls) -> Tone {
    if calls.errors >= 0.05 { Tone::Bad } else { Tone::Odd }
}

const fn age(ms: u64) -> Tone {
    match ms {
        0..OLD_MS => Tone::Plain,
        OLD_MS..TOO_OLD_MS => Tone::Odd,
        _ => Tone::Bad,
    }
}
