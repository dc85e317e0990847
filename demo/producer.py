"""Sends records to one source at an even pace; keys are drawn at random, as in real traffic."""
from __future__ import annotations

import random
import threading
import time
from collections import Counter

from cloud import Record, Source
from ledger import Ledger, encode

KEYS = 40


def produce(source: Source, ledger: Ledger, seconds: float, stopped: threading.Event) -> None:
    """Returns after the last record was accepted, or soon after `stopped`."""
    numbers: Counter[str] = Counter()
    started = time.monotonic()
    for call in range(round(seconds * source.records_per_second / source.records_per_call)):
        due = started + call * source.records_per_call / source.records_per_second
        if stopped.wait(max(0.0, due - time.monotonic())):
            return
        records = [next_record(numbers) for _ in range(source.records_per_call)]
        ledger.send(source, records)
        source.put([(record, encode(record)) for record in records])


def next_record(numbers: Counter[str]) -> Record:
    key = f"key-{random.randrange(KEYS):02}"
    numbers[key] += 1
    return Record(key, numbers[key] - 1)
