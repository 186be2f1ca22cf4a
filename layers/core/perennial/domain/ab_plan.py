"""What an A/B test asks of SageMaker and CloudWatch, as whole requests.

The challenger is made after main: same machine, role, network and data capture, so that the two
differ in nothing but their version. Requests are those of CreateModel, CreateEndpointConfig and
PutMetricAlarm; `tests/unit/domain/test_ab_plan.py` holds them against botocore's own description.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from perennial.domain import naming, release_plan
from perennial.domain.errors import NotAllowed
from perennial.domain.ledger.ab_tests import CHALLENGER, MAIN
from perennial.domain.release_plan import Subject
from perennial.domain.settings import Guard

#: What a configuration hands on besides its variants; absent where it was not given.
KEPT_OF_CONFIG = (
    *("DataCaptureConfig", "KmsKeyId", "ExecutionRoleArn", "VpcConfig"),
    "EnableNetworkIsolation",
)
#: What a Model hands on besides its container.
KEPT_OF_MODEL = ("ExecutionRoleArn", "VpcConfig", "EnableNetworkIsolation")
#: What DescribeEndpointConfig may tell of a variant that can have no second one beside it.
ALONE = {
    "ServerlessConfig": "a serverless endpoint takes one variant",
    "ManagedInstanceScaling": "managed scaling of instances is not for A/B tests",
}


def main_variant(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The one variant `main` of a configuration as described; raises `NotAllowed` otherwise."""
    variants: Sequence[Mapping[str, Any]] = config["ProductionVariants"]
    if [each["VariantName"] for each in variants] != [MAIN]:
        found = ", ".join(each["VariantName"] for each in variants)
        raise NotAllowed(f"{name} has the variants {found}; an A/B test begins with {MAIN} alone")
    for key in ("AsyncInferenceConfig", "ShadowProductionVariants"):
        if config.get(key):
            raise NotAllowed(f"{name} has {key}, which an A/B test cannot have beside it")
    for key, why in ALONE.items():
        if variants[0].get(key):
            raise NotAllowed(f"{name}: {why}, so there can be no A/B test; compare in batches")
    return variants[0]


def model_request(
    subject: Subject, main_model: Mapping[str, Any], container: Mapping[str, Any]
) -> dict[str, Any]:
    """CreateModel of the challenger, after main's Model as described."""
    if (main_model.get("PrimaryContainer") or {}).get("Mode") == "MultiModel":
        raise NotAllowed(
            f"{subject.endpoint} serves many models, which has one variant; compare in batches"
        )
    return {
        "ModelName": subject.config,
        "PrimaryContainer": dict(container),
        **{key: main_model[key] for key in KEPT_OF_MODEL if main_model.get(key)},
        "Tags": release_tags(subject),
    }


def config_request(
    subject: Subject, main_config: Mapping[str, Any], name: str, instances: int | None
) -> dict[str, Any]:
    """CreateEndpointConfig with both variants: all weight on main, none on the challenger."""
    main = dict(main_variant(main_config, name))
    count = instances if instances is not None else main["InitialInstanceCount"]
    return {
        "EndpointConfigName": subject.config,
        "ProductionVariants": [
            {**main, "InitialVariantWeight": 1.0},
            {
                **main,
                "VariantName": CHALLENGER,
                "ModelName": subject.config,
                "InitialInstanceCount": count,
                "InitialVariantWeight": 0.0,
            },
        ],
        **{key: main_config[key] for key in KEPT_OF_CONFIG if main_config.get(key)},
        "Tags": release_tags(subject),
    }


def release_tags(subject: Subject) -> list[dict[str, str]]:
    """The tags of a release, with the test's number in the place of the release's."""
    names = {"perennial:release": "perennial:ab"}
    return [
        {**each, "Key": names.get(each["Key"], each["Key"])} for each in release_plan.tags(subject)
    ]


def alarms(subject: Subject, guard: Guard) -> list[dict[str, Any]]:
    """PutMetricAlarm requests that watch the challenger: a release's guards, on its variant.

    `subject.release` is the test's number. The challenger alone has the configuration's metrics
    under its own variant, so main's requests count for nothing here.
    """
    found = []
    for request in release_plan.alarms(subject, guard):
        kind = str(request["AlarmName"]).rpartition("-")[2]
        described = str(request["AlarmDescription"])
        places = [
            {**each, "Value": CHALLENGER} if each["Name"] == "VariantName" else each
            for each in request["Dimensions"]
        ]
        found.append(
            {
                **request,
                "AlarmName": naming.ab_alarm(subject.stack, subject.model, subject.release, kind),
                "AlarmDescription": described.replace(
                    f"in production, release {subject.release}",
                    f"as challenger of A/B test {subject.release}",
                ).replace("It is rolled back.", "It gets no traffic any more."),
                "Dimensions": places,
                "Tags": release_tags(subject),
            }
        )
    return found


def alarm_names(stack: str, model: str, test: int) -> tuple[str, ...]:
    """The names that a challenger's alarms may have."""
    return tuple(naming.ab_alarm(stack, model, test, kind) for kind in naming.GUARD_KINDS)
