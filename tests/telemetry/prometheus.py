#!/usr/bin/env python3
"""Prometheus scrapes a running mesh, finds nothing to complain of, and answers a query rightly.

    prometheus.py QMESH

QMESH is the binary. It needs `prometheus` and `promtool`.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from concurrent import futures

CALLS_PER_SECOND = 5
SECONDS = 20
# What the rate is taken over, at the end of the load.
WINDOW = 16
# A scrape may take so long, which is also the time between two.
SCRAPE = 1


def check(holds, what):
    if not holds:
        sys.exit(f"prometheus: {what}")


def port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def get(url):
    with urllib.request.urlopen(url, timeout=5) as response:
        return response.read().decode()


def wait(what, ready, right=bool):
    found = None
    for _ in range(200):
        try:
            found = ready()
            if right(found):
                return found
        except (urllib.error.URLError, OSError):
            pass
        time.sleep(0.1)
    check(False, f"no {what}: {found}")


def query(base, text, **at):
    answer = json.loads(get(f"{base}/api/v1/query?{urllib.parse.urlencode({'query': text, **at})}"))
    check(answer["status"] == "success", f"{text}: {answer}")
    return answer["data"]["result"]


def number(base, text, **at):
    """The one number that is the answer. After a scrape that failed, there is none."""
    return next((float(sample["value"][1]) for sample in query(base, text, **at)), None)


def lint(at):
    text = get(f"http://127.0.0.1:{at}/metrics")
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
    said = checked.stdout + checked.stderr
    check(checked.returncode == 0 and not said.strip(), f"promtool: {said}")


def serve(qmesh, data, service, name, at, *more):
    patient = ["--preset", "lan"]
    command = [qmesh, "serve", service, "--name", name, "--data-dir", data, "--metrics", str(at), *patient, *more]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait(f"metrics of {name}", lambda: get(f"http://127.0.0.1:{at}/metrics"))
    return process


def scrape(data, targets, at):
    config = os.path.join(data, "prometheus.yml")
    with open(config, "w") as file:
        json.dump(
            {
                "global": {"scrape_interval": f"{SCRAPE}s"},
                "scrape_configs": [{"job_name": "qmesh", "static_configs": [{"targets": targets}]}],
            },
            file,
        )
    checked = subprocess.run(["promtool", "check", "config", config], capture_output=True, text=True)
    check(checked.returncode == 0, checked.stderr)
    return subprocess.Popen(
        [
            "prometheus",
            f"--config.file={config}",
            f"--storage.tsdb.path={data}/tsdb",
            f"--web.listen-address=127.0.0.1:{at}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def call(qmesh, data):
    """A call by a command line of its own, and the times between which it ended."""
    began = time.time()
    command = [qmesh, "call", "echo.Echo/Say", '{"text":"hi"}', "--node", "far", "--data-dir", data]
    called = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=60)
    check(called.returncode == 0, f"a call failed: {called.stderr}")
    return began, time.time()


def load(qmesh, data):
    """Calls at an even pace, unless the machine is in the way; when they really were."""
    began = time.monotonic()
    calls = []
    with futures.ThreadPoolExecutor(CALLS_PER_SECOND * SECONDS) as pool:
        for number in range(CALLS_PER_SECOND * SECONDS):
            time.sleep(max(0, began + number / CALLS_PER_SECOND - time.monotonic()))
            calls.append(pool.submit(call, qmesh, data))
    return [called.result() for called in calls]


def rate_is_right(base, count, calls, end):
    """The rate at the end of the load, against the calls that ended between the first and the last scrape that it is made of."""
    rate = number(base, f"sum(rate({count}[{WINDOW}s]))", time=end)
    (series,) = query(base, f"{count}[{WINDOW}s]", time=end)
    first, last = series["values"][0][0], series["values"][-1][0]
    # What a scrape tells is of the time at which it begins, or of up to when it must have ended.
    least = sum(first + SCRAPE < began and ended <= last for began, ended in calls)
    most = sum(first < ended and began <= last + SCRAPE for began, ended in calls)
    # The time before the first and after the last is taken to have been alike, wholly or in part.
    least, most = least / WINDOW, most / (last - first)
    check(least > 0 and least - 0.01 < rate < most + 0.01, f"a rate of {rate}/s, not {least}/s to {most}/s")
    return f"{rate:.2f} calls per second of {least:.2f} to {most:.2f}"


def main():
    qmesh = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as data:
        ports = [port(), port(), port()]
        processes = []
        try:
            processes.append(serve(qmesh, data, "clock.Clock", "asked", ports[0]))
            processes.append(serve(qmesh, data, "echo.Echo", "far", ports[1]))
            for at in ports[:2]:
                lint(at)
            base = f"http://127.0.0.1:{ports[2]}"
            processes.append(scrape(data, [f"127.0.0.1:{at}" for at in ports[:2]], ports[2]))
            wait("scrape", lambda: len(query(base, "up == 1")) == 2)
            calls = load(qmesh, data)
            end = time.time()
            count = 'rpc_server_call_duration_seconds_count{rpc_method="echo.Echo/say"}'
            # Now there are histograms too.
            for at in ports[:2]:
                lint(at)
            wait("scrape after the load", lambda: query(base, f"timestamp({count}) > {end}"))
            wait(f"total of {len(calls)}", lambda: number(base, f"sum({count})"), lambda total: total == len(calls))
            rate = rate_is_right(base, count, calls, end)
            nodes = 'sum(qmesh_directory_nodes{qmesh_node="asked"})'
            wait("directory of 2", lambda: number(base, nodes), lambda found: found == 2)
        finally:
            for process in reversed(processes):
                process.terminate()
                process.wait(30)
    print(f"prometheus: {rate}, and promtool has nothing to say")


if __name__ == "__main__":
    main()
