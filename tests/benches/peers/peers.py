"""The programs that are compared, and how each is started on a source that is full.

All of them call the same function host. Of settings they have their defaults, unless a row says otherwise.
"""

import base64
import io
import json
import shutil
import sqlite3
import time
import zipfile
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from installed import KCL, LOCALSTACK, NODE, PEERS, PROGRAMS
from load import ACCOUNT, REGION, Client, Queue, Stream
from measure import Host, Running
from servers import Server, free_ports, start, stop, wait_until_ready

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_REGION": REGION,
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "AWS_EC2_METADATA_DISABLED": "true",
}
INVOKE = "/2015-03-31/functions/worker/invocations"


@dataclass
class Site:
    """Where a program is put to work."""

    servers: list[Server]
    source: Queue | Stream
    host: Host

    @property
    def function_url(self) -> str:
        """Where an event is posted to."""
        return self.host.process.url + INVOKE


Program = Callable[[Site], Running]


def esmd(binary: Path, **members) -> Program:
    """The release binary with one mapping that has these members."""

    def begin(site: Site) -> Running:
        folder = _fresh("esmd")
        mapping = {"EventSourceArn": site.source.arn, "FunctionName": "worker", **members}
        (folder / "esmd.yaml").write_text(f"mappings: [{json.dumps(mapping)}]\n")
        (port,) = free_ports(1)
        command = [str(binary), "run", "--config", "esmd.yaml", "--state-dir", "state", "--listen", f"127.0.0.1:{port}"]
        return _launch("esmd", port, command, _endpoints(site), folder, _settled_by_esmd(site.source, folder))

    return begin


def _settled_by_esmd(source: Queue | Stream, folder: Path) -> Callable[[], bool]:
    if isinstance(source, Queue):
        return source.is_empty

    def is_settled() -> bool:
        store = sqlite3.connect(f"file:{folder}/state/state.db?mode=ro", uri=True)
        try:
            return source.is_reached(str(store.execute("SELECT checkpoint FROM shards").fetchall()))
        finally:
            store.close()

    return is_settled


def sqs_consumer(consumers: int) -> Program:
    """The hand-written worker."""

    def begin(site: Site) -> Running:
        settings = {"CONSUMERS": str(consumers), "QUEUE_ARN": site.source.arn, "QUEUE_URL": site.source.url}
        command = ["node", "sqs_consumer.mjs"]
        return _launch("sqs-consumer", 0, command, _endpoints(site) | settings, NODE, site.source.is_empty)

    return begin


def serverless_offline_sqs(site: Site) -> Running:
    """The plugin polls the queue, serverless-offline runs the function."""
    ports = free_ports(2)
    settings = {
        "HTTP_PORT": str(ports[0]),
        "LAMBDA_PORT": str(ports[1]),
        "SQS_ENDPOINT": site.source.url.rsplit("/", 2)[0],  # it asks for the queue by the endpoint's host
        "QUEUE_ARN": site.source.arn,
        "FUNCTION_URL": site.function_url,
        "SLS_TELEMETRY_DISABLED": "1",
        "SLS_NOTIFICATIONS_MODE": "off",
        "NODE_OPTIONS": f"--require {PROGRAMS}/localhost.cjs",
    }
    command = ["node", "node_modules/serverless/bin/serverless.js", "offline", "start"]
    return _launch("serverless", ports[0], command, CREDENTIALS | settings, NODE, site.source.is_empty)


def kcl(site: Site) -> Running:
    """KCL's MultiLangDaemon with our record processor. Servers: the stream's, that of its leases."""
    kinesis, leases = site.servers
    folder = _fresh("kcl-run")
    properties = {
        "executableName": f"{KCL}/bin/python {PROGRAMS}/kcl_processor.py",
        "streamName": "load",
        "applicationName": "load-leases",
        "AwsCredentialsProvider": "DefaultCredentialsProvider",
        "initialPositionInStream": "TRIM_HORIZON",
        "regionName": REGION,
        "kinesisEndpoint": kinesis.url,
        "dynamoDBEndpoint": leases.url,
        "retrievalMode": "polling",
        "metricsLevel": "none",
    }
    (folder / "kcl.properties").write_text("".join(f"{name} = {value}\n" for name, value in properties.items()))
    (jars,) = KCL.glob("lib/python3*/site-packages/amazon_kclpy/jars")
    daemon = "software.amazon.kinesis.multilang.MultiLangDaemon"
    # ministack speaks JSON only, of the two encodings that Kinesis has.
    java = ["java", "-Daws.cborEnabled=false", "-cp", f"{jars}/*:{folder}"]
    command = [*java, daemon, "--properties-file", "kcl.properties"]
    settings = {"FUNCTION_URL": site.function_url, "STREAM_ARN": site.source.arn}
    table = Client(leases.url, "dynamodb", "DynamoDB_20120810")

    def is_settled() -> bool:
        return site.source.is_reached(json.dumps(table.call("Scan", TableName="load-leases")))

    return _launch("kcl", 0, command, CREDENTIALS | settings, folder, is_settled)


def own_mapping(**members) -> Program:
    """The mapping of the emulator that has the source. It starts when the mapping is made."""

    def begin(site: Site) -> Running:
        (emulator,) = site.servers
        client = Client(emulator.url, "lambda")
        function = {
            "FunctionName": "worker",
            "Runtime": "python3.11",
            "Role": f"arn:aws:iam::{ACCOUNT}:role/worker",
            "Handler": "emulated_function.handler",
            "Timeout": 30,
            "Environment": {"Variables": {"FUNCTION_URL": site.function_url}},
            "Code": {"ZipFile": _zipped(PROGRAMS / "emulated_function.py")},
        }
        client.rest("POST", "/2015-03-31/functions", function)
        while client.rest("GET", "/2015-03-31/functions/worker/configuration")["State"] != "Active":
            time.sleep(0.05)
        started = time.time()
        mapping = {"EventSourceArn": site.source.arn, "FunctionName": "worker", **members}
        client.rest("POST", "/2015-03-31/event-source-mappings/", mapping)
        return Running(emulator, started, site.source.is_empty)

    return begin


@contextmanager
def localstack(host: Host, interval: float | None):
    """LocalStack with this time between two polls of a mapping, in seconds; None: its default."""
    (port,) = free_ports(1)
    settings = {
        "GATEWAY_LISTEN": f"127.0.0.1:{port}",
        "LOCALSTACK_HOST": f"localhost:{port}",
        "DISABLE_EVENTS": "1",
        "DNS_ADDRESS": "0",
        "SKIP_SSL_CERT_DOWNLOAD": "1",
        "FILESYSTEM_ROOT": str(_fresh("localstack-run")),
        "LAMBDA_RUNTIME_EXECUTOR": "http",
        "FUNCTION_URL": host.process.url + INVOKE,
    }
    if interval is not None:
        settings["LAMBDA_EVENT_SOURCE_MAPPING_POLL_INTERVAL_SEC"] = str(interval)
    command = [str(LOCALSTACK / "bin" / "python"), "-m", "localstack.runtime.main"]
    server = start("localstack", port, command, CREDENTIALS | settings, PEERS)
    try:
        wait_until_ready(server, "/_localstack/health")
        yield [server]
    finally:
        stop([server])


@contextmanager
def function_host():
    """The counting function."""
    (port,) = free_ports(1)
    process = start("function-host", port, ["node", str(PROGRAMS / "function_host.mjs"), str(port)], {}, PEERS)
    try:
        wait_until_ready(process, "/seen")
        yield Host(process)
    finally:
        stop([process])


def _launch(name: str, port: int, command: list[str], settings: dict, folder: Path, is_settled: Callable) -> Running:
    started = time.time()
    return Running(start(name, port, command, settings, folder), started, is_settled)


def _endpoints(site: Site) -> dict[str, str]:
    server = site.servers[0].url
    endpoints = {"SQS": server, "KINESIS": server, "LAMBDA": site.host.process.url}
    return CREDENTIALS | {f"AWS_ENDPOINT_URL_{service}": url for service, url in endpoints.items()}


def _fresh(name: str) -> Path:
    folder = PEERS / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _zipped(file: Path) -> str:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.write(file, file.name)
    return base64.b64encode(buffer.getvalue()).decode()
