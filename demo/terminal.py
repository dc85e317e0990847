"""What the demo writes: steps with ticks, and a block of lines that is redrawn in place.

On anything but a terminal the block becomes one plain line every few seconds.
"""
from __future__ import annotations

import io
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from paths import shown
from processes import DemoError, tail

ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
SUMMARY_EVERY_S = 5.0
TAIL_LINES = 15


class Terminal:
    """Owns standard output: nobody else prints while a block is drawn."""

    def __init__(self) -> None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")  # a tick must not end the demo where the locale has none
        self.is_live = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        self.has_color = self.is_live and not os.environ.get("NO_COLOR")
        self._drawn = 0
        self._summarized = time.monotonic()

    def write(self, line: str) -> None:
        """A line that stays; the drawn block gives way to it."""
        self._put(self._erase() + line + "\n")

    def draw(self, lines: list[str], summary: str = "") -> None:
        """Replaces the block. `summary` stands for it where nothing can be redrawn."""
        if self.is_live:
            columns = shutil.get_terminal_size().columns
            frame = "".join(clip(line, columns - 1) + "\n" for line in lines)
            self._put(self._erase() + frame)
            self._drawn = len(lines)
        elif summary and time.monotonic() - self._summarized >= SUMMARY_EVERY_S:
            self._summarized = time.monotonic()
            self._put(summary + "\n")

    def done(self, text: str, seconds: float) -> None:
        self.write(f"  {self.green('✓')} {text:<62}{seconds:>7.1f} s")

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        started = time.monotonic()
        self.draw([f"  {self.spinner()} {text}"])
        try:
            yield
        except BaseException:
            self.write(f"  {self.red('✗')} {text}")
            raise
        self.done(text, time.monotonic() - started)

    def explain(self, error: DemoError) -> int:
        """Says what went wrong with the end of the log that knows why; answers the exit code."""
        self.write(f"\n{self.red('✗')} {error}")
        if error.log is not None:
            for line in tail(error.log, TAIL_LINES):
                self.write(f"  │ {line}")
            self.write(f"  all of it: {shown(error.log)}")
        return 1

    def spinner(self) -> str:
        return "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"[int(time.monotonic() * 10) % 10] if self.is_live else "·"

    def bold(self, text: str) -> str:
        return self._styled("1", text)

    def dim(self, text: str) -> str:
        return self._styled("2", text)

    def red(self, text: str) -> str:
        return self._styled("31", text)

    def green(self, text: str) -> str:
        return self._styled("32", text)

    def _styled(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.has_color else text

    def _erase(self) -> str:
        """Up to the block's first line, then clear all below."""
        erase = f"\x1b[{self._drawn}A\x1b[J" if self._drawn else ""
        self._drawn = 0
        return erase

    def _put(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


def clip(line: str, columns: int) -> str:
    """Cuts to the visible width: a wrapped line would take two rows, and the next redraw would leave one behind."""
    if len(ESCAPE.sub("", line)) <= columns:
        return line
    return ESCAPE.sub("", line)[:columns]
