"""AWS Step Functions state machines."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from local.cloudformation.errors import ResourceError
from local.cloudformation.resources.base import (
    Context,
    Made,
    Properties,
    ResourceType,
    absent_is_done,
    tag_changes,
    words,
)
from local.cloudformation.resources.s3 import object_bytes

_SOURCES = ("Definition", "DefinitionString", "DefinitionS3Location")
_VARIABLE = re.compile(r"\$\{([A-Za-z0-9_]+)\}")


class StateMachine(ResourceType):
    """AWS::StepFunctions::StateMachine."""

    type_name = "AWS::StepFunctions::StateMachine"
    carried_out = words(
        "StateMachineName StateMachineType RoleArn LoggingConfiguration TracingConfiguration "
        "DefinitionSubstitutions Tags " + " ".join(_SOURCES)
    )
    attributes = words("Arn Name StateMachineRevisionId")
    custom_name = "StateMachineName"

    def problems(self, properties: Properties) -> list[str]:
        """Check that there is one definition, and logging that has somewhere to go."""
        found = []
        if sum(key in properties for key in _SOURCES) != 1:
            found.append(f"Exactly one of {', '.join(_SOURCES)} must be provided")
        logging = properties.get("LoggingConfiguration", {})
        if logging.get("Level", "OFF") != "OFF" and not logging.get("Destinations"):
            found.append("InvalidLoggingConfiguration: Must specify exactly one Log Destination")
        return found

    def create(self, context: Context, properties: Properties) -> Made:
        """Create the state machine from its filled-in definition."""
        name = context.name(properties.get("StateMachineName"), 80)
        definition = self._definition(context, properties)
        created = context.client("stepfunctions").create_state_machine(
            name=name,
            definition=definition,
            roleArn=properties["RoleArn"],
            type=properties.get("StateMachineType", "STANDARD"),
            tags=[
                {"key": key, "value": value}
                for key, value in context.tags(properties.get("Tags")).items()
            ],
            **_settings(properties),
        )
        arn = context.claim(created["stateMachineArn"])
        return Made(arn, {"Arn": arn, "Name": name, "StateMachineRevisionId": "INITIAL"})

    def update(
        self, context: Context, made: Made, old: Properties, new: Properties
    ) -> Mapping[str, Any]:
        """Update definition, role, logging and tracing; running executions keep the old one."""
        client, arn = context.client("stepfunctions"), made.physical_id
        updated = client.update_state_machine(
            stateMachineArn=arn,
            definition=self._definition(context, new),
            roleArn=new["RoleArn"],
            **_settings(new),
        )
        wanted, gone = tag_changes(context, old.get("Tags"), new.get("Tags"))
        if wanted:
            tags = [{"key": key, "value": value} for key, value in wanted.items()]
            client.tag_resource(resourceArn=arn, tags=tags)
        if gone:
            client.untag_resource(resourceArn=arn, tagKeys=gone)
        revision = updated.get("revisionId", made.attributes["StateMachineRevisionId"])
        return {**made.attributes, "StateMachineRevisionId": revision}

    def delete(self, context: Context, made: Made, properties: Properties) -> None:
        """Delete the state machine."""
        del properties
        with absent_is_done("StateMachineDoesNotExist"):
            context.client("stepfunctions").delete_state_machine(stateMachineArn=made.physical_id)

    @staticmethod
    def _definition(context: Context, properties: Properties) -> str:
        if "DefinitionS3Location" in properties:
            at = properties["DefinitionS3Location"]
            try:
                body = object_bytes(context, at["Bucket"], at["Key"], at.get("Version"))
            except ClientError as error:
                raise ResourceError(
                    f"Could not read the definition s3://{at['Bucket']}/{at['Key']}:"
                    f" {error.response['Error']['Code']}"
                ) from error
            text = body.decode()
        elif "DefinitionString" in properties:
            text = properties["DefinitionString"]
        else:
            text = json.dumps(properties["Definition"])
        return _substitute(text, properties.get("DefinitionSubstitutions", {}))


def _substitute(text: str, values: Properties) -> str:
    unused = set(values)

    def filled(match: re.Match[str]) -> str:
        name = match.group(1)
        unused.discard(name)
        if name not in values:
            raise ResourceError(
                f"Invalid State Machine Definition: no value is given for ${{{name}}} "
                "in DefinitionSubstitutions"
            )
        value = values[name]
        return str(value).lower() if isinstance(value, bool) else str(value)

    return _VARIABLE.sub(filled, text)


def _settings(properties: Properties) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    if "LoggingConfiguration" in properties:
        logging = properties["LoggingConfiguration"]
        destinations = [
            {
                "cloudWatchLogsLogGroup": {
                    "logGroupArn": item["CloudWatchLogsLogGroup"]["LogGroupArn"]
                }
            }
            for item in logging.get("Destinations", [])
        ]
        settings["loggingConfiguration"] = {
            "level": logging.get("Level", "OFF"),
            "includeExecutionData": logging.get("IncludeExecutionData", False),
            "destinations": destinations,
        }
    if "TracingConfiguration" in properties:
        settings["tracingConfiguration"] = {
            "enabled": properties["TracingConfiguration"].get("Enabled", False)
        }
    return settings
