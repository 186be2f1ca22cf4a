"""Lambda without Docker: AWS's own runtime client in worker processes."""

from typing import TYPE_CHECKING

from local.lambdas.responses import lambda_response
from local.lambdas.service import LambdaService
from local.patches import Patch
from local.services import serve

if TYPE_CHECKING:
    from local.cloud import Cloud


def install(cloud: "Cloud") -> None:
    """Serve Lambda."""
    cloud.functions = LambdaService(cloud)
    worker = cloud.functions.worker
    cloud.facts["python"] = worker.version
    cloud.facts["python_stands_in"] = worker.stands_in
    cloud.register("lambda", serve(lambda_response(cloud)))
    # Built before anyone waits for it; a failure is reported by the first invocation.
    cloud.background("worker-environment", worker.python)


def patches(cloud: "Cloud") -> "list[Patch]":
    """moto's own callers of functions (topics, buckets, log subscriptions) use our executor."""

    def invoke(self: object, body: str, _request: object, _response: object) -> bytes:
        arn = self.function_arn  # type: ignore[attr-defined] # moto's LambdaFunction
        cloud.invoke_function(arn, body.encode() if isinstance(body, str) else body, "Event")
        return b""

    return [
        Patch(
            "moto.awslambda.models:LambdaFunction.invoke",
            "dadc324f30aed38bf9dde5a93000c195ed3e5fb5e984f71ebd4c6629fc89aa2e",
            invoke,
        )
    ]
