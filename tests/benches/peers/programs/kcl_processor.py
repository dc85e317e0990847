"""The record processor of the MultiLangDaemon: hands each hundred records on to the counting function host as Lambda's
event, then checkpoints the page that it was given."""

import http.client
import json
import os
from urllib.parse import urlsplit

from amazon_kclpy import kcl
from amazon_kclpy.v3 import processor

URL = urlsplit(os.environ["FUNCTION_URL"])
ARN = os.environ["STREAM_ARN"]
BATCH = 100


class Processor(processor.RecordProcessorBase):
    """One shard's."""

    def initialize(self, initialize_input):
        self.shard = initialize_input.shard_id
        self.connection = http.client.HTTPConnection(URL.netloc)

    def process_records(self, process_records_input):
        records = process_records_input.records
        for first in range(0, len(records), BATCH):
            event = {"Records": [self.rendered(record) for record in records[first : first + BATCH]]}
            self.connection.request("POST", URL.path, json.dumps(event))
            self.connection.getresponse().read()
        if records:
            process_records_input.checkpointer.checkpoint()

    def rendered(self, record):
        return {
            "kinesis": {
                "kinesisSchemaVersion": "1.0",
                "partitionKey": record.partition_key,
                "sequenceNumber": record.sequence_number,
                "data": record.data,
                "approximateArrivalTimestamp": record.timestamp_millis / 1000,
            },
            "eventSource": "aws:kinesis",
            "eventVersion": "1.0",
            "eventID": f"{self.shard}:{record.sequence_number}",
            "eventName": "aws:kinesis:record",
            "invokeIdentityArn": "arn:aws:iam::000000000000:role/worker",
            "awsRegion": "us-east-1",
            "eventSourceARN": ARN,
        }

    def lease_lost(self, lease_lost_input):
        pass

    def shard_ended(self, shard_ended_input):
        shard_ended_input.checkpointer.checkpoint()

    def shutdown_requested(self, shutdown_requested_input):
        shutdown_requested_input.checkpointer.checkpoint()


if __name__ == "__main__":
    kcl.KCLProcess(Processor()).run()
