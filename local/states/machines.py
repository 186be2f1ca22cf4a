"""State machines and their executions: the API's operations."""

import json
import re
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from local.cloud import Cloud
from local.jsonapi.errors import ApiError, unsupported
from local.sagemaker.runtime import watch_job
from local.states.callbacks import Callbacks
from local.states.definition import check_definition
from local.states.errors import RUNTIME, StateError
from local.states.execution import RUNNING, Execution
from local.states.history import dumps
from local.states.resources import parse_resource

if TYPE_CHECKING:
    from local.states.integrations import Call

_NAME = re.compile(r"[^\s?*<>{}\[\]\"#%\\^|~`$&,;:/\x00-\x1f\x7f-\x9f]{1,80}")
REDRIVE_SECONDS = 14 * 86_400
Operation = Callable[[dict[str, Any]], dict[str, Any] | None]


@dataclass(frozen=True)
class Machine:
    """A state machine as it is at one moment; an execution keeps the one it started with."""

    arn: str
    name: str
    text: str
    role: str
    logging: dict[str, Any]
    tracing: dict[str, Any]
    encryption: dict[str, Any]
    created: float
    updated: float
    revision: str
    definition: dict[str, Any] = field(repr=False)


class Machines:
    """All machines and executions of one cloud."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.callbacks = Callbacks()
        self._machines: dict[str, Machine] = {}
        self._executions: dict[str, dict[str, Execution]] = {}  # by machine, then by name
        self._lock = threading.RLock()
        self._clients: dict[str, Any] = {}
        self._session: Any = boto3.session.Session(
            aws_access_key_id="ASIALOCALSTATES00000",
            aws_secret_access_key="local",  # noqa: S106 - as the next
            aws_session_token="local",  # noqa: S106 - a dummy, nothing checks it
            region_name=cloud.region,
        )

    # --- for executions ---------------------------------------------------------------------
    def client(self, service: str) -> Any:
        """A client that neither repeats nor checks: Step Functions does both itself."""
        with self._lock:
            if service not in self._clients:
                self._clients[service] = self._session.client(
                    service,
                    endpoint_url=self.cloud.endpoint,
                    config=Config(
                        max_pool_connections=64,
                        parameter_validation=False,
                        retries={"total_max_attempts": 1},
                        read_timeout=930,
                        inject_host_prefix=False,
                        s3={"addressing_style": "path"},
                    ),
                )
            return self._clients[service]

    def _warm_up(self, definition: dict[str, Any]) -> None:
        """Make the clients that a machine will need: the first of a service takes 0.1 s."""
        wanted = services_of(definition)
        self.cloud.background("clients", lambda: [self.client(name) for name in wanted])

    def watch_job(self, key: str, told: threading.Event) -> None:
        """See `local.sagemaker.runtime`."""
        watch_job(self.cloud, key, told)

    def running(self) -> int:
        """How many executions are under way."""
        with self._lock:
            known = [e for named in self._executions.values() for e in named.values()]
        return sum(execution.status == RUNNING for execution in known)

    def find_execution(self, arn: str) -> Execution:
        """An execution by its ARN."""
        machine, _, name = arn.rpartition(":")
        with self._lock:
            named = self._executions.get(machine.replace(":execution:", ":stateMachine:"), {})
            if name not in named:
                raise ApiError("ExecutionDoesNotExist", f"Execution Does Not Exist: '{arn}'")
            return named[name]

    def find(self, arn: str) -> Machine:
        """A machine by its ARN."""
        with self._lock:
            if arn in self._machines:
                return self._machines[arn]
        if not re.fullmatch(r"arn:[\w-]+:states:[\w-]*:\d*:stateMachine:[^:]+(:[^:]+)?", arn):
            raise ApiError("InvalidArn", f"Invalid Arn: '{arn}'")
        if arn.rpartition(":")[0] in self._machines:
            raise unsupported("versions and aliases of state machines")
        raise ApiError("StateMachineDoesNotExist", f"State Machine Does Not Exist: '{arn}'")

    def start_child(self, call: "Call") -> dict[str, Any]:
        """`states:startExecution` of a Task."""
        given = call.parameters
        text = given.get("Input", {})
        request = {"stateMachineArn": given["StateMachineArn"], "name": given.get("Name")}
        request["input"] = text if isinstance(text, str) else dumps(text)
        try:
            found = self.start({key: value for key, value in request.items() if value})
        except ApiError as error:
            name = error.code if error.code.endswith("Exception") else f"{error.code}Exception"
            raise StateError(f"StepFunctions.{name}", error.message) from error
        return {"ExecutionArn": found["executionArn"], "StartDate": int(found["startDate"] * 1000)}

    def described_child(self, child: Execution, *, parsed: bool) -> dict[str, Any]:
        """A child's description in the spelling of `.sync` (output as text) or `.sync:2`."""
        found: dict[str, Any] = {}
        for key, value in child.described().items():
            name = key[0].upper() + key[1:]
            found[name] = int(value * 1000) if key.endswith("Date") else value
        for name in ("Input", "Output"):
            if parsed and name in found:
                found[name] = json.loads(found[name])
        return found

    # --- machines ---------------------------------------------------------------------------
    def create(self, request: dict[str, Any]) -> dict[str, Any]:
        """CreateStateMachine: repeating the same request is no error."""
        name = request["name"]
        if not _NAME.fullmatch(name):
            raise ApiError("InvalidName", f"Invalid Name: '{name}'")
        if request.get("type", "STANDARD") != "STANDARD":
            raise unsupported("Express workflows (type EXPRESS)")
        if request.get("publish") or request.get("versionDescription"):
            raise unsupported("versions of state machines (publish)")
        definition = accepted(request["definition"])
        now = round(time.time(), 3)
        arn = f"arn:aws:states:{self.cloud.region}:{self.cloud.account}:stateMachine:{name}"
        machine = Machine(
            arn=arn,
            name=name,
            text=request["definition"],
            role=request["roleArn"],
            logging=_logging(request),
            tracing=request.get("tracingConfiguration", {"enabled": False}),
            encryption=request.get("encryptionConfiguration", {"type": "AWS_OWNED_KEY"}),
            created=now,
            updated=now,
            revision=str(uuid.uuid4()),
            definition=definition,
        )
        self._warm_up(definition)
        with self._lock:
            known = self._machines.get(arn)
            if known is None:
                self._machines[arn] = known = machine
                self._executions[arn] = {}
            elif (known.text, known.logging, known.tracing) != (
                machine.text,
                machine.logging,
                machine.tracing,
            ):
                text = f"State Machine Already Exists: '{arn}'"
                raise ApiError("StateMachineAlreadyExists", text)
        return {"stateMachineArn": arn, "creationDate": known.created}

    def update(self, request: dict[str, Any]) -> dict[str, Any]:
        """UpdateStateMachine: running executions keep what they started with."""
        if request.get("publish") or request.get("versionDescription"):
            raise unsupported("versions of state machines (publish)")
        machine = self.find(request["stateMachineArn"])
        names = ("definition", "roleArn", "loggingConfiguration", "tracingConfiguration")
        if not any(name in request for name in (*names, "encryptionConfiguration")):
            text = "Either the definition, the role ARN, the LoggingConfiguration, the "
            text += "EncryptionConfiguration or the TracingConfiguration must be specified"
            raise ApiError("MissingRequiredParameter", text)
        now = round(time.time(), 3)
        changed = replace(machine, updated=now, revision=str(uuid.uuid4()))
        if "definition" in request:
            text = request["definition"]
            changed = replace(changed, text=text, definition=accepted(text))
        if "roleArn" in request:
            changed = replace(changed, role=request["roleArn"])
        if "loggingConfiguration" in request:
            changed = replace(changed, logging=_logging(request))
        if "tracingConfiguration" in request:
            changed = replace(changed, tracing=request["tracingConfiguration"])
        if "encryptionConfiguration" in request:
            changed = replace(changed, encryption=request["encryptionConfiguration"])
        with self._lock:
            self._machines[machine.arn] = changed
        return {"updateDate": now, "revisionId": changed.revision}

    def delete(self, request: dict[str, Any]) -> None:
        """DeleteStateMachine: its executions end; an unknown one is no error."""
        with self._lock:
            self._machines.pop(request["stateMachineArn"], None)
            gone = self._executions.pop(request["stateMachineArn"], {})
        for execution in gone.values():
            if execution.status == RUNNING:
                execution.stop("States.StateMachineDeleted", "The state machine was deleted")

    def machines(self) -> list[Machine]:
        """All, newest first."""
        with self._lock:
            return sorted(self._machines.values(), key=lambda m: m.created, reverse=True)

    # --- executions -------------------------------------------------------------------------
    def start(self, request: dict[str, Any]) -> dict[str, Any]:
        """StartExecution: the same name and input while it runs is the same execution."""
        if request.get("name") is not None and not _NAME.fullmatch(request["name"]):
            raise ApiError("InvalidName", f"Invalid Name: '{request['name']}'")
        name = request.get("name") or str(uuid.uuid4())
        text = request.get("input", "{}")
        try:
            json.loads(text)
        except ValueError as error:
            message = f"Invalid State Machine Execution Input: '{error}'"
            raise ApiError("InvalidExecutionInput", message) from error
        with self._lock:
            machine = self.find(request["stateMachineArn"])
            named = self._executions[machine.arn]
            known = named.get(name)
            if known is not None:
                if known.status == RUNNING and known.input == text:
                    return {"executionArn": known.arn, "startDate": known.start_date}
                message = f"Execution Already Exists: '{known.arn}'"
                raise ApiError("ExecutionAlreadyExists", message)
            execution = named[name] = Execution(self, machine, name, text)
        execution.start()
        return {"executionArn": execution.arn, "startDate": execution.start_date}

    def redrive(self, request: dict[str, Any]) -> dict[str, Any]:
        """RedriveExecution, from the state in which it ended."""
        execution = self.find_execution(request["executionArn"])
        token = request.get("clientToken")
        with self._lock:
            if token is not None and token in execution.redrive_tokens:
                return {"redriveDate": execution.redrive_date}
            status, reason = execution.redrivable()
            if (
                status == "REDRIVABLE"
                and time.time() - (execution.stop_date or 0) > REDRIVE_SECONDS
            ):
                status, reason = "NOT_REDRIVABLE", "Execution ended more than 14 days ago"
            if status != "REDRIVABLE":
                raise ApiError("ExecutionNotRedrivable", f"{reason}: '{execution.arn}'")
            state = execution.redrive_state()
            kind = execution.machine.definition["States"][state]["Type"] if state else "Parallel"
            if kind in ("Parallel", "Map"):
                raise unsupported(f"redriving an execution that ended in a {kind} state")
            if token is not None:
                execution.redrive_tokens.add(token)
            execution.redrive()
        return {"redriveDate": execution.redrive_date}

    def executions(self, machine: str) -> list[Execution]:
        """Those of one machine, newest first."""
        with self._lock:
            self.find(machine)
            found = list(self._executions[machine].values())
        return sorted(found, key=lambda e: e.start_date, reverse=True)


def accepted(text: str) -> dict[str, Any]:
    """The parsed definition; InvalidDefinition with all that is wrong with it."""
    problems = check_definition(text)
    if problems:
        words = ", ".join(str(problem) for problem in problems)
        raise ApiError("InvalidDefinition", f"Invalid State Machine Definition: '{words}'")
    found: dict[str, Any] = json.loads(text)
    return found


def services_of(level: Any) -> set[str]:
    """The services that the Tasks of a definition call, by botocore's names."""
    found: set[str] = set()
    if isinstance(level, list):
        return found.union(*(services_of(item) for item in level))
    if isinstance(level, dict):
        if level.get("Type") == "Task" and isinstance(level.get("Resource"), str):
            found.add(parse_resource(level["Resource"]).boto_service)
        return found.union(*(services_of(item) for item in level.values()))
    return found


def _logging(request: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = request.get("loggingConfiguration", {"level": "OFF"})
    if found.get("level", "OFF") != "OFF" and len(found.get("destinations", [])) != 1:
        text = "Invalid Logging Configuration: Must specify exactly one Log Destination."
        raise ApiError("InvalidLoggingConfiguration", text)
    return {"includeExecutionData": False, **found}


__all__ = ["RUNTIME", "Machine", "Machines", "accepted"]
