"""Step Functions' API."""

import base64
import json
from collections.abc import Sequence
from typing import Any

from local.cloud import Cloud
from local.jsonapi.errors import ApiError
from local.jsonapi.service import JsonService
from local.states.announcements import _DATA_MEMBERS as DATA_MEMBERS
from local.states.definition import check_definition
from local.states.machines import Machine, Machines

DEFAULT_PAGE = 100


class StepFunctions(JsonService):
    """What is not listed here (Express, versions, aliases, activities) is refused by name."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__("stepfunctions")
        self._cloud = cloud
        self._machines = Machines(cloud)
        self._tags: dict[str, dict[str, str]] = {}
        self.operations.update(
            {
                "CreateStateMachine": self.create_state_machine,
                "UpdateStateMachine": self._machines.update,
                "DeleteStateMachine": self.delete_state_machine,
                "DescribeStateMachine": self.describe_state_machine,
                "DescribeStateMachineForExecution": self.describe_for_execution,
                "ListStateMachines": self.list_state_machines,
                "ValidateStateMachineDefinition": self.validate_definition,
                "StartExecution": self._machines.start,
                "StopExecution": self.stop_execution,
                "RedriveExecution": self._machines.redrive,
                "DescribeExecution": self.describe_execution,
                "ListExecutions": self.list_executions,
                "GetExecutionHistory": self.get_execution_history,
                "SendTaskSuccess": self.send_task_success,
                "SendTaskFailure": self.send_task_failure,
                "SendTaskHeartbeat": self.send_task_heartbeat,
                "TagResource": self.tag_resource,
                "UntagResource": self.untag_resource,
                "ListTagsForResource": self.list_tags,
            }
        )

    def register(self) -> None:
        """Answer for the service."""
        self._cloud.register("states", self)
        self._cloud.add_idle_probe("executions", self._machines.running)

    # --- machines ---------------------------------------------------------------------------
    def create_state_machine(self, request: dict[str, Any]) -> dict[str, Any]:
        """CreateStateMachine."""
        found = self._machines.create(request)
        tags = {tag["key"]: tag["value"] for tag in request.get("tags", [])}
        self._tags.setdefault(found["stateMachineArn"], tags)
        return found

    def delete_state_machine(self, request: dict[str, Any]) -> None:
        """DeleteStateMachine."""
        self._machines.delete(request)
        self._tags.pop(request["stateMachineArn"], None)

    def describe_state_machine(self, request: dict[str, Any]) -> dict[str, Any]:
        """DescribeStateMachine."""
        machine = self._machines.find(request["stateMachineArn"])
        return {
            **_described(machine),
            "status": "ACTIVE",
            "type": "STANDARD",
            "creationDate": machine.created,
        }

    def describe_for_execution(self, request: dict[str, Any]) -> dict[str, Any]:
        """DescribeStateMachineForExecution: what the execution was started with."""
        machine = self._machines.find_execution(request["executionArn"]).machine
        return {**_described(machine), "updateDate": machine.updated}

    def list_state_machines(self, request: dict[str, Any]) -> dict[str, Any]:
        """ListStateMachines."""
        entries = [
            {
                "stateMachineArn": machine.arn,
                "name": machine.name,
                "type": "STANDARD",
                "creationDate": machine.created,
            }
            for machine in self._machines.machines()
        ]
        return _page("stateMachines", entries, request)

    def validate_definition(self, request: dict[str, Any]) -> dict[str, Any]:
        """ValidateStateMachineDefinition."""
        found = [
            {
                "severity": "ERROR",
                "code": problem.code,
                "message": problem.message,
                "location": problem.location,
            }
            for problem in check_definition(request["definition"])
        ]
        limit = request.get("maxResults") or DEFAULT_PAGE
        return {
            "result": "FAIL" if found else "OK",
            "diagnostics": found[:limit],
            "truncated": len(found) > limit,
        }

    # --- executions -------------------------------------------------------------------------
    def stop_execution(self, request: dict[str, Any]) -> dict[str, Any]:
        """StopExecution: of an execution that has ended it only tells when."""
        execution = self._machines.find_execution(request["executionArn"])
        return {"stopDate": execution.stop(request.get("error"), request.get("cause"))}

    def describe_execution(self, request: dict[str, Any]) -> dict[str, Any]:
        """DescribeExecution."""
        found = dict(self._machines.find_execution(request["executionArn"]).described())
        if request.get("includedData") == "METADATA_ONLY":
            for name in ("input", "output", "error", "cause"):
                found.pop(name, None)
        return found

    def list_executions(self, request: dict[str, Any]) -> dict[str, Any]:
        """ListExecutions, newest first."""
        if "stateMachineArn" not in request or "mapRunArn" in request:
            text = "stateMachineArn must be given; the local cloud has no Map Runs"
            raise ApiError("ValidationException", text)
        wanted, redriven = request.get("statusFilter"), request.get("redriveFilter")
        names = ("executionArn", "stateMachineArn", "name", "status", "startDate", "stopDate")
        entries = []
        for execution in self._machines.executions(request["stateMachineArn"]):
            found = execution.described()
            fits = wanted in (None, found["status"])
            if redriven:
                fits = fits and (redriven == "REDRIVEN") == (execution.redrive_count > 0)
            if fits:
                more = ("redriveCount", "redriveDate")
                entries.append({key: found[key] for key in (*names, *more) if key in found})
        return _page("executions", entries, request)

    def get_execution_history(self, request: dict[str, Any]) -> dict[str, Any]:
        """GetExecutionHistory."""
        events = self._machines.find_execution(request["executionArn"]).history.events()
        if request.get("reverseOrder"):
            events.reverse()
        if request.get("includeExecutionData") is False:
            events = [
                {
                    key: {k: v for k, v in value.items() if k not in DATA_MEMBERS}
                    if isinstance(value, dict)
                    else value
                    for key, value in event.items()
                }
                for event in events
            ]
        return _page("events", events, request)

    # --- callbacks --------------------------------------------------------------------------
    def send_task_success(self, request: dict[str, Any]) -> None:
        """SendTaskSuccess."""
        try:
            output = json.loads(request["output"])
        except ValueError as error:
            raise ApiError("InvalidOutput", f"Invalid Output: '{error}'") from error
        self._machines.callbacks.answer(request["taskToken"], ("success", output, ""))

    def send_task_failure(self, request: dict[str, Any]) -> None:
        """SendTaskFailure."""
        outcome = ("failure", request.get("error", ""), request.get("cause", ""))
        self._machines.callbacks.answer(request["taskToken"], outcome)

    def send_task_heartbeat(self, request: dict[str, Any]) -> None:
        """SendTaskHeartbeat."""
        self._machines.callbacks.answer(request["taskToken"], None)

    # --- tags -------------------------------------------------------------------------------
    def tag_resource(self, request: dict[str, Any]) -> None:
        """TagResource."""
        known = self._of(request["resourceArn"])
        known.update({tag["key"]: tag["value"] for tag in request["tags"]})

    def untag_resource(self, request: dict[str, Any]) -> None:
        """UntagResource."""
        known = self._of(request["resourceArn"])
        for key in request["tagKeys"]:
            known.pop(key, None)

    def list_tags(self, request: dict[str, Any]) -> dict[str, Any]:
        """ListTagsForResource."""
        known = self._of(request["resourceArn"])
        return {"tags": [{"key": key, "value": value} for key, value in known.items()]}

    def _of(self, arn: str) -> dict[str, str]:
        if arn not in self._tags:
            raise ApiError("ResourceNotFound", f"Resource not found: '{arn}'")
        return self._tags[arn]


def _described(machine: Machine) -> dict[str, Any]:
    return {
        "stateMachineArn": machine.arn,
        "name": machine.name,
        "definition": machine.text,
        "roleArn": machine.role,
        "loggingConfiguration": machine.logging,
        "tracingConfiguration": machine.tracing,
        "encryptionConfiguration": machine.encryption,
        "revisionId": machine.revision,
    }


def _page(name: str, entries: Sequence[dict[str, Any]], request: dict[str, Any]) -> dict[str, Any]:
    """One page; a token belongs to the request that it came from."""
    query = {k: v for k, v in request.items() if k not in ("nextToken", "maxResults")}
    mark = json.dumps(query, sort_keys=True)
    start = 0
    if request.get("nextToken"):
        try:
            start, found = json.loads(base64.urlsafe_b64decode(request["nextToken"].encode()))
        except ValueError as error:
            raise ApiError("InvalidToken", "Invalid Token: 'Invalid token'") from error
        if found != mark:
            raise ApiError("InvalidToken", "Invalid Token: it belongs to another request")
    size = request.get("maxResults") or DEFAULT_PAGE
    answer: dict[str, Any] = {name: list(entries[start : start + size])}
    if start + size < len(entries):
        raw = json.dumps([start + size, mark]).encode()
        answer["nextToken"] = base64.urlsafe_b64encode(raw).decode()
    return answer
