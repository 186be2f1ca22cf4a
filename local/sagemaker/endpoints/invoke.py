"""SageMaker's runtime API: InvokeEndpoint, from the request to the server's answer and back."""

import json
import logging
import re
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote

from werkzeug.wrappers import Response

from local.cloud import Cloud
from local.faults import ServerFault
from local.sagemaker.endpoints.capture import Exchange
from local.sagemaker.endpoints.connections import (
    Answer,
    AnswerTooLargeError,
    Connections,
    ServerAbsentError,
    ServerGoneError,
    ServerSilentError,
)
from local.sagemaker.endpoints.endpoint import Endpoint
from local.sagemaker.endpoints.fleet import BODY_LIMIT, FleetError, Taken, VariantFleet
from local.sagemaker.endpoints.instance import Instance
from local.sagemaker.endpoints.meters import REQUESTS, Served
from local.sagemaker.endpoints.model_cache import (
    UNKNOWN,
    Figures,
    LoadRefusedError,
    MissingModelError,
    ModelCache,
    NotReadyError,
)
from local.sagemaker.endpoints.models import is_multi_model
from local.sagemaker.endpoints.serverless import TooManyError
from local.sagemaker.endpoints.service import Endpoints
from local.services import Environ, StartResponse

log = logging.getLogger(__name__)
PATH = re.compile(r"/endpoints/([^/]+)/(invocations|async-invocations|invocations-response-stream)")
MODEL_SECONDS = 60.0  # service seconds that a model may take for an answer
MODEL_FLOOR = 5.0  # real seconds that it has at least: it does real work
TRIES = 100  # instances that may go out of service while one request looks for its own
CUSTOM = "X-Amzn-SageMaker-Custom-Attributes"
_HEADER = "HTTP_X_AMZN_SAGEMAKER_"
TEXT_LIMIT = 2048
NOT_DONE = {
    "TARGET_CONTAINER_HOSTNAME": "inference pipelines (TargetContainerHostname)",
    "INFERENCE_COMPONENT": "inference components (InferenceComponentName)",
    "ENABLE_EXPLANATIONS": "online explanations (EnableExplanations)",
    "SESSION_ID": "stateful sessions (SessionId)",
    "PREFIX_AWARE_ID": "prefix-aware routing (PrefixAwareId)",
}
LENGTHS = {
    "CUSTOM_ATTRIBUTES": 1024,
    "INFERENCE_ID": 64,
    "TARGET_VARIANT": 63,
    "TARGET_MODEL": 1024,
}
TARGET = "X-Amzn-SageMaker-Target-Model"


class InvocationError(Exception):
    """An invocation that is refused or failed, in the runtime API's own form."""

    def __init__(self, status: int, code: str, message: str, **more: object) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.body = {"Message": message[:TEXT_LIMIT], "message": message[:TEXT_LIMIT], **more}


@dataclass(frozen=True)
class Invocation:
    """One request to a model."""

    body: bytes
    content_type: str
    accept: str
    custom_attributes: str
    inference_id: str
    variant: str
    target: str

    def headers(self) -> dict[str, str]:
        """What the server is told."""
        found = {"Content-Type": self.content_type, "Accept": self.accept}
        found[CUSTOM] = self.custom_attributes
        found[TARGET] = self.target
        return {name: value for name, value in found.items() if value}


def parse(environ: Environ) -> Invocation:
    """The invocation of a request; InvocationError for what is too large or not done here."""
    for name, words in NOT_DONE.items():
        if environ.get(_HEADER + name):
            raise _invalid(f"the local cloud does not support {words} yet")
    for name, limit in LENGTHS.items():
        value = environ.get(_HEADER + name, "")
        if len(value) > limit or not value.isascii():
            raise _invalid(
                f"1 validation error detected: Value at '{name.title().replace('_', '')}' failed "
                f"to satisfy constraint: at most {limit} ASCII characters"
            )
    length = int(environ.get("CONTENT_LENGTH") or 0)
    if length > BODY_LIMIT:
        raise _too_large(BODY_LIMIT)
    return Invocation(
        environ["wsgi.input"].read(),
        environ.get("CONTENT_TYPE", ""),
        environ.get("HTTP_ACCEPT", ""),
        environ.get(_HEADER + "CUSTOM_ATTRIBUTES", ""),
        environ.get(_HEADER + "INFERENCE_ID", ""),
        environ.get(_HEADER + "TARGET_VARIANT", ""),
        environ.get(_HEADER + "TARGET_MODEL", ""),
    )


def _too_large(limit: int) -> InvocationError:
    return InvocationError(413, "", f"HTTP content length exceeded {limit} bytes.")


def _invalid(message: str) -> InvocationError:
    return InvocationError(400, "ValidationError", message)


class Invocations:
    """WSGI application for the paths below /endpoints/."""

    def __init__(self, cloud: Cloud, endpoints: Endpoints) -> None:
        self._cloud = cloud
        self._endpoints = endpoints

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one invocation."""
        try:
            response = self._answer(environ)
        except InvocationError as error:
            response = _error(error)
        except Exception as error:
            log.exception("%s", environ.get("PATH_INFO"))
            text = f"The local cloud failed: {type(error).__name__}: {error}"
            response = _error(InvocationError(500, "InternalFailure", text))
        response.headers["x-amzn-RequestId"] = str(uuid.uuid4())
        return response(environ, start_response)

    def _answer(self, environ: Environ) -> Response:
        began = time.perf_counter()
        found = PATH.fullmatch(environ.get("PATH_INFO", ""))
        if found is None or environ.get("REQUEST_METHOD") != "POST":
            what = f"{environ.get('REQUEST_METHOD')} {environ.get('PATH_INFO')}"
            raise _invalid(f"the local cloud does not support {what} of the runtime API")
        if found[2] != "invocations":
            raise _invalid(f"the local cloud does not support {found[2]} yet")
        name = unquote(found[1])
        endpoint = self._endpoints.serving(name)
        if endpoint is None:
            raise _invalid(f"Endpoint {name} of account {self._cloud.account} not found.")
        invocation = parse(environ)
        attempt = _Attempt(self._cloud, self._endpoints, endpoint, invocation, began)
        return attempt.run()


class _Attempt:
    """One invocation on its way through one instance."""

    def __init__(
        self,
        cloud: Cloud,
        endpoints: Endpoints,
        endpoint: Endpoint,
        invocation: Invocation,
        began: float,
    ) -> None:
        self._cloud = cloud
        self._endpoints = endpoints
        self._endpoint = endpoint
        self._invocation = invocation
        self._began = began

    def run(self) -> Response:
        """The response for the client; InvocationError for any other end."""
        for _ in range(TRIES):
            fleet, taken = self._choose()
            if taken is None:
                self._count(fleet, None, server_error=True)
                text = f"No instance of variant {fleet.variant.name} is in service."
                raise InvocationError(503, "ServiceUnavailable", f"{text} Please try again.")
            instance, connections = taken
            try:
                return self._through(fleet, instance, connections)
            except ServerAbsentError:
                instance.doubt()  # it has just crashed; another one may answer
            finally:
                fleet.give_back(instance)
        raise InvocationError(503, "ServiceUnavailable", "The endpoint changes too quickly.")

    def _through(
        self, fleet: VariantFleet, instance: Instance, connections: Connections
    ) -> Response:
        """Through one instance; ServerAbsentError when nothing could be sent."""
        setup, instance.setup_microseconds = instance.setup_microseconds, 0.0
        sent = time.perf_counter()
        try:
            answer = self._ask(fleet, instance, connections)
        except InvocationError as error:
            refused = error.code == "ValidationError"
            self._count(fleet, sent, client_error=refused, server_error=not refused, setup=setup)
            raise
        client, server = 400 <= answer.status < 500, not 200 <= answer.status < 500
        self._count(fleet, sent, client_error=client, server_error=server, setup=setup)
        if client or server:
            raise self._model_error(instance, answer)
        self._capture(fleet, answer)
        return _response(answer, fleet.variant.name)

    def _choose(self) -> tuple[VariantFleet, Taken | None]:
        """A fleet by the traffic's shares and an instance of it.

        An instance may leave service at any moment of a deployment; then the routes have changed
        already, and the request looks again.
        """
        endpoint, name = self._endpoint, self._invocation.variant or None
        for _ in range(TRIES):
            routes = endpoint.routes
            if routes is None:
                raise _invalid(
                    f"Endpoint {endpoint.name} of account {self._cloud.account} not found."
                )
            if name is not None and not routes.has(name):
                raise _invalid(f"Variant {name} of endpoint {endpoint.name} not found.")
            fleet = routes.pick(name)
            if fleet is None:
                raise _invalid(f"No variant of endpoint {endpoint.name} takes traffic.")
            self._check(fleet)
            taken = self._take(fleet)
            if taken is not None or routes is endpoint.routes:
                return fleet, taken
        raise InvocationError(503, "ServiceUnavailable", "The endpoint changes too quickly.")

    def _check(self, fleet: VariantFleet) -> None:
        """Whether the variant is one that such a request can be sent to."""
        name, target = self._endpoint.name, self._invocation.target
        if len(self._invocation.body) > fleet.body_limit:
            raise _too_large(fleet.body_limit)
        several = is_multi_model(fleet.variant.container)
        if target and not several:
            raise InvocationError(
                400,
                "ValidationError",
                f"Endpoint {name} is not a multi-model endpoint and does not support target "
                "model header.",
                ErrorCode="TARGET_MODEL_HEADER_NOT_SUPPORTED",
            )
        if several and not target:
            raise _invalid(f"Request {uuid.uuid4()} is missing a target model header.")

    def _take(self, fleet: VariantFleet) -> Taken | None:
        try:
            return fleet.take(self._invocation.target)
        except TooManyError:
            self._count(fleet, None, client_error=True)
            # AWS's throttling of invocations comes without words.
            raise InvocationError(400, "ThrottlingException", "") from None
        except FleetError as error:
            self._count(fleet, None, server_error=True)
            raise InvocationError(500, "InternalFailure", str(error)) from error

    def _ask(self, fleet: VariantFleet, instance: Instance, connections: Connections) -> Answer:
        """The server's answer, or the fault that stands in for it."""
        variant = fleet.variant
        fault: ServerFault | None = None
        if self._cloud.faults.serving:
            name, target = self._endpoint.name, self._invocation.target
            fault = self._cloud.faults.serves(name, variant.config, variant.name, target or "")
        if fault is not None:
            time.sleep(fault.delay_ms / 1000)
            if fault.crash:
                instance.kill()
            if fault.status:
                return Answer(fault.status, {}, b"fault on demand")
        cache, target = instance.cache, self._invocation.target
        if cache is None:
            return self._exchange(instance, connections, "/invocations")
        path = self._load(fleet, instance, cache)
        try:
            answer = self._exchange(instance, connections, path)
            if answer.status in (UNKNOWN, 500):
                cache.look_after(target)
            return answer
        finally:
            cache.give_back(target)

    def _exchange(self, instance: Instance, connections: Connections, path: str) -> Answer:
        invocation = self._invocation
        seconds = self._model_seconds()
        try:
            return connections.ask("POST", path, invocation.body, invocation.headers(), seconds)
        except ServerSilentError as error:
            text = (
                "Your invocation timed out while waiting for a response from container primary. "
                "Review the latency metrics for each container in Amazon CloudWatch, resolve the "
                "issue, and try again."
            )
            raise self._server_error(instance, text) from error
        except (ServerGoneError, AnswerTooLargeError) as error:
            text = f"The container primary did not give a whole response: {error}"
            raise self._server_error(instance, text) from error

    def _load(self, fleet: VariantFleet, instance: Instance, cache: ModelCache) -> str:
        """The path of the target model, loaded if need be."""
        cloud = self._cloud
        dimensions = {"EndpointName": self._endpoint.name, "VariantName": fleet.variant.name}

        def put(name: str, value: float) -> None:
            unit = "None" if name == "ModelCacheHit" else "Microseconds"
            cloud.put_metric(REQUESTS, name, value, dimensions, unit)

        try:
            return cache.take(self._invocation.target, self._model_seconds(), Figures(put))
        except NotReadyError as error:
            raise InvocationError(429, "ModelNotReadyException", str(error)) from error
        except MissingModelError as error:
            raise _invalid(str(error)) from error
        except LoadRefusedError as error:
            raise self._model_error(instance, error.answer) from error
        except (ServerGoneError, ServerSilentError, AnswerTooLargeError) as lost:
            text = f"The container primary ended while it loaded a model: {lost}"
            raise self._server_error(instance, text) from lost

    def _model_seconds(self) -> float:
        """Real seconds that a model may take."""
        return max(MODEL_FLOOR, self._cloud.clock.real_seconds(MODEL_SECONDS))

    def _server_error(self, instance: Instance, text: str) -> InvocationError:
        """The server gave no answer at all: AWS reports status 0."""
        return self._model_error(instance, Answer(0, {}, text.encode()))

    def _model_error(self, instance: Instance, answer: Answer) -> InvocationError:
        """AWS's ModelError, with the way to the endpoint's log."""
        region, account = self._cloud.region, self._cloud.account
        group = instance.post.log_group
        side = "client" if 400 <= answer.status < 500 else "server"
        text = answer.body.decode("utf-8", "replace")
        link = (
            f"https://{region}.console.aws.amazon.com/cloudwatch/home?region={region}"
            f"#logEventViewer:group={quote(group, safe='/')}"
        )
        return InvocationError(
            424,
            "ModelError",
            f'Received {side} error ({answer.status}) from primary with message "{text[:1500]}". '
            f"See {link} in account {account} for more information.",
            ErrorCode=f"{side.upper()}_ERROR_FROM_MODEL",
            OriginalStatusCode=answer.status,
            OriginalMessage=text[:TEXT_LIMIT],
            LogStreamArn=f"arn:aws:logs:{region}:{account}:log-group:{group}",
        )

    def _count(
        self,
        fleet: VariantFleet,
        sent: float | None,
        *,
        client_error: bool = False,
        server_error: bool = False,
        setup: float = 0.0,
    ) -> None:
        now = time.perf_counter()
        model = None if sent is None else (now - sent) * 1e6
        self._endpoints.requests.add(
            Served(
                self._endpoint.name,
                fleet.variant.name,
                fleet.variant.config,
                len(fleet.instances),
                time.time(),
                client_error,
                server_error,
                model,
                (now - self._began) * 1e6 - (model or 0.0),
                setup,
            )
        )

    def _capture(self, fleet: VariantFleet, answer: Answer) -> None:
        plan, invocation = fleet.variant.capture, self._invocation
        if plan is None or not plan.wants():
            return
        exchange = Exchange(
            invocation.body,
            invocation.content_type,
            answer.body,
            answer.headers.get("content-type", ""),
            invocation.inference_id,
            invocation.custom_attributes,
        )
        self._endpoints.capture.add(plan, self._endpoint.name, fleet.variant.name, exchange)


def _response(answer: Answer, variant: str) -> Response:
    headers: Mapping[str, str] = answer.headers
    response = Response(answer.body, 200, content_type=headers.get("content-type"))
    response.headers["x-Amzn-Invoked-Production-Variant"] = variant
    custom = headers.get(CUSTOM.lower())
    if custom:
        response.headers[CUSTOM] = custom
    return response


def _error(error: InvocationError) -> Response:
    response = Response(json.dumps(error.body), error.status, content_type="application/json")
    if error.code:
        response.headers["x-amzn-ErrorType"] = error.code
    return response
