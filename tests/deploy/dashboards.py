#!/usr/bin/env python3
"""Every query of the dashboards, asked of a Prometheus that scrapes a running mesh.

    dashboards.py QMESH

QMESH is the binary. It needs `prometheus` and `promtool`. A load calls two services; one of the nodes forbids its calls, and a
command line asks for what fails, so that panels of failures have something to show, too. What is empty all the same is in EMPTY,
with the reason. Every metric of docs/METRICS.md has to be in a panel.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "telemetry"))
import prometheus  # noqa: E402

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
FOLDER = os.path.join(ROOT, "examples/deploy/grafana/dashboards")
SERVICES = ["clock.Clock", "echo.Echo"]
RULES = '[[allow]]\ncallers = ["client/*", "node/first", "node/second"]\ncalls = ["*"]\n'
# Metrics of which a sound mesh has no series yet.
EMPTY = {"qmesh_gossip_rejected_total": "no member lies"}
# How a command line ends when no service has answered: no node, not sent, not executed, unknown.
UNANSWERED = [3, 5, 6, 7]


def check(holds, what):
    if not holds:
        sys.exit(f"dashboards: {what}")


def boards():
    for name in sorted(os.listdir(FOLDER)):
        with open(os.path.join(FOLDER, name)) as file:
            yield name, json.load(file)


def look(name, board):
    """What Grafana would take without a word: panels with one number, on top of each other, or from nowhere."""
    ids = [panel["id"] for panel in board["panels"]]
    check(len(ids) == len(set(ids)), f"{name}: panels with the same id")
    taken = {}
    for panel in board["panels"]:
        at = panel["gridPos"]
        check(at["x"] + at["w"] <= 24, f"{name}: {panel['title']} is wider than the page")
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                other = taken.setdefault((x, y), panel["title"])
                check(other == panel["title"], f"{name}: {panel['title']} lies on {other}")
        if panel["type"] != "row":
            check(panel["description"], f"{name}: {panel['title']} does not say what it shows")
            refs = [target["refId"] for target in panel["targets"]]
            check(refs and len(refs) == len(set(refs)), f"{name}: {panel['title']} asks nothing, or twice under one name")
            sources = {panel["datasource"]["uid"], *(target["datasource"]["uid"] for target in panel["targets"])}
            check(sources == {"prometheus"}, f"{name}: {panel['title']} asks {sources}")


def queries(board):
    """All of a dashboard, with their places, as Grafana would send them."""
    for variable in board["templating"]["list"]:
        metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"]).groups()
        yield f"${variable['name']}", f"group by ({label}) ({metric})"
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            text = target["expr"].replace("$__rate_interval", "10s").replace("$node", ".*")
            for service in SERVICES if "$service" in text else [None]:
                filled = text.replace("$service", service) if service else text
                check("$" not in filled, f"{panel['title']}: a variable is not known: {filled}")
                yield panel["title"], filled


def documented():
    """The metrics of the document, as Prometheus spells them, without what follows for a unit or a kind."""
    with open(os.path.join(ROOT, "docs/METRICS.md")) as file:
        names = re.findall(r"^\| `((?:rpc|qmesh)\.[\w.]+)` \| (?:counter|gauge|histogram)", file.read(), re.MULTILINE)
    check(len(names) > 20, f"docs/METRICS.md has {len(names)} metrics")
    return [name.replace(".", "_") for name in names]


def answered(base):
    """Asks everything; how many queries there are, and which have no answer without an excuse."""
    asked, silent = 0, []
    for name, board in boards():
        for title, text in queries(board):
            asked += 1
            if not prometheus.query(base, text) and not any(metric in text for metric in EMPTY):
                silent.append(f"{name}: {title}: {text}")
    return asked, silent


def fail(qmesh, data):
    """What fails, so that it is seen: an error of the service's own, and a method that is not there; which of them did not come."""
    missed = []
    for method, code in [("echo.Echo/Fail", 4), ("clock.Clock/Nonsense", 6)]:
        command = [qmesh, "call", method, '{"reason":"asked"}', "--node", "first", "--data-dir", data]
        ended = subprocess.run(command, capture_output=True, timeout=60)
        if ended.returncode != code:
            missed.append(f"{method}: exit code {ended.returncode}: {ended.stderr}")
            check(ended.returncode in UNANSWERED, missed[-1])
    return missed


def start(qmesh, data, ports):
    rules = os.path.join(data, "rules.toml")
    with open(rules, "w") as file:
        file.write(RULES)
    yield prometheus.serve(qmesh, data, "echo.Echo", "first", ports[0])
    yield prometheus.serve(qmesh, data, "clock.Clock", "second", ports[1])
    for number, service in enumerate(SERVICES):
        name = f"guarded-{number}"
        yield prometheus.serve(qmesh, data, service, name, ports[2 + number], "--authorize", rules)
    patient = ["--preset", "lan"]
    command = [qmesh, "load", *SERVICES, "--rate", "50", "--data-dir", data, "--metrics", str(ports[4]), *patient]
    yield subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    yield prometheus.scrape(data, [f"127.0.0.1:{port}" for port in ports[:5]], ports[5])


def main():
    qmesh = os.path.abspath(sys.argv[1])
    shown = ""
    for name, board in boards():
        look(name, board)
        shown += " ".join(text for _, text in queries(board))
    unseen = [metric for metric in documented() if not re.search(rf"\b{metric}(_total|_seconds|_bytes|_ratio|_bucket|_count)*\b", shown)]
    check(not unseen, f"no panel shows {unseen}")
    with tempfile.TemporaryDirectory() as data:
        ports, processes = [prometheus.port() for _ in range(6)], []
        try:
            processes.extend(start(qmesh, data, ports))
            base = f"http://127.0.0.1:{ports[5]}"
            prometheus.wait("scrape", lambda: len(prometheus.query(base, "up == 1")) == 5)
            end = time.monotonic() + 60
            while True:
                missed = fail(qmesh, data)
                time.sleep(1)
                asked, silent = answered(base)
                if not silent and not missed:
                    break
                check(time.monotonic() < end, "no answer to\n" + "\n".join(silent + missed))
        finally:
            for process in reversed(processes):
                process.terminate()
                process.wait(30)
    print(f"dashboards: {asked} queries are answered, but for {EMPTY}")


if __name__ == "__main__":
    main()
