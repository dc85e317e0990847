"""The servers that stand in for AWS: how each is started, when it is ready, and how all of them are stopped.

Each runs in a process group of its own, listens on a loopback port below 32768, and logs to a file; DynamoDB Local alone
binds every interface. `running()` stops what it started, whatever ends its block.
"""

import os
import random
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from packages import DYNAMODB_LOCAL, HERE, NODE_MODULES, STATE, VENV, SetupError

READY_SECONDS = 60
STOP_SECONDS = 5


@dataclass
class Server:
    """One server process. `name` becomes the end of the variable that tells tests its address."""

    name: str
    port: int
    log: Path
    process: subprocess.Popen

    @property
    def url(self) -> str:
        """Where its clients go."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def variable(self) -> str:
        """What tests read its address from."""
        return "ESMD_TEST_" + self.name.upper().replace("-", "_")

    def tail(self, lines: int = 20) -> str:
        """The end of what it printed."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


@contextmanager
def running(*names: str):
    """Starts these servers, or all, yields them once they answer, and stops them at the end."""
    servers: list[Server] = []
    try:
        names = names or tuple(SERVERS)
        for name, port in zip(names, free_ports(len(names)), strict=True):
            servers.append(SERVERS[name][0](port))
        for server in servers:
            wait_until_ready(server, SERVERS[server.name][1])
        yield servers
    finally:
        stop(servers)


def free_ports(count: int) -> list[int]:
    """Different free loopback ports below 32768: above, an outgoing connection may take one before its server does."""
    held: list[socket.socket] = []
    try:
        while len(held) < count:
            candidate = socket.socket()
            try:
                candidate.bind(("127.0.0.1", random.randrange(10_000, 32_768)))
            except OSError:
                candidate.close()
            else:
                held.append(candidate)
        return [each.getsockname()[1] for each in held]
    finally:
        for each in held:
            each.close()


def _start_ministack(port: int) -> Server:
    settings = {"GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1", "LOG_LEVEL": "WARNING"}
    return start("ministack", port, [str(VENV / "bin" / "ministack")], settings, STATE)


def _start_fauxqs(port: int) -> Server:
    # Not by its command line, which logs every request whatever it is told.
    program = "import { startFauxqs } from 'fauxqs'; await startFauxqs({ logger: false });"
    command = _node("--input-type=module", "--eval", program)
    return start("fauxqs", port, command, {"FAUXQS_PORT": str(port)}, HERE)


def _start_kinesis_local(port: int) -> Server:
    folder = NODE_MODULES / "kinesis-local"  # it reads its certificate from the working directory
    settings = {
        "KINESIS_MOCK_PLAIN_PORT": str(port),
        "KINESIS_MOCK_TLS_PORT": str(free_ports(1)[0]),
        "SHARD_LIMIT": "1000",
        "LOG_LEVEL": "ERROR",
    }
    return start("kinesis-local", port, _node("main.js"), settings, folder)


def _start_dynamodb_local(port: int) -> Server:
    # It has no setting for the interface. A database for all, since one for each region would depend on the client's.
    command = ["java", "-Djava.library.path=./DynamoDBLocal_lib", "-jar", "DynamoDBLocal.jar"]
    settings = ["-inMemory", "-sharedDb", "-disableTelemetry", "-port", str(port)]
    return start("dynamodb-local", port, [*command, *settings], {}, DYNAMODB_LOCAL)


def _start_moto(port: int) -> Server:
    return start("moto", port, [str(VENV / "bin" / "moto_server"), "-H", "127.0.0.1", "-p", str(port)], {}, STATE)


def _node(*arguments: str) -> list[str]:
    return ["node", "--require", str(HERE / "loopback.cjs"), *arguments]


# How each is started, and the page that says that it is ready.
SERVERS = {
    "ministack": (_start_ministack, "/_localstack/health"),
    "fauxqs": (_start_fauxqs, "/health"),
    "kinesis-local": (_start_kinesis_local, "/healthcheck"),
    "dynamodb-local": (_start_dynamodb_local, "/"),
    "moto": (_start_moto, "/moto-api/"),
}


def start(name: str, port: int, command: list[str], settings: dict[str, str], directory: Path) -> Server:
    """Starts a program in a process group of its own that logs to a file."""
    log = STATE / f"{name}.log"
    # Not the caller's AWS settings: a region or a profile of a person would change what the servers answer.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=directory,
            env={**environment, **settings},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Server(name, port, log, process)


def wait_until_ready(server: Server, path: str) -> None:
    """Until it answers for this page, whatever it answers."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            raise SetupError(f"{server.name} ended with {server.process.returncode}:\n{server.tail()}")
        try:
            urllib.request.urlopen(server.url + path, timeout=2).close()
            return
        except urllib.error.HTTPError:
            return  # DynamoDB Local has no page for this: any answer will do
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise SetupError(f"{server.name} was not ready within {READY_SECONDS} s:\n{server.tail()}")


def stop(servers: list[Server]) -> None:
    """Asks all to end, and ends those that do not."""
    for server in servers:
        _signal(server, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    for server in servers:
        try:
            server.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            pass
        _signal(server, signal.SIGKILL)  # the group: a server may leave workers behind
        server.process.wait()


def _signal(server: Server, number: signal.Signals) -> None:
    try:
        os.killpg(server.process.pid, number)  # start_new_session made its pid the group's id
    except ProcessLookupError:
        pass
