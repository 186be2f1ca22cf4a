"""Variants of an endpoint in SageMaker: a second one beside the first, and how traffic is shared.

What the requests hold is `perennial.domain.ab_plan`'s and `perennial.domain.ledger.ab_tests`'.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from perennial.aws.clients import client
from perennial.aws.errors import translated
from perennial.domain.errors import NotFound
from perennial.domain.ledger.ab_tests import SeenFleet
from perennial.domain.release_truth import SeenEndpoint

#: How long a new configuration may take until every part of SageMaker knows it.
PAUSES_S = (1.0, 2.0, 4.0)


def see_fleet(name: str) -> SeenFleet | None:
    """The state of an endpoint with the weights of its variants, or None when there is none."""
    try:
        with translated(f"describing endpoint {name}"):
            found: Any = client("sagemaker").describe_endpoint(EndpointName=name)
    except NotFound:
        return None
    seen = SeenEndpoint(
        status=found["EndpointStatus"],
        config=found.get("EndpointConfigName", ""),
        reason=found.get("FailureReason", ""),
        modified_ms=int(found["LastModifiedTime"].timestamp() * 1000),
    )
    weights = {
        each["VariantName"]: float(each.get("DesiredWeight", each.get("CurrentWeight", 0.0)))
        for each in found.get("ProductionVariants", ())
    }
    return SeenFleet(seen, weights)


def find_config(name: str) -> Mapping[str, Any] | None:
    """A configuration as DescribeEndpointConfig tells it, or None when there is none."""
    try:
        with translated(f"describing endpoint config {name}"):
            found: Any = client("sagemaker").describe_endpoint_config(EndpointConfigName=name)
    except NotFound:
        return None
    return dict(found)


def find_model(name: str) -> Mapping[str, Any] | None:
    """A Model as DescribeModel tells it, or None when there is none."""
    try:
        with translated(f"describing model {name}"):
            found: Any = client("sagemaker").describe_model(ModelName=name)
    except NotFound:
        return None
    return dict(found)


def make_model(request: Mapping[str, Any]) -> None:
    """CreateModel, unless a model of that name is there."""
    if find_model(request["ModelName"]) is None:
        with translated(f"creating model {request['ModelName']}"):
            client("sagemaker").create_model(**request)


def make_config(request: Mapping[str, Any]) -> None:
    """CreateEndpointConfig, unless a configuration of that name is there."""
    name = request["EndpointConfigName"]
    if find_config(name) is None:
        with translated(f"creating endpoint config {name}"):
            client("sagemaker").create_endpoint_config(**request)


def ask_for_config(endpoint: str, config: str) -> None:
    """UpdateEndpoint at once, without guards; counts that scaling has set are kept.

    Weights are those of the configuration. One that was just made may not be found at once: then
    it is asked for again, some seconds long.
    """
    for pause in (*PAUSES_S, None):
        try:
            with translated(f"updating endpoint {endpoint} to {config}"):
                client("sagemaker").update_endpoint(
                    EndpointName=endpoint,
                    EndpointConfigName=config,
                    RetainAllVariantProperties=True,
                    ExcludeRetainedVariantProperties=[{"VariantPropertyType": "DesiredWeight"}],
                )
        except NotFound:
            if pause is None:
                raise
            time.sleep(pause)
        else:
            return


def set_weights(endpoint: str, weights: Mapping[str, float]) -> None:
    """UpdateEndpointWeightsAndCapacities: other weights, the same machines."""
    with translated(f"setting the weights of endpoint {endpoint}"):
        client("sagemaker").update_endpoint_weights_and_capacities(
            EndpointName=endpoint,
            DesiredWeightsAndCapacities=[
                {"VariantName": name, "DesiredWeight": weight} for name, weight in weights.items()
            ],
        )
