"""Shorthand for tuning jobs in tests."""

import copy
import json
import time
import uuid
from collections.abc import Callable
from typing import Any

from tests.functional.sagemaker.conftest import ENDED, IMAGE, Jobs

Found = dict[str, Any]


class Tuning:
    """Starts, waits for and looks into tuning jobs of one cloud."""

    def __init__(self, jobs: Jobs) -> None:
        self.jobs = jobs
        self.sagemaker = jobs.sagemaker
        self.queues = jobs.cloud.client("sqs")
        self.queue = self.queues.create_queue(QueueName=jobs.name("tuning"))["QueueUrl"]
        self._events: list[Found] = []
        rules, name = jobs.cloud.client("events"), jobs.name("tuning")
        pattern = {"detail-type": ["SageMaker HyperParameter Tuning Job State Change"]}
        rules.put_rule(Name=name, EventPattern=json.dumps(pattern))
        arn = self.queues.get_queue_attributes(QueueUrl=self.queue, AttributeNames=["QueueArn"])
        target = {"Id": "queue", "Arn": arn["Attributes"]["QueueArn"]}
        rules.put_targets(Rule=name, Targets=[target])

    @property
    def ranges(self) -> Found:
        """A range of each kind."""
        return {
            "ContinuousParameterRanges": [{"Name": "pace", "MinValue": "0", "MaxValue": "1"}],
            "IntegerParameterRanges": [{"Name": "depth", "MinValue": "1", "MaxValue": "8"}],
            "CategoricalParameterRanges": [{"Name": "colour", "Values": ["red", "blue"]}],
        }

    def definition(self, script: str, static: Any = None) -> Found:
        """The training jobs of a search: a script that prints loss=…; or auc=…;."""
        return {
            "StaticHyperParameters": {
                "sagemaker_program": '"train.py"',
                "sagemaker_submit_directory": json.dumps(self.jobs.code(script)),
                "step": '"train"',
                **{key: json.dumps(value) for key, value in (static or {}).items()},
            },
            "AlgorithmSpecification": {
                "TrainingImage": IMAGE,
                "TrainingInputMode": "File",
                "MetricDefinitions": [
                    {"Name": name, "Regex": f"{name}=([0-9.e-]+);"} for name in ("loss", "auc")
                ],
            },
            "RoleArn": self.jobs.role,
            "OutputDataConfig": {"S3OutputPath": self.jobs.uri("models")},
            "ResourceConfig": {
                "InstanceType": "ml.m5.large",
                "InstanceCount": 1,
                "VolumeSizeInGB": 5,
            },
            "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        }

    def request(self, script: str | None, static: Any = None, **more: Any) -> Found:
        """A CreateHyperParameterTuningJob request; `more` goes where it belongs."""
        definition = self.definition(script, static) if script else {}
        definition |= copy.deepcopy(more.pop("definition", {}))
        if not script:  # a definition that Describe has shown
            definition["StaticHyperParameters"].pop("_tuning_objective_metric")
        top = {
            name: more.pop(name) for name in ("Tags", "WarmStartConfig", "Autotune") if name in more
        }
        return {
            "HyperParameterTuningJobName": more.pop("name", f"hpo-{uuid.uuid4().hex[:8]}"),
            "HyperParameterTuningJobConfig": {
                "Strategy": "Bayesian",
                "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
                "ResourceLimits": {"MaxNumberOfTrainingJobs": 6, "MaxParallelTrainingJobs": 2},
                "ParameterRanges": self.ranges,
                **more,
            },
            "TrainingJobDefinition": definition,
            **top,
        }

    def start(self, script: str | None, static: Any = None, **more: Any) -> str:
        """Create a tuning job; its name."""
        request = self.request(script, static, **more)
        self.sagemaker.create_hyper_parameter_tuning_job(**request)
        name: str = request["HyperParameterTuningJobName"]
        return name

    def describe(self, name: str) -> Found:
        """What Describe shows, without the answer's own head."""
        found: Found = self.sagemaker.describe_hyper_parameter_tuning_job(
            HyperParameterTuningJobName=name
        )
        del found["ResponseMetadata"]
        return found

    def trials(self, name: str, **more: Any) -> list[Found]:
        """The training jobs, by name or as asked."""
        pages = self.sagemaker.get_paginator(
            "list_training_jobs_for_hyper_parameter_tuning_job"
        ).paginate(HyperParameterTuningJobName=name, **more)
        return [entry for page in pages for entry in page["TrainingJobSummaries"]]

    def wait(self, name: str, seconds: float = 60) -> Found:
        """Wait for the end."""
        return self.wait_for(
            name, lambda found: found["HyperParameterTuningJobStatus"] in ENDED, seconds
        )

    def wait_for(self, name: str, good: Callable[[Found], bool], seconds: float = 60) -> Found:
        """Wait until Describe shows what is asked for."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = self.describe(name)
            if good(found):
                return found
            time.sleep(0.05)
        raise AssertionError(f"{name} after {seconds} s: {found}")

    def events(self, name: str, last: str, seconds: float = 20) -> list[Found]:
        """Its events by their times, once the one of the status `last` is there."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            answer = self.queues.receive_message(
                QueueUrl=self.queue, MaxNumberOfMessages=10, WaitTimeSeconds=1
            )
            self._events += [json.loads(entry["Body"]) for entry in answer.get("Messages", [])]
            found = [e for e in self._events if e["detail"]["HyperParameterTuningJobName"] == name]
            found.sort(key=lambda event: int(event["detail"]["LastModifiedTime"]))
            if last in [event["detail"]["HyperParameterTuningJobStatus"] for event in found]:
                return found
        raise AssertionError(f"no event {last} of {name}: {found}")

    def statuses(self, name: str, last: str) -> list[str]:
        """The statuses that its events have told."""
        events = self.events(name, last)
        return [event["detail"]["HyperParameterTuningJobStatus"] for event in events]
