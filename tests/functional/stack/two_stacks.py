"""Two stacks of one account that hold a model of the same name: who hears what.

One stack is stirred by everything that its functions listen to, each by the service that really
sends it; the other one's queues, ledger, functions and rules are looked at afterwards.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from perennial.aws.clients import forget_clients
from perennial.domain import naming
from perennial.domain.settings import parse_settings
from perennial.publish_settings import publish_settings
from perennial.wiring import connect

from tests.alarms import put_alarm, sound
from tests.functional.conftest import LocalCloud
from tests.functional.sagemaker.hosting import Hosting
from tests.functional.stack.conftest import hold_sweeps

MODEL = "census"
#: The functions that `Deployed.stir` wakes.
STIRRED = frozenset(
    {
        *("OnSignal", "OnRunEnded", "OnReleaseEnded", "OnVersionApproved", "OnSweepDue"),
        "OnMonitoringEnded",
    }
)
FUNCTION, QUEUE, RULE = "AWS::Lambda::Function", "AWS::SQS::Queue", "AWS::Events::Rule"
DOCUMENT: dict[str, Any] = {
    "problem": "binary",
    "label": "y",
    "positive": "yes",
    "data": {
        "columns": {"x": {"type": "float"}, "y": {"type": "category", "levels": ["no", "yes"]}}
    },
    # Nothing begins by itself while the test runs.
    "triggers": {"quiet_period": "1d", "max_wait": "2d"},
}
#: Of the day that a signal waits here the first wake comes after a quarter of an hour.
WAKES = ("delayed messages",)
CONTAINER = {"Image": "111122223333.dkr.ecr.eu-west-1.amazonaws.com/mine:1"}


@dataclass(frozen=True)
class Deployed:
    """One of the stacks: its outputs, and the names of what can hear or be filled."""

    cloud: LocalCloud
    name: str
    outputs: dict[str, str]
    owned: dict[str, dict[str, str]]

    @classmethod
    def of(cls, cloud: LocalCloud, name: str, outputs: dict[str, str]) -> Deployed:
        """Look up the stack's own names, by kind and by their logical names."""
        pages = cloud.client("cloudformation").get_paginator("list_stack_resources")
        owned: dict[str, dict[str, str]] = {FUNCTION: {}, QUEUE: {}, RULE: {}}
        for page in pages.paginate(StackName=name):
            for each in page["StackResourceSummaries"]:
                if each["ResourceType"] in owned:
                    physical = each["PhysicalResourceId"].rpartition("/")[2]
                    owned[each["ResourceType"]][each["LogicalResourceId"]] = physical
        return cls(cloud, name, outputs, owned)

    @property
    def token(self) -> str:
        """What begins every name of the stack."""
        return self.outputs["StackToken"]

    def rows(self) -> list[str]:
        """The ledger's rows, as texts that can be compared."""
        pages = self.cloud.client("dynamodb").get_paginator("scan")
        found = pages.paginate(TableName=self.outputs["LedgerTable"], ConsistentRead=True)
        return sorted(json.dumps(row, sort_keys=True) for page in found for row in page["Items"])

    def messages(self) -> dict[str, int]:
        """How many messages each queue holds, dead letters among them, in whatever state."""
        sqs = self.cloud.client("sqs")
        kinds = [f"ApproximateNumberOfMessages{more}" for more in ("", "Delayed", "NotVisible")]
        found = {}
        for url in sqs.list_queues()["QueueUrls"]:
            if url.rpartition("/")[2] in self.owned[QUEUE].values():
                told = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=kinds)["Attributes"]
                found[url] = sum(int(told[kind]) for kind in kinds)
        return found

    def heard(self, since: int) -> list[dict[str, Any]]:
        """What the cloud did with anything of this stack: deliveries, batches, invocations."""
        names = [name for kind in self.owned.values() for name in kind.values()]
        mine = [f'{mark}{name}"' for name in names for mark in '":/']
        mine.append(f":schedule/{self.token}/")
        entries = self.cloud.journal(since=since)
        return [each for each in entries if any(name in json.dumps(each) for name in mine)]

    def woken(self, since: int) -> set[str]:
        """The functions that ran."""
        ran = {each["function"] for each in self.cloud.journal("invocation", since=since)}
        return {
            logical.removesuffix("Function")
            for logical, name in self.owned[FUNCTION].items()
            if name in ran
        }

    def listeners(self) -> set[str]:
        """The functions that rules and schedules of the stack start, by a queue or directly."""
        cloud, arns = self.cloud, set()
        for name in self.owned[RULE].values():
            targets = cloud.client("events").list_targets_by_rule(Rule=name)["Targets"]
            arns |= {target["Arn"] for target in targets}
        scheduler = cloud.client("scheduler")
        for each in scheduler.list_schedules(GroupName=self.token)["Schedules"]:
            found = scheduler.get_schedule(Name=each["Name"], GroupName=self.token)
            arns.add(found["Target"]["Arn"])
        for each in cloud.client("lambda").list_event_source_mappings()["EventSourceMappings"]:
            if each["EventSourceArn"] in arns:
                arns.add(each["FunctionArn"])
        names = {arn.rpartition(":")[2] for arn in arns}
        return {
            logical.removesuffix("Function")
            for logical, name in self.owned[FUNCTION].items()
            if name in names
        }

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Bind the use cases to this stack."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.cloud.environment().items():
                if name.startswith("AWS_"):
                    patch.setenv(name, value)
            forget_clients()
            yield
        forget_clients()

    def publish(self) -> None:
        """Publish the model; nothing of it begins by itself. Sweeps come when asked for."""
        hold_sweeps(self.cloud, self.token)
        with self.entered():
            ports = connect({**self.outputs, "StackName": self.name})
            settings = json.dumps(parse_settings(DOCUMENT, project=MODEL).to_json())
            publish_settings(ports, MODEL, settings, "s3://no/code.tar.gz", "a" * 64, "ann")

    def stir(self) -> None:
        """Everything that happens to a stack, once."""
        self._land()
        self._sound_alarms()
        self._run_machines()
        self._approve()
        self._fail_an_endpoint()
        self._end_a_monitor()
        self._let_the_schedule_fire()

    def _land(self) -> None:
        self.cloud.client("s3").put_object(
            Bucket=self.outputs["LandingBucket"],
            Key=f"incoming/{MODEL}/rows.csv",
            Body=b"x,y\n1,no\n",
        )

    def _sound_alarms(self) -> None:
        """A monitor's, which is a signal, and one that guards an endpoint."""
        cloudwatch = self.cloud.client("cloudwatch")
        kind = naming.MONITOR_KINDS[0]
        for name in (
            naming.monitor_alarm(self.name, MODEL, kind),
            f"{self.token}-guard-{MODEL}-ab1-errors",
        ):
            put_alarm(cloudwatch, name)
            sound(cloudwatch, name)

    def _run_machines(self) -> None:
        """Executions that hold no run and no release, and fail at once."""
        machines = self.cloud.client("stepfunctions")
        asked = {"model": MODEL, "run": 999, "release": 999, "prefix": "none"}
        for output in ("RetrainMachineArn", "ReleaseMachineArn"):
            machines.start_execution(stateMachineArn=self.outputs[output], input=json.dumps(asked))

    def _approve(self) -> None:
        """A version that nobody registered by a run, in the model's own group."""
        sagemaker = self.cloud.client("sagemaker")
        group = naming.package_group(self.name, MODEL)
        sagemaker.create_model_package_group(ModelPackageGroupName=group)
        arn = sagemaker.create_model_package(
            ModelPackageGroupName=group,
            ModelApprovalStatus="PendingManualApproval",
            InferenceSpecification={
                "Containers": [CONTAINER],
                "SupportedContentTypes": ["text/csv"],
                "SupportedResponseMIMETypes": ["text/csv"],
            },
        )["ModelPackageArn"]
        sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")

    def _fail_an_endpoint(self) -> None:
        """Under the name that the model's endpoint has; its archive is none."""
        hosting = Hosting(self.cloud)
        broken = hosting.container()
        broken["ModelDataUrl"] = hosting.put("models/broken/model.tar.gz", b"no archive")
        config = hosting.config(hosting.variant(hosting.model(container=broken)))
        name = naming.live_endpoint(self.name, MODEL)
        hosting.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config)
        assert hosting.settle(name)["EndpointStatus"] == "Failed"
        hosting.remove(name)

    def _end_a_monitor(self) -> None:
        """A processing job with the name of a monitor's window that nobody opened."""
        kind = naming.MONITOR_KINDS[0]
        name = naming.monitor_job(self.name, MODEL, kind, 1_764_000_000_000)
        jobs = Hosting(self.cloud)
        jobs.process(["/bin/true"], ProcessingJobName=name)
        describe = jobs.sagemaker.describe_processing_job
        jobs.until(
            lambda: describe(ProcessingJobName=name)["ProcessingJobStatus"],
            lambda status: status == "Completed",
        )

    def _let_the_schedule_fire(self) -> None:
        """The sweep's own schedule, switched on for as long as it takes to fire."""
        scheduler = self.cloud.client("scheduler")
        name = f"{self.token}-sweep"
        found = scheduler.get_schedule(Name=name, GroupName=self.token)
        kept = ("Name", "GroupName", "FlexibleTimeWindow", "Target")
        given = {key: found[key] for key in kept}
        begun = now(self.cloud)
        scheduler.update_schedule(**given, ScheduleExpression="rate(1 minute)", State="ENABLED")
        self.cloud.control("POST", "/_local/clock", {"factor": 60})
        Hosting(self.cloud).until(
            lambda: [
                each
                for each in self.cloud.journal("schedule", since=begun)
                if f":schedule/{self.token}/" in each["arn"]
            ],
            bool,
        )
        self.cloud.control("POST", "/_local/clock", {"factor": 1})
        scheduler.update_schedule(
            **given, ScheduleExpression=found["ScheduleExpression"], State="DISABLED"
        )


def now(cloud: LocalCloud) -> int:
    """The number of the newest entry of the cloud's journal."""
    entries = cloud.journal()
    return entries[-1]["n"] if entries else 0


def check_deaf(stirred: Deployed, other: Deployed) -> None:
    """All that is stirred in one stack is heard there, and nothing of it in the other one."""
    cloud = stirred.cloud
    unstirred = stirred.listeners() - STIRRED
    assert not unstirred, f"add to Deployed.stir() what wakes {', '.join(sorted(unstirred))}"
    cloud.idle(ignore=WAKES)
    begun, own = now(cloud), stirred.rows()
    rows, messages = other.rows(), other.messages()
    stirred.stir()
    cloud.idle(ignore=WAKES)
    assert stirred.woken(begun) >= STIRRED
    assert stirred.rows() != own
    assert other.heard(begun) == []
    assert other.woken(begun) == set()
    assert (other.rows(), other.messages()) == (rows, messages)
