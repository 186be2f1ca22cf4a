"""Templates that AWS refuses are refused here: one changed value per documented rule."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.functional.cloudformation.conftest import Stacks
from tests.functional.cloudformation.good import GOOD, mutated

ARN = "arn:aws:sqs:eu-west-1:123456789012:no-such-queue"
ENCRYPTION = "Bucket/BucketEncryption/ServerSideEncryptionConfiguration"
STATES = "Machine/Definition/States"

# (changed place, its value (None: removed), what the reason says, the rule and where AWS states it)
CASES: list[tuple[str, Any, str, str]] = [
    # What every type's schema says.
    ("Queue/Colour", "red", "extraneous key [Colour]", "schema: additionalProperties"),
    ("Queue/VisibilityTimeout", "soon", "expected type: Integer", "schema: type"),
    ("Queue/VisibilityTimeout", 43_201, "not less or equal to 43200", "schema: SQS maximum"),
    ("Queue/DelaySeconds", 901, "not less or equal to 900", "schema: SQS maximum"),
    ("Queue/MessageRetentionPeriod", 59, "not greater or equal to 60", "schema: SQS minimum"),
    ("Queue/Tags", [{"Key": "a"}], "required key [Value]", "schema: Tag required"),
    # Amazon S3
    ("Bucket/BucketName", "Has_Capitals", "[pattern]", "schema: bucket naming rules"),
    ("Bucket/VersioningConfiguration/Status", "On", "enum", "schema: versioning status"),
    (f"{ENCRYPTION}/0/ServerSideEncryptionByDefault/SSEAlgorithm", "rot13", "enum", "schema"),
    ("Bucket/LifecycleConfiguration/Rules/0", {"Status": "Enabled"}, "at least one action",
     "S3 user guide: lifecycle configuration elements"),
    ("Bucket/LifecycleConfiguration/Rules/0/ExpirationInDays", 0, "positive integer",
     "S3 API: LifecycleExpiration Days"),
    ("Bucket/OwnershipControls/Rules/0/ObjectOwnership", "Mine", "enum", "schema"),
    ("Bucket/Arn", "arn:aws:s3:::x", "read-only", "schema: readOnlyProperties"),
    ("Bucket/WebsiteConfiguration", {"IndexDocument": "i"}, "WebsiteConfiguration",
     "not carried out here: refused by name"),
    ("Policy/Bucket", None, "required key [Bucket]", "schema: required"),
    ("Policy/PolicyDocument/Statement/Effect", "Perhaps", "Effect must be Allow or Deny",
     "IAM policy grammar: Effect"),
    # Amazon DynamoDB
    ("Table/KeySchema", None, "required key [KeySchema]", "schema: required"),
    ("Table/AttributeDefinitions/1/AttributeName", "other", "not defined in AttributeDefinitions",
     "DynamoDB API: CreateTable AttributeDefinitions"),
    ("Table/KeySchema/0/KeyType", "RANGE", "is not \"HASH\"",
     "DynamoDB API: KeySchemaElement"),
    ("Table/BillingMode", "FREE", "PROVISIONED", "schema: enum"),
    ("Table/BillingMode", "PROVISIONED", "ProvisionedThroughput",
     "cfn-lint extension billingmode_provisioned_dependent: CreateTable ProvisionedThroughput"),
    ("Table/ProvisionedThroughput", {"ReadCapacityUnits": 5, "WriteCapacityUnits": 5},
     "ReadCapacityUnits", "cfn-lint extension billingmode_exclusive"),
    ("Table/AttributeDefinitions/0/AttributeType", "TEXT", "AttributeType", "schema: enum"),
    ("Table/TimeToLiveSpecification/Enabled", "perhaps", "Boolean", "schema: type"),
    # Amazon SQS
    ("Queue/RedrivePolicy/deadLetterTargetArn", ARN, "Dead letter target does not exist",
     "SQS developer guide: dead-letter queues"),
    ("Queue/RedrivePolicy/maxReceiveCount", 1001, "1 to 1000", "SQS API: RedrivePolicy"),
    ("Queue/RedrivePolicy/maxReceiveCount", None, "maxReceiveCount", "SQS API: RedrivePolicy"),
    ("Queue/FifoQueue", True, "same type of queue", "SQS developer guide: dead-letter queues"),
    ("DeadLetters/ContentBasedDeduplication", True, "ContentBasedDeduplication",
     "cfn-lint extension aws_sqs_queue/properties: FIFO only"),
    ("DeadLetters", {"FifoQueue": True, "QueueName": "no-suffix"}, "[pattern]",
     "cfn-lint extension aws_sqs_queue/properties: .fifo suffix"),
    ("QueuePolicy/Queues", None, "required key [Queues]", "schema: required"),
    ("QueuePolicy/PolicyDocument/Statement/0/Principal", None, "Principal",
     "SQS developer guide: access policy language"),
    # Amazon SNS
    ("Topic/ContentBasedDeduplication", True, "FIFO topics only", "SNS API: CreateTopic"),
    ("Subscription/Protocol", "pigeon", "pigeon", "SNS API: Subscribe Protocol"),
    ("Subscription/Endpoint", "someone@example.com", "SQS endpoint", "SNS API: Subscribe Endpoint"),
    ("Subscription/TopicArn", None, "required key [TopicArn]", "schema: required"),
    # AWS Lambda
    ("Function/Timeout", 901, "not less or equal to 900", "Lambda quotas: timeout"),
    ("Function/MemorySize", 64, "128", "Lambda quotas: memory"),
    ("Function/MemorySize", 10_241, "10240", "Lambda quotas: memory"),
    ("Function/Environment/Variables/BIG", "x" * 4096, "4KB limit",
     "Lambda quotas: environment variables"),
    ("Function/Environment/Variables/AWS_REGION", "x", "AWS_REGION",
     "Lambda developer guide: reserved environment variables"),
    ("Function/Layers", [f"arn:aws:lambda:eu-west-1:123456789012:layer:l:{n}" for n in range(6)],
     "5", "Lambda quotas: layers"),
    ("Function/Layers", ["arn:aws:lambda:eu-west-1:123456789012:layer:none:1"], "none:1",
     "Lambda API: CreateFunction Layers"),
    ("Function/Handler", None, "Handler is mandatory", "Lambda API: CreateFunction"),
    ("Function/Runtime", "python2.7x", "enum", "Lambda runtimes"),
    ("Function/Role", "arn:aws:iam::123456789012:role/nobody", "cannot be assumed by Lambda",
     "Lambda developer guide: execution role"),
    ("Function/Code", {"S3Bucket": "no-such-bucket", "S3Key": "code.zip"}, "no-such-bucket",
     "Lambda API: FunctionCode"),
    ("Function/Architectures", ["z80"], "enum", "Lambda API: Architectures"),
    ("Mapping/BatchSize", 11, "window", "Lambda API: BatchSize over 10 needs a window"),
    ("Mapping/BatchSize", 10_001, "not less or equal to 10000", "schema: maximum"),
    ("Mapping/EventSourceArn", ARN, "does not exist", "Lambda developer guide: SQS sources"),
    ("Mapping/ScalingConfig", {"MaximumConcurrency": 1}, "not greater or equal to 2",
     "Lambda API: ScalingConfig"),
    ("Mapping/FunctionResponseTypes", ["Everything"], "enum", "Lambda API: FunctionResponseTypes"),
    ("Queue/VisibilityTimeout", 10, "less than Function timeout",
     "Lambda developer guide: SQS visibility timeout"),
    ("Permission/Principal", None, "required key [Principal]", "schema: required"),
    # Amazon EventBridge
    ("Rule/EventPattern", None, "EventPattern, ScheduleExpression",
     "EventBridge API: PutRule needs a pattern or a schedule"),
    ("Rule/EventPattern/source", "aws.s3", "must be an object or an array",
     "EventBridge: event patterns, values are arrays"),
    ("Rule/EventPattern/detail/object/key/0", {"startswith": "a"}, "Unrecognized match type",
     "EventBridge: comparison operators"),
    ("Rule/EventPattern/detail/size", [{"numeric": ["~", 3]}], "numeric",
     "EventBridge: numeric matching"),
    ("Rule/ScheduleExpression", "every(5 minutes)", "[pattern]", "EventBridge: schedules"),
    ("Rule/ScheduleExpression", "rate(5 minute)", "ScheduleExpression is not valid",
     "EventBridge: rate expressions"),
    ("Rule/ScheduleExpression", "cron(0 3 * * * *)", "is not valid",
     "EventBridge: cron expressions"),
    ("Rule/Targets/0/Id", None, "required key [Id]", "schema: Target required"),
    ("Rule/Targets/0", {"Id": "queue", "Arn": ARN, "Input": "{}", "InputPath": "$"}, "Only one of",
     "EventBridge API: Target"),
    ("Rule/State", "PAUSED", "enum", "schema: State"),
    # EventBridge Scheduler
    ("Schedule/ScheduleExpression", "cron(0 25 * * ? *)", "'25'",
     "Scheduler user guide: cron-based schedules"),
    ("Schedule/ScheduleExpression", "at(tomorrow)", "Invalid Schedule",
     "Scheduler user guide: one-time schedules"),
    ("Schedule/FlexibleTimeWindow", {"Mode": "FLEXIBLE"}, "MaximumWindowInMinutes",
     "Scheduler user guide: flexible time windows"),
    ("Schedule/ScheduleExpressionTimezone", "Mars/Olympus", "no time zone",
     "Scheduler API: ScheduleExpressionTimezone"),
    ("Schedule/GroupName", "no-such-group", "does not exist", "Scheduler API: CreateSchedule"),
    ("Schedule/Target", None, "required key [Target]", "schema: required"),
    # AWS IAM
    ("Role/AssumeRolePolicyDocument", None, "required key", "schema: required"),
    ("Role/AssumeRolePolicyDocument/Statement/0/Principal", None, "Principal",
     "IAM policy grammar: trust policies name a principal"),
    ("Role/MaxSessionDuration", 60, "not greater or equal to 3600", "schema: minimum"),
    ("Inline/PolicyDocument/Statement/0/Ressource", "*", "unknown element Ressource",
     "IAM policy grammar: elements"),
    ("Inline/PolicyDocument/Statement/0/Action", "SendMessage", "vendor",
     "IAM policy grammar: actions"),
    ("Inline/PolicyDocument/Statement/0/Resource", None, "must contain resources",
     "IAM policy grammar: Resource"),
    ("Inline/PolicyDocument/Statement/0/Principal", "*", "should not specify a principal",
     "IAM policy grammar: identity policies"),
    ("Inline/PolicyDocument/Version", "2020-01-01", "Version", "IAM policy grammar: Version"),
    ("Inline/Roles", None, "Roles", "schema: anyOf Users, Groups, Roles"),
    # CloudWatch
    ("Log/RetentionInDays", 15, "enum", "Logs API: PutRetentionPolicy"),
    ("Filter/MetricTransformations", [], "minimum item count", "schema: minItems"),
    ("Alarm/Period", 90, "multiple of 60", "cfn-lint extension period: PutMetricAlarm Period"),
    ("Alarm/ComparisonOperator", "Above", "ComparisonOperator", "PutMetricAlarm"),
    ("Alarm/TreatMissingData", "panic", "TreatMissingData", "PutMetricAlarm"),
    ("Alarm/DatapointsToAlarm", 2, "less than or equal to EvaluationPeriods", "PutMetricAlarm"),
    ("Alarm/EvaluationPeriods", 20_000, "seven days", "PutMetricAlarm: evaluation range"),
    ("Alarm/Statistic", None, "Statistic", "PutMetricAlarm: Statistic or ExtendedStatistic"),
    ("Alarm/ExtendedStatistic", "p99", "not permitted together", "schema: dependentExcluded"),
    ("Alarm/AlarmActions", ["me@example.com"], "not an ARN", "PutMetricAlarm: AlarmActions"),
    ("Composite/AlarmRule", 'ALARM("a") AND', "rule ends too early", "PutCompositeAlarm"),
    ("Composite/AlarmRule", None, "required key [AlarmRule]", "schema: required"),
    ("Dashboard/DashboardBody", "{widgets}", "valid JSON", "CloudWatch: dashboard body structure"),
    ("Dashboard/DashboardBody", '{"widgets":[{"type":"pie","properties":{}}]}', "type out of",
     "CloudWatch: dashboard body structure"),
    # AWS Step Functions
    (f"{STATES}/Ask/Next", "Nowhere", "Missing 'Next' target: Nowhere",
     "Amazon States Language: transitions"),
    (f"{STATES}/Ask/Next", None, "Exactly one of", "Amazon States Language: transitions"),
    (f"{STATES}/Orphan", {"Type": "Succeed"}, "not reachable",
     "Step Functions: ValidateStateMachineDefinition"),
    (f"{STATES}/Ask/Catch/0/Next", "Nowhere", "Nowhere", "Amazon States Language: fallback"),
    (f"{STATES}/Ask/Retry/0/Tries", 3, "Tries", "Amazon States Language: retriers"),
    (f"{STATES}/Big/Choices", [], "/States/Big", "Amazon States Language: Choice"),
    ("Machine/Definition/StartAt", "Begin", "StartAt", "Amazon States Language: StartAt"),
    (f"{STATES}/Done/Type", "Finish", "'Type'", "Amazon States Language: types"),
    ("Machine/DefinitionSubstitutions", {"Other": "x"}, "${Function}", "AWS::StepFunctions"),
    ("Machine/DefinitionString", "{}", "Exactly one of", "AWS::StepFunctions::StateMachine"),
    ("Machine/LoggingConfiguration", {"Level": "ALL"}, "Log Destination",
     "Step Functions API: LoggingConfiguration"),
    ("Machine/StateMachineType", "FAST", "enum", "schema: StateMachineType"),
    # SageMaker, KMS, SSM
    ("Packages/ModelPackageGroupName", "under_score", "[pattern]", "schema: pattern"),
    ("Key/PendingWindowInDays", 3, "not greater or equal to 7", "schema: minimum"),
    ("Key/KeyPolicy", {"Statement": []}, "missing Statement", "KMS: key policies"),
    ("Alias/AliasName", "no-prefix", "[pattern]", "schema: alias/ prefix"),
    ("Parameter/Type", "SecureString", "SecureString", "AWS::SSM::Parameter: Type"),
]  # fmt: skip


def test_every_valid_resource_is_created(stacks: Stacks) -> None:
    """The resources that the refusals change are accepted as they are."""
    stack = stacks.create(GOOD)
    assert stack["StackStatus"] == "CREATE_COMPLETE", stacks.reasons(stack["StackId"])
    assert stacks.delete(stack["StackId"])["StackStatus"] == "DELETE_COMPLETE"


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [pytest.param(*case[:3], id=f"{case[0]}={json.dumps(case[1])[:30]}") for case in CASES],
)
def test_refused(stacks: Stacks, path: str, value: Any, words: str) -> None:
    """The change is refused with a reason that names it, and nothing is left."""
    if path in GOOD:  # the resource's whole properties
        resources: dict[str, Any] = {path: {**GOOD[path], "Properties": value}}
    else:
        resources = mutated(path, value)
    if path == "Queue/VisibilityTimeout" and value == 10:
        resources = {**resources, **mutated("Mapping/BatchSize", 10), "Queue": resources["Queue"]}
    stack = stacks.create(resources, OnFailure="DELETE")
    assert stack["StackStatus"] == "DELETE_COMPLETE", "the mutated template was accepted"
    reasons = stacks.reasons(stack["StackId"])
    assert any(words in reason for reason in reasons), reasons


def test_each_case_cites_its_rule() -> None:
    """Every refusal names the rule that it stands on, and no case is there twice."""
    assert all(case[3] for case in CASES)
    assert len({json.dumps(case[:2]) for case in CASES}) == len(CASES)
