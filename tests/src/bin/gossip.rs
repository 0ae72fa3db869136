//! The scale of the directory: meshes that do nothing but gossip, of several sizes and intervals, in virtual time.

use std::{
    fs,
    io::Write as _,
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

use anyhow::{Context as _, bail};
use qmesh_discovery::Protocol;
use qmesh_tests::gossip::{Figures, PROTOCOLS, Preset, Shape, chart, measure, table};

const USAGE: &str = "\
Measures what gossip costs a node and how soon directories agree, by the number of nodes, in virtual time.

    gossip [--nodes N,N] [--presets NAMES] [--protocols NAMES] [--threads N]
           [--beside FILE] [--chart FILE] [-o json]

  --nodes N,N        sizes of the mesh (default 10,50,100,200,500)
  --presets NAMES    settings of gossip: local, lan, wan (default all three)
  --protocols NAMES  chitchat, pulse (default both)
  --threads N        meshes at a time (default: one per core)
  --beside FILE      shows the figures of a former run with -o json, too
  --chart FILE       also draws the figures, as SVG
  -o json            a last line for programs";

/// What was asked for.
#[derive(Clone, Debug)]
struct Options {
    nodes: Vec<usize>,
    presets: Vec<Preset>,
    protocols: Vec<Protocol>,
    threads: usize,
    beside: Option<PathBuf>,
    chart: Option<PathBuf>,
    json: bool,
}

fn main() -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    let Some(options) = Options::read(std::env::args().skip(1))? else {
        writeln!(out, "{USAGE}")?;
        return Ok(());
    };
    let mut all = measure_all(&options)?;
    if let Some(path) = &options.beside {
        let json = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let line = json.lines().last().context("there is nothing in the file")?;
        all.extend(
            serde_json::from_str::<Vec<Figures>>(line).context("the last line is no JSON of figures")?,
        );
        all.sort_by_key(|figures| figures.shape.rank());
    }
    writeln!(out, "{}", table(&all))?;
    if let Some(path) = &options.chart {
        chart(&all, path)?;
    }
    if options.json {
        writeln!(out, "{}", serde_json::to_string(&all)?)?;
    }
    Ok(())
}

/// Measures the largest meshes first, since they take longest; in the end they are in order.
fn measure_all(options: &Options) -> anyhow::Result<Vec<Figures>> {
    let mut shapes = Vec::new();
    for protocol in &options.protocols {
        for preset in &options.presets {
            let shape = |nodes: &usize| Shape { protocol: *protocol, preset: *preset, nodes: *nodes };
            shapes.extend(options.nodes.iter().map(shape));
        }
    }
    let mut order: Vec<_> = (0..shapes.len()).collect();
    order.sort_by_key(|at| std::cmp::Reverse(shapes[*at].nodes));
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..options.threads {
            scope.spawn(|| {
                while let Some(at) = order.get(next.fetch_add(1, Relaxed)) {
                    let figures = measure(shapes[*at]);
                    eprintln!("{}: done", shapes[*at]);
                    done.lock().expect("nobody panics with it").push((*at, figures));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("nobody panics with it");
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, figures)| figures).collect()
}

impl Options {
    /// None if help is asked for.
    fn read(mut arguments: impl Iterator<Item = String>) -> anyhow::Result<Option<Self>> {
        let mut options = Self {
            nodes: vec![10, 50, 100, 200, 500],
            presets: Preset::ALL.to_vec(),
            protocols: PROTOCOLS.map(|(protocol, _)| protocol).to_vec(),
            threads: thread::available_parallelism().map_or(1, usize::from),
            beside: None,
            chart: None,
            json: false,
        };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().with_context(|| format!("{argument} wants a value"));
            match argument.as_str() {
                "--nodes" => options.nodes = listed(&value()?, nodes)?,
                "--presets" => options.presets = listed(&value()?, preset)?,
                "--protocols" => options.protocols = listed(&value()?, protocol)?,
                "--threads" => options.threads = value()?.parse().context("--threads wants a number")?,
                "--beside" => options.beside = Some(value()?.into()),
                "--chart" => options.chart = Some(value()?.into()),
                "-o" if value()? == "json" => options.json = true,
                "-h" | "--help" => return Ok(None),
                _ => bail!("what is `{argument}`?\n\n{USAGE}"),
            }
        }
        Ok(Some(options))
    }
}

fn listed<T>(text: &str, item: impl Fn(&str) -> anyhow::Result<T>) -> anyhow::Result<Vec<T>> {
    text.split(',').map(item).collect()
}

fn nodes(text: &str) -> anyhow::Result<usize> {
    let nodes = text.parse().with_context(|| format!("`{text}` is no number of nodes"))?;
    // Three are killed, and then somebody has to agree.
    if nodes < 2 { bail!("a mesh has two nodes at least") } else { Ok(nodes) }
}

fn protocol(text: &str) -> anyhow::Result<Protocol> {
    let known = PROTOCOLS.into_iter().find(|(_, name)| *name == text);
    let (protocol, _) = known.with_context(|| format!("`{text}` is no protocol: chitchat, pulse"))?;
    Ok(protocol)
}

fn preset(text: &str) -> anyhow::Result<Preset> {
    let known = Preset::ALL.into_iter().find(|preset| preset.name() == text);
    known.with_context(|| format!("`{text}` is no preset: local, lan, wan"))
}
