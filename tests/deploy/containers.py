#!/usr/bin/env python3
"""The containers of docker-compose.yml, for real: they find each other, answer, drain, are cut off and come back.

    containers.py QMESH BASE

QMESH is the binary. BASE is a folder with a root file system that it runs on, as debootstrap makes it: both become images, so
that nothing is pulled. It needs root, dockerd, docker with BuildKit, docker-compose and iproute2. Docker runs in namespaces of
its own (network, mounts, processes), with a folder of its own, so that whatever it makes ends with this program.
"""

import json
import os
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
INSIDE = "--inside"
NODES = ["lobby", "hall", "attic", "load"]
PATIENCE = 60


def check(holds, what):
    if not holds:
        sys.exit(f"containers: {what}")


def run(*command, **more):
    ended = subprocess.run(command, capture_output=True, text=True, timeout=180, **more)
    check(ended.returncode == 0, f"{' '.join(command)}: exit code {ended.returncode}\n{ended.stdout}{ended.stderr}")
    return ended.stdout


def wait(what, ready, patience=PATIENCE):
    """Waits until it is so; returns what is then, and how long that took."""
    began = time.monotonic()
    while not (found := ready()):
        check(time.monotonic() < began + patience, f"{what}: not within {patience} s")
        time.sleep(0.2)
    return found, time.monotonic() - began


def enter():
    """Becomes the same program within new namespaces."""
    unshare = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]
    os.execvp(unshare[0], [*unshare, sys.executable, os.path.abspath(__file__), INSIDE, *sys.argv[1:]])


class Docker:
    """A daemon of its own, and what it is asked."""

    def __init__(self, folder):
        self.host = f"unix://{folder}/docker.sock"
        os.environ.update(DOCKER_HOST=self.host, DOCKER_BUILDKIT="1", COMPOSE_PROJECT_NAME="qmesh-test")
        # Of several clients, that of Debian has BuildKit without a plugin.
        self.client = "/usr/bin/docker" if os.path.exists("/usr/bin/docker") else "docker"
        self.log = open(f"{folder}/log", "w+")
        command = ["dockerd", "--bridge=none", "--host", self.host, "--data-root", f"{folder}/data"]
        command += ["--exec-root", f"{folder}/exec", "--pidfile", f"{folder}/pid"]
        self.daemon = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        wait("dockerd", self.answers)

    def answers(self):
        if self.daemon.poll() is not None:
            self.log.seek(0)
            sys.exit(f"containers: dockerd does not run here:\n{self.log.read()[-4000:]}")
        asked = subprocess.run([self.client, "version"], capture_output=True, timeout=30)
        return asked.returncode == 0

    def __call__(self, *arguments):
        return run(self.client, *arguments, cwd=ROOT)

    def compose(self, *arguments):
        return run("docker-compose", *arguments, cwd=ROOT)

    def image(self, name, folder, *members):
        """What lies in a folder becomes an image."""
        tar = subprocess.Popen(["tar", "-C", folder, "-c", *members], stdout=subprocess.PIPE)
        run(self.client, "import", "-", name, stdin=tar.stdout)
        check(tar.wait() == 0, f"tar of {folder}")

    def container(self, service):
        (found,) = self("ps", "-aq", "--filter", f"label=com.docker.compose.service={service}").split()
        return found

    def about(self, service, what):
        return self("inspect", "--format", f"{{{{{what}}}}}", self.container(service)).strip()

    def all_healthy(self):
        return all(self.about(node, ".State.Health.Status") == "healthy" for node in NODES)

    def client_says(self, *arguments, code=0):
        """What a command line says that is a guest in a container of its own."""
        command = ["docker-compose", "run", "--rm", "-T", "client", *arguments, "--output=json"]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
        check(ended.returncode == code, f"client {arguments}: exit code {ended.returncode}: {ended.stderr}")
        return json.loads(ended.stdout) if code == 0 else None

    def probe_says(self, node, *arguments):
        """What a node's own probe is told, without a container of its own: fast enough to ask again and again."""
        at = ["--cert=/secrets/probe.pem", "--node=quic://127.0.0.1:4433", "--output=json"]
        return json.loads(self("exec", self.container(node), "qmesh", *arguments, *at))

    def end(self):
        self.daemon.terminate()
        check(self.daemon.wait(30) == 0, "dockerd does not end in order")


def build(docker, qmesh, base, folder):
    """The image, by the Dockerfile that everybody uses."""
    os.makedirs(f"{folder}/binary")
    run("strip", "-o", f"{folder}/binary/qmesh", qmesh)
    docker.image("qmesh-base", base, ".")
    docker.image("qmesh-binary", f"{folder}/binary", "qmesh")
    files = ["--file", "examples/deploy/Dockerfile", "--tag", "qmesh:dev"]
    docker("build", "--build-arg", "BASE=qmesh-base", "--build-arg", "BINARY=qmesh-binary", *files, ".")


def they_are_locked_in(docker):
    """Of what a node may not do, each thing is tried."""
    for node in NODES:
        inside = lambda *command: docker.compose("exec", "-T", node, *command)
        check(inside("id", "-u").strip() == "10001", f"{node} is another user")
        check(inside("stat", "-c", "%a %u", f"/secrets/{node}.key.pem").split() == ["600", "10001"], f"the key of {node}")
        seen = sorted(inside("ls", "/secrets").split())
        own = [f"{name}{end}" for name in [node, "probe"] for end in (".key.pem", ".pem")]
        check(seen == sorted([*own, "authority.pem"]), f"{node} sees {seen}")
        tried = ["sh", "-c", "! touch /secrets/x /usr/x 2>/dev/null && touch /data/x"]
        docker.compose("exec", "-T", node, *tried)
        powers = inside("grep", "CapEff", "/proc/1/status").split()[1]
        check(int(powers, 16) == 0, f"{node} has the capabilities {powers}")


def they_find_each_other(docker):
    nodes = docker.client_says("nodes")
    seen = {node["name"]: (node["state"], sorted(node["services"])) for node in nodes}
    expected = {"lobby": ["echo.Echo"], "hall": ["clock.Clock", "echo.Echo"], "attic": ["clock.Clock"], "load": []}
    check(seen == {name: ("ready", services) for name, services in expected.items()}, f"the mesh is {seen}")
    said = docker.client_says("call", "echo.Echo/Say", '{"text":"hello"}')
    check(said == "hello", f"the echo says {said}")
    asked = docker.client_says("call", "clock.Clock/Now")
    check(asked["node"] in ("hall", "attic"), f"lobby reaches the clock of {asked}")
    # A container has no certificate but its own.
    docker.client_says("nodes", "--cert=/secrets/none.pem", code=1)


def ends_of_load(docker):
    """Stops the load and reads how its calls ended."""
    docker.compose("stop", "load")
    code = docker.about("load", ".State.ExitCode")
    # Its log goes to standard error.
    ends = json.loads(docker("logs", docker.container("load")).splitlines()[-1])
    check(code == ("0" if ends["failed"] == 0 else "1"), f"the load ended with {code}: {ends}")
    return ends


def restart_load(docker):
    docker.compose("start", "load")
    wait("a load", lambda: docker.about("load", ".State.Health.Status") == "healthy")


def one_drains(docker):
    """A node is stopped with calls in its hands, and none fails: neither of the load nor of a guest who waits."""
    command = ["docker-compose", "run", "--rm", "-T", "client", "call", "clock.Clock/Wait", '{"millis":15000}']
    waits = subprocess.Popen([*command, "--node=quic://hall:4433", "--timeout=60s", "--output=json"], cwd=ROOT,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    # The load's calls come and go; this one stays.
    depth = lambda: max(actor["queue_depth"] or 0 for actor in docker.probe_says("hall", "tree"))
    busy = lambda: all(depth() > 0 for _ in range(5))
    wait("a call at work", busy)
    check(waits.poll() is None, "the call at work has ended before the stop")
    began = time.monotonic()
    docker.compose("stop", "hall")
    took = time.monotonic() - began
    answer, error = waits.communicate(timeout=60)
    check(waits.returncode == 0 and json.loads(answer)["node"] == "hall", f"the call at work: {error}")
    check(docker.about("hall", ".State.ExitCode") == "0", f"hall ended with {docker.about('hall', '.State.ExitCode')}")
    check(took < 25, f"hall took {took:.1f} s to drain")
    check(docker.client_says("call", "clock.Clock/Now")["node"] == "attic", "only attic has a clock now")
    docker.compose("start", "hall")
    wait("hall again", docker.all_healthy)
    ends = ends_of_load(docker)
    check(ends["failed"] == 0, f"calls failed while hall drained: {ends}")
    return {"drain_s": round(took, 1), "answered": ends["answered"], "failed": 0}


def state_of(docker, node):
    known = {about["name"]: about for about in docker.probe_says("lobby", "nodes")}
    return known[node]["state"] if node in known and known[node]["connected"] else "away"


def one_is_cut_off(docker):
    """A node loses its network, calls go on without it, and it is taken back when it returns, at whatever address."""
    restart_load(docker)
    container, network = docker.container("attic"), "qmesh-test_mesh"
    address = lambda: docker.about("attic", f'(index .NetworkSettings.Networks "{network}").IPAddress')
    before = address()
    docker("network", "disconnect", network, container)
    # Another one takes its address meanwhile.
    squatter = docker("run", "--detach", "--network", network, "qmesh-base", "sleep", "600").strip()
    _, missed = wait("attic is missed", lambda: state_of(docker, "attic") == "away")
    for _ in range(5):
        check(docker.client_says("call", "clock.Clock/Now")["node"] == "hall", "hall's clock is the only one")
    check(docker.about("attic", ".State.Running") == "true", "attic runs on by itself")
    docker("network", "connect", "--alias", "attic", network, container)
    _, back = wait("attic is back", lambda: state_of(docker, "attic") == "ready")
    check(address() != before, f"attic is back at {before}")
    docker.client_says("call", "clock.Clock/Now", "--node=quic://attic:4433")
    docker("rm", "--force", squatter)
    wait("all are well", docker.all_healthy)
    ends = ends_of_load(docker)
    check(ends["answered"] > 0, f"the load: {ends}")
    return {"missed_s": round(missed, 1), "back_s": round(back, 1), **ends}


def they_are_renewed(docker):
    """What `docker compose up` does once more: newer certificates for the same keys, while the nodes run."""
    files = lambda end: docker.compose("exec", "-T", "lobby", "cat", f"/secrets/lobby{end}")
    key, certificate = files(".key.pem"), files(".pem")
    docker.compose("run", "--rm", "-T", "secrets")
    check(files(".key.pem") == key and files(".pem") != certificate, "lobby's key or certificate")
    wait("all are well", docker.all_healthy)


def main():
    if sys.argv[1] != INSIDE:
        enter()
    qmesh, base = (os.path.abspath(argument) for argument in sys.argv[2:4])
    # Where Docker keeps its layers, no other file system of layers may lie below.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        run("ip", "link", "set", "lo", "up")
        began = time.monotonic()
        docker = Docker(folder)
        try:
            docker.compose("config", "--quiet")
            build(docker, qmesh, base, folder)
            docker.compose("up", "--detach", "--no-build", *NODES)
            wait("healthy containers", docker.all_healthy)
            figures = {"up_s": round(time.monotonic() - began, 1)}
            they_are_locked_in(docker)
            they_find_each_other(docker)
            they_are_renewed(docker)
            figures["drain"] = one_drains(docker)
            figures["cut"] = one_is_cut_off(docker)
        except BaseException:
            # What fails here is not to hide what failed before.
            subprocess.run(["docker-compose", "logs", "--no-color", "--tail=20"], cwd=ROOT, check=False)
            subprocess.run(["docker-compose", "down", "--volumes", "--timeout=5"], cwd=ROOT, check=False)
            raise
        docker.compose("down", "--volumes", "--timeout=5")
        docker.end()
        print(f"containers: {json.dumps(figures)}")


main()
