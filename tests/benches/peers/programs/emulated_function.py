"""The function that ministack runs as a process of its own: hands its event on to the counting function host."""

import http.client
import json
import os
from urllib.parse import urlsplit

URL = urlsplit(os.environ["FUNCTION_URL"])
CONNECTION = http.client.HTTPConnection(URL.netloc)


def handler(event, context):
    CONNECTION.request("POST", URL.path, json.dumps(event))
    CONNECTION.getresponse().read()
    return {}
