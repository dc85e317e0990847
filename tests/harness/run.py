"""Runs all tests: installs what is missing, starts the servers, runs `cargo nextest`, stops the servers.

Further arguments for nextest come from the command line and from the variable ARGS (`make test ARGS='-E test(fifo)'`).
The exit code is nextest's; a failure outside the tests gives 1.
"""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time

from packages import ROOT, SetupError, install_dynamodb_local, install_node, install_python
from servers import Server, running

# Everything in one command and with one set of features: any other selection makes cargo build the AWS SDK again.
TESTS = ["cargo", "nextest", "run", "--lib", "--bins", "--tests"]


def main() -> int:
    """The whole run."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as an exception, so that the servers are stopped
    arguments = shlex.split(os.environ.get("ARGS", "")) + sys.argv[1:]
    try:
        if shutil.which("cargo-nextest") is None:
            raise SetupError("cargo-nextest is not installed: `cargo install cargo-nextest --locked`")
        for name, install in (
            ("python packages", install_python),
            ("node packages", install_node),
            ("dynamodb local", install_dynamodb_local),
        ):
            began = time.monotonic()
            _report(name, "installed" if install() else "unchanged", began)
        began = time.monotonic()
        with running() as servers:
            _report("servers", ", ".join(f"{each.name} :{each.port}" for each in servers), began)
            code = _run_tests(arguments, servers)
            return _check_alive(servers) or code
    except SetupError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _run_tests(arguments: list[str], servers: list[Server]) -> int:
    environment = {**os.environ, **{each.variable: each.url for each in servers}}
    environment.pop("ARGS", None)
    tests = subprocess.Popen([*TESTS, *arguments], cwd=ROOT, env=environment)
    try:
        return tests.wait()
    except BaseException:
        # Ctrl-C reached nextest as well, since it shares our group; SIGTERM did not. It stops its tests by itself.
        tests.terminate()
        tests.wait()
        raise


def _check_alive(servers: list[Server]) -> int:
    dead = [each for each in servers if each.process.poll() is not None]
    for server in dead:
        print(f"error: {server.name} died during the tests ({server.process.returncode}):", file=sys.stderr)
        print(server.tail(), file=sys.stderr)
    return 1 if dead else 0


def _report(step: str, result: str, began: float) -> None:
    print(f"{step:<16} {time.monotonic() - began:6.1f} s  {result}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
