"""A valid resource of each type, small, and what refusals are made of: one change to it."""

from __future__ import annotations

import copy
import json
from typing import Any

from local.cloudformation.template import references

ACCOUNT = "123456789012"


def _trust(service: str) -> dict[str, Any]:
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
        ],
    }


def _resource(kind: str, **properties: Any) -> dict[str, Any]:
    return {"Type": f"AWS::{kind}", "Properties": properties}


GOOD: dict[str, Any] = {
    "Bucket": _resource(
        "S3::Bucket",
        VersioningConfiguration={"Status": "Enabled"},
        BucketEncryption={
            "ServerSideEncryptionConfiguration": [
                {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
            ]
        },
        LifecycleConfiguration={"Rules": [{"Status": "Enabled", "ExpirationInDays": 7}]},
        OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
        PublicAccessBlockConfiguration={"BlockPublicAcls": True},
        NotificationConfiguration={"EventBridgeConfiguration": {"EventBridgeEnabled": True}},
    ),
    "Policy": _resource(
        "S3::BucketPolicy",
        Bucket={"Ref": "Bucket"},
        PolicyDocument={
            "Statement": {
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:*",
                "Resource": {"Fn::GetAtt": ["Bucket", "Arn"]},
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            }
        },
    ),
    "Table": _resource(
        "DynamoDB::Table",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "sk", "AttributeType": "S"},
        ],
        KeySchema=[
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ],
        TimeToLiveSpecification={"AttributeName": "expires", "Enabled": True},
        PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True},
        SSESpecification={"SSEEnabled": True},
    ),
    "DeadLetters": _resource("SQS::Queue"),
    "Queue": _resource(
        "SQS::Queue",
        VisibilityTimeout=60,
        RedrivePolicy={
            "deadLetterTargetArn": {"Fn::GetAtt": ["DeadLetters", "Arn"]},
            "maxReceiveCount": 5,
        },
    ),
    "QueuePolicy": _resource(
        "SQS::QueuePolicy",
        Queues=[{"Ref": "Queue"}],
        PolicyDocument={
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "events.amazonaws.com"},
                    "Action": "sqs:SendMessage",
                    "Resource": {"Fn::GetAtt": ["Queue", "Arn"]},
                }
            ]
        },
    ),
    "Topic": _resource("SNS::Topic"),
    "Subscription": _resource(
        "SNS::Subscription",
        TopicArn={"Ref": "Topic"},
        Protocol="sqs",
        Endpoint={"Fn::GetAtt": ["Queue", "Arn"]},
    ),
    "Role": _resource("IAM::Role", AssumeRolePolicyDocument=_trust("lambda.amazonaws.com")),
    "Inline": _resource(
        "IAM::Policy",
        PolicyName="inline",
        Roles=[{"Ref": "Role"}],
        PolicyDocument={
            "Statement": [{"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "*"}]
        },
    ),
    "Function": _resource(
        "Lambda::Function",
        Code={"ZipFile": "def handler(event, context):\n    return event\n"},
        Handler="index.handler",
        Runtime="python3.13",
        Role={"Fn::GetAtt": ["Role", "Arn"]},
        Timeout=30,
        MemorySize=256,
        Environment={"Variables": {"NAME": "value"}},
    ),
    "Mapping": _resource(
        "Lambda::EventSourceMapping",
        EventSourceArn={"Fn::GetAtt": ["Queue", "Arn"]},
        FunctionName={"Ref": "Function"},
        BatchSize=10,
    ),
    "Permission": _resource(
        "Lambda::Permission",
        FunctionName={"Ref": "Function"},
        Action="lambda:InvokeFunction",
        Principal="events.amazonaws.com",
    ),
    "Rule": _resource(
        "Events::Rule",
        EventPattern={"source": ["aws.s3"], "detail": {"object": {"key": [{"prefix": "a/"}]}}},
        Targets=[{"Id": "queue", "Arn": {"Fn::GetAtt": ["Queue", "Arn"]}}],
    ),
    "Group": _resource("Scheduler::ScheduleGroup"),
    "SchedulerRole": _resource(
        "IAM::Role", AssumeRolePolicyDocument=_trust("scheduler.amazonaws.com")
    ),
    "Schedule": _resource(
        "Scheduler::Schedule",
        GroupName={"Ref": "Group"},
        ScheduleExpression="cron(0 3 * * ? *)",
        State="DISABLED",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={
            "Arn": {"Fn::GetAtt": ["Queue", "Arn"]},
            "RoleArn": {"Fn::GetAtt": ["SchedulerRole", "Arn"]},
        },
    ),
    "Log": _resource("Logs::LogGroup", RetentionInDays=14),
    "Filter": _resource(
        "Logs::MetricFilter",
        LogGroupName={"Ref": "Log"},
        FilterPattern="ERROR",
        MetricTransformations=[{"MetricName": "E", "MetricNamespace": "N", "MetricValue": "1"}],
    ),
    "Alarm": _resource(
        "CloudWatch::Alarm",
        Namespace="AWS/SQS",
        MetricName="ApproximateNumberOfMessagesVisible",
        Dimensions=[{"Name": "QueueName", "Value": {"Fn::GetAtt": ["Queue", "QueueName"]}}],
        Statistic="Maximum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=0,
        ComparisonOperator="GreaterThanThreshold",
    ),
    "Composite": _resource(
        "CloudWatch::CompositeAlarm", AlarmRule={"Fn::Sub": 'ALARM("${Alarm}") OR FALSE'}
    ),
    "Dashboard": _resource(
        "CloudWatch::Dashboard",
        DashboardBody=json.dumps({"widgets": [{"type": "text", "properties": {"markdown": "x"}}]}),
    ),
    "MachineRole": _resource("IAM::Role", AssumeRolePolicyDocument=_trust("states.amazonaws.com")),
    "Machine": _resource(
        "StepFunctions::StateMachine",
        RoleArn={"Fn::GetAtt": ["MachineRole", "Arn"]},
        Definition={
            "StartAt": "Ask",
            "States": {
                "Ask": {
                    "Type": "Task",
                    "Resource": "arn:aws:states:::lambda:invoke",
                    "Parameters": {"FunctionName": "${Function}"},
                    "Retry": [{"ErrorEquals": ["States.ALL"], "MaxAttempts": 2}],
                    "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Failed"}],
                    "Next": "Big",
                },
                "Big": {
                    "Type": "Choice",
                    "Choices": [{"Variable": "$.n", "NumericGreaterThan": 1, "Next": "Done"}],
                    "Default": "Done",
                },
                "Done": {"Type": "Succeed"},
                "Failed": {"Type": "Fail"},
            },
        },
        DefinitionSubstitutions={"Function": {"Fn::GetAtt": ["Function", "Arn"]}},
    ),
    "Packages": _resource("SageMaker::ModelPackageGroup", ModelPackageGroupName="good-census"),
    "Key": _resource("KMS::Key", EnableKeyRotation=True),
    "Alias": _resource("KMS::Alias", AliasName="alias/good", TargetKeyId={"Ref": "Key"}),
    "Parameter": _resource("SSM::Parameter", Type="String", Value="x"),
}


def mutated(path: str, value: Any) -> dict[str, Any]:
    """Return the resource named first in the path, with one change, and what it needs.

    `value` None removes the place.
    """
    resources = copy.deepcopy(GOOD)
    name, *steps = path.split("/")
    place: Any = resources[name]["Properties"]
    keys: list[Any] = [int(step) if step.isdigit() else step for step in steps]
    for key in keys[:-1]:
        place = place[key] if isinstance(key, int) else place.setdefault(key, {})
    if value is None:
        del place[keys[-1]]
    else:
        place[keys[-1]] = value
    return _closure(resources, name)


def _closure(resources: dict[str, Any], name: str) -> dict[str, Any]:
    wanted, pending = {}, [name]
    while pending:
        item = pending.pop()
        if item in resources and item not in wanted:
            wanted[item] = resources[item]
            pending += [target for target, _ in references(resources[item]["Properties"])]
    return wanted
