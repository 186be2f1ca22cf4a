"""What an API leaves behind: metrics in AWS/ApiGateway, and the stage's access log."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from local.httpapi.payload import ApiAnswer, ApiRequest

if TYPE_CHECKING:
    from local.cloud import Cloud

log = logging.getLogger(__name__)
_VARIABLE = re.compile(r"\$context\.([A-Za-z0-9_.:-]*[A-Za-z0-9_])")
_GROUP = re.compile(r"arn:[a-z-]+:logs:[a-z0-9-]+:[0-9]{12}:log-group:([^:]+)(?::\*)?")


@dataclass
class Passage:
    """One request's way through an API, for its records. Times are in milliseconds."""

    request: ApiRequest
    route_key: str = ""
    caller: Mapping[str, str] = field(default_factory=dict)
    integration_ms: float | None = None
    integration_status: int | None = None
    error: str = ""
    integration_error: str = ""


def record_metrics(cloud: Cloud, passage: Passage, answer: ApiAnswer, spent_ms: float) -> None:
    """Count, 4xx, 5xx, Latency, IntegrationLatency and DataProcessed, by API and by stage."""
    request = passage.request
    figures: list[tuple[str, float, str]] = [
        ("Count", 1, "Count"),
        ("4xx", float(400 <= answer.status < 500), "Count"),
        ("5xx", float(answer.status >= 500), "Count"),
        ("Latency", spent_ms, "Milliseconds"),
        ("DataProcessed", len(request.body) + len(answer.body), "Bytes"),
    ]
    if passage.integration_ms is not None:
        figures.append(("IntegrationLatency", passage.integration_ms, "Milliseconds"))
    api = {"ApiId": request.api_id}
    for dimensions in (api, {**api, "Stage": request.stage}):
        for name, value, unit in figures:
            cloud.put_metric("AWS/ApiGateway", name, value, dimensions, unit)


def write_access_log(
    cloud: Cloud, settings: Mapping[str, Any], passage: Passage, answer: ApiAnswer, spent_ms: float
) -> None:
    """One line in the stage's own format; a variable that knows nothing is `-`."""
    group = _GROUP.fullmatch(str(settings.get("destinationArn", "")))
    if group is None:
        log.error("no access log to %r: only log groups work", settings.get("destinationArn"))
        return
    known = _variables(passage, answer, spent_ms)
    line = _VARIABLE.sub(lambda m: known.get(m[1]) or "-", str(settings.get("format", "")))
    cloud.put_log_events(group[1], f"{passage.request.api_id}/{passage.request.stage}", [line])


def _variables(passage: Passage, answer: ApiAnswer, spent_ms: float) -> dict[str, str]:
    request = passage.request
    stamp = datetime.fromtimestamp(request.moment, UTC)
    latency = "" if passage.integration_ms is None else str(round(passage.integration_ms))
    status = "" if passage.integration_status is None else str(passage.integration_status)
    domain = f"{request.api_id}.execute-api.{request.region}.amazonaws.com"
    return {
        "accountId": request.account,
        "apiId": request.api_id,
        "authorizer.error": passage.error,
        "dataProcessed": str(len(request.body) + len(answer.body)),
        "domainName": domain,
        "domainPrefix": request.api_id,
        "error.message": passage.error,
        "error.messageString": f'"{passage.error}"' if passage.error else "",
        "extendedRequestId": request.id,
        "httpMethod": request.method,
        "identity.sourceIp": request.source_ip,
        "identity.userAgent": request.headers.get("user-agent", ""),
        "integration.error": passage.integration_error,
        "integration.integrationStatus": status,
        "integration.latency": latency,
        "integration.status": status,
        "integrationErrorMessage": passage.integration_error,
        "integrationLatency": latency,
        "integrationStatus": status,
        "path": request.path,
        "protocol": request.protocol,
        "requestId": request.id,
        "requestTime": stamp.strftime("%d/%b/%Y:%H:%M:%S +0000"),
        "requestTimeEpoch": str(int(request.moment * 1000)),
        "responseLatency": str(round(spent_ms)),
        "responseLength": str(len(answer.body)),
        "routeKey": passage.route_key,
        "stage": request.stage,
        "status": str(answer.status),
        **passage.caller,
    }
