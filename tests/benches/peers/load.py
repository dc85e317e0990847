"""Sources filled before a program starts: a queue of messages of 200 bytes, a stream of two shards and records of 60.

Requests are AWS's JSON over a connection that is kept, with a signature that no local server checks.
"""

import base64
import http.client
import json
from urllib.parse import urlsplit

from packages import SetupError

ACCOUNT = "000000000000"
REGION = "us-east-1"
QUEUE_ARN = f"arn:aws:sqs:{REGION}:{ACCOUNT}:load"
STREAM_ARN = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/load"
SHARDS = 2


class Client:
    """One service of one server."""

    def __init__(self, url: str, service: str, target: str = ""):
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
        credential = f"test/20260101/{REGION}/{service}/aws4_request"
        self._headers = {
            "Authorization": f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host;x-amz-date, Signature=0",
            "Content-Type": "application/x-amz-json-1.1" if service == "kinesis" else "application/x-amz-json-1.0",
            "X-Amz-Date": "20260101T000000Z",
        }
        self._target = target

    def call(self, action: str, **body) -> dict:
        """An operation of a service that speaks JSON."""
        return self._send("POST", "/", body, {"X-Amz-Target": f"{self._target}.{action}"})

    def rest(self, method: str, path: str, body: dict | None = None) -> dict:
        """An operation of Lambda."""
        return self._send(method, path, body, {"Content-Type": "application/json"})

    def _send(self, method: str, path: str, body: dict | None, headers: dict) -> dict:
        text = None if body is None else json.dumps(body)
        self._connection.request(method, path, text, self._headers | headers)
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status >= 300:
            raise SetupError(f"{method} {path} {headers}: {answer.status} {content[:500]!r}")
        return json.loads(content or "{}")


class Queue:
    """A standard queue."""

    arn = QUEUE_ARN

    def __init__(self, url: str):
        self._client = Client(url, "sqs", "AmazonSQS")
        made = self._client.call("CreateQueue", QueueName="load", Attributes={"VisibilityTimeout": "180"})
        self.url = made["QueueUrl"]

    def fill(self, records: int) -> None:
        """Puts so many messages."""
        for first in range(0, records, 10):
            entries = [{"Id": str(n), "MessageBody": f"{n:0200}"} for n in range(first, min(first + 10, records))]
            self._client.call("SendMessageBatch", QueueUrl=self.url, Entries=entries)

    def is_empty(self) -> bool:
        """Whether no message is left, hidden or not."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = self._client.call("GetQueueAttributes", QueueUrl=self.url, AttributeNames=names)
        return all(answer["Attributes"][name] == "0" for name in names)


class Stream:
    """A Kinesis stream."""

    arn = STREAM_ARN

    def __init__(self, url: str):
        self._client = Client(url, "kinesis", "Kinesis_20131202")
        self._client.call("CreateStream", StreamName="load", ShardCount=SHARDS)
        while self._describe()["StreamStatus"] != "ACTIVE":
            pass
        self._newest: dict[str, str] = {}

    def fill(self, records: int) -> None:
        """Puts so many records, with 1,000 keys."""
        data = base64.b64encode(b"x" * 60).decode()
        for first in range(0, records, 500):
            batch = [{"Data": data, "PartitionKey": f"#{n % 1000:06}"} for n in range(first, min(first + 500, records))]
            answer = self._client.call("PutRecords", StreamName="load", Records=batch)
            if answer["FailedRecordCount"]:
                raise SetupError("the stream does not take its load")
            for put in answer["Records"]:
                self._newest[put["ShardId"]] = max(self._newest.get(put["ShardId"], ""), put["SequenceNumber"])

    def is_reached(self, checkpoints: str) -> bool:
        """Whether the newest record of each shard stands in there."""
        return all(newest in checkpoints for newest in self._newest.values())

    def _describe(self) -> dict:
        return self._client.call("DescribeStreamSummary", StreamName="load")["StreamDescriptionSummary"]
