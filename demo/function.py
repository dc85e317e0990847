"""The demo's Lambda function: it notes what it is handed, and every 20th invocation fails on purpose.

Workers run side by side, so both files are only ever appended to by one `write` each, which the kernel keeps whole.
"""
import base64
import json
import os
import time

FAIL_EVERY = 20


def handler(event, context):
    failed = turn() % FAIL_EVERY == 0
    note(event["Records"], failed)
    if failed:
        raise RuntimeError(f"every {FAIL_EVERY}th invocation fails, so that retries show")


def turn():
    """Counts over all workers: after an appending write, the position is the file's length so far."""
    file = append_to("turns")
    try:
        os.write(file, b".")
        return os.lseek(file, 0, os.SEEK_CUR)
    finally:
        os.close(file)


def note(records, failed):
    invocation = {
        "at": time.time(),
        "source": records[0].get("eventSourceARN"),
        "failed": failed,
        "records": [payload(record) for record in records],
    }
    file = append_to("invocations.jsonl")
    try:
        os.write(file, json.dumps(invocation).encode() + b"\n")
    finally:
        os.close(file)


def payload(record):
    if "kinesis" in record:
        return base64.b64decode(record["kinesis"]["data"]).decode()
    if "dynamodb" in record:
        return json.dumps(untyped(record["dynamodb"].get("NewImage", {})))
    return record["body"]


def untyped(image):
    """An item's values without their types. A number comes as text, {"N": "7"}; a deleted item has no image."""
    return {name: json.loads(value["N"]) if "N" in value else value.get("S") for name, value in image.items()}


def append_to(name):
    return os.open(os.path.join(os.environ["DEMO_FOLDER"], name), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
