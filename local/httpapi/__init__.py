"""HTTP APIs (API Gateway, version 2): moto keeps them, this answers their requests.

An API is reached below `/_apis/<api id>/` of the public port, which is what its `ApiEndpoint`
says. `imports` reads an OpenAPI body, as SAM's `AWS::Serverless::HttpApi` sends it; `gateway`
takes a request through throttle, authorisation (`authorise`, `tokens`), `cors` and the function
(`payload`), and writes metrics and access log (`records`). Functions behind payload format 2.0 are
carried out, under AWS_IAM, JWT or no authorisation; anything else is refused by its name.
"""

from typing import TYPE_CHECKING

from local.httpapi.gateway import PREFIX, Gateway
from local.httpapi.moto import api_patches

if TYPE_CHECKING:
    from local.cloud import Cloud
    from local.patches import Patch


def install(cloud: "Cloud") -> None:
    """Answer requests to HTTP APIs."""
    gateway = Gateway(cloud)
    cloud.register_path(PREFIX, gateway)
    cloud.add_idle_probe("API requests", gateway.under_way)


def patches(cloud: "Cloud") -> "list[Patch]":
    """Replacements in moto's API Gateway."""
    return api_patches(cloud)
