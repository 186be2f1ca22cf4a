"""Variants of an endpoint in SageMaker: a second one beside the first, and how traffic is shared.

What the requests hold is `perennial.domain.ab_plan`'s and `perennial.domain.ledger.ab_tests`'.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from perennial.aws.clients import client
from perennial.aws.errors import translated
from perennial.domain.errors import NotFound, Rejected
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
    name = request["ModelName"]
    _make(f"model {name}", client("sagemaker").create_model, request, lambda: find_model(name))


def make_config(request: Mapping[str, Any]) -> None:
    """CreateEndpointConfig, unless a configuration of that name is there."""
    name, create = request["EndpointConfigName"], client("sagemaker").create_endpoint_config
    _make(f"endpoint config {name}", create, request, lambda: find_config(name))


def make_endpoint(request: Mapping[str, Any]) -> None:
    """CreateEndpoint, unless an endpoint of that name is there; it serves minutes later."""
    name, create = request["EndpointName"], client("sagemaker").create_endpoint
    _make(f"endpoint {name}", create, request, lambda: see_fleet(name))


def _make(
    what: str, create: Callable[..., Any], request: Mapping[str, Any], find: Callable[[], Any]
) -> None:
    """Create what is not there; whoever made it at the same moment has asked for the same."""
    if find() is not None:
        return
    try:
        with translated(f"creating {what}"):
            create(**request)
    except Rejected:
        if find() is None:
            raise


def ask_for_config(endpoint: str, config: str, *, keeps_counts: bool = True) -> None:
    """UpdateEndpoint at once, without guards; counts that scaling has set are kept, if asked for.

    Weights are those of the configuration. One that was just made may not be found at once: then
    it is asked for again, some seconds long.
    """
    weights: list[Any] = [{"VariantPropertyType": "DesiredWeight"}]
    for pause in (*PAUSES_S, None):
        try:
            with translated(f"updating endpoint {endpoint} to {config}"):
                client("sagemaker").update_endpoint(
                    EndpointName=endpoint,
                    EndpointConfigName=config,
                    RetainAllVariantProperties=keeps_counts,
                    ExcludeRetainedVariantProperties=weights if keeps_counts else [],
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
