"""LocalStack's functions without Docker: an invocation is a POST to the counting function host. All before it, the
poller, its batches and the Lambda service, is LocalStack's own."""

import os

import requests
from localstack.services.lambda_.invocation.lambda_models import InvocationResult
from localstack.services.lambda_.invocation.plugins import RuntimeExecutorPlugin
from localstack.services.lambda_.invocation.runtime_executor import RuntimeExecutor


class HttpExecutor(RuntimeExecutor):
    """A function that runs elsewhere: there is nothing to prepare, start or stop."""

    def __init__(self, id, function_version):
        super().__init__(id, function_version)
        self.session = requests.Session()

    def invoke(self, payload):
        answer = self.session.post(os.environ["FUNCTION_URL"], data=payload["payload"])
        is_error = "X-Amz-Function-Error" in answer.headers
        return InvocationResult(payload["invoke-id"], answer.content, is_error=is_error, logs="")

    def start(self, env_vars):
        pass

    def stop(self):
        pass

    def get_address(self):
        return "127.0.0.1"

    def get_endpoint_from_executor(self):
        return "127.0.0.1"

    def get_runtime_endpoint(self):
        return "127.0.0.1"

    def get_logs(self):
        return ""

    @classmethod
    def prepare_version(cls, function_version):
        pass

    @classmethod
    def cleanup_version(cls, function_version):
        pass


class HttpExecutorPlugin(RuntimeExecutorPlugin):
    """What the entry point names."""

    name = "http"

    def load(self, *args, **kwargs):
        return HttpExecutor
