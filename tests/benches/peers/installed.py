"""What is compared, installed below `target/peers` when the pins have changed, and esmd's release binary."""

import shutil
import subprocess
import sys
from pathlib import Path

from packages import ROOT, SetupError, install_dynamodb_local, install_node, install_python

PROGRAMS = Path(__file__).resolve().parent / "programs"
PEERS = ROOT / "target" / "peers"
NODE = PEERS / "node"
KCL = PEERS / "kcl"
LOCALSTACK = PEERS / "localstack"

# The newest that run on Node 20; serverless 4 wants a login.
NODE_PINS = [
    "sqs-consumer@14.2.8",
    "@aws-sdk/client-lambda@3.1164.0",
    "@aws-sdk/client-sqs@3.1169.0",
    "serverless@3.40.0",
    "serverless-offline@13.10.1",
    "serverless-offline-sqs@8.0.0",
]
KCL_PINS = ["kclpy-ext==3.1.3.post4"]
# Newer versions of what follows LocalStack lack what it imports.
LOCALSTACK_PINS = [
    "localstack-core[runtime]==2026.3.0",
    "cbor2==5.9.0",
    "pyopenssl==25.3.0",
    "cryptography==46.0.7",
    "service_identity==24.2.0",
]


def install_esmd() -> Path:
    """Builds it as `make bench-wire` does, so that both share one build."""
    target = ROOT / "target" / "bench"
    build = ["cargo", "bench", "--quiet", "--no-run", "--bench", "wire", "--target-dir", str(target)]
    if subprocess.run(build, cwd=ROOT, check=False).returncode != 0:
        raise SetupError("esmd does not build")
    return target / "release" / "esmd"


def install_servers() -> None:
    """The tests' own, and the folder of everything else."""
    PEERS.mkdir(parents=True, exist_ok=True)
    install_python()
    install_node()
    install_dynamodb_local()


def install_node_peers() -> None:
    """sqs-consumer and serverless with what they need, and our programs beside them, where they find it."""
    NODE.mkdir(parents=True, exist_ok=True)
    if not _is_current(NODE, NODE_PINS):
        # Without a manifest npm would install into a parent folder that has one.
        (NODE / "package.json").write_text('{ "private": true }\n')
        quiet = ["--no-audit", "--no-fund", "--loglevel=error"]
        _run(["npm", "install", "--ignore-scripts", "--legacy-peer-deps", *quiet, *NODE_PINS], NODE)
        _finish(NODE, NODE_PINS)
    for program in PROGRAMS.iterdir():
        if program.is_file():
            shutil.copy(program, NODE)


def install_kcl() -> None:
    """The MultiLangDaemon: Java's libraries, inside a Python package."""
    if shutil.which("java") is None:
        raise SetupError("java is not installed: KCL needs Java 17 or newer")
    _install_python(Path(sys.executable), KCL, KCL_PINS)


def install_localstack(python: Path) -> None:
    """LocalStack, with our way to run functions without Docker, from a copy: pip leaves files beside what it builds."""
    executor = PEERS / "localstack_executor"
    shutil.copytree(PROGRAMS / "localstack_executor", executor, dirs_exist_ok=True)
    _install_python(python, LOCALSTACK, [*LOCALSTACK_PINS, str(executor)])


def newer_python() -> Path | None:
    """A Python that LocalStack runs on, 3.12 or newer, on the PATH or among pyenv's."""
    names = [f"python3.{minor}" for minor in (13, 12)]
    pyenv = [sorted(Path.home().glob(f".pyenv/versions/*/bin/{name}")) for name in names]
    for candidate in [*(shutil.which(name) for name in names), *(path for paths in pyenv for path in paths)]:
        # pyenv puts a python3.13 on the PATH that ends with an error.
        if candidate and subprocess.run([candidate, "--version"], capture_output=True, check=False).returncode == 0:
            return Path(candidate)
    return None


def _install_python(python: Path, folder: Path, pins: list[str]) -> None:
    if _is_current(folder, pins):
        return
    shutil.rmtree(folder, ignore_errors=True)
    _run([str(python), "-m", "venv", str(folder)], ROOT)
    _run([str(folder / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", *pins], ROOT)
    _finish(folder, pins)


def _is_current(folder: Path, pins: list[str]) -> bool:
    stamp = folder / ".pins"
    return stamp.is_file() and stamp.read_text().splitlines() == pins


def _finish(folder: Path, pins: list[str]) -> None:
    (folder / ".pins").write_text("\n".join(pins))


def _run(command: list[str], directory: Path) -> None:
    done = subprocess.run(command, cwd=directory, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SetupError(f"{' '.join(command)} ended with {done.returncode}:\n{(done.stdout + done.stderr).strip()}")
