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

CALLS_PER_SECOND = 5
SECONDS = 12


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


def wait(what, ready):
    for _ in range(200):
        try:
            found = ready()
            if found:
                return found
        except (urllib.error.URLError, OSError):
            pass
        time.sleep(0.1)
    check(False, f"no {what}")


def query(base, text):
    answer = json.loads(get(f"{base}/api/v1/query?{urllib.parse.urlencode({'query': text})}"))
    check(answer["status"] == "success", f"{text}: {answer}")
    return answer["data"]["result"]


def lint(at):
    text = get(f"http://127.0.0.1:{at}/metrics")
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
    said = checked.stdout + checked.stderr
    check(checked.returncode == 0 and not said.strip(), f"promtool: {said}")


def serve(qmesh, data, service, name, at, *more):
    command = [qmesh, "serve", service, "--name", name, "--data-dir", data, "--metrics", str(at), *more]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait(f"metrics of {name}", lambda: get(f"http://127.0.0.1:{at}/metrics"))
    return process


def scrape(data, targets, at):
    config = os.path.join(data, "prometheus.yml")
    with open(config, "w") as file:
        json.dump(
            {
                "global": {"scrape_interval": "1s"},
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


def load(qmesh, data):
    """Calls at an even pace, each by a command line of its own; how long it really took."""
    began = time.monotonic()
    calls = []
    for number in range(CALLS_PER_SECOND * SECONDS):
        time.sleep(max(0, began + number / CALLS_PER_SECOND - time.monotonic()))
        command = [qmesh, "call", "echo.Echo/Say", '{"text":"hi"}', "--node", "far", "--data-dir", data]
        calls.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE))
    for call in calls:
        _, error = call.communicate(timeout=60)
        check(call.returncode == 0, f"a call failed: {error}")
    return time.monotonic() - began


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
            took = load(qmesh, data)
            time.sleep(2)
            count = 'rpc_server_call_duration_seconds_count{rpc_method="echo.Echo/say"}'
            # Now there are histograms too.
            for at in ports[:2]:
                lint(at)
            (total,) = query(base, f"sum({count})")
            expected = CALLS_PER_SECOND * SECONDS
            check(float(total["value"][1]) == expected, f"{total} calls, not {expected}")
            (rate,) = query(base, f"sum(rate({count}[{SECONDS - 4}s] offset 3s))")
            rate, expected = float(rate["value"][1]), expected / took
            check(abs(rate - expected) < 0.2 * expected, f"a rate of {rate}/s, not {expected}/s")
            (nodes,) = query(base, 'sum(qmesh_directory_nodes{qmesh_node="asked"})')
            check(nodes["value"][1] == "2", f"the directory has {nodes}")
        finally:
            for process in reversed(processes):
                process.terminate()
                process.wait(30)
    print(f"prometheus: {rate:.2f} calls per second of {expected:.2f}, and promtool has nothing to say")


if __name__ == "__main__":
    main()
