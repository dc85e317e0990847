"""Changes the pure modules one place at a time with cargo-mutants and counts how many changes a test objects to.

`MODULES` chooses modules. Where a module's own tests are quick and catch most, a change meets them first; what they
let pass meets all tests of the pure modules. Prints a table and the changes that no test objects to. The exit code is 1 if a
module is below `KILLED_MIN`, 2 if cargo-mutants is missing or cannot run.

Chance is taken out: the properties draw the same cases each time, and a case that failed once is not kept for the next
change.
"""

import os
import pathlib
import shutil
import subprocess
import sys
from dataclasses import dataclass, field

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = ROOT / "target" / "mutants"
MODULES = "filter mapping event core"
# The others. What the core does shows in the properties.
CAUGHT_BY_OWN_TESTS = ("filter", "mapping", "event")
# Percent of the changes that can be built.
KILLED_MIN = 95.0
# A change may make a test go on without an end.
LONGEST_SECONDS = "40"
ENVIRONMENT = {
    "CARGO_TARGET_DIR": str(TARGET),
    "PROPTEST_DISABLE_FAILURE_PERSISTENCE": "1",
    "PROPTEST_MAX_SHRINK_ITERS": "0",
    "PROPTEST_RNG_SEED": "1",
    "RUST_BACKTRACE": "0",
}
# What cargo-mutants answers if it could test the changes: all caught, some missed, some too slow.
TESTED = (0, 2, 3)


@dataclass
class Outcome:
    """The changes of one module, by what became of them."""

    caught: list[str] = field(default_factory=list)
    timeout: list[str] = field(default_factory=list)
    unviable: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)

    @property
    def killed(self) -> float:
        """In percent. What never ends is noticed as well."""
        noticed = len(self.caught) + len(self.timeout)
        return 100 * noticed / max(noticed + len(self.missed), 1)


def main() -> int:
    """Every module, one after another."""
    if not shutil.which("cargo-mutants"):
        print("cargo-mutants is missing: cargo install cargo-mutants --locked", file=sys.stderr)
        return 2
    outcomes = {module: test(module) for module in (os.environ.get("MODULES") or MODULES).split()}
    print("| Module | Changes | Caught | Without end | Not Rust | Missed | Killed |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for module, outcome in outcomes.items():
        counts = [len(group) for group in (outcome.caught, outcome.timeout, outcome.unviable, outcome.missed)]
        cells = " | ".join(str(count) for count in [sum(counts), *counts])
        print(f"| `{module}` | {cells} | {outcome.killed:.1f} % |")
    print("", *(name for outcome in outcomes.values() for name in outcome.missed), sep="\n")
    return 0 if all(outcome.killed >= KILLED_MIN for outcome in outcomes.values()) else 1


def test(module: str) -> Outcome:
    """The changes of one module."""
    output = TARGET / "outcomes" / module
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    outcome = Outcome()
    if module in CAUGHT_BY_OWN_TESTS:
        mutate(module, output, "--cargo-arg=--lib", "--", f"{module}::")
        collect(output, outcome)
        # What cargo-mutants passes over in a second round: what is caught, but not what never ends.
        with (output / "mutants.out" / "caught.txt").open("a", encoding="utf-8") as caught:
            caught.writelines(f"{name}\n" for name in outcome.timeout)
    mutate(module, output, "--iterate", "--cargo-arg=--lib", "--cargo-arg=--test=properties")
    collect(output, outcome)
    return outcome


def mutate(module: str, output: pathlib.Path, *arguments: str) -> None:
    """One round. The code is copied before it is changed."""
    command = ["cargo", "mutants", "--file", f"src/{module}/**", "--output", str(output)]
    command += ["--minimum-test-timeout", LONGEST_SECONDS, *arguments]
    ended = subprocess.run(command, cwd=ROOT, env=os.environ | ENVIRONMENT, stdout=sys.stderr, check=False)
    if ended.returncode not in TESTED:
        sys.exit(2)


def collect(output: pathlib.Path, outcome: Outcome) -> None:
    """Adds what a round found. Only the last round says what is missed."""
    names = {
        group: (output / "mutants.out" / f"{group}.txt").read_text(encoding="utf-8").splitlines()
        for group in ("caught", "timeout", "unviable", "missed")
    }
    outcome.caught += names["caught"]
    outcome.timeout += names["timeout"]
    outcome.unviable += names["unviable"]
    outcome.missed = names["missed"]


if __name__ == "__main__":
    sys.exit(main())
