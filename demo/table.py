"""The ledger as lines of text: the live block, its one-line summary, the verdict."""
from __future__ import annotations

from ledger import Ledger, Tally
from paths import ESMD_LOG, NOTES, shown
from terminal import Terminal

HEADER = ("", "sent", "arrived", "retried", "twice", "invoked", "order", "lag", "p50", "p99")
# With the indent under 80 columns: a wrapped table cannot be redrawn.
WIDTHS = (10, 7, 8, 8, 6, 8, 6, 7, 7, 7)
BAR = 20


def live(terminal: Terminal, ledger: Ledger, seconds: float, send_for_s: float) -> list[str]:
    part = min(1.0, seconds / send_for_s)
    filled = round(part * BAR)
    phase = "sending" if part < 1.0 else "waiting for the rest"
    bar = terminal.green("━" * filled) + terminal.dim("━" * (BAR - filled))
    return [*rows(terminal, ledger), "", f"  {bar} {phase}, {seconds:.0f} s; every 20th invocation fails"]


def summary(ledger: Ledger, seconds: float) -> str:
    parts = [f"{tally.source.title} {tally.arrived:,}/{tally.sent:,}" for tally in ledger.tallies.values()]
    return f"  {seconds:3.0f} s: arrived " + ", ".join(parts)


def verdict(terminal: Terminal, ledger: Ledger) -> list[str]:
    tallies = ledger.tallies.values()
    sent = sum(tally.sent for tally in tallies)
    failed = sum(tally.failed_invocations for tally in tallies)
    lines = [*rows(terminal, ledger), ""]
    for tally in tallies:
        if tally.waiting:
            lines.append(terminal.red(f"✗ {tally.source.title}: {len(tally.waiting):,} records never arrived"))
        if tally.out_of_order:
            text = f"✗ {tally.source.title}: {tally.out_of_order:,} records out of order for their key"
            lines.append(terminal.red(text))
    if ledger.is_clean:
        done = f"✓ all {sent:,} records arrived, each key in order, though {failed} invocations failed"
        lines.append(terminal.green(done))
    else:
        lines.append(f"  what the function saw: {shown(NOTES)}; what esmd said: {shown(ESMD_LOG)}")
    lines.append(terminal.dim("  retried: handed over again after a failure; twice: after a success"))
    return [*lines, ""]


def rows(terminal: Terminal, ledger: Ledger) -> list[str]:
    return [terminal.dim(row(HEADER)), *(tally_row(terminal, tally) for tally in ledger.tallies.values())]


def tally_row(terminal: Terminal, tally: Tally) -> str:
    order = "–" if not tally.source.is_ordered else f"✗ {tally.out_of_order}" if tally.out_of_order else "✓"
    line = row((
        tally.source.title, f"{tally.sent:,}", f"{tally.arrived:,}", f"{tally.retried:,}", f"{tally.twice:,}",
        f"{tally.invocations:,}", order, duration(tally.lag_s()), duration(tally.latency_s(0.5)),
        duration(tally.latency_s(0.99)),
    ))
    return line.replace("✓", terminal.green("✓")).replace("✗", terminal.red("✗"))


def row(cells: tuple[str, ...]) -> str:
    title, *figures = cells
    title_width, *widths = WIDTHS
    aligned = (f"{figure:>{width}}" for figure, width in zip(figures, widths, strict=True))
    return f"  {title:<{title_width}}" + "".join(aligned)


def duration(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
