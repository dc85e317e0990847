"""The demo proper, in the virtual environment: starts the servers and esmd, sends records, shows what arrives, judges.

Exit code: 0 all arrived in order, 1 not so or it could not run, 130 stopped by Ctrl-C.
"""
from __future__ import annotations

import os
import signal
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

import cloud
import table
from botocore.exceptions import BotoCoreError, ClientError
from ledger import Ledger
from paths import CONFIG, ESMD_LOG, FILLED_CONFIG, FOLDER, NOTES, VENV, shown
from processes import DemoError, Service, free_ports, interrupt_on_termination
from producer import produce
from terminal import Terminal

SEND_FOR_S = 20.0
# Without an arrival for so long, what is missing counts as lost. A failed queue batch comes back after 6 s.
PATIENCE_S = 45.0
# esmd's own drain deadline is 30 s.
ESMD_GRACE_S = 35.0


def main() -> int:
    interrupt_on_termination()
    terminal = Terminal()
    demo = Demo(terminal, esmd_binary=sys.argv[1])
    try:
        return demo.run()
    except DemoError as error:
        return terminal.explain(error)
    except KeyboardInterrupt:
        terminal.write("\nstopped")
        return 130
    finally:
        demo.stop()


class Demo:
    """Owns the two services, and stops them unless they are to be kept."""

    def __init__(self, terminal: Terminal, esmd_binary: str) -> None:
        self.terminal = terminal
        ministack_port, esmd_port = free_ports(2)
        self.endpoint = f"http://127.0.0.1:{ministack_port}"
        self.listener = f"http://127.0.0.1:{esmd_port}"
        self.ministack = Service(
            "ministack", [str(VENV / "bin" / "ministack")], FOLDER / "ministack.log",
            cwd=FOLDER, environment=cloud.ministack_environment(ministack_port, FOLDER),
        )
        run = ["run", "--config", str(FILLED_CONFIG), "--state-dir", str(FOLDER / "state")]
        self.esmd = Service(
            "esmd", [esmd_binary, *run, "--listen", f"127.0.0.1:{esmd_port}"], ESMD_LOG,
            cwd=FOLDER, environment=cloud.client_environment(self.endpoint),
        )
        self.running: list[Service] = []
        self.stopped = threading.Event()

    def run(self) -> int:
        sources = self.start()
        ledger = Ledger(sources, NOTES)
        self.terminal.write("")
        with ThreadPoolExecutor(len(sources)) as threads:
            try:
                producers = [threads.submit(produce, source, ledger, SEND_FOR_S, self.stopped) for source in sources]
                self.watch(ledger, producers)
            finally:
                self.stopped.set()
        keep = bool(os.environ.get("KEEP"))
        if not keep:
            self.stop_in_order()
            self.terminal.write("")
        ledger.read()
        for line in table.verdict(self.terminal, ledger):
            self.terminal.write(line)
        if keep:
            self.running = []
        for line in self.still_running() if keep else self.what_next() if ledger.is_clean else []:
            self.terminal.write(line)
        return 0 if ledger.is_clean else 1

    def start(self) -> list[cloud.Source]:
        with self.terminal.step(f"ministack ready at {self.endpoint}"):
            self.launch(self.ministack, f"{self.endpoint}/_localstack/health")
        environment = cloud.client_environment(self.endpoint)
        os.environ.clear()  # boto3 reads it, and must not see the user's AWS settings either
        os.environ.update(environment)
        with self.terminal.step("function, queue, FIFO queue, stream and table created"):
            try:
                sources = cloud.create_all(FOLDER)
            except (BotoCoreError, ClientError) as error:
                raise DemoError(f"ministack refused: {error}", self.ministack.log) from error
        FILLED_CONFIG.write_text(cloud.with_labels(CONFIG.read_text(), sources))
        with self.terminal.step(f"esmd ready at {self.listener}"):
            self.launch(self.esmd, f"{self.listener}/readyz")
        return sources

    def launch(self, service: Service, ready_url: str) -> None:
        service.start()
        self.running.append(service)
        service.wait_until_ready(ready_url)

    def watch(self, ledger: Ledger, producers: list[Future[None]]) -> None:
        """Redraws until all has arrived, or nothing has for too long."""
        started = last_arrival = time.monotonic()
        arrived = 0
        while True:
            ledger.read()
            if ledger.arrived > arrived:
                arrived, last_arrival = ledger.arrived, time.monotonic()
            seconds = time.monotonic() - started
            self.terminal.draw(table.live(self.terminal, ledger, seconds, SEND_FOR_S), table.summary(ledger, seconds))
            self.check(producers)
            is_sent = all(producer.done() for producer in producers)
            if is_sent and (ledger.waiting == 0 or time.monotonic() - last_arrival > PATIENCE_S):
                return
            time.sleep(0.1)

    def check(self, producers: list[Future[None]]) -> None:
        """A killed esmd is started again, as a supervisor would; anything else that ended is an error."""
        for service in self.running:
            code = service.process.poll()
            if code == -signal.SIGKILL and service is self.esmd:
                self.terminal.write("  esmd was killed: starting it again, on the state it left")
                service.start()
            elif code is not None:
                raise DemoError(f"{service.name} ended with exit code {code}", service.log)
        for producer in producers:
            if producer.done() and (error := producer.exception()):
                raise DemoError(f"sending failed: {error}", self.ministack.log)

    def stop_in_order(self) -> None:
        """esmd first: what it still has running is settled on ministack."""
        with self.terminal.step("esmd drained and stopped, then ministack"):
            self.running.remove(self.esmd)
            code = self.esmd.stop(ESMD_GRACE_S)
            if code != 0:
                raise DemoError(f"esmd's drain ended with exit code {code}", self.esmd.log)
            self.stop()

    def stop(self) -> None:
        self.stopped.set()
        while self.running:
            service = self.running.pop()
            service.stop(ESMD_GRACE_S if service is self.esmd else 5)

    def still_running(self) -> list[str]:
        queue = f"{self.endpoint}/000000000000/demo-queue"
        return [
            self.terminal.bold("Still running"),
            f"  ministack  pid {self.ministack.process.pid:<8} {self.endpoint}",
            f"  esmd       pid {self.esmd.process.pid:<8} {self.listener}/metrics   log: {shown(ESMD_LOG)}",
            "",
            self.terminal.bold("Try"),
            f"  export AWS_ACCESS_KEY_ID=demo AWS_SECRET_ACCESS_KEY=demo AWS_DEFAULT_REGION={cloud.REGION}",
            f"  {shown(VENV)}/bin/aws --endpoint-url {self.endpoint} sqs send-message \\",
            f"    --message-body hello --queue-url {queue}",
            f"  {shown(VENV)}/bin/aws --endpoint-url {self.listener} lambda list-event-source-mappings",
            f"  tail -f {shown(NOTES)}",
            f"  curl -s {self.listener}/metrics | grep ^esmd_",
            "  ./demo/run --stop",
        ]

    def what_next(self) -> list[str]:
        return [
            self.terminal.bold("Try next"),
            "  make demo KEEP=1               leave all running: send your own, read metrics",
            "  kill -9 $(cat .demo/esmd.pid)  in another terminal meanwhile: nothing is lost",
            "  $EDITOR demo/esmd.yaml         another BatchSize, then make demo again",
        ]


if __name__ == "__main__":
    sys.exit(main())
