"""The servers' side: ministack's settings, and the function and sources of esmd.yaml created on it."""
from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

REGION = "us-east-1"
FUNCTION = Path(__file__).parent / "function.py"
FUNCTION_TIMEOUT_S = 4
# How long a message of a failed invocation stays hidden: a demo is short, so its retries must be soon.
VISIBILITY_S = 6


@dataclass(frozen=True)
class Record:
    """What is sent: the `number`th of its key, counted from 0."""

    key: str
    number: int


@dataclass(frozen=True)
class Source:
    """A queue, stream or table, how it is fed, and how a list of records and payloads is put there."""

    title: str
    # As its mapping names it: of a table, its stream.
    arn: str
    is_ordered: bool
    records_per_second: int
    records_per_call: int
    put: Callable[[list[tuple[Record, str]]], None]


def user_environment() -> dict[str, str]:
    """The user's environment without any of its AWS and proxy settings: the demo must never reach a real account."""
    unwanted = {"http_proxy", "https_proxy", "all_proxy"}
    return {k: v for k, v in os.environ.items() if not k.startswith("AWS_") and k.lower() not in unwanted}


def client_environment(endpoint: str) -> dict[str, str]:
    """For esmd and for boto3: the endpoint, and credentials that are good for nothing else."""
    return user_environment() | {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "demo",
        "AWS_SECRET_ACCESS_KEY": "demo",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def ministack_environment(port: int, folder: Path) -> dict[str, str]:
    return user_environment() | {
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "LOG_LEVEL": "WARNING",
        "LAMBDA_EXECUTOR": "local",
        "TMPDIR": str(folder / "tmp"),
        # It removes its own kind of containers when it starts and ends; another ministack's are none of ours.
        "DOCKER_HOST": f"unix://{folder}/no-docker",
    }


def create_all(folder: Path) -> list[Source]:
    """Creates what esmd.yaml names, and waits until all of it is active."""
    create_function(folder)
    sqs, kinesis, dynamodb = boto3.client("sqs"), boto3.client("kinesis"), boto3.client("dynamodb")
    visibility = {"VisibilityTimeout": str(VISIBILITY_S)}
    queue = sqs.create_queue(QueueName="demo-queue", Attributes=visibility)["QueueUrl"]
    fifo = sqs.create_queue(QueueName="demo-queue.fifo", Attributes=visibility | {"FifoQueue": "true"})["QueueUrl"]
    kinesis.create_stream(StreamName="demo-stream", ShardCount=2)
    kinesis.get_waiter("stream_exists").wait(StreamName="demo-stream", WaiterConfig={"Delay": 1})
    stream_arn = kinesis.describe_stream_summary(StreamName="demo-stream")["StreamDescriptionSummary"]["StreamARN"]
    table_arn = create_table(dynamodb)
    return [
        Source("SQS", queue_arn(sqs, queue), False, 50, 10, lambda batch: put_messages(sqs, queue, False, batch)),
        Source("SQS FIFO", queue_arn(sqs, fifo), True, 50, 10, lambda batch: put_messages(sqs, fifo, True, batch)),
        Source("Kinesis", stream_arn, True, 200, 50, lambda batch: put_records(kinesis, batch)),
        Source("DynamoDB", table_arn, True, 50, 10, lambda batch: put_items(dynamodb, batch)),
    ]


def with_labels(configuration: str, sources: list[Source]) -> str:
    """Fills in what esmd.yaml cannot know: the label of a table's stream is the time when the server made it."""
    for source in sources:
        table = source.arn.partition("/stream/")[0]
        configuration = configuration.replace(f"{table}/stream/LABEL", source.arn)
    return configuration


def create_function(folder: Path) -> None:
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.write(FUNCTION, "function.py")
    functions = boto3.client("lambda")
    functions.create_function(
        FunctionName="demo-function", Runtime="python3.11", Handler="function.handler",
        Role="arn:aws:iam::000000000000:role/demo", Timeout=FUNCTION_TIMEOUT_S, Code={"ZipFile": code.getvalue()},
        Environment={"Variables": {"DEMO_FOLDER": str(folder)}},
    )
    functions.get_waiter("function_active_v2").wait(FunctionName="demo-function", WaiterConfig={"Delay": 1})


def create_table(dynamodb: Any) -> str:
    """Its items are told apart by `key`; answers the ARN of its stream."""
    dynamodb.create_table(
        TableName="demo-table", BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "key", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "key", "KeyType": "HASH"}],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )
    dynamodb.get_waiter("table_exists").wait(TableName="demo-table", WaiterConfig={"Delay": 1})
    return str(dynamodb.describe_table(TableName="demo-table")["Table"]["LatestStreamArn"])


def queue_arn(sqs: Any, url: str) -> str:
    return str(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"])


def put_messages(sqs: Any, url: str, is_fifo: bool, batch: list[tuple[Record, str]]) -> None:
    entries = [{"Id": str(index), "MessageBody": payload} for index, (_, payload) in enumerate(batch)]
    if is_fifo:
        for entry, (record, _) in zip(entries, batch, strict=True):
            entry |= {"MessageGroupId": record.key, "MessageDeduplicationId": f"{record.key}-{record.number}"}
    answer = sqs.send_message_batch(QueueUrl=url, Entries=entries)
    if answer.get("Failed"):
        raise RuntimeError(f"messages were refused: {answer['Failed']}")


def put_records(kinesis: Any, batch: list[tuple[Record, str]]) -> None:
    records = [{"Data": payload.encode(), "PartitionKey": record.key} for record, payload in batch]
    answer = kinesis.put_records(StreamName="demo-stream", Records=records)
    if answer["FailedRecordCount"]:
        raise RuntimeError(f"{answer['FailedRecordCount']} records were refused")


def put_items(dynamodb: Any, batch: list[tuple[Record, str]]) -> None:
    """One by one: a batch may not write an item twice, and each write is to be a change of its own."""
    for record, _ in batch:
        item = {"key": {"S": record.key}, "number": {"N": str(record.number)}}
        dynamodb.put_item(TableName="demo-table", Item=item)
