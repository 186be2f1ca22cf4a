"""HTTP APIs: as SAM makes them, and called as clients do."""

from __future__ import annotations

import base64
import http.client
import json
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from tests.functional.cloudformation.conftest import Stacks
from tests.functional.conftest import LocalCloud
from tests.functional.issuer import Issuer, bearer, new_key, publish

SOURCE = """
import json, time


def handler(event, context):
    path = event["rawPath"]
    if path.endswith("/event"):
        return event
    if path.endswith("/slow"):
        time.sleep(2)
    if path.endswith("/fails"):
        raise ValueError("no")
    if path.endswith("/wrong"):
        return {"statusCode": "teapot"}
    headers = {"X-Answer": "yes", "access-control-allow-origin": "mine"}
    return {"statusCode": 201, "headers": headers, "cookies": ["a=b"], "body": path}
"""


@dataclass(frozen=True)
class Answer:
    """What a client gets."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass
class Caller:
    """Calls one API."""

    cloud: LocalCloud
    url: str

    def __call__(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        headers: Mapping[str, str] | None = None,
        sign: str = "",
    ) -> Answer:
        """One request, signed for the service `sign` if there is one."""
        url = self.url + path
        given = dict(headers or {})
        if sign:
            request = AWSRequest(method, url, headers=given, data=body)
            SigV4Auth(Credentials("AKIALOCALTEST", "local"), sign, "eu-west-1").add_auth(request)
            given = dict(request.headers.items())
        host = self.cloud.endpoint.removeprefix("http://")
        connection = http.client.HTTPConnection(host, timeout=60)
        connection.request(method, url.removeprefix(self.cloud.endpoint), body, given)
        answer = connection.getresponse()
        found = Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        connection.close()
        return found


def function() -> dict[str, Any]:
    """A function that shows what it gets."""
    return {
        "Type": "AWS::Serverless::Function",
        "Properties": {
            "Runtime": "python3.13",
            "Handler": "index.handler",
            "InlineCode": SOURCE,
            "Timeout": 10,
            "Events": {
                "Open": event("/open/{proxy+}", "ANY", "NONE"),
                "One": event("/open/{name}", "GET", "NONE"),
                "Signed": event("/signed/{name}", "POST", "AWS_IAM"),
                "Token": event("/token", "GET", "Tokens"),
                "Scoped": event("/scoped", "GET", "Tokens", ["predict"]),
            },
        },
    }


def event(path: str, method: str, authorizer: str, scopes: list[str] | None = None) -> Any:
    """A route of the function's."""
    auth = {"Authorizer": authorizer} | ({"AuthorizationScopes": scopes} if scopes else {})
    properties = {"ApiId": {"Ref": "Api"}, "Path": path, "Method": method}
    if authorizer != "NONE":
        properties["Auth"] = auth
    if method == "ANY":
        properties["TimeoutInMillis"] = 1000
    return {"Type": "HttpApi", "Properties": properties}


def template(issuer: str, **more: Any) -> dict[str, Any]:
    """An API as people write it with SAM."""
    properties = {
        "AccessLogSettings": {
            "DestinationArn": {"Fn::GetAtt": "Log.Arn"},
            "Format": "$context.requestId $context.routeKey $context.status "
            "$context.identity.caller $context.nothing",
        },
        "CorsConfiguration": {"AllowOrigins": ["http://127.0.0.1:*"], "AllowMethods": ["GET"]},
        "RouteSettings": {"GET /token": {"ThrottlingBurstLimit": 3, "ThrottlingRateLimit": 0.01}},
        "Auth": {
            "EnableIamAuthorizer": True,
            "Authorizers": {
                "Tokens": {
                    "IdentitySource": "$request.header.Authorization",
                    "JwtConfiguration": {"issuer": issuer, "audience": ["us"]},
                }
            },
        },
        **more,
    }
    return {
        "Transform": "AWS::Serverless-2016-10-31",
        "Resources": {
            "Log": {"Type": "AWS::Logs::LogGroup"},
            "Api": {"Type": "AWS::Serverless::HttpApi", "Properties": properties},
            "Function": function(),
        },
        "Outputs": {
            "Url": {"Value": {"Fn::GetAtt": "Api.ApiEndpoint"}},
            "Log": {"Value": {"Ref": "Log"}},
        },
    }


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Issuer:
    """An issuer whose keys lie in files."""
    return publish(tmp_path_factory.mktemp("issuer"))


@pytest.fixture(scope="module")
def outputs(local_cloud: LocalCloud, issuer: Issuer) -> Iterator[dict[str, str]]:
    """A stack with an API; its outputs."""
    stacks = Stacks(local_cloud)
    stack = stacks.create({}, body=template(issuer.url), StackName="http-api")
    assert stack["StackStatus"] == "CREATE_COMPLETE", stacks.reasons(stack["StackId"])
    yield {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}
    stacks.client.delete_stack(StackName="http-api")


@pytest.fixture
def call(local_cloud: LocalCloud, outputs: dict[str, str]) -> Caller:
    """Calls the stack's API."""
    return Caller(local_cloud, outputs["Url"])


def test_the_function_gets_the_request_in_format_2(call: Caller, local_cloud: LocalCloud) -> None:
    """Path, variables, query, cookies, headers and body arrive as AWS hands them over."""
    answer = call(
        "POST",
        "/open/a%20b/event?x=1&x=2&y=",
        b'{"a": 1}',
        headers={"Content-Type": "application/json", "Cookie": "k=v; l=w", "X-Own": "z"},
    )
    assert answer.status == 200
    event = answer.json
    assert event["version"] == "2.0"
    assert event["routeKey"] == "ANY /open/{proxy+}"
    assert event["pathParameters"] == {"proxy": "a b/event"}
    assert event["rawPath"] == "/open/a%20b/event"
    assert event["rawQueryString"] == "x=1&x=2&y="
    assert event["queryStringParameters"] == {"x": "1,2", "y": ""}
    assert event["cookies"] == ["k=v", "l=w"]
    assert event["headers"]["x-own"] == "z"
    assert "cookie" not in event["headers"]
    assert (event["body"], event["isBase64Encoded"]) == ('{"a": 1}', False)
    http_part = event["requestContext"]["http"]
    assert (http_part["method"], http_part["sourceIp"]) == ("POST", "127.0.0.1")
    assert event["requestContext"]["accountId"] == "123456789012"
    assert "authorizer" not in event["requestContext"]
    assert answer.headers["apigw-requestid"] == event["requestContext"]["requestId"]


def test_a_body_that_is_no_text_travels_in_base64(call: Caller) -> None:
    """Only texts arrive as they are."""
    event = call("POST", "/open/x/event", b"\x00\xff", headers={"Content-Type": "image/png"}).json
    assert base64.b64decode(event["body"]) == b"\x00\xff"
    assert event["isBase64Encoded"] is True


def test_the_answer_keeps_status_headers_and_cookies(call: Caller) -> None:
    """What the function returns is what the client gets; a full match wins over a greedy one."""
    answer = call("GET", "/open/x")
    assert (answer.status, answer.body) == (201, b"/open/x")
    assert answer.headers["x-answer"] == "yes"
    assert answer.headers["set-cookie"] == "a=b"


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/nowhere", 404, "Not Found"),
        ("GET", "/signed/x", 404, "Not Found"),
        ("POST", "/open/x/fails", 500, "Internal Server Error"),
        ("POST", "/open/x/wrong", 500, "Internal Server Error"),
        ("POST", "/open/x/slow", 503, "Service Unavailable"),
    ],
)
def test_failures_are_answered_as_api_gateway_does(
    call: Caller, method: str, path: str, status: int, words: str
) -> None:
    """No route, a function that fails, answers nonsense or takes too long."""
    answer = call(method, path)
    assert (answer.status, answer.json) == (status, {"message": words})


def test_bodies_have_limits(call: Caller) -> None:
    """Over 10 MB the API refuses; over 6 MB the function cannot be asked."""
    for megabytes in (7, 11):
        answer = call("POST", "/open/x/y", b"x" * (megabytes << 20))
        assert (answer.status, answer.json["message"]) == (413, "Request Entity Too Large")


def test_iam_routes_want_a_signature(call: Caller) -> None:
    """Unsigned, or signed for another service, is 403; signed arrives with who signed."""
    assert call("POST", "/signed/event").status == 403
    wrong = call("POST", "/signed/event", sign="sagemaker")
    assert (wrong.status, "execute-api" in wrong.json["message"]) == (403, True)
    event = call("POST", "/signed/event", sign="execute-api").json
    iam = event["requestContext"]["authorizer"]["iam"]
    assert (iam["accessKey"], iam["accountId"]) == ("AKIALOCALTEST", "123456789012")


def test_tokens_are_verified(call: Caller, issuer: Issuer) -> None:
    """A token passes with the issuer's signature, our audience and its time, and not otherwise."""
    good = call("GET", "/scoped", headers=bearer(issuer.token(scope="read predict")))
    assert good.status == 201
    stranger = Issuer(issuer.url, new_key())
    refused = {
        "signature": stranger.token(scope="predict"),
        "audience": issuer.token(scope="predict", aud="them"),
        "issuer": issuer.token(scope="predict", iss="https://example.com"),
        "expired": issuer.token(scope="predict", exp=time.time() - 5),
        "valid yet": issuer.token(scope="predict", nbf=time.time() + 60),
        "no time": issuer.token(scope="predict", exp=None),
        "signing method": issuer.token(scope="predict", method="none"),
        "malformed": "abc",
    }
    for words, token in refused.items():
        answer = call("GET", "/scoped", headers=bearer(token))
        assert (answer.status, answer.json) == (401, {"message": "Unauthorized"}), words
        assert words in answer.headers["www-authenticate"]
    assert call("GET", "/scoped").headers["www-authenticate"] == "Bearer"
    narrow = call("GET", "/scoped", headers=bearer(issuer.token(scope="read")))
    assert (narrow.status, "insufficient_scope" in narrow.headers["www-authenticate"]) == (
        403,
        True,
    )


def test_a_stage_throttles_its_routes(call: Caller, issuer: Issuer) -> None:
    """A burst passes, and what comes at once after it is 429, before anybody is asked."""
    headers = bearer(issuer.token())
    statuses = [call("GET", "/token", headers=headers).status for _ in range(5)]
    assert statuses == [201, 201, 201, 429, 429]


def test_cors_is_answered_by_the_api(call: Caller, local_cloud: LocalCloud) -> None:
    """Preflights never reach the function, and its own CORS headers are replaced."""
    origin = {"Origin": local_cloud.endpoint}
    asked = call("OPTIONS", "/open/x", headers={**origin, "Access-Control-Request-Method": "GET"})
    assert (asked.status, asked.body) == (204, b"")
    assert asked.headers["access-control-allow-origin"] == local_cloud.endpoint
    assert asked.headers["access-control-allow-methods"] == "GET"
    answer = call("GET", "/open/x", headers=origin)
    assert answer.headers["access-control-allow-origin"] == local_cloud.endpoint


def test_foreign_pages_are_shut_out(call: Caller) -> None:
    """The cloud's rules of Host and Origin hold for APIs too."""
    assert call("GET", "/open/x", headers={"Origin": "https://example.com"}).status == 403
    assert call("GET", "/open/x", headers={"Host": "example.com"}).status == 403


def test_requests_are_logged_and_counted(
    call: Caller, local_cloud: LocalCloud, outputs: dict[str, str]
) -> None:
    """Each request leaves a line in the stage's format, and metrics by API."""
    request = call("POST", "/signed/x", sign="execute-api").headers["apigw-requestid"]
    logs = local_cloud.client("logs")
    found = logs.filter_log_events(logGroupName=outputs["Log"])["events"]
    assert f"{request} POST /signed/{{name}} 201 AKIALOCALTEST -" in [e["message"] for e in found]
    api = call.url.rpartition("/")[2]
    names = {
        metric["MetricName"]
        for metric in local_cloud.client("cloudwatch").list_metrics(
            Namespace="AWS/ApiGateway", Dimensions=[{"Name": "ApiId", "Value": api}]
        )["Metrics"]
    }
    assert {"Count", "4xx", "5xx", "Latency", "IntegrationLatency"} <= names


def test_a_function_must_let_the_api_call_it(
    call: Caller, local_cloud: LocalCloud, outputs: dict[str, str]
) -> None:
    """Without the permission that SAM adds, the answer is 500, as on AWS."""
    functions = local_cloud.client("lambda")
    resource = Stacks(local_cloud).physical("http-api", "Function")
    policy = json.loads(functions.get_policy(FunctionName=resource)["Policy"])
    (statement,) = [s for s in policy["Statement"] if "POST/signed/" in json.dumps(s)]
    functions.remove_permission(FunctionName=resource, StatementId=statement["Sid"])
    try:
        refused = call("POST", "/signed/x", sign="execute-api")
        assert (refused.status, refused.json) == (500, {"message": "Internal Server Error"})
    finally:
        functions.add_permission(
            FunctionName=resource,
            StatementId=statement["Sid"],
            Action=statement["Action"],
            Principal="apigateway.amazonaws.com",
            SourceArn=next(iter(statement["Condition"].values()))["AWS:SourceArn"],
        )
    assert call("POST", "/signed/x", sign="execute-api").status == 201


def test_stock_clients_see_the_api(local_cloud: LocalCloud, call: Caller) -> None:
    """boto3 lists the API with the address that answers, its routes and its stage."""
    client = local_cloud.client("apigatewayv2")
    (api,) = [each for each in client.get_apis()["Items"] if each["ApiEndpoint"] == call.url]
    routes = client.get_routes(ApiId=api["ApiId"])["Items"]
    assert {route["RouteKey"] for route in routes} == {
        "ANY /open/{proxy+}",
        "GET /open/{name}",
        "POST /signed/{name}",
        "GET /token",
        "GET /scoped",
    }
    kinds = {route["RouteKey"]: route["AuthorizationType"] for route in routes}
    assert kinds["POST /signed/{name}"] == "AWS_IAM"
    assert kinds["GET /token"] == "JWT"


def test_many_at_once(call: Caller) -> None:
    """Requests at the same time all get their own answer."""
    answers: dict[int, bytes] = {}

    def ask(number: int) -> None:
        answers[number] = call("GET", f"/open/{number}").body

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {number: f"/open/{number}".encode() for number in range(12)}


def api_body(**operation: Any) -> dict[str, Any]:
    """A body with one operation."""
    integration = {
        "type": "aws_proxy", "httpMethod": "POST", "payloadFormatVersion": "2.0",
        "uri": "arn:aws:lambda:eu-west-1:123456789012:function:f",
    }  # fmt: skip
    whole = {"x-amazon-apigateway-integration": integration, **operation}
    return {"openapi": "3.0.1", "info": {"title": "x"}, "paths": {"/a": {"get": whole}}}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"swagger": "2.0"}, "no OpenAPI 3 document"),
        (api_body(**{"x-amazon-apigateway-integration": {"type": "http_proxy"}}), "http_proxy"),
        (
            api_body(**{"x-amazon-apigateway-integration": {
                "type": "aws_proxy", "payloadFormatVersion": "1.0"}}),
            "payloadFormatVersion 1.0",
        ),
        (api_body(**{"x-amazon-apigateway-request-validator": "x"}), "request-validator"),
        (api_body(security=[{"Nobody": []}]), "Nobody, which is nowhere"),
        (
            api_body() | {"components": {"securitySchemes": {"L": {
                "type": "apiKey", "x-amazon-apigateway-authorizer": {"type": "request"}}}}},
            "the authorizer L",
        ),
        (
            api_body() | {"components": {"securitySchemes": {"J": {
                "type": "oauth2", "x-amazon-apigateway-authorizer": {
                    "type": "jwt", "jwtConfiguration": {
                        "issuer": "http://127.0.0.1:1", "audience": ["a"]}}}}}},
            "Caught exception when connecting to http://127.0.0.1:1",
        ),
    ],
)  # fmt: skip
def test_what_is_not_supported_fails_with_its_name(
    local_cloud: LocalCloud, body: Any, words: str
) -> None:
    """Nothing of an OpenAPI body is ignored in silence."""
    client = local_cloud.client("apigatewayv2")
    api = client.create_api(Name="x", ProtocolType="HTTP")["ApiId"]
    with pytest.raises(ClientError, match="BadRequestException") as refused:
        client.reimport_api(ApiId=api, Body=json.dumps(body))
    assert words in str(refused.value)
    client.delete_api(ApiId=api)


def test_routes_may_be_resources_of_their_own(stacks: Stacks, issuer: Issuer) -> None:
    """Api, Integration, Authorizer, Route and Stage work without a body, and can be changed."""
    resources = own_resources(issuer)
    name = stacks.name()
    outputs = {"Url": {"Value": {"Fn::GetAtt": "Api.ApiEndpoint"}}}
    stack = stacks.create(resources, outputs=outputs, StackName=name)
    assert stack["StackStatus"] == "CREATE_COMPLETE", stacks.reasons(stack["StackId"])
    call = Caller(stacks.cloud, stack["Outputs"][0]["OutputValue"])
    assert call("GET", "/v1/a/b").status == 401
    answer = call("GET", "/v1/a/b", headers=bearer(issuer.token()))
    assert (answer.status, answer.body) == (201, b"/v1/a/b")
    resources["Route"]["Properties"].pop("AuthorizerId")
    resources["Route"]["Properties"]["AuthorizationType"] = "NONE"
    changed = stacks.update(name, resources, outputs=outputs)
    assert changed["StackStatus"] == "UPDATE_COMPLETE"
    assert call("GET", "/v1/a/b").status == 201
    stacks.delete(stack["StackId"])
    assert call("GET", "/v1/a/b").json == {"message": "Not Found"}


def own_resources(issuer: Issuer) -> dict[str, Any]:
    """An API of single resources, with a stage that has a name."""
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"},
             "Action": "sts:AssumeRole"}  # fmt: skip
    api = {"ApiId": {"Ref": "Api"}}
    return {
        "Role": {
            "Type": "AWS::IAM::Role",
            "Properties": {"AssumeRolePolicyDocument": {"Statement": [trust]}},
        },
        "Function": {
            "Type": "AWS::Lambda::Function",
            "Properties": {
                "Runtime": "python3.13", "Handler": "index.handler", "Code": {"ZipFile": SOURCE},
                "Role": {"Fn::GetAtt": "Role.Arn"},
            },
        },
        "Permission": {
            "Type": "AWS::Lambda::Permission",
            "Properties": {
                "Action": "lambda:InvokeFunction", "FunctionName": {"Ref": "Function"},
                "Principal": "apigateway.amazonaws.com",
            },
        },
        "Api": {
            "Type": "AWS::ApiGatewayV2::Api",
            "Properties": {"Name": "own", "ProtocolType": "HTTP"},
        },
        "Authorizer": {
            "Type": "AWS::ApiGatewayV2::Authorizer",
            "Properties": {
                **api, "Name": "tokens", "AuthorizerType": "JWT",
                "IdentitySource": ["$request.header.Authorization"],
                "JwtConfiguration": {"Issuer": issuer.url, "Audience": ["us"]},
            },
        },
        "Integration": {
            "Type": "AWS::ApiGatewayV2::Integration",
            "Properties": {
                **api, "IntegrationType": "AWS_PROXY", "PayloadFormatVersion": "2.0",
                "IntegrationUri": {"Fn::GetAtt": "Function.Arn"},
            },
        },
        "Route": {
            "Type": "AWS::ApiGatewayV2::Route",
            "Properties": {
                **api, "RouteKey": "GET /a/{b}", "AuthorizationType": "JWT",
                "AuthorizerId": {"Ref": "Authorizer"},
                "Target": {"Fn::Sub": "integrations/${Integration}"},
            },
        },
        "Stage": {
            "Type": "AWS::ApiGatewayV2::Stage",
            "Properties": {**api, "StageName": "v1", "AutoDeploy": True},
        },
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "properties", "words"),
    [
        ("Api", {"Name": "x", "ProtocolType": "WEBSOCKET"}, "WEBSOCKET is not supported"),
        ("Api", {"Name": "x", "ProtocolType": "HTTP", "DisableExecuteApiEndpoint": True},
         "Property DisableExecuteApiEndpoint"),
        ("Stage", {"ApiId": "x", "StageName": "v1"}, "without AutoDeploy is not supported"),
        ("Stage", {"ApiId": "x", "StageName": "v1", "AutoDeploy": True, "AccessLogSettings": {
            "DestinationArn": "arn:aws:firehose:eu-west-1:123456789012:deliverystream/x",
            "Format": "$context.requestId"}}, "only a log group is supported"),
        ("Route", {"ApiId": "x", "RouteKey": "GET a", "Target": "integrations/x"}, "not formatted"),
        ("Route", {"ApiId": "x", "RouteKey": "GET /a", "Target": "integrations/x",
                   "AuthorizationType": "CUSTOM"}, "CUSTOM is not supported"),
        ("Authorizer", {"ApiId": "x", "Name": "x", "AuthorizerType": "REQUEST"},
         "AuthorizerType REQUEST is not supported"),
        ("Integration", {"ApiId": "x", "IntegrationType": "HTTP_PROXY"}, "HTTP_PROXY"),
    ],
)  # fmt: skip
def test_properties_that_are_not_carried_out(
    stacks: Stacks, kind: str, properties: dict[str, Any], words: str
) -> None:
    """A property or value without effect here fails the stack with its name."""
    resource = {"Type": f"AWS::ApiGatewayV2::{kind}", "Properties": properties}
    stack = stacks.create({"It": resource})
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    assert words in "\n".join(stacks.reasons(stack["StackId"]))
