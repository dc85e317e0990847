"""What was sent against what arrived, judged by the demo alone: it asks esmd for nothing.

A record has arrived when an invocation that carried it succeeded. For each key two orders must hold: the first
deliveries follow the order of sending, and so do the first successful ones, or a record overtook one that was still
being retried.
"""
from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from cloud import Record, Source
from processes import DemoError


@dataclass
class Order:
    """Counts records that are seen for the first time after a later one of their key."""

    seen: set[Record] = field(default_factory=set)
    highest: dict[str, int] = field(default_factory=dict)
    violations: int = 0

    def see(self, record: Record) -> bool:
        """Whether it is the first time."""
        if record in self.seen:
            return False
        self.seen.add(record)
        highest = self.highest.get(record.key, -1)
        self.violations += record.number < highest
        self.highest[record.key] = max(highest, record.number)
        return True


@dataclass
class Tally:
    """One mapping's figures. Times are seconds since the epoch."""

    source: Source
    sent: int = 0
    waiting: dict[Record, float] = field(default_factory=dict)
    delivered: Order = field(default_factory=Order)
    succeeded: Order = field(default_factory=Order)
    retried: int = 0
    twice: int = 0
    invocations: int = 0
    failed_invocations: int = 0
    latencies_s: list[float] = field(default_factory=list)

    def send(self, record: Record) -> None:
        self.sent += 1
        self.waiting[record] = time.time()

    def deliver(self, records: list[Record], failed: bool, at: float) -> None:
        self.invocations += 1
        self.failed_invocations += failed
        for record in records:
            is_first = self.delivered.see(record)
            if not is_first:
                if record in self.succeeded.seen:
                    self.twice += 1
                else:
                    self.retried += 1
            if not failed and self.succeeded.see(record):
                self.latencies_s.append(at - self.waiting.pop(record, at))

    @property
    def arrived(self) -> int:
        return len(self.succeeded.seen)

    @property
    def out_of_order(self) -> int:
        return max(self.delivered.violations, self.succeeded.violations) if self.source.is_ordered else 0

    def lag_s(self) -> float:
        """Age of the oldest record that has not arrived."""
        return time.time() - next(iter(self.waiting.values())) if self.waiting else 0.0

    def latency_s(self, quantile: float) -> float:
        ordered = sorted(self.latencies_s)
        return ordered[int(quantile * (len(ordered) - 1))] if ordered else 0.0


class Ledger:
    """All tallies, and the function's notes from which they are fed. Producers send from threads of their own."""

    def __init__(self, sources: list[Source], notes: Path) -> None:
        self.tallies = {source.arn: Tally(source) for source in sources}
        self._notes = notes
        self._read_bytes = 0
        self._lock = threading.Lock()

    def send(self, source: Source, records: list[Record]) -> None:
        """Called before the records go out: else one could arrive before it is known."""
        with self._lock:
            for record in records:
                self.tallies[source.arn].send(record)

    def read(self) -> None:
        """Takes in the invocations that the function noted since the last call."""
        if not self._notes.exists():
            return
        with self._notes.open("rb") as notes:
            notes.seek(self._read_bytes)
            whole, newline, _ = notes.read().rpartition(b"\n")
        self._read_bytes += len(whole) + len(newline)
        with self._lock:
            for line in whole.splitlines():
                self._take(line)

    def _take(self, line: bytes) -> None:
        try:
            invocation = json.loads(line)
            records = [decode(payload) for payload in invocation["records"]]
            self.tallies[invocation["source"]].deliver(records, invocation["failed"], invocation["at"])
        except (KeyError, TypeError, ValueError) as error:
            raise DemoError(f"the function was handed what nobody sent: {line.decode()[:200]}", self._notes) from error

    @property
    def waiting(self) -> int:
        with self._lock:
            return sum(len(tally.waiting) for tally in self.tallies.values())

    @property
    def arrived(self) -> int:
        return sum(tally.arrived for tally in self.tallies.values())

    @property
    def is_clean(self) -> bool:
        return self.waiting == 0 and not any(tally.out_of_order for tally in self.tallies.values())


def encode(record: Record) -> str:
    return json.dumps({"key": record.key, "number": record.number})


def decode(payload: str) -> Record:
    fields = json.loads(payload)
    return Record(fields["key"], fields["number"])
