"""moto's HTTP APIs: what is replaced in them, and how they are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml
from moto.apigatewayv2.exceptions import BadRequestException
from moto.apigatewayv2.models import Api, apigatewayv2_backends

from local.httpapi.imports import Imported, ImportRefusedError, read_body
from local.httpapi.tokens import IssuerUnreachableError, read_keys
from local.patches import Patch, original

if TYPE_CHECKING:
    from local.cloud import Cloud

#: The SigV4 name of API Gateway's control plane: the lock of moto's storage.
SERVICE = "apigateway"


def find_api(cloud: Cloud, api_id: str) -> Api | None:
    """moto's record of an API."""
    backend = apigatewayv2_backends[cloud.account][cloud.region]
    found: Api | None = backend.apis.get(api_id)
    return found


def api_endpoint(cloud: Cloud, api_id: str) -> str:
    """Where an API is reached on the public port; AWS gives each a host of its own."""
    return f"{cloud.endpoint}/_apis/{api_id}"


def api_patches(cloud: Cloud) -> list[Patch]:
    """Bound to this cloud."""
    to_json = original("moto.apigatewayv2.models:Api.to_json")

    def described(self: Any) -> dict[str, Any]:
        """As moto describes the API, with an address that answers."""
        return {**to_json(self), "apiEndpoint": api_endpoint(cloud, self.api_id)}

    return [
        Patch(
            "moto.apigatewayv2.models:Api.import_api",
            "3e5e0e4c39bee99129fe9cd9df4a8c662517368542f9c0c21c371ed84115ffba",
            import_api,
        ),
        Patch(
            "moto.apigatewayv2.models:Api.to_json",
            "b5acd65996eedd1fee83227a3f5f05adfe6adcaadb4e25ec0e45f4bbcd283a4c",
            described,
        ),
    ]


def import_api(self: Any, body_str: str, fail_on_warnings: bool) -> None:
    """Replace an API's routes by what an OpenAPI body says; nothing changes if it is refused."""
    del fail_on_warnings  # what AWS only warns of is refused here
    try:
        imported = read_body(yaml.safe_load(body_str))
        for authorizer in imported.authorizers:
            read_keys(authorizer.issuer)  # AWS too asks the issuer before it takes its name
    except (ImportRefusedError, IssuerUnreachableError, yaml.YAMLError) as error:
        raise BadRequestException(str(error)) from error
    stages = dict(self.stages)
    self.clear()
    self.stages.update(stages)
    _apply(self, imported)


def _apply(api: Any, imported: Imported) -> None:
    api.name = imported.title or api.name
    api.version = imported.version or api.version
    api.cors_configuration = imported.cors
    if imported.tags:
        api.backend.tag_resource(api.arn, dict(imported.tags))
    ids = {
        part.name: api.create_authorizer(
            auth_creds_arn=None,
            auth_payload_format_version=None,
            auth_result_ttl=None,
            authorizer_type="JWT",
            authorizer_uri=None,
            enable_simple_response=None,
            identity_source=list(part.identity_source),
            identity_validation_expr=None,
            jwt_config={"issuer": part.issuer, "audience": list(part.audience)},
            name=part.name,
        ).id
        for part in imported.authorizers
    }
    for part in imported.routes:
        integration = api.create_integration(
            connection_type="INTERNET",
            description=part.integration.get("description", ""),
            integration_method="POST",
            integration_type="AWS_PROXY",
            integration_uri=part.integration["uri"],
            payload_format_version=part.integration["payloadFormatVersion"],
            timeout_in_millis=part.integration["timeoutInMillis"],
        )
        api.create_route(
            api_key_required=False,
            authorization_scopes=list(part.scopes),
            route_key=part.key,
            target=f"integrations/{integration.id}",
            authorization_type=part.authorization,
            authorizer_id=ids.get(part.authorizer),
        )
