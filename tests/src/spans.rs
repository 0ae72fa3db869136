//! What nodes recorded of traces, as a tree.

use std::collections::BTreeSet;

use opentelemetry::{
    Value,
    trace::{SpanId, SpanKind, Status},
};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use qmesh::{NodeBuilder, Sampling, Telemetry};

/// The tracers of several nodes, one for each.
#[derive(Debug, Default)]
pub struct Spans {
    nodes: Vec<(String, SdkTracerProvider, InMemorySpanExporter)>,
}

impl Spans {
    /// Records what a node does.
    pub fn record(&mut self, name: &str, builder: NodeBuilder, sampling: Sampling) -> NodeBuilder {
        let exporter = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
        let builder = builder.telemetry(Telemetry::none().traces(&provider, sampling));
        self.nodes.push((name.to_owned(), provider, exporter));
        builder
    }

    /// The tracer provider of a node.
    ///
    /// # Panics
    /// If nothing is recorded of that node.
    #[must_use]
    pub fn provider(&self, name: &str) -> &SdkTracerProvider {
        let node = self.nodes.iter().find(|(node, ..)| node == name);
        &node.expect("the node is recorded").1
    }

    /// All spans that have ended, with the node that each is of.
    ///
    /// # Panics
    /// If the exporter broke.
    #[must_use]
    pub fn all(&self) -> Vec<(String, SpanData)> {
        let spans = self.nodes.iter().flat_map(|(name, _, exporter)| {
            let spans = exporter.get_finished_spans().expect("an exporter in memory works");
            spans.into_iter().map(|span| (name.clone(), span))
        });
        spans.collect()
    }

    /// Forgets what was recorded.
    pub fn reset(&self) {
        for (_, _, exporter) in &self.nodes {
            exporter.reset();
        }
    }

    /// The spans as lines, each below its parent: `  node kind name, attributes`. What begins first comes first.
    ///
    /// # Panics
    /// If the spans are of several traces, a parent is missing, or a span is not within the time of a parent on its node.
    #[must_use]
    pub fn tree(&self) -> Vec<String> {
        let spans = self.all();
        let traces: BTreeSet<_> =
            spans.iter().map(|(_, span)| span.span_context.trace_id().to_bytes()).collect();
        assert!(traces.len() < 2, "spans of {} traces: {spans:#?}", traces.len());
        let mut lines = Vec::new();
        below(&spans, SpanId::INVALID, 0, &mut lines);
        assert_eq!(lines.len(), spans.len(), "parents are missing: {lines:#?} of {spans:#?}");
        lines
    }
}

fn below(spans: &[(String, SpanData)], parent: SpanId, depth: usize, lines: &mut Vec<String>) {
    let mut children: Vec<_> = spans.iter().filter(|(_, span)| span.parent_span_id == parent).collect();
    children.sort_by_key(|(_, span)| span.start_time);
    for (node, span) in children {
        assert!(span.start_time <= span.end_time, "{span:?}");
        lines.push(format!("{}{}", "  ".repeat(depth), line(node, span)));
        below(spans, span.span_context.span_id(), depth + 1, lines);
    }
}

fn line(node: &str, span: &SpanData) -> String {
    let kind = match span.span_kind {
        SpanKind::Internal => "",
        SpanKind::Client => "client ",
        SpanKind::Server => "server ",
        SpanKind::Producer => "producer ",
        SpanKind::Consumer => "consumer ",
    };
    let mut line = format!("{node}: {kind}{}", span.name);
    for (key, sign) in [
        ("qmesh.attempt", "#"),
        ("qmesh.peer", "@"),
        ("rpc.response.status_code", "="),
        ("error.type", "!"),
        ("qmesh.outcome", "?"),
    ] {
        let value = span.attributes.iter().find(|attribute| attribute.key.as_str() == key);
        match value.map(|attribute| &attribute.value) {
            None => {}
            Some(Value::I64(number)) => line += &format!(" {sign}{number}"),
            Some(value) => line += &format!(" {sign}{}", value.as_str()),
        }
    }
    if let Status::Error { .. } = span.status {
        line += " (error)";
    }
    line
}
