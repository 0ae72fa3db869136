#!/usr/bin/env python3
"""One trace through three processes, and their metrics, as a receiver gets them that others wrote.

    otlp.py QMESH

QMESH is the binary. It needs the packages `grpcio` and `opentelemetry-proto`. A command line asks the node `asked` for a
service that the node `far` has; all three export here by OTLP. What arrives is compared with what it must be: parents,
kinds, names, attributes and times. A demo of five processes follows, of which one is killed.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from concurrent import futures

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

SCHEMA = "https://opentelemetry.io/schemas/1.44.0"
# What only an attempt says: why it went where it went.
DECISION = ["qmesh.candidates", "qmesh.path", "qmesh.round_trip_us", "qmesh.retries.left"]


class Traces(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self):
        self.lock = threading.Lock()
        self.spans = []

    def Export(self, request, context):
        with self.lock:
            for resource in request.resource_spans:
                about = attributes(resource.resource)
                for scope in resource.scope_spans:
                    self.spans += [(about, scope, span) for span in scope.spans]
        return trace_service_pb2.ExportTraceServiceResponse()

    def take(self):
        with self.lock:
            spans, self.spans = self.spans, []
        return spans


class Metrics(metrics_service_pb2_grpc.MetricsServiceServicer):
    def __init__(self):
        self.lock = threading.Lock()
        self.metrics = {}

    def Export(self, request, context):
        with self.lock:
            for resource in request.resource_metrics:
                for scope in resource.scope_metrics:
                    for metric in scope.metrics:
                        self.metrics.setdefault(metric.name, []).append(metric)
        return metrics_service_pb2.ExportMetricsServiceResponse()


def attributes(holder):
    def plain(value):
        return getattr(value, value.WhichOneof("value"))

    return {attribute.key: plain(attribute.value) for attribute in holder.attributes}


def check(holds, what):
    if not holds:
        sys.exit(f"otlp: {what}")


def run(qmesh, data, *arguments, **variables):
    command = [qmesh, *arguments, "--data-dir", data]
    return subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, timeout=60)


def serve(qmesh, data, service, name, **variables):
    command = [qmesh, "serve", service, "--name", name, "--data-dir", data, "--preset", "lan", "-o", "json"]
    process = subprocess.Popen(
        command, env={**os.environ, **variables}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    check(process.stdout.readline(), f"{name} does not start")
    return process


def end(process, name):
    process.terminate()
    check(process.wait(30) == 0, f"{name} did not end in order: {process.stderr.read()}")


def settle(qmesh, data):
    """Waits until `asked` has had a session with `far` for a second. One that it replaced has ended then, and adds no attempt."""
    connected, waits_until = 0, time.monotonic() + 30
    # Readings count, and not time, which also passes while nothing runs.
    while connected < 10:
        check(time.monotonic() < waits_until, "asked has no session with far")
        time.sleep(0.1)
        told = run(qmesh, data, "nodes", "-o", "json", "--node", "asked")
        nodes = json.loads(told.stdout) if told.returncode == 0 else []
        connected = connected + 1 if any(node["name"] == "far" and node["connected"] for node in nodes) else 0


def one_trace(spans, began, ended):
    """A command line's call that `asked` makes on its behalf."""
    check(len({span.trace_id for _, _, span in spans}) == 1, f"{len(spans)} spans are of several traces")
    children = {}
    for about, scope, span in spans:
        check(about["service.name"] == "qmesh", f"{about}")
        check(scope.scope.name == "qmesh" and scope.schema_url == SCHEMA, f"{scope.scope} {scope.schema_url}")
        check(began <= span.start_time_unix_nano <= span.end_time_unix_nano <= ended, f"times of {span}")
        children.setdefault(span.parent_span_id, []).append(span)
    (root,) = children.pop(b"")
    guest = {"qmesh.guest": "client/cli"}
    expected = [
        (Span.SPAN_KIND_CLIENT, "echo.Echo/say", None, {}),
        (Span.SPAN_KIND_CLIENT, "echo.Echo/say", "asked", guest),
        (Span.SPAN_KIND_CLIENT, "echo.Echo/say", "asked", {"qmesh.attempt": 1, "qmesh.peer": "far"}),
        (Span.SPAN_KIND_SERVER, "echo.Echo/say", "far", {"qmesh.peer": "asked", **guest}),
    ]
    span = root
    for depth, (kind, name, node, more) in enumerate(expected):
        said = attributes(span)
        decision = {key: said.pop(key) for key in DECISION if key in said}
        check(bool(decision) == ("qmesh.attempt" in more), f"span {depth} says why: {decision}")
        if decision:
            (candidate,) = decision["qmesh.candidates"].values
            check(candidate.string_value.split()[::2] == ["far", "connected"], f"candidates {candidate}")
            check(decision["qmesh.path"] == "quic" and decision["qmesh.round_trip_us"] > 0, f"the path: {decision}")
            check(decision["qmesh.retries.left"] == 8, f"repeats: {decision}")
        wanted = {"rpc.system.name": "qmesh", "rpc.method": name, "rpc.response.status_code": "ok", **more}
        if node:
            wanted["qmesh.node"] = node
        check((span.kind, span.name) == (kind, name), f"span {depth} is {span}")
        check(said == wanted, f"span {depth} says {said}, not {wanted}")
        check(span.status.code == Status.STATUS_CODE_UNSET, f"status of {span}")
        below = children.pop(span.span_id)
        if depth + 1 < len(expected):
            check(len(below) == 1, f"{len(below)} spans below {name}, {depth}")
            # All clocks here are the same one.
            check(span.start_time_unix_nano <= below[0].start_time_unix_nano, f"{below[0]} is before {span}")
            check(below[0].end_time_unix_nano <= span.end_time_unix_nano, f"{below[0]} is after {span}")
            span = below[0]
    queue, handler = sorted(below, key=lambda span: span.start_time_unix_nano)
    check((queue.name, handler.name) == ("queue", "handler"), f"{queue.name} {handler.name}")
    check(queue.kind == handler.kind == Span.SPAN_KIND_INTERNAL, "kinds of queue and handler")
    check(queue.end_time_unix_nano == handler.start_time_unix_nano, "the handler begins when the queue ends")
    check(not children, f"spans without a parent: {children}")


def three_processes(qmesh, traces, metrics, endpoint):
    with tempfile.TemporaryDirectory() as data:
        exports = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_METRIC_EXPORT_INTERVAL": "500"}
        asked = serve(qmesh, data, "clock.Clock", "asked", **exports)
        far = serve(qmesh, data, "echo.Echo", "far", **exports)
        settle(qmesh, data)
        began = time.time_ns()
        called = run(qmesh, data, "call", "echo.Echo/Say", '{"text":"hi"}', "--node", "asked", **exports)
        ended = time.time_ns()
        check(called.returncode == 0 and json.loads(called.stdout) == "hi", f"the call: {called}")
        # Neither is told to sample: the second is not.
        never = {**exports, "OTEL_TRACES_SAMPLER": "parentbased_always_off"}
        called = run(qmesh, data, "call", "echo.Echo/Say", '{"text":"hi"}', "--node", "asked", **never)
        check(called.returncode == 0, f"the unrecorded call: {called}")
        # The nodes keep it for themselves; nobody else sees it.
        kept = json.loads(run(qmesh, data, "trace", "--all", "-o", "json", "--node", "asked").stdout)
        check(len({call["trace"] for call in kept}) == 2, f"kept are {kept}")
        disabled = run(
            qmesh, data, "call", "echo.Echo/Say", "{}", "--node", "asked", OTEL_TRACES_EXPORTER="console"
        )
        check(disabled.returncode == 2 and "OTEL_TRACES_EXPORTER" in disabled.stderr, f"a wrong variable: {disabled}")
        # What is there while the nodes run alone comes with the next export, half a second after the last one.
        waits_until = time.monotonic() + 30
        while "qmesh.sessions" not in metrics.metrics and time.monotonic() < waits_until:
            time.sleep(0.05)
        end(asked, "asked")
        end(far, "far")
        spans = traces.take()
        check(len(spans) == 6, f"{len(spans)} spans, not 6: {[span.name for _, _, span in spans]}")
        one_trace(spans, began, ended)
        for name in ["rpc.client.call.duration", "rpc.server.call.duration", "qmesh.sessions", "qmesh.calls.ended"]:
            check(name in metrics.metrics, f"no {name} in {sorted(metrics.metrics)}")
        points = metrics.metrics["rpc.server.call.duration"][-1].histogram.data_points
        calls = {attributes(point)["rpc.method"]: point.count for point in points}
        check(calls == {"echo.Echo/say": 2}, f"the service measured {calls}")


def demo(qmesh, traces, endpoint):
    command = [qmesh, "demo", "--pace", "20", "-o", "json"]
    environment = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    check(shown.returncode == 0, f"the demo: {shown}")
    report = json.loads(shown.stdout.splitlines()[-1])
    spans = [(attributes(span).get("qmesh.node"), span) for _, _, span in traces.take()]
    nodes = {node for node, span in spans if span.kind == Span.SPAN_KIND_SERVER}
    living = {"words-1", "words-2", "words-3", "words-4"} - {report["killed"]}
    check(living <= nodes, f"spans of {nodes}, not of all that lived on: {living}")
    ids = {span.span_id for _, span in spans}
    roots = [span for _, span in spans if not span.parent_span_id]
    check(len(roots) == report["calls"], f"{len(roots)} traces of {report['calls']} calls")
    whole = [span for node, span in spans if node and node != report["killed"] and span.parent_span_id]
    lost = [span for span in whole if span.parent_span_id not in ids]
    check(whole and not lost, f"{len(lost)} spans whose parents did not come, of {len(whole)}")


def main():
    qmesh = os.path.abspath(sys.argv[1])
    server = grpc.server(futures.ThreadPoolExecutor(8))
    traces, metrics = Traces(), Metrics()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(traces, server)
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(metrics, server)
    endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    three_processes(qmesh, traces, metrics, endpoint)
    demo(qmesh, traces, endpoint)
    server.stop(None)
    print("otlp: one trace through three processes, and a demo of five, are whole")


main()
