"""Checks `deploy/`: that the kustomizations render and fit together, and that the numbers written twice agree.

What `esmd check` says of the configurations is a test of the command line, not of this file. Rendering needs kubectl or
kustomize: where neither is installed, only the files are read, and that is said.
"""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import yaml
from packages import ROOT

DEPLOY = ROOT / "deploy"
# The default of `drainTimeout`. The unit must allow for it, since its configuration is the user's.
DRAIN_SECONDS = 30


def main() -> int:
    """Prints every problem; 1 if there is one."""
    renderer = _renderer()
    problems = [*_check_image(), *_check_unit(), *(_check_rendered(renderer) if renderer else _check_references())]
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    if not problems:
        print(f"deploy/ is sound, {f'rendered with {renderer[0]}' if renderer else 'but was not rendered: no kubectl'}")
    return 1 if problems else 0


def _check_image():
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    wanted = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]
    if f"FROM rust:{wanted['rust-version']}-" not in dockerfile:
        yield f"deploy/Dockerfile does not build with Rust {wanted['rust-version']}, which Cargo.toml names"
    if f'image.version="{wanted["version"]}"' not in dockerfile:
        yield f"deploy/Dockerfile does not label its image as version {wanted['version']}"


def _check_unit():
    unit = (DEPLOY / "systemd" / "esmd.service").read_text()
    stop = re.search(r"^TimeoutStopSec=(\d+)s$", unit, re.MULTILINE)
    if stop is None or int(stop[1]) <= DRAIN_SECONDS:
        yield f"esmd.service: TimeoutStopSec is not above the {DRAIN_SECONDS} s of a drain"


def _renderer() -> list[str] | None:
    commands = [["kubectl", "kustomize"], ["kustomize", "build"]]
    return next((each for each in commands if shutil.which(each[0])), None)


def _check_rendered(renderer: list[str]):
    for folder in (each.parent for each in _kustomizations()):
        done = subprocess.run([*renderer, str(folder)], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode != 0:
            yield f"{folder.relative_to(ROOT)} does not render: {done.stderr.strip()}"
            continue
        documents = {(each["kind"], each["metadata"]["name"]): each for each in yaml.safe_load_all(done.stdout)}
        for problem in _check_pod(documents):
            yield f"{folder.relative_to(ROOT)}: {problem}"


def _check_pod(documents: dict):
    pod = documents["Deployment", "esmd"]["spec"]["template"]["spec"]
    volumes = {each["name"]: each for each in pod["volumes"]}
    claim = volumes["state"].get("persistentVolumeClaim")
    needed = [("ServiceAccount", pod["serviceAccountName"])]
    if claim is not None:
        needed.append(("PersistentVolumeClaim", claim["claimName"]))
    for kind, name in needed:
        if (kind, name) not in documents:
            yield f"the pod uses {kind} {name}, which is not there"

    config_map = volumes["config"]["configMap"]["name"]
    configuration = yaml.safe_load(documents["ConfigMap", config_map]["data"]["esmd.yaml"])
    streams = [each for each in configuration["mappings"] if not each["EventSourceArn"].startswith("arn:aws:sqs:")]
    if streams and claim is None:
        yield "a stream's checkpoints would be lost with the pod: its state needs a claim"
    drain = int(configuration.get("drainTimeout", f"{DRAIN_SECONDS}s").removesuffix("s"))
    if pod["terminationGracePeriodSeconds"] <= drain:
        yield f"terminationGracePeriodSeconds is not above the {drain} s of drainTimeout"

    container = next(each for each in pod["containers"] if each["name"] == "esmd")
    ports = {each["name"]: each["containerPort"] for each in container["ports"]}
    probed = {container[probe]["httpGet"]["port"] for probe in ("livenessProbe", "readinessProbe")}
    listened = int(configuration["http"]["metricsListen"].rsplit(":", 1)[1])
    if {ports.get(port, port) for port in probed} != {listened}:
        yield f"the probes ask another port than {listened}, where esmd answers"
    mounted = {each["mountPath"] for each in container["volumeMounts"] if each["name"] == "state"}
    if mounted != {configuration["stateDir"]}:
        yield "the volume of the state is not mounted where stateDir is"


def _check_references():
    """What a renderer would find first: a file that is not there, or is not YAML."""
    for file in _kustomizations():
        kustomization = yaml.safe_load(file.read_text())
        names = [*kustomization["resources"], *(each["path"] for each in kustomization.get("patches", []))]
        for generator in kustomization["configMapGenerator"]:
            names += generator["files"]
        for target in (file.parent / name for name in names):
            if not target.exists():
                yield f"{file.relative_to(ROOT)} names {target.name}, which does not exist"
            elif target.is_file():
                try:
                    list(yaml.safe_load_all(target.read_text()))
                except yaml.YAMLError as error:
                    yield f"{target.relative_to(ROOT)}: {error}"


def _kustomizations() -> list[Path]:
    return sorted(DEPLOY.glob("kubernetes/*/kustomization.yaml"))


if __name__ == "__main__":
    sys.exit(main())
