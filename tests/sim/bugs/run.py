"""Puts each bug of this directory into a copy of the code and tells how many seeds the simulation needs to catch it.

A bug is a patch; the text before its diff says what is wrong. `SEEDS` is how many seeds each beginning gets at most,
`FROM` lists the beginnings, `BUGS` chooses bugs by a part of their name. Prints a table. The exit code is 1 if a bug
was not caught from some beginning, or if the code without any bug is not clean; 2 if a patch no longer applies.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[3]
BUGS = pathlib.Path(__file__).resolve().parent
# Under the target directory that `make sim` uses, so that the dependencies are built once.
TARGET = ROOT / "target" / "sim"
COPY = TARGET / "bugs"
BUILD = (
    "cargo test --quiet --no-run --no-default-features --features engine --profile sim --test sim "
    "--message-format=json"
).split()
CAUGHT = re.compile(r"^(\S+), seed (\d+): (.*)$", re.MULTILINE)
# A bug may make a run go on without an end.
LONGEST_SECONDS = 1_200


def main() -> int:
    """Every bug, one after another."""
    seeds = int(os.environ.get("SEEDS") or 1_000)
    beginnings = [int(number) for number in (os.environ.get("FROM") or "1 100001 200001").split()]
    chosen = (os.environ.get("BUGS") or "").split()
    patches = [
        patch for patch in sorted(BUGS.glob("*.patch")) if not chosen or any(part in patch.stem for part in chosen)
    ]
    copy()
    print(f"| Bug | What is wrong | {' | '.join(f'from {begin}' for begin in beginnings)} | What is seen |")
    print(f"| --- | --- | {'--- | ' * len(beginnings)}--- |", flush=True)
    is_clean = bool(chosen) or not any(seen for _, seen in row("none", "Nothing.", beginnings, seeds))
    missed = []
    for patch in patches:
        changed = apply(patch)
        if any(not seen for _, seen in row(patch.stem, description(patch), beginnings, seeds)):
            missed.append(patch.stem)
        restore(changed)
    if not is_clean:
        print("the code without any bug breaks a rule", file=sys.stderr)
    if missed:
        print(f"not caught within {seeds} seeds from every beginning: {' '.join(missed)}", file=sys.stderr)
    return 0 if is_clean and not missed else 1


def copy() -> None:
    """All that the simulation is built from. What did not change keeps its time, so that cargo builds little."""
    for name in ("src", "tests"):
        shutil.rmtree(COPY / name, ignore_errors=True)
        shutil.copytree(ROOT / name, COPY / name, ignore=shutil.ignore_patterns("harness", "__pycache__"))
    for name in ("Cargo.toml", "Cargo.lock", "README.md"):
        shutil.copy2(ROOT / name, COPY / name)
    (COPY / "src" / "lib.rs").touch()  # a run that was stopped may have built another copy


def apply(patch: pathlib.Path) -> list[str]:
    """Puts a bug into the copy; answers the files that it changed."""
    environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(TARGET)}  # the copy is no part of the repository
    git = ["git", "apply", "--whitespace=nowarn"]
    try:
        told = subprocess.run([*git, "--numstat", str(patch)], cwd=COPY, env=environment, check=True, capture_output=True)
        subprocess.run([*git, str(patch)], cwd=COPY, env=environment, check=True)
    except subprocess.CalledProcessError:
        print(f"{patch.name} no longer applies: the code that it breaks has changed", file=sys.stderr)
        sys.exit(2)
    changed = [line.split("\t")[2] for line in told.stdout.decode().splitlines()]
    for name in changed:
        (COPY / name).touch()
    return changed


def restore(changed: list[str]) -> None:
    """Takes the bug out again."""
    for name in changed:
        shutil.copy(ROOT / name, COPY / name)
        (COPY / name).touch()


def row(name: str, what: str, beginnings: list[int], seeds: int) -> list[tuple[str, str]]:
    """Builds and runs the copy from each beginning, and prints a line of the table."""
    simulation = build()
    found = [simulate(simulation, begin, seeds) for begin in beginnings]
    seen = next((seen for _, seen in found if seen), "nothing")
    print(f"| `{name}` | {what} | {' | '.join(count for count, _ in found)} | {seen} |", flush=True)
    return found


def build() -> str:
    """The simulation's executable."""
    environment = {**os.environ, "CARGO_PROFILE_SIM_INCREMENTAL": "true"}
    command = [*BUILD, "--target-dir", str(TARGET)]
    built = subprocess.run(command, cwd=COPY, env=environment, capture_output=True, check=False)
    if built.returncode:
        print(built.stdout.decode() + built.stderr.decode(), file=sys.stderr)
        sys.exit(2)
    messages = (json.loads(line) for line in built.stdout.decode().splitlines() if line.startswith("{"))
    return next(found for found in (message.get("executable") for message in messages) if found)


def simulate(simulation: str, begin: int, seeds: int) -> tuple[str, str]:
    """How many seeds it took, and what was seen; empty if nothing was."""
    environment = {
        **os.environ,
        "SIM_SEEDS": str(seeds),
        "SIM_FROM": str(begin),
        "SIM_THREADS": str(os.cpu_count()),
        "SIM_SEED": "",
        "SIM_SCENARIO": "",
    }
    command = [simulation, "--nocapture", "--exact", "fresh_seeds_hold"]
    try:
        ran = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, timeout=LONGEST_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return "?", f"a run that did not end within {LONGEST_SECONDS} s"
    if ran.returncode == 0:
        return f"not in {seeds}", ""
    broken = sorted(CAUGHT.findall(ran.stdout.decode() + ran.stderr.decode()), key=lambda found: int(found[1]))
    if not broken:
        return "?", f"the simulation ended with {ran.returncode}"
    scenario, seed, what = broken[0]
    return str(int(seed) - begin + 1), f"{scenario}: {shorten(what)}"


def shorten(what: str) -> str:
    """Fits a cell of a table."""
    what = what.strip().replace("|", "/")
    return what if len(what) <= 110 else what[:107] + "..."


def description(patch: pathlib.Path) -> str:
    """The text before the diff."""
    return " ".join(patch.read_text().split("diff --git", 1)[0].split())


if __name__ == "__main__":
    sys.exit(main())
