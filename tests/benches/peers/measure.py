"""What a run costs: CPU time and memory of a process and all below it, read from `/proc`, and what the function host saw.

The CPU time of a child that has ended is in its parent's, once that has waited for it.
"""

import http.client
import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from packages import SetupError
from servers import Server

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
# A program that delivers nothing for so long delivers nothing more. KCL takes two minutes to begin.
PATIENCE_SECONDS = 60.0
PATIENCE_AT_FIRST_SECONDS = 300.0
# Seldom, since the function host spends CPU on an answer.
POLL_SECONDS = 0.05
# What comes a second time comes after the first.
AFTERMATH_SECONDS = 1.0


@dataclass
class Running:
    """A program at work on a source."""

    process: Server
    started: float  # seconds since the epoch
    is_settled: Callable[[], bool]  # whether what was delivered is deleted or checkpointed


@dataclass(frozen=True)
class Measured:
    """One run. CPU is for 1,000 records in ms, without the first quarter of them, in which a program starts up."""

    records: int
    per_second: float
    cpu: float
    server_cpu: float | None  # None: server and program are one
    host_cpu: float
    peak: float  # MiB, of each process its own peak
    start: float  # seconds until the first invocation
    missing: int
    twice: int

    @property
    def per_cpu_second(self) -> float:
        """Records; infinitely many if the kernel saw none of its ticks of 10 ms, as with a small SHARE."""
        return 1e6 / self.cpu if self.cpu else math.inf


@dataclass
class Seen:
    """How the function host stood."""

    unique: int
    twice: int
    invocations: int
    first: float
    last: float


class Host:
    """The function host, asked for what it saw."""

    def __init__(self, process: Server):
        self.process = process
        self._connection = http.client.HTTPConnection("127.0.0.1", process.port)

    def seen(self) -> Seen:
        """So far."""
        self._connection.request("GET", "/seen")
        return Seen(**json.load(self._connection.getresponse()))


def watch(running: Running, host: Host, servers: list[Server], records: int) -> Measured:
    """Until all is delivered and settled, or nothing is any more."""
    processes = [[running.process], servers, [host.process]]

    def spent() -> list[float]:
        return [sum(cpu_seconds(each.process.pid) for each in group) for group in processes]

    quarter = _wait(running, host, lambda seen: seen.unique >= records / 4)
    spent_before = spent()
    seen = _wait(running, host, lambda seen: seen.unique >= records and running.is_settled())
    spent_after = spent()
    if seen.unique == records and not running.is_settled():
        raise SetupError(f"{running.process.name} did not settle what it delivered:\n{running.process.tail()}")
    peak = peak_mib(running.process.process.pid)
    time.sleep(AFTERMATH_SECONDS)
    seen = host.seen()
    counted = max(seen.unique - quarter.unique, 1)
    differences = (after - before for before, after in zip(spent_before, spent_after, strict=True))
    program, server, function = (difference * 1e6 / counted for difference in differences)
    return Measured(
        records=records,
        per_second=seen.unique / max((seen.last - seen.first) / 1e3, 1e-3),
        cpu=program,
        server_cpu=None if running.process in servers else server,
        host_cpu=function,
        peak=peak,
        start=seen.first / 1e3 - running.started,
        missing=records - seen.unique,
        twice=seen.twice,
    )


def _wait(running: Running, host: Host, is_enough: Callable[[Seen], bool]) -> Seen:
    """Until then, or until nothing was delivered for so long that what is missing is lost."""
    seen, since = host.seen(), time.monotonic()
    while not is_enough(seen):
        time.sleep(POLL_SECONDS)
        before, seen = seen, host.seen()
        if seen.invocations > before.invocations:
            since = time.monotonic()
        patience = PATIENCE_SECONDS if seen.invocations else PATIENCE_AT_FIRST_SECONDS
        is_over = time.monotonic() - since > patience
        if running.process.process.poll() is not None or (is_over and not seen.invocations):
            raise SetupError(f"{running.process.name} stopped at {seen.unique} records:\n{running.process.tail()}")
        if is_over:
            break
    return seen


def cpu_seconds(pid: int) -> float:
    """User and system time, of the process and all below it."""
    return sum(sum(int(field) for field in stat[11:15]) for _, stat in _tree(pid)) / TICKS_PER_SECOND


def peak_mib(pid: int) -> float:
    """The most that each process of the tree held, added up."""
    peaks = []
    for each, _ in _tree(pid):
        lines = Path(f"/proc/{each}/status").read_text().splitlines()
        peaks += [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
    return sum(peaks) / 1024


def _tree(root: int) -> list[tuple[int, list[str]]]:
    """Each process of the tree with what `stat` says of it after its name: state, parent, ..."""
    stats = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                stats[int(folder.name)] = (folder / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                pass  # it has just ended
    members = [root]
    for member in members:  # which grows while it is walked
        members += [pid for pid, stat in stats.items() if int(stat[1]) == member]
    return [(member, stats[member]) for member in members if member in stats]
