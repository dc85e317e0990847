"""Processes that the demo starts, each with a log, a pid file and a process group of its own.

The group is what gets stopped, so nothing that a service started outlives it; and Ctrl-C reaches the demo alone, which
then stops them in order.
"""
from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

# Below the range from which systems take the ports of outgoing connections.
PORTS = range(20_000, 32_000)
READY_WITHIN_S = 30.0


class DemoError(Exception):
    """The demo cannot go on; `log` says why."""

    def __init__(self, message: str, log: Path | None = None) -> None:
        super().__init__(message)
        self.log = log


class Service:
    """One process, which may be started more than once."""

    def __init__(
        self, name: str, command: list[str], log: Path, cwd: Path, environment: dict[str, str] | None = None
    ) -> None:
        self.name = name
        self.command = command
        self.log = log
        self.cwd = cwd
        self.environment = environment
        self.process: subprocess.Popen[bytes]

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, cwd=self.cwd, env=self.environment, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True,
            )
        pid_file(self.log.parent, self.name).write_text(f"{self.process.pid}\n")

    def wait_until_ready(self, url: str) -> None:
        deadline = time.monotonic() + READY_WITHIN_S
        while not answers(url):
            if self.process.poll() is not None:
                raise DemoError(f"{self.name} ended at once with exit code {self.process.returncode}", self.log)
            if time.monotonic() > deadline:
                raise DemoError(f"{self.name} did not answer {url} within {READY_WITHIN_S:.0f} s", self.log)
            time.sleep(0.05)

    def stop(self, grace_s: float) -> int:
        """Asks, waits, then ends the whole group; answers the exit code."""
        if self.process.poll() is None:
            signal_group(self.process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(grace_s)
        signal_group(self.process.pid, signal.SIGKILL)
        pid_file(self.log.parent, self.name).unlink(missing_ok=True)
        return self.process.wait()

    def last_line(self) -> str:
        return next(iter(tail(self.log, 1)), self.name).strip()


def stop_leftovers(folder: Path) -> list[str]:
    """Ends what an earlier demo left running, known by its pid files; answers the names."""
    stopped = []
    for file in sorted(folder.glob("*.pid")):
        pid, name = int(file.read_text()), file.stem
        if is_running(pid, name):
            signal_group(pid, signal.SIGTERM)
            deadline = time.monotonic() + 35  # esmd's drain may take 30 s
            while is_running(pid, name) and time.monotonic() < deadline:
                time.sleep(0.1)
            signal_group(pid, signal.SIGKILL)
            stopped.append(name)
        file.unlink()
    return stopped


def is_running(pid: int, name: str) -> bool:
    """Looks at the command too: a pid from a file may belong to someone else by now."""
    shown = subprocess.run(["ps", "-o", "stat=,command=", "-p", str(pid)], capture_output=True, text=True).stdout
    return name in shown and not shown.startswith("Z")


def signal_group(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(pid, number)


def pid_file(folder: Path, name: str) -> Path:
    return folder / f"{name}.pid"


def interrupt_on_termination() -> None:
    """A kill or a closed terminal must stop the services too; `nohup` keeps its meaning."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


def free_ports(count: int) -> list[int]:
    """Different ones, on loopback."""
    free: list[int] = []
    for port in random.sample(PORTS, 100):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            free.append(port)
        if len(free) == count:
            return free
    raise DemoError(f"no free port between {PORTS.start} and {PORTS.stop}")


def answers(url: str) -> bool:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def tail(log: Path, lines: int) -> list[str]:
    return log.read_text(errors="replace").splitlines()[-lines:] if log.exists() else []
