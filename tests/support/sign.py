"""Signs requests as AWS's own clients do, by botocore: reads a JSON list of requests, writes the list of their headers."""

import datetime
import json
import sys

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials


def main():
    """Each request: method, url, headers, body, who signs it (key, secret, session), for what (region, service), and the
    seconds that its clock is ahead."""
    print(json.dumps([_signed(each) for each in json.load(sys.stdin)]))


def _signed(asked: dict) -> dict:
    ahead = datetime.timedelta(seconds=asked["ahead"])
    botocore.auth.get_current_datetime = lambda: datetime.datetime.now(datetime.timezone.utc) + ahead
    request = AWSRequest(asked["method"], asked["url"], headers=asked["headers"], data=asked["body"].encode())
    credentials = Credentials(asked["key"], asked["secret"], asked["session"])
    botocore.auth.SigV4Auth(credentials, asked["service"], asked["region"]).add_auth(request)
    return dict(request.headers.items())


main()
