#!/usr/bin/env python3
"""What can be known of the files of examples/deploy without the programs that read them.

    manifests.py QMESH

QMESH is the binary. It needs the package `kubernetes-validate` (the schemas of Kubernetes), `promtool`, `systemd-analyze` and
`docker-compose`.
"""

import glob
import os
import re
import subprocess
import sys
import tempfile

import kubernetes_validate
import yaml

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DEPLOY = os.path.join(ROOT, "examples/deploy")
KUBERNETES = "1.37"


def check(holds, what):
    if not holds:
        sys.exit(f"manifests: {what}")


def read(*path):
    with open(os.path.join(ROOT, *path)) as file:
        return file.read()


def run(*command):
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    check(ended.returncode == 0, f"{' '.join(command)}: {ended.stdout}{ended.stderr}")
    return ended.stdout


def compose():
    """Docker's own reading of it, and what this repository promises beyond."""
    run("docker-compose", "config", "--quiet")
    text = read("docker-compose.yml")
    for name, service in yaml.safe_load(text)["services"].items():
        pinned = service["image"] == "qmesh:dev" or re.fullmatch(r"[\w./-]+:v?\d[\w.]+@sha256:[0-9a-f]{64}", service["image"])
        check(pinned, f"{name}: {service['image']} is not pinned")
        check(service["read_only"] and service["cap_drop"] == ["ALL"], f"{name} may write, or has powers")
        for port in service.get("ports", []):
            host, published, _ = port.split(":")
            check(host == "127.0.0.1", f"{name}: {port} is open to all")
            check(re.search(rf"^#   {published} ", text, re.MULTILINE), f"the head of the file does not name {published}")
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            check(not source.startswith(".") or os.path.exists(os.path.join(ROOT, source)), f"{name}: there is no {source}")


def dockerfile():
    """Bases are pinned, and nobody runs as root."""
    text = read("examples/deploy/Dockerfile")
    for base in re.findall(r"^ARG (?:RUST|BASE)=(.*)$", text, re.MULTILINE):
        check(re.fullmatch(r"[\w.-]+:[\w.-]+@sha256:[0-9a-f]{64}", base), f"{base} is not pinned")
    check(re.findall(r"^USER (.*)$", text, re.MULTILINE) == ["10001:10001"], "the user of the image")


def collector():
    """Every part of a pipeline is there, and every part is in a pipeline."""
    file = yaml.safe_load(read("examples/deploy/collector.yaml"))
    for kind in ("receivers", "processors", "exporters"):
        used = {name for pipeline in file["service"]["pipelines"].values() for name in pipeline.get(kind, [])}
        check(used == set(file[kind]), f"{kind} are {set(file[kind])}, the pipelines have {used}")


def grafana():
    """The dashboards ask sources that are provisioned."""
    sources = {source["uid"] for source in yaml.safe_load(read("examples/deploy/grafana/sources.yaml"))["datasources"]}
    for path in glob.glob(f"{DEPLOY}/grafana/dashboards/*.json"):
        asked = set(re.findall(r'"type": "prometheus",\s*"uid": "([^"]*)"', read(path)))
        check(asked and asked <= sources, f"{path} asks {asked} of {sources}")
    yaml.safe_load(read("examples/deploy/grafana/folders.yaml"))


def kubernetes():
    """Schema by schema, and then what no schema knows: that names mean each other."""
    documents = {}
    for document in yaml.safe_load_all(read("examples/deploy/kubernetes/qmesh.yaml")):
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
        documents[document["kind"]] = document["spec"]
    stateful, service = documents["StatefulSet"], documents["Service"]
    pod = stateful["template"]
    check(service["selector"] == pod["metadata"]["labels"] == stateful["selector"]["matchLabels"], "labels differ")
    (container,) = pod["spec"]["containers"]
    ports = {(port["containerPort"], port["protocol"]) for port in container["ports"]}
    check(ports == {(port["port"], port["protocol"]) for port in service["ports"]}, "ports differ")
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    check(mounted == {volume["name"] for volume in pod["spec"]["volumes"]}, "volumes differ")
    (secret,) = (volume["secret"] for volume in pod["spec"]["volumes"] if "secret" in volume)
    seen = {item["path"] for item in secret["items"]}
    for number in range(stateful["replicas"]):
        files = [f"qmesh-{number}.pem", f"qmesh-{number}.key.pem", "authority.pem", "probe.pem", "probe.key.pem"]
        check({f"qmesh-{number}/{file}" for file in files} <= seen, f"qmesh-{number} lacks a file of {files}")


def systemd(qmesh):
    """systemd's own reading, with the binary where it is here."""
    unit = read("examples/deploy/systemd/qmesh.service").replace("/usr/local/bin/qmesh", qmesh)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "qmesh.service")
        with open(path, "w") as file:
            file.write(unit)
        said = subprocess.run(["systemd-analyze", "verify", path], capture_output=True, text=True, timeout=60)
        check(said.returncode == 0 and not said.stderr.strip(), f"systemd-analyze verify: {said.stderr}")
        run("systemd-analyze", "security", "--offline=true", "--threshold=20", path)


def commands(qmesh):
    """Each command line of qmesh in these files is one that it knows."""
    lines = [container["args"] for container in stateful_containers()]
    lines += [probe["exec"]["command"][1:] for container in stateful_containers() for probe in probes(container)]
    file = yaml.safe_load(read("docker-compose.yml"))
    services = [service for service in file["services"].values() if service["image"] == "qmesh:dev"]
    lines += [service["command"] for service in services if "entrypoint" not in service and "command" in service]
    lines += [service["healthcheck"]["test"][2:] for service in services if "test" in service.get("healthcheck", {})]
    for line in lines:
        # `--help` is given after everything else was understood, except for values: those are for the real tests.
        flags = [argument.split("=")[0] for argument in line if argument.startswith("--")]
        said = run(qmesh, line[0], "--help")
        unknown = [flag for flag in flags if not re.search(rf"{flag}\b", said)]
        check(not unknown, f"qmesh {line[0]} knows no {unknown}")


def stateful_containers():
    documents = yaml.safe_load_all(read("examples/deploy/kubernetes/qmesh.yaml"))
    (stateful,) = (document for document in documents if document["kind"] == "StatefulSet")
    return stateful["spec"]["template"]["spec"]["containers"]


def probes(container):
    return [probe for name, probe in container.items() if name.endswith("Probe")]


def main():
    qmesh = os.path.abspath(sys.argv[1])
    compose()
    dockerfile()
    collector()
    grafana()
    run("promtool", "check", "config", "examples/deploy/prometheus.yml")
    kubernetes()
    systemd(qmesh)
    commands(qmesh)
    print(f"manifests: docker-compose, promtool, systemd-analyze and the schemas of Kubernetes {KUBERNETES} have nothing to say")


if __name__ == "__main__":
    main()
