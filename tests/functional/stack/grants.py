"""What the functions of a deployed stack called, beside what their roles grant.

The local cloud enforces no IAM, but keeps a journal of every call: a story that had a function do
its work shows with it that the function's role suffices.
"""

from __future__ import annotations

from collections import defaultdict

from tests.functional.stack.conftest import Checkout
from tests.template.loading import as_list, main_template, references, statements

# Where an operation's permission has another name than the operation.
PERMISSIONS = {
    "dynamodb:TransactWriteItems": {
        "dynamodb:ConditionCheckItem",
        "dynamodb:DeleteItem",
        "dynamodb:PutItem",
        "dynamodb:UpdateItem",
    },
    "lambda:Invoke": {"lambda:InvokeFunction"},
    "s3:DeleteObjects": {"s3:DeleteObject", "s3:DeleteObjectVersion"},
    "s3:HeadObject": {"s3:GetObject"},
    "s3:ListObjectVersions": {"s3:ListBucketVersions"},
    "s3:ListObjectsV2": {"s3:ListBucket"},
    # Requests to CloudWatch are signed for its old name.
    "monitoring:DeleteAlarms": {"cloudwatch:DeleteAlarms"},
    "monitoring:DescribeAlarms": {"cloudwatch:DescribeAlarms"},
    "monitoring:GetMetricData": {"cloudwatch:GetMetricData"},
    "monitoring:PutMetricAlarm": {"cloudwatch:PutMetricAlarm", "cloudwatch:TagResource"},
    "monitoring:PutMetricData": {"cloudwatch:PutMetricData"},
}


def functions() -> set[str]:
    """The logical ids of all functions of the main template."""
    return set(main_template().of_type("AWS::Lambda::Function"))


def called(checkout: Checkout) -> dict[str, set[str]]:
    """The operations that each function called until now, by the function's logical id."""
    found: dict[str, set[str]] = defaultdict(set)
    known = functions()
    for call in checkout.cloud.journal("call"):
        # CloudFormation cuts names that would be too long.
        cut = call["function"].removeprefix("perennial-").rsplit("-", 1)[0]
        (function,) = (name for name in known if name.startswith(cut))
        found[function].add(f"{call['service']}:{call['operation']}")
    return found


def not_granted(checkout: Checkout) -> set[tuple[str, str]]:
    """Functions and what they called without a right."""
    allowed = granted()
    return {
        (function, operation)
        for function, operations in called(checkout).items()
        for operation in operations
        if not PERMISSIONS.get(operation, {operation}) <= allowed[function]
    }


def granted() -> dict[str, set[str]]:
    """The actions that each function's role allows, by the function's logical id."""
    template = main_template()
    found: dict[str, set[str]] = defaultdict(set)
    sources = [
        *((f"{name}", part) for name, part in template.of_type("AWS::IAM::Role").items()),
        *(
            (role, part["PolicyDocument"])
            for part in template.of_type("AWS::IAM::Policy").values()
            for role in references(part["Roles"])
        ),
    ]
    for role, part in sources:
        for statement in statements(part.get("Policies", part)):
            if statement["Effect"] != "Deny":
                found[role.removesuffix("Role")] |= set(as_list(statement["Action"]))
    return found
