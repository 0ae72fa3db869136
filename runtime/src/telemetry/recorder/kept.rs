//! A span that is kept, cut to what it may hold.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use opentelemetry::{
    Array, KeyValue, StringValue, Value,
    trace::{SpanId, SpanKind, TraceId},
};
use serde_json::Value as Json;

use crate::{
    control_api::{SpanInfo, TraceInfo},
    duration::micros,
    telemetry::{
        moment::Moment,
        names::{self, Status},
    },
};

/// The bytes of a kept span's name, and of the sentence on how it failed. What is longer is cut.
const TEXT_BYTES_MAX: usize = 256;
/// The bytes of all attributes of a kept span: keys, texts and 8 for each number. What has no room is left out.
const ATTRIBUTE_BYTES_MAX: usize = 1024;

/// A span that is kept.
#[derive(Clone, Debug)]
pub(crate) struct KeptSpan {
    pub(crate) id: SpanId,
    /// The span above it; invalid if there is none.
    pub(crate) parent: SpanId,
    pub(crate) name: Cow<'static, str>,
    pub(crate) kind: SpanKind,
    /// Nothing of its trace on this node is above it.
    pub(crate) is_root: bool,
    pub(crate) since: Moment,
    pub(crate) took: Duration,
    /// How the call ended, where the span is one of a call.
    pub(crate) status: Option<Status>,
    pub(crate) detail: String,
    pub(crate) attributes: Vec<KeyValue>,
}

impl KeptSpan {
    /// The same with no more than it may hold.
    pub(crate) fn bounded(mut self) -> Self {
        if self.name.len() > TEXT_BYTES_MAX {
            self.name = cut(&self.name).to_owned().into();
        }
        if self.detail.len() > TEXT_BYTES_MAX {
            self.detail.truncate(cut(&self.detail).len());
        }
        let mut room = ATTRIBUTE_BYTES_MAX;
        self.attributes.retain(|attribute| {
            let left = room.checked_sub(attribute.key.as_str().len() + bytes(&attribute.value));
            room = left.unwrap_or(room);
            left.is_some()
        });
        self
    }

    /// Whether the call failed, other than by the service's own error.
    pub(crate) const fn has_failed(&self) -> bool {
        matches!(self.status, Some(Status::Failed(_)))
    }

    pub(crate) fn info(&self, trace: TraceId, node: &str) -> SpanInfo {
        let attributes = self.attributes.iter();
        let attributes: BTreeMap<_, _> =
            attributes.map(|attribute| (attribute.key.to_string(), json(&attribute.value))).collect();
        SpanInfo {
            trace: trace.to_string(),
            span: self.id.to_string(),
            parent: (self.parent != SpanId::INVALID).then(|| self.parent.to_string()),
            node: node.to_owned(),
            name: self.name.clone().into_owned(),
            kind: kind(&self.kind).to_owned(),
            unix_us: unix_us(self.since.wall),
            duration_us: micros(self.took),
            status: self.status.map_or("", Status::code).to_owned(),
            detail: self.detail.clone(),
            attributes,
        }
    }

    /// What a list of traces tells of it.
    pub(crate) fn summary(&self, trace: TraceId, node: &str) -> TraceInfo {
        let (service, method) = self.method();
        TraceInfo {
            trace: trace.to_string(),
            unix_us: unix_us(self.since.wall),
            duration_us: micros(self.took),
            service: service.to_owned(),
            method: method.to_owned(),
            kind: kind(&self.kind).to_owned(),
            status: self.status.map_or("", Status::code).to_owned(),
            outcome: self.text(names::OUTCOME),
            detail: self.detail.clone(),
            node: node.to_owned(),
            peer: self.text(names::PEER),
        }
    }

    /// The service and its method.
    pub(crate) fn method(&self) -> (&str, &str) {
        self.name.rsplit_once('/').unwrap_or((&self.name, ""))
    }

    fn text(&self, key: &str) -> Option<String> {
        let attribute = self.attributes.iter().find(|attribute| attribute.key.as_str() == key)?;
        Some(attribute.value.as_str().into_owned())
    }
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(TEXT_BYTES_MAX)).unwrap_or(text)
}

fn bytes(value: &Value) -> usize {
    match value {
        Value::String(text) => text.as_str().len(),
        Value::Array(Array::String(texts)) => {
            texts.iter().map(|text| size_of::<StringValue>() + text.as_str().len()).sum()
        }
        Value::Array(Array::I64(numbers)) => 8 * numbers.len(),
        Value::Array(Array::F64(numbers)) => 8 * numbers.len(),
        Value::Array(Array::Bool(values)) => values.len(),
        _ => 8,
    }
}

fn json(value: &Value) -> Json {
    match value {
        Value::Bool(value) => Json::from(*value),
        Value::I64(number) => Json::from(*number),
        Value::F64(number) => Json::from(*number),
        Value::Array(Array::String(texts)) => texts.iter().map(StringValue::as_str).collect(),
        other => Json::from(other.as_str().into_owned()),
    }
}

const fn kind(kind: &SpanKind) -> &'static str {
    match kind {
        SpanKind::Client => "client",
        SpanKind::Server => "server",
        SpanKind::Producer => "producer",
        SpanKind::Consumer => "consumer",
        SpanKind::Internal => "internal",
    }
}

fn unix_us(time: SystemTime) -> u64 {
    micros(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_cut_to_what_it_may_hold() {
        let attributes = (0..100).map(|at| KeyValue::new(format!("key-{at:02}"), "ä".repeat(50)));
        let span = KeptSpan {
            id: SpanId::from(1),
            parent: SpanId::INVALID,
            name: "x".repeat(1000).into(),
            kind: SpanKind::Client,
            is_root: true,
            since: Moment::now(),
            took: Duration::ZERO,
            status: None,
            detail: format!("{}ä", "x".repeat(TEXT_BYTES_MAX - 1)),
            attributes: attributes.collect(),
        };
        let span = span.bounded();
        assert_eq!((span.name.len(), span.detail.len()), (256, 255), "a letter is not cut in two");
        assert_eq!(span.attributes.len(), 1024 / 106);
    }
}
