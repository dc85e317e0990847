"""Installs what the tests and the demo run on, inside the checkout, and only when the pins have changed.

Python packages go into `.venv`, Node packages into `tests/harness/node_modules`, DynamoDB Local into
`tests/harness/dynamodb-local`; the pins are `requirements.txt` and `package-lock.json` beside this file, and two constants in
it. Each place keeps a stamp, written last: an installation that was cut off is made anew. By itself:
`python3 tests/harness/packages.py python` (or `node`, or `dynamodb-local`).
"""

import base64
import fcntl
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
VENV = ROOT / ".venv"
NODE_MODULES = HERE / "node_modules"
DYNAMODB_LOCAL = HERE / "dynamodb-local"
STATE = ROOT / "target" / "harness"

# DynamoDB Local is Java, but comes inside a Node package. The package alone is wanted, not the 280 that it depends on, so it
# is not in package.json. Its licence forbids passing it on: it is downloaded by whoever runs the tests.
DYNAMODB_LOCAL_PACKAGE = "amplify-dynamodb-simulator@2.9.30"
DYNAMODB_LOCAL_SHA512 = "xTeeRLvzEfqyd5lh3bH4c0kHvSHHmmhD5ZDsHFKAQ5g2Zl6JqlFdutaQhCLHzxEp6Ry1o7TB6niIoXuQAnSewQ=="


class SetupError(Exception):
    """A step of the set-up failed; the text says what to do or what the tool printed."""


def install_python() -> bool:
    """Makes `.venv` what `requirements.txt` says. True if there was something to do."""
    pins = HERE / "requirements.txt"
    with _locked("python"):
        stamp = _stamp(pins, sys.version)
        if _is_current(VENV, stamp):
            return False
        _run([sys.executable, "-m", "venv", str(VENV)])  # in place: a demo left running may still use it
        pip = [str(VENV / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run([*pip, "--requirement", str(pins)])
        _finish(VENV, stamp)
        return True


def install_node() -> bool:
    """Makes `node_modules` what `package-lock.json` says. True if there was something to do."""
    if shutil.which("npm") is None:
        raise SetupError("npm is not installed: the tests need Node 20 or newer with npm")
    with _locked("node"):
        stamp = _stamp(HERE / "package-lock.json", "")
        if _is_current(NODE_MODULES, stamp):
            return False
        _run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], directory=HERE)
        _finish(NODE_MODULES, stamp)
        return True


def install_dynamodb_local() -> bool:
    """Unpacks DynamoDB Local from the package that the constants name. True if there was something to do."""
    for program in ("npm", "java"):
        if shutil.which(program) is None:
            raise SetupError(f"{program} is not installed: the tests need Node 20 and Java 17 or newer")
    with _locked("dynamodb-local"):
        stamp = hashlib.sha256((DYNAMODB_LOCAL_PACKAGE + DYNAMODB_LOCAL_SHA512).encode()).hexdigest()
        if _is_current(DYNAMODB_LOCAL, stamp):
            return False
        with tempfile.TemporaryDirectory(dir=STATE) as folder:
            pack = ["npm", "pack", DYNAMODB_LOCAL_PACKAGE, "--ignore-scripts", "--loglevel=error"]
            _run([*pack, "--pack-destination", folder], directory=HERE)
            (package,) = Path(folder).glob("*.tgz")
            if base64.b64encode(hashlib.sha512(package.read_bytes()).digest()).decode() != DYNAMODB_LOCAL_SHA512:
                raise SetupError(f"{DYNAMODB_LOCAL_PACKAGE} is not the file that was pinned")
            with tarfile.open(package) as archive:
                emulator = [each for each in archive.getmembers() if each.name.startswith("package/emulator/")]
                archive.extractall(folder, emulator)
            shutil.rmtree(DYNAMODB_LOCAL, ignore_errors=True)
            shutil.move(Path(folder) / "package" / "emulator", DYNAMODB_LOCAL)
        _finish(DYNAMODB_LOCAL, stamp)
        return True


@contextmanager
def _locked(name: str):
    """A test run and a demo that start together must not install into one folder at once."""
    STATE.mkdir(parents=True, exist_ok=True)
    with (STATE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _stamp(pins: Path, also: str) -> str:
    return hashlib.sha256(pins.read_bytes() + also.encode()).hexdigest()


def _is_current(folder: Path, stamp: str) -> bool:
    path = folder / ".pins"
    return path.is_file() and path.read_text() == stamp


def _finish(folder: Path, stamp: str) -> None:
    (folder / ".pins").write_text(stamp)


def _run(command: list[str], directory: Path = ROOT) -> None:
    done = subprocess.run(
        command, cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode != 0:
        raise SetupError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout.strip()}")


def main() -> int:
    """Installs one of the three and says in a line whether there was something to do."""
    kinds = {"python": install_python, "node": install_node, "dynamodb-local": install_dynamodb_local}
    if len(sys.argv) != 2 or sys.argv[1] not in kinds:
        print("usage: packages.py python|node|dynamodb-local", file=sys.stderr)
        return 2
    try:
        changed = kinds[sys.argv[1]]()
    except SetupError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{sys.argv[1]} packages {'installed' if changed else 'unchanged'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
