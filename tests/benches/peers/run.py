"""`make bench-peers`: esmd beside other programs that do the same job, on the same servers, for the same function.

A row is a program. Each run of it has servers, a function host and a source of its own, which is full before the program
starts; the rows of a table take turns. `docs/performance.md` says what the figures mean. From the environment: ONLY, the
beginnings of rows' names; RUNS, instead of 3; SHARE, of the records, to try something out.

The exit code is 1 if a row could not be measured, or if esmd lost or kept a record.
"""

import os
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests" / "harness"))

import installed
import peers
from load import Queue, Stream
from measure import Host, Measured, watch
from packages import SetupError
from servers import Server, running, stop

GOAL = 10.0
TABLES = {
    "queue": "SQS on fauxqs, messages of 200 bytes, batches of 10",
    "stream": "Kinesis on ministack, 2 shards, records of 60 bytes, batches of 100",
    "emulator": "SQS in an emulator that has mappings itself, messages of 200 bytes, batches of 10",
}


@dataclass
class Row:
    """One program. The first part of its name is its table; a table's first row is what the others are compared with."""

    name: str
    title: str
    records: int
    serve: Callable[[Host], AbstractContextManager[list[Server]]]
    program: peers.Program
    install: Callable[[], None] = lambda: None

    @property
    def table(self) -> str:
        """The table it stands in."""
        return self.name.split("_")[0]


def main() -> int:
    """All tables."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as an exception, so that everything is stopped
    only = tuple(os.environ.get("ONLY", "").split())
    runs = int(os.environ.get("RUNS") or 3)
    share = float(os.environ.get("SHARE") or 1)
    try:
        installed.install_servers()
        rows, left_out = list_rows(installed.install_esmd())
        rows = [row for row in rows if row.name.startswith(only or "")]
        for row in rows:
            row.install()
    except SetupError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    try:
        complete = [run_table(table, [row for row in rows if row.table == table], runs, share) for table in TABLES]
    except KeyboardInterrupt:
        return 130
    for reason in left_out:
        print(f"Left out: {reason}")
    return 0 if all(complete) else 1


def list_rows(binary: Path) -> tuple[list[Row], list[str]]:
    """All that is compared, and what cannot be."""

    def on(*servers: str) -> Callable[[Host], AbstractContextManager[list[Server]]]:
        return lambda _: running(*servers)

    def esmd_on_queue(concurrency: int) -> peers.Program:
        return peers.esmd(binary, BatchSize=10, ScalingConfig={"MaximumConcurrency": concurrency})

    node = installed.install_node_peers
    esmd_on_stream = peers.esmd(binary, BatchSize=100, StartingPosition="TRIM_HORIZON")
    rows = [
        Row("queue_esmd_5", "esmd, MaximumConcurrency 5", 50_000, on("fauxqs"), esmd_on_queue(5)),
        Row("queue_esmd_2", "esmd, MaximumConcurrency 2", 50_000, on("fauxqs"), esmd_on_queue(2)),
        Row("queue_sqs_consumer_5", "sqs-consumer, 5 consumers", 50_000, on("fauxqs"), peers.sqs_consumer(5), node),
        Row("queue_sqs_consumer_1", "sqs-consumer, 1 consumer", 50_000, on("fauxqs"), peers.sqs_consumer(1), node),
        Row("queue_serverless", "serverless-offline-sqs", 5_000, on("fauxqs"), peers.serverless_offline_sqs, node),
        Row("stream_esmd", "esmd", 100_000, on("ministack"), esmd_on_stream),
        Row(
            "stream_kcl",
            "KCL MultiLangDaemon",
            100_000,
            on("ministack", "dynamodb-local"),
            peers.kcl,
            installed.install_kcl,
        ),
        Row("emulator_esmd", "esmd on ministack, MaximumConcurrency 5", 5_000, on("ministack"), esmd_on_queue(5)),
        Row("emulator_ministack", "ministack's own *", 5_000, on("ministack"), peers.own_mapping(BatchSize=10)),
    ]
    python = installed.newer_python()
    if python is None:
        return rows, ["LocalStack: it needs Python 3.12 or newer, and there is none on the PATH"]
    for name, title, records, interval in [
        ("emulator_localstack_default", "LocalStack's own *", 200, None),
        ("emulator_localstack_fast", "LocalStack's own, polls each 0.01 s *", 2_000, 0.01),
    ]:
        rows.append(
            Row(
                name,
                title,
                records,
                lambda host, interval=interval: peers.localstack(host, interval),
                peers.own_mapping(BatchSize=10),
                lambda: installed.install_localstack(python),
            )
        )
    return rows, []


def run_table(table: str, rows: list[Row], runs: int, share: float) -> bool:
    """Measures and prints a table. Whether everything in it could be measured and esmd lost nothing."""
    if not rows:
        return True
    results: dict[str, list[Measured]] = {row.name: [] for row in rows}
    complete = True
    for number in range(runs):
        for row in rows:
            print(f"{number + 1}/{runs} {row.title} ...", file=sys.stderr, flush=True)
            try:
                results[row.name].append(run_row(row, max(int(row.records * share), 100)))
            except (SetupError, OSError) as error:
                print(f"error: {row.title}: {error}", file=sys.stderr)
                complete = False
    print(f"\n{TABLES[table]}\n")
    print_table([(row, results[row.name]) for row in rows if results[row.name]])
    if table == "queue":
        print_goal(results)
    lost = any(each.missing for row in rows if "_esmd" in row.name for each in results[row.name])
    return complete and not lost


def run_row(row: Row, records: int) -> Measured:
    """One run, from an empty server to its end."""
    with peers.function_host() as host, row.serve(host) as servers:
        source = (Stream if row.table == "stream" else Queue)(servers[0].url)
        source.fill(records)
        program = row.program(peers.Site(servers, source, host))
        try:
            return watch(program, host, servers, records)
        finally:
            stop([*servers, program.process])


def print_table(rows: list[tuple[Row, list[Measured]]]) -> None:
    """Medians; where runs differ in what matters, with the lowest and the highest."""
    if not rows:
        return
    columns = "Program | Records | Records/s | CPU ms for 1,000 | Records a CPU second | esmd's ÷ its | Peak MiB | \
Start to first, s | Server's CPU ms for 1,000 | Function's | Missing / twice"
    print(f"| {columns} |")
    print("|" + " --- |" * len(columns.split(" | ")))
    base = rows[0][1]
    for row, runs in rows:
        has_server = all(run.server_cpu is not None for run in runs)
        cells = [
            row.title,
            f"{runs[0].records:,}",
            spread([run.per_second for run in runs]),
            spread([run.cpu for run in runs]),
            f"{median(run.per_cpu_second for run in runs):,.0f}",
            spread(ratios(base, runs)) if has_server else "–",
            spread([run.peak for run in runs], whole=True),
            spread([run.start for run in runs]),
            spread([run.server_cpu for run in runs], whole=True) if has_server else "in its own",
            f"{median(run.host_cpu for run in runs):.1f}",
            f"{sum(run.missing for run in runs)} / {sum(run.twice for run in runs)}",
        ]
        print(f"| {' | '.join(cells)} |")
    print()


def print_goal(results: dict[str, list[Measured]]) -> None:
    """Against the best of sqs-consumer, which reads through the API as esmd does."""
    best = [runs for name, runs in results.items() if name.startswith("queue_sqs_consumer") and runs]
    base = results.get("queue_esmd_5")
    if not base or not best:
        return
    peer = max(best, key=lambda runs: median(run.per_cpu_second for run in runs))
    reached = median(ratios(base, peer))
    verdict = "reached" if reached >= GOAL else "not reached"
    print(f"Goal: records a CPU second at least {GOAL:.0f} times the best sqs-consumer's: {reached:.1f}, {verdict}\n")


def ratios(base: list[Measured], runs: list[Measured]) -> list[float]:
    """Records a CPU second of the base ÷ those of the other, run by run."""
    return [one.per_cpu_second / other.per_cpu_second for one, other in zip(base, runs, strict=False)]


def spread(values: list[float], *, whole: bool = False) -> str:
    """The median, with the lowest and the highest if there are several."""

    def shown(value: float) -> str:
        return f"{value:,.0f}" if whole or value >= 100 else f"{value:.2f}" if value < 10 else f"{value:.1f}"

    middle = shown(median(values))
    return f"{middle} ({shown(min(values))} to {shown(max(values))})" if len(values) > 1 else middle


if __name__ == "__main__":
    sys.exit(main())
