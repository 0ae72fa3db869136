//! A span under way: what the program's tracer has of it, what the node's recorder is to keep of it, or both.

use std::sync::Arc;

use opentelemetry::{
    Array, Context, KeyValue, StringValue, Value,
    trace::{Status as SpanStatus, TraceContextExt as _},
};

use crate::{
    failure::Failure,
    telemetry::{
        moment::Moment,
        names::{self, Status},
        recorder::{Mark, Open, Recorder},
    },
};

/// What is found below a span.
#[derive(Clone, Debug, Default)]
pub(crate) struct Below {
    /// OpenTelemetry's.
    pub(crate) context: Context,
    /// The recorder's, where that is not just what the context has.
    pub(crate) kept: Option<Mark>,
}

/// A span under way. Whoever drops it before its end loses it.
#[derive(Debug)]
pub(crate) struct Span {
    below: Below,
    /// The span of the context is this one.
    pub(crate) is_exported: bool,
    kept: Option<(Arc<Recorder>, Open)>,
}

impl Below {
    /// What is below a context of this process.
    pub(crate) fn of(context: Context) -> Self {
        Self { kept: context.get().copied(), context }
    }

    /// Where the kept trace stands, if it is one.
    pub(crate) fn mark(&self) -> Option<Mark> {
        self.kept.or_else(|| Mark::sampled(&self.context))
    }

    /// The same as a context, to be the current one.
    pub(crate) fn into_context(self) -> Context {
        match self.kept {
            Some(mark) => self.context.with_value(mark),
            None => self.context,
        }
    }
}

impl Span {
    pub(crate) const fn new(below: Below, is_exported: bool, kept: Option<(Arc<Recorder>, Open)>) -> Self {
        Self { below, is_exported, kept }
    }

    pub(crate) const fn below(&self) -> &Below {
        &self.below
    }

    pub(crate) fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        let attribute = KeyValue::new(key, value);
        if let Some((_, open)) = &mut self.kept {
            open.span.attributes.push(attribute.clone());
        }
        if self.is_exported {
            self.below.context.span().set_attribute(attribute);
        }
    }

    pub(crate) fn set_texts(&mut self, key: &'static str, texts: impl Iterator<Item = String>) {
        self.set(key, Value::Array(Array::String(texts.map(StringValue::from).collect())));
    }

    /// The call has an answer, as of then. What has ended stays as it ended.
    pub(crate) fn end(&mut self, status: Status, at: Moment) {
        if self.is_exported {
            let span = self.below.context.span();
            span.set_attribute(KeyValue::new(names::RPC_STATUS, status.code()));
            match status {
                Status::Ok => {}
                // An answer like others to the service; to its caller, not the one that it asked for.
                Status::ServiceError => {
                    span.set_attribute(KeyValue::new(names::ERROR_TYPE, status.code()));
                }
                Status::Failed(_) => {
                    span.set_attribute(KeyValue::new(names::ERROR_TYPE, status.code()));
                    span.set_status(SpanStatus::error(status.code()));
                }
            }
            span.end_with_timestamp(at.wall);
        }
        self.keep(Some(status), at);
    }

    /// The call has failed.
    pub(crate) fn end_failed(&mut self, failure: &Failure) {
        let status = Status::Failed(failure.reason());
        let outcome = names::outcome_code(failure.outcome());
        if self.is_exported {
            let span = self.below.context.span();
            span.set_attribute(KeyValue::new(names::RPC_STATUS, status.code()));
            span.set_attribute(KeyValue::new(names::ERROR_TYPE, status.code()));
            span.set_attribute(KeyValue::new(names::OUTCOME, outcome));
            span.set_status(SpanStatus::error(failure.detail().to_owned()));
            span.end();
        }
        if let Some((_, open)) = &mut self.kept {
            open.span.attributes.push(KeyValue::new(names::OUTCOME, outcome));
            failure.detail().clone_into(&mut open.span.detail);
        }
        self.keep(Some(status), Moment::now());
    }

    /// A part of a call is over, as of then.
    pub(crate) fn end_part(&mut self, failed: Option<Status>, at: Moment) {
        if self.is_exported {
            let span = self.below.context.span();
            if let Some(status) = failed {
                span.set_status(SpanStatus::error(status.code()));
            }
            span.end_with_timestamp(at.wall);
        }
        self.keep(failed, at);
    }

    fn keep(&mut self, status: Option<Status>, at: Moment) {
        if let Some((recorder, mut open)) = self.kept.take() {
            open.span.status = status;
            open.span.took = at.since(open.span.since);
            recorder.keep(open);
        }
    }
}
