"""HTTP APIs: the API with its OpenAPI body, stages, and routes that are resources of their own."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from local.cloudformation.errors import ResourceError
from local.cloudformation.resources.base import (
    Context,
    Made,
    Properties,
    ResourceType,
    absent_is_done,
    only,
    pick,
    tag_changes,
    words,
)
from local.httpapi.imports import ImportRefusedError, check_integration, jwt_authorizer
from local.httpapi.routes import check_route_key
from local.httpapi.tokens import IssuerUnreachableError, read_keys

GONE = "NotFoundException"
_API = ("CorsConfiguration", "Description", "Name", "RouteSelectionExpression", "Version")
_LOG_GROUP = re.compile(r"arn:[a-z-]+:logs:[a-z0-9-]+:[0-9]{12}:log-group:[^:]+(:\*)?")
_ROUTE_SETTINGS = "DetailedMetricsEnabled ThrottlingBurstLimit ThrottlingRateLimit"


class Api(ResourceType):
    """AWS::ApiGatewayV2::Api, for HTTP APIs."""

    type_name = "AWS::ApiGatewayV2::Api"
    carried_out = words("Body FailOnWarnings ProtocolType Tags " + " ".join(_API))
    attributes = words("ApiId ApiEndpoint ExecuteApiArn")

    def problems(self, properties: Properties) -> list[str]:
        """Check that there is a body, or name and protocol instead."""
        if "Body" in properties:
            given = [name for name in ("Name", "ProtocolType") if name in properties]
            return [f"{name} cannot be given beside Body" for name in given]
        if properties.get("ProtocolType") == "WEBSOCKET":
            return ["ProtocolType WEBSOCKET is not supported by the local cloud"]
        if "Name" not in properties or "ProtocolType" not in properties:
            return ["Name and ProtocolType are required where there is no Body"]
        return []

    def create(self, context: Context, properties: Properties) -> Made:
        """Create the API, and import its body."""
        client = context.client("apigatewayv2")
        body = properties.get("Body")
        request = pick(properties, *_API)
        request.setdefault(
            "Name", str((body or {}).get("info", {}).get("title", context.logical_id))
        )
        tags = context.tags(properties.get("Tags"))
        created = client.create_api(ProtocolType="HTTP", Tags=tags, **request)
        api = context.claim(created["ApiId"])
        if body is not None:
            client.reimport_api(ApiId=api, Body=json.dumps(body), FailOnWarnings=True)
        return Made(
            api,
            {
                "ApiId": api,
                "ApiEndpoint": created["ApiEndpoint"],
                "ExecuteApiArn": context.arn("execute-api", api),
            },
        )

    def update(
        self, context: Context, made: Made, old: Properties, new: Properties
    ) -> Mapping[str, Any]:
        """Import the body again, or change the API's own members, and its tags."""
        client, api = context.client("apigatewayv2"), made.physical_id
        if "Body" in new:
            client.reimport_api(ApiId=api, Body=json.dumps(new["Body"]), FailOnWarnings=True)
        request = pick(new, *_API)
        if request:
            client.update_api(ApiId=api, **request)
        if "CorsConfiguration" in old and "CorsConfiguration" not in new:
            client.delete_cors_configuration(ApiId=api)
        wanted, gone = tag_changes(context, old.get("Tags"), new.get("Tags"))
        arn = f"arn:aws:apigateway:{context.cloud.region}::/apis/{api}"
        if wanted:
            client.tag_resource(ResourceArn=arn, Tags=wanted)
        if gone:
            client.untag_resource(ResourceArn=arn, TagKeys=gone)
        return made.attributes

    def delete(self, context: Context, made: Made, properties: Properties) -> None:
        """Delete the API with all that it holds."""
        del properties
        with absent_is_done(GONE):
            context.client("apigatewayv2").delete_api(ApiId=made.physical_id)


class Stage(ResourceType):
    """AWS::ApiGatewayV2::Stage that deploys by itself."""

    type_name = "AWS::ApiGatewayV2::Stage"
    carried_out = words(
        "ApiId StageName AutoDeploy AccessLogSettings DefaultRouteSettings Description "
        "RouteSettings StageVariables Tags"
    )

    def problems(self, properties: Properties) -> list[str]:
        """Check that it deploys by itself, and where its log goes."""
        found = []
        if properties.get("AutoDeploy") is not True:
            found.append("A stage without AutoDeploy is not supported by the local cloud")
        settings = properties.get("AccessLogSettings")
        if settings is not None:
            if not _LOG_GROUP.fullmatch(str(settings.get("DestinationArn", ""))):
                found.append(
                    f"AccessLogSettings.DestinationArn {settings.get('DestinationArn')}: only a "
                    "log group is supported by the local cloud"
                )
            if "$context.requestId" not in str(settings.get("Format", "")):
                found.append("AccessLogSettings.Format must contain $context.requestId")
        return found

    def create(self, context: Context, properties: Properties) -> Made:
        """Create the stage."""
        self._put(context, properties)
        return Made(properties["StageName"])

    def update(
        self, context: Context, made: Made, old: Properties, new: Properties
    ) -> Mapping[str, Any]:
        """Put the whole stage again."""
        del old
        self._put(context, new)
        return made.attributes

    def delete(self, context: Context, made: Made, properties: Properties) -> None:
        """Delete the stage; an API that is gone took it along."""
        with absent_is_done(GONE):
            context.client("apigatewayv2").delete_stage(
                ApiId=properties["ApiId"], StageName=made.physical_id
            )

    @staticmethod
    def _put(context: Context, properties: Properties) -> None:
        request = pick(
            properties, "ApiId", "StageName", "AutoDeploy", "AccessLogSettings", "Description",
            "DefaultRouteSettings", "RouteSettings", "StageVariables",
        )  # fmt: skip
        for settings in (
            request.get("DefaultRouteSettings", {}),
            *(request.get("RouteSettings") or {}).values(),
        ):
            only("RouteSettings", settings, _ROUTE_SETTINGS)
        request["Tags"] = context.tags(properties.get("Tags"))
        context.client("apigatewayv2").create_stage(**request)


class Route(ResourceType):
    """AWS::ApiGatewayV2::Route."""

    type_name = "AWS::ApiGatewayV2::Route"
    carried_out = words(
        "ApiId RouteKey Target AuthorizationType AuthorizerId AuthorizationScopes OperationName"
    )
    attributes = words("RouteId")
    tagged = False

    def problems(self, properties: Properties) -> list[str]:
        """Check key, target and authorisation."""
        found = [wrong] if (wrong := check_route_key(str(properties["RouteKey"]))) else []
        kind = properties.get("AuthorizationType", "NONE")
        if kind == "CUSTOM":
            found.append("AuthorizationType CUSTOM is not supported by the local cloud")
        if kind == "JWT" and "AuthorizerId" not in properties:
            found.append("AuthorizationType JWT needs an AuthorizerId")
        if not str(properties.get("Target", "")).startswith("integrations/"):
            found.append("Target must be integrations/<integration id>")
        return found

    def create(self, context: Context, properties: Properties) -> Made:
        """Create the route."""
        created = context.client("apigatewayv2").create_route(**dict(properties))
        return Made(created["RouteId"], {"RouteId": created["RouteId"]})

    def update(
        self, context: Context, made: Made, old: Properties, new: Properties
    ) -> Mapping[str, Any]:
        """Change the route; what is gone returns to its default."""
        unset = {"AuthorizationType": "NONE", "AuthorizationScopes": [], "AuthorizerId": ""}
        gone = {name: value for name, value in unset.items() if name in old and name not in new}
        context.client("apigatewayv2").update_route(
            RouteId=made.physical_id, **{**gone, **dict(new)}
        )
        return made.attributes

    def delete(self, context: Context, made: Made, properties: Properties) -> None:
        """Delete the route."""
        with absent_is_done(GONE):
            context.client("apigatewayv2").delete_route(
                ApiId=properties["ApiId"], RouteId=made.physical_id
            )


class Integration(ResourceType):
    """AWS::ApiGatewayV2::Integration with a function."""

    type_name = "AWS::ApiGatewayV2::Integration"
    carried_out = words(
        "ApiId IntegrationType IntegrationUri IntegrationMethod PayloadFormatVersion "
        "TimeoutInMillis ConnectionType Description"
    )
    attributes = words("IntegrationId")
    tagged = False

    def create(self, context: Context, properties: Properties) -> Made:
        """Create the integration."""
        _check_integration(properties)
        created = context.client("apigatewayv2").create_integration(**dict(properties))
        return Made(created["IntegrationId"], {"IntegrationId": created["IntegrationId"]})

    def update(
        self, context: Context, made: Made, old: Properties, new: Properties
    ) -> Mapping[str, Any]:
        """Change the integration."""
        _check_integration(new)
        gone = {"TimeoutInMillis": 30_000} if "TimeoutInMillis" in old else {}
        context.client("apigatewayv2").update_integration(
            IntegrationId=made.physical_id, **{**gone, **dict(new)}
        )
        return made.attributes

    def delete(self, context: Context, made: Made, properties: Properties) -> None:
        """Delete the integration."""
        with absent_is_done(GONE):
            context.client("apigatewayv2").delete_integration(
                ApiId=properties["ApiId"], IntegrationId=made.physical_id
            )


def _check_integration(properties: Properties) -> None:
    described = {
        "type": properties.get("IntegrationType"),
        "uri": properties.get("IntegrationUri"),
        "payloadFormatVersion": properties.get("PayloadFormatVersion"),
    }
    if "TimeoutInMillis" in properties:
        described["timeoutInMillis"] = properties["TimeoutInMillis"]
    try:
        check_integration("the integration", described)
    except ImportRefusedError as error:
        raise ResourceError(str(error)) from error


class Authorizer(ResourceType):
    """AWS::ApiGatewayV2::Authorizer, for tokens."""

    type_name = "AWS::ApiGatewayV2::Authorizer"
    carried_out = words("ApiId AuthorizerType IdentitySource JwtConfiguration Name")
    attributes = words("AuthorizerId")
    tagged = False

    def problems(self, properties: Properties) -> list[str]:
        """Refuse, by name, what is no JWT authorizer."""
        if properties["AuthorizerType"] != "JWT":
            return [
                f"AuthorizerType {properties['AuthorizerType']} is not supported by the local cloud"
            ]
        return []

    def create(self, context: Context, properties: Properties) -> Made:
        """Create the authorizer, after a look at its issuer's keys."""
        _check_authorizer(properties)
        created = context.client("apigatewayv2").create_authorizer(**dict(properties))
        return Made(created["AuthorizerId"], {"AuthorizerId": created["AuthorizerId"]})

    def update(
        self, context: Context, made: Made, old: Properties, new: Properties
    ) -> Mapping[str, Any]:
        """Change issuer, audience, sources or name."""
        del old
        _check_authorizer(new)
        context.client("apigatewayv2").update_authorizer(AuthorizerId=made.physical_id, **dict(new))
        return made.attributes

    def delete(self, context: Context, made: Made, properties: Properties) -> None:
        """Delete the authorizer."""
        with absent_is_done(GONE):
            context.client("apigatewayv2").delete_authorizer(
                ApiId=properties["ApiId"], AuthorizerId=made.physical_id
            )


def _check_authorizer(properties: Properties) -> None:
    configuration = properties.get("JwtConfiguration", {})
    try:
        part = jwt_authorizer(
            str(properties["Name"]),
            str(configuration.get("Issuer", "")),
            configuration.get("Audience"),
            list(properties.get("IdentitySource", [])),
        )
        read_keys(part.issuer)
    except (ImportRefusedError, IssuerUnreachableError) as error:
        raise ResourceError(str(error)) from error
