//! The architecture, as far as it can be read from the files: who depends on whom, who names what, and how files look.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// A package of the workspace.
struct Package {
    name: String,
    folder: PathBuf,
    /// What it is built with, tests aside.
    dependencies: BTreeSet<String>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests lie in the workspace").to_owned()
}

fn packages() -> BTreeMap<String, Package> {
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(metadata.status.success(), "{}", String::from_utf8_lossy(&metadata.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).expect("cargo writes JSON");
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &serde_json::Value| value.as_array().cloned().unwrap_or_default();
    let package = |package: serde_json::Value| {
        let manifest = PathBuf::from(text(&package["manifest_path"]));
        let dependencies = list(&package["dependencies"]);
        let dependencies = dependencies.iter().filter(|dependency| dependency["kind"] != "dev");
        let dependencies = dependencies.map(|dependency| text(&dependency["name"])).collect();
        let folder = manifest.parent().expect("a manifest lies in a folder").to_owned();
        let name = text(&package["name"]);
        (name.clone(), Package { name, folder, dependencies })
    };
    list(&metadata["packages"]).into_iter().map(package).collect()
}

/// Every Rust file below a folder of the workspace, with its path from the root.
fn rust_files(folder: &Path) -> Vec<(String, String)> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("an entry can be read").path();
            let is_hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
            if path.is_dir() && !is_hidden && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let content =
                    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                let short = path.strip_prefix(root()).expect("it lies in the workspace");
                files.push((short.to_string_lossy().into_owned(), content));
            }
        }
    }
    files.sort();
    files
}

/// The code of a file: no comments, and nothing from its unit tests on.
fn code(content: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = content.lines().enumerate().take_while(|(_, line)| !line.starts_with("#[cfg(test)]"));
    lines.filter(|(_, line)| !line.trim_start().starts_with("//")).map(|(number, line)| (number + 1, line))
}

/// Collects offences against a rule; none are allowed.
struct Rule(&'static str, Vec<String>);

impl Rule {
    const fn new(text: &'static str) -> Self {
        Self(text, Vec::new())
    }

    fn unless(&mut self, holds: bool, offence: impl FnOnce() -> String) {
        if !holds {
            self.1.push(offence());
        }
    }

    fn check(self) {
        assert!(self.1.is_empty(), "{}:\n  {}", self.0, self.1.join("\n  "));
    }
}

/// The source files of these packages, their unit tests aside.
fn sources(packages: &BTreeMap<String, Package>, names: &[&str]) -> Vec<(String, String)> {
    let all = names.iter().flat_map(|name| rust_files(&packages[*name].folder.join("src")));
    all.filter(|(file, _)| !file.ends_with("/tests.rs") && !file.contains("/tests/")).collect()
}

const LIBRARIES: [&str; 5] =
    ["qmesh-transport", "qmesh-discovery", "qmesh", "qmesh-macros", "qmesh-services"];

#[test]
fn packages_depend_in_one_direction() {
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("qmesh-transport", &[][..]),
        ("qmesh-discovery", &["qmesh-transport"]),
        ("qmesh-macros", &[]),
        ("qmesh", &["qmesh-transport", "qmesh-discovery", "qmesh-macros"]),
        ("qmesh-services", &["qmesh"]),
        ("qmesh-cli", &["qmesh", "qmesh-services"]),
        ("qmesh-examples", &["qmesh", "qmesh-services"]),
        ("qmesh-tests", &["qmesh", "qmesh-services", "qmesh-transport", "qmesh-discovery"]),
        ("qmesh-trial", &[]),
    ]);
    let packages = packages();
    let mut rule = Rule::new("transport <- discovery <- runtime <- services <- { cli, examples, tests }");
    for Package { name, dependencies, .. } in packages.values() {
        let Some(allowed) = allowed.get(name.as_str()) else {
            rule.unless(false, || format!("{name} is not in the picture"));
            continue;
        };
        for dependency in dependencies.iter().filter(|dependency| packages.contains_key(*dependency)) {
            rule.unless(allowed.contains(&dependency.as_str()), || format!("{name} depends on {dependency}"));
        }
    }
    rule.check();
}

#[test]
fn what_a_layer_hides_is_named_nowhere_else() {
    let hidden = [
        ("quinn", "qmesh-transport"),
        ("rustls", "qmesh-transport"),
        ("tungstenite", "qmesh-transport"),
        ("chitchat", "qmesh-discovery"),
        ("mdns-sd", "qmesh-discovery"),
        ("hickory-resolver", "qmesh-discovery"),
        ("ractor", "qmesh"),
        ("syn", "qmesh-macros"),
        ("clap", "qmesh-cli"),
    ];
    let packages = packages();
    let mut rule = Rule::new("what a layer is made of is its own affair");
    for Package { name, folder, dependencies } in packages.values() {
        for (dependency, owner) in hidden.iter().filter(|(_, owner)| owner != name) {
            let offence = || format!("{name} depends on {dependency}, which only {owner} may");
            rule.unless(!dependencies.contains(*dependency), offence);
            let path = format!("{}::", dependency.replace('-', "_"));
            for (file, content) in rust_files(folder).iter().filter(|(file, _)| belongs(file, folder)) {
                for (line, _) in code(content).filter(|(_, line)| names(line, &path)) {
                    rule.unless(false, || format!("{file}:{line} names {dependency}"));
                }
            }
        }
    }
    rule.check();
}

/// Packages lie in each other's folders.
fn belongs(file: &str, folder: &Path) -> bool {
    let mut above = root().join(file);
    while above.pop() {
        if above.join("Cargo.toml").exists() {
            return above == folder;
        }
    }
    false
}

/// Whether a line says `path`, and not as the end of a longer word.
fn names(line: &str, path: &str) -> bool {
    let is_word = |character: char| character.is_alphanumeric() || "_\"'`:".contains(character);
    line.match_indices(path).any(|(at, _)| !line[..at].ends_with(is_word))
}

#[test]
fn only_one_module_of_discovery_names_chitchat() {
    let mut rule = Rule::new("chitchat is hidden in discovery/src/gossip");
    for (file, content) in sources(&packages(), &["qmesh-discovery"]) {
        let inside = file.starts_with("discovery/src/gossip.rs") || file.starts_with("discovery/src/gossip/");
        let named = code(&content).any(|(_, line)| names(line, "chitchat::"));
        rule.unless(inside || !named, || file);
    }
    rule.check();
}

#[test]
fn protobuf_stops_where_the_wire_does() {
    let allowed = [
        "discovery/src/record/",
        "discovery/src/gossip/",
        "runtime/src/wire/",
        // Encoding and decoding of those messages, where they come in and go out.
        "runtime/src/channel/",
        "runtime/src/node/accept.rs",
        "runtime/src/node/control.rs",
        "runtime/src/node/hello.rs",
        "runtime/src/control_client.rs",
        "runtime/src/fuzzing.rs",
        "runtime/src/service/reply.rs",
    ];
    let mut rule = Rule::new("prost is named at the wire alone");
    for (file, content) in sources(&packages(), &LIBRARIES) {
        let named = code(&content).any(|(_, line)| names(line, "prost::"));
        rule.unless(!named || allowed.iter().any(|allowed| file.starts_with(allowed)), || file);
    }
    rule.check();
}

#[test]
fn one_module_of_the_runtime_names_opentelemetry() {
    let mut rule = Rule::new("OpenTelemetry is hidden in runtime/src/telemetry");
    for (file, content) in sources(&packages(), &LIBRARIES) {
        let inside = file == "runtime/src/telemetry.rs" || file.starts_with("runtime/src/telemetry/");
        let all = ["opentelemetry::", "opentelemetry_sdk::", "opentelemetry_otlp::", "prometheus::"];
        let named = code(&content).any(|(_, line)| all.iter().any(|path| names(line, path)));
        rule.unless(inside || !named, || file);
    }
    rule.check();
}

#[test]
fn http_is_named_where_it_is_spoken() {
    let mut rule = Rule::new("hyper is named by runtime/src/http.rs, and by who answers its requests");
    let allowed = ["runtime/src/http.rs", "runtime/src/telemetry/scrape.rs", "runtime/src/console/"];
    for (file, content) in sources(&packages(), &LIBRARIES) {
        let all = ["hyper::", "hyper_util::", "http_body_util::"];
        let named = code(&content).any(|(_, line)| all.iter().any(|path| names(line, path)));
        rule.unless(!named || allowed.iter().any(|allowed| file.starts_with(allowed)), || file);
    }
    rule.check();
}

#[test]
fn one_file_of_the_runtime_spawns() {
    let mut rule = Rule::new("runtime/src/task/place.rs decides where a task runs");
    for (file, content) in sources(&packages(), &["qmesh"]) {
        for (line, _) in code(&content)
            .filter(|(_, line)| line.contains("tokio::spawn(") || line.contains("task::spawn_blocking("))
        {
            rule.unless(file == "runtime/src/task/place.rs", || format!("{file}:{line}"));
        }
    }
    rule.check();
}

#[test]
fn what_a_seed_replays_leaves_nothing_to_chance() {
    let mut rule = Rule::new("a simulation of one seed runs alike twice (ARCHITECTURE.md, Simulation)");
    let simulated = |file: &str| {
        let gossip = file.starts_with("discovery/src/gossip.rs") || file.starts_with("discovery/src/gossip/");
        let real = file.starts_with("transport/src/quic") || file.starts_with("transport/src/identity");
        !gossip && !real
    };
    let sources = sources(&packages(), &["qmesh-transport", "qmesh-discovery", "qmesh"]);
    for (file, content) in sources.iter().filter(|(file, _)| simulated(file)) {
        let lines: Vec<_> = code(content).collect();
        for (at, (number, line)) in lines.iter().enumerate() {
            let next = lines.get(at + 1).map_or("", |(_, next)| next.trim());
            let place = || format!("{file}:{number} {}", line.trim());
            rule.unless(!line.contains("select! {") || next == "biased;", place);
            let chances = ["rand::random", "rand::rng(", "sync::watch", "thread_rng", "SystemTime::now"];
            let allowed = ["runtime/src/random.rs", "runtime/src/node/wall_clock.rs"];
            let chance = chances.iter().any(|chance| line.contains(chance));
            rule.unless(!chance || allowed.contains(&file.as_str()), place);
        }
    }
    rule.check();
}

#[test]
fn libraries_read_no_environment() {
    let mut rule = Rule::new("only the command line reads the environment");
    for (file, content) in sources(&packages(), &LIBRARIES) {
        for (line, text) in code(&content) {
            let reads = ["env::var", "env::args", "env::current_dir", "env::home_dir", "env::temp_dir"];
            rule.unless(!reads.iter().any(|reads| text.contains(reads)), || {
                format!("{file}:{line} {}", text.trim())
            });
        }
    }
    rule.check();
}

#[test]
fn every_file_says_what_it_is_and_is_in_use() {
    let mut header = Rule::new("the first line of a file, `//!`, states its one job");
    let mut mods = Rule::new("foo.rs and foo/, never foo/mod.rs");
    let mut dead = Rule::new("a file that no other file names is dead");
    let files = rust_files(&root());
    for (file, content) in &files {
        let is_fixture = file.contains("/compile_fail/");
        header.unless(is_fixture || content.starts_with("//!"), || file.clone());
        mods.unless(!file.ends_with("/mod.rs"), || file.clone());
        dead.unless(is_fixture || is_in_use(file, &files), || file.clone());
    }
    header.check();
    mods.check();
    dead.check();
}

/// Whether cargo builds the file by itself, or the file above it has it as a module.
fn is_in_use(file: &str, files: &[(String, String)]) -> bool {
    let path = Path::new(file);
    let (Some(stem), Some(folder)) = (path.file_stem(), path.parent()) else { return false };
    let stem = stem.to_string_lossy();
    let stands_alone = matches!(&*stem, "main" | "lib" | "build")
        || ["tests", "examples", "benches", "bin", "fuzz_targets"].iter().any(|name| folder.ends_with(name));
    if stands_alone {
        return true;
    }
    let beside = ["main.rs", "lib.rs"].map(|name| folder.join(name));
    let above = folder.with_extension("rs");
    let declares = |content: &str| {
        let declaration = format!("mod {stem};");
        content
            .lines()
            .any(|line| line.trim_start().ends_with(&declaration) && !line.trim_start().starts_with("//"))
    };
    files.iter().any(|(file, content)| {
        let file = Path::new(file);
        (file == above || beside.iter().any(|beside| beside == file)) && declares(content)
    })
}
