//! The table of bounds in ARCHITECTURE.md says what the code says, and leaves nothing out.
//!
//! A row names in its last column what sets the bound: a field of a configuration, or a constant and its file. Its default is
//! compared with the value that the code has; and every field and every constant `…_MAX` has to be in a row.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use qmesh::{Config, RestartPolicy};

/// A row of the table.
struct Row {
    default: String,
    set_by: String,
}

/// A value, as the code has it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Value {
    Count(u64),
    Time(Duration),
    Real(f64),
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests lie in the workspace").to_owned()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn rows() -> Vec<Row> {
    let text = read(&root().join("ARCHITECTURE.md"));
    let table = text.split("\n## Bounds\n").nth(1).and_then(|rest| rest.split("\n## ").next());
    let lines = table.expect("there is a section on bounds").lines().filter(|line| line.starts_with("| "));
    let row = |line: &str| {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [_, default, _, set_by] = cells[..] else { panic!("a row has four columns: {line}") };
        Row { default: default.to_owned(), set_by: set_by.to_owned() }
    };
    lines.map(row).collect()
}

/// The sources, by their path from the root.
fn sources() -> Vec<(String, String)> {
    let mut files = Vec::new();
    let mut folders: Vec<_> = ["transport/src", "discovery/src", "runtime/src", "services/cli/src"]
        .map(|name| root().join(name))
        .into();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder can be read") {
            let path = entry.expect("an entry can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let short = path.strip_prefix(root()).expect("it lies below").to_string_lossy().into_owned();
                files.push((short, read(&path)));
            }
        }
    }
    files
}

/// The text in front of the unit tests.
fn code(content: &str) -> &str {
    content.split("#[cfg(test)]").next().unwrap_or_default()
}

/// The constants of a file: name, and expression.
fn constants(content: &str) -> impl Iterator<Item = (&str, &str)> {
    code(content).lines().filter(|line| !line.starts_with(' ')).filter_map(|line| {
        let (_, constant) = line.split_once("const ")?;
        let (name, rest) = constant.split_once(": ")?;
        let (_, value) = rest.split_once(" = ")?;
        Some((name, value.trim_end_matches(';')))
    })
}

/// The value of an expression: numbers, products, shifts and durations.
fn value(expression: &str) -> Option<Value> {
    for (unit, millis) in [("hours", 3_600_000), ("mins", 60_000), ("secs", 1000), ("millis", 1)] {
        if let Some(rest) = expression.strip_prefix(&format!("Duration::from_{unit}(")) {
            let count = number(rest.trim_end_matches(')'))?;
            return Some(Value::Time(Duration::from_millis(count * millis)));
        }
    }
    number(expression).map(Value::Count).or_else(|| expression.parse().ok().map(Value::Real))
}

fn number(expression: &str) -> Option<u64> {
    if let Some((left, right)) = expression.split_once(" << ") {
        return Some(number(left)? << number(right)?);
    }
    if let Some((left, right)) = expression.split_once(" * ") {
        return Some(number(left)? * number(right)?);
    }
    if expression.starts_with("u16::MAX") {
        return Some(u16::MAX.into());
    }
    expression.replace('_', "").parse().ok()
}

// === impl Value ===

impl From<Duration> for Value {
    fn from(time: Duration) -> Self {
        Self::Time(time)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

macro_rules! counts {
    ($($type:ty),*) => {
        $(impl From<$type> for Value {
            fn from(count: $type) -> Self {
                Self::Count(count as u64)
            }
        })*
    };
}

counts!(u16, u32, u64, usize);

impl Value {
    /// How it may be written.
    fn texts(self) -> Vec<String> {
        match self {
            Self::Real(value) => vec![value.to_string(), format!("{:.0} %", value * 100.0)],
            Self::Count(count) => {
                let mut texts = vec![count.to_string(), grouped(count)];
                for (unit, name) in [(1 << 10, "KiB"), (1 << 20, "MiB"), (1 << 30, "GiB")] {
                    if count >= unit && count % unit == 0 {
                        texts.push(format!("{} {name}", count / unit));
                    }
                }
                texts
            }
            Self::Time(time) => {
                let millis = time.as_millis();
                let units =
                    [(1, "ms"), (1000, "s"), (60_000, "min"), (86_400_000, "day"), (86_400_000, "days")];
                let fits = units.iter().filter(|(unit, _)| millis.is_multiple_of(*unit));
                let mut texts: Vec<_> =
                    fits.map(|(unit, name)| format!("{} {name}", millis / unit)).collect();
                texts.push(format!("{} s", time.as_secs_f64()));
                texts
            }
        }
    }

    fn is_in(self, text: &str) -> bool {
        self.texts().iter().any(|own| stands_in(own, text))
    }
}

/// `1,250,000`
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let first = digits.len() % 3;
    let (head, tail) = digits.split_at(first);
    let groups = tail.as_bytes().chunks(3).map(|group| String::from_utf8_lossy(group).into_owned());
    let groups: Vec<_> = (!head.is_empty()).then(|| head.to_owned()).into_iter().chain(groups).collect();
    groups.join(",")
}

/// Whether a text stands in another one, not as a part of a longer word or number.
fn stands_in(text: &str, whole: &str) -> bool {
    let is_word = |character: char| character.is_alphanumeric();
    whole.match_indices(text).any(|(at, _)| {
        let before = whole[..at].chars().next_back();
        let mut after = whole[at + text.len()..].chars();
        let next = after.next();
        let goes_on = next.is_some_and(is_word)
            || (next.is_some_and(|next| ",.".contains(next))
                && after.next().is_some_and(|next| next.is_ascii_digit()));
        !before.is_some_and(|before| is_word(before) || ",.".contains(before)) && !goes_on
    })
}

/// What is set in each preset.
struct Setting {
    name: String,
    values: Vec<Value>,
}

fn presets() -> [Config; 3] {
    [Config::local(), Config::lan(), Config::wan()]
}

fn settings() -> Vec<Setting> {
    macro_rules! fields {
        ($prefix:literal, $config:ident => $from:expr, [$($field:ident),* $(,)?]) => {
            [$(Setting {
                name: format!("{}{}", $prefix, stringify!($field)),
                values: presets().iter().map(|$config| $from.$field.clone().into()).collect(),
            }),*]
        };
    }
    let mut settings = Vec::new();
    settings.extend(fields!("Config::", config => config, [
        shards, call_timeout, drain_timeout, seed_interval, call_hops, call_retries, retries_per_second,
        kept_traces_per_second, slow_call,
    ]));
    settings.extend(fields!("Limits::", config => config.limits, [
        message_bytes_max, calls_per_channel, one_way_window, metadata_bytes_max,
        large_frames_bytes_max, unread_answers_bytes_max, handshakes, openings, opening_timeout,
    ]));
    settings.extend(fields!("QuicConfig::", config => config.quic, [
        idle_timeout, keep_alive, handshake_timeout, channels_max, channel_window, session_window, send_window, mtu_max,
        udp_buffer, incoming_max, incoming_buffer,
    ]));
    settings.extend(fields!("gossip.", config => config.gossip, [
        interval, phi_threshold, silence_min, window, gap_max, dead_grace, nodes_max, inbox_messages_max,
    ]));
    let restart = RestartPolicy::default();
    let twice = |name: &str, values: Vec<Value>| Setting { name: name.to_owned(), values };
    let redial = presets()[0].redial;
    settings.push(twice("Config::redial", vec![redial.0.into(), redial.1.into()]));
    settings.push(twice("Config::retry_share", vec![f64::from(presets()[0].retry_share).into()]));
    settings.push(twice("RestartPolicy::intensity", vec![restart.intensity.into(), restart.period.into()]));
    settings.push(twice(
        "RestartPolicy::backoff_min",
        vec![restart.backoff_min.into(), restart.backoff_max.into()],
    ));
    settings
}

#[test]
fn the_defaults_of_settings_are_those_of_the_code() {
    let rows = rows();
    let mut wrong = Vec::new();
    for Setting { name, values } in settings() {
        let Some(row) = rows.iter().find(|row| row.set_by.contains(&format!("`{name}`"))) else {
            wrong.push(format!("`{name}` is in no row"));
            continue;
        };
        for value in values.iter().filter(|value| !value.is_in(&row.default)) {
            wrong.push(format!("`{name}` is {value:?}; the table says {}", row.default));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_setting_is_left_out() {
    let known: Vec<_> = settings().into_iter().map(|setting| setting.name).collect();
    // Parts that have fields of their own, and switches.
    let others = [
        "Config::quic",
        "Config::gossip",
        "Config::limits",
        "Config::tap_payloads",
        "QuicConfig::segmentation_offload",
        "gossip.protocol",
    ];
    let files = [
        ("runtime/src/config.rs", [("Config", "Config::"), ("Limits", "Limits::")].as_slice()),
        ("transport/src/quic/config.rs", &[("QuicConfig", "QuicConfig::")]),
        ("discovery/src/config.rs", &[("Config", "gossip.")]),
    ];
    for (file, structs) in files {
        let content = read(&root().join(file));
        for (name, prefix) in structs {
            let body = content
                .split(&format!("pub struct {name} {{"))
                .nth(1)
                .and_then(|rest| rest.split("\n}").next());
            let fields = body
                .expect("the struct is there")
                .lines()
                .filter_map(|line| line.trim().strip_prefix("pub "));
            for field in fields.filter_map(|line| line.split(':').next()) {
                let field = format!("{prefix}{field}");
                assert!(
                    known.contains(&field) || others.contains(&&*field),
                    "this test does not know `{field}`"
                );
            }
        }
    }
}

#[test]
fn the_defaults_of_constants_are_those_of_the_code() {
    let (rows, sources) = (rows(), sources());
    let mut wrong = Vec::new();
    let mut compared = 0;
    for Row { default, set_by } in &rows {
        let quoted: Vec<_> = set_by.split('`').skip(1).step_by(2).collect();
        let is_constant = |name: &&&str| name.chars().all(|each| each.is_ascii_uppercase() || each == '_');
        let file = set_by.split([' ', ';', ',']).find(|word| word.ends_with(".rs"));
        for name in quoted.iter().filter(is_constant) {
            let defined = sources
                .iter()
                .filter(|(path, _)| file.is_none_or(|file| path.ends_with(&format!("/{file}"))));
            let found =
                defined.flat_map(|(_, content)| constants(content)).find(|(constant, _)| constant == name);
            match found.map(|(_, expression)| (expression, value(expression))) {
                None => wrong.push(format!("`{name}` is not in {}", file.unwrap_or("the libraries"))),
                Some((expression, None)) => {
                    wrong.push(format!("`{name}`: this test cannot read `{expression}`"))
                }
                Some((_, Some(value))) if !value.is_in(default) => {
                    wrong.push(format!("`{name}` is {value:?}; the table says {default}"));
                }
                Some(_) => compared += 1,
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(compared > 40, "{compared} were compared");
}

#[test]
fn no_bound_is_left_out() {
    let rows = rows();
    let mut missing = Vec::new();
    // What a command line, a fuzzer or a simulation allows itself is its own affair.
    let of_the_libraries = |path: &str| {
        let others = ["services/", "runtime/src/testing/"];
        !others.iter().any(|other| path.starts_with(other)) && !path.ends_with("/fuzzing.rs")
    };
    for (path, content) in sources().into_iter().filter(|(path, _)| of_the_libraries(path)) {
        for (name, _) in constants(&content).filter(|(name, _)| name.ends_with("_MAX")) {
            let file = path.split("/src/").nth(1).unwrap_or_default();
            let names_it = |row: &Row| {
                row.set_by.contains(&format!("`{name}`"))
                    && (row.set_by.contains(file) || !row.set_by.contains(".rs"))
            };
            if !rows.iter().any(names_it) {
                missing.push(format!("`{name}`, {file}"));
            }
        }
    }
    assert!(missing.is_empty(), "not in the table of ARCHITECTURE.md:\n{}", missing.join("\n"));
}

#[test]
fn values_are_found_as_whole_words_alone() {
    assert!(Value::Count(64).is_in("64, or one above 64 KiB"));
    assert!(Value::Count(65_536).is_in("one above 64 KiB"));
    assert!(!Value::Count(64).is_in("1640; 64,000; 0.64"));
    assert!(Value::Count(1_250_000).is_in("1,250,000 (wan 6,000,000)"));
    assert!(Value::Time(Duration::from_secs(86_400)).is_in("1 day"));
    assert!(!Value::Time(Duration::from_secs(1)).is_in("11 s"));
    assert_eq!(value("4 << 20"), Some(Value::Count(4 << 20)));
    assert_eq!(value("Duration::from_secs(24 * 60 * 60)"), Some(Value::Time(Duration::from_secs(86_400))));
}
