"""Our own rules of the template, each one small function in a registry.

A rule yields the words of each offence. `breaks` edits the template so that the rule must
speak, and what it must say: a rule that cannot fail proves nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.template.loading import ROOT, Template, as_list, references, statements

Raw = dict[str, Any]
Edit = Callable[[Raw], None]
FUNCTION, STATEFUL = "AWS::Lambda::Function", ("AWS::S3::Bucket", "AWS::DynamoDB::Table")


@dataclass(frozen=True)
class Rule:
    """One rule with the proof that it can fail."""

    check: Callable[[Template], Iterator[str]]
    breaks: Edit
    says: str

    @property
    def name(self) -> str:
        """The rule's name, as a test's id."""
        return self.check.__name__


RULES: list[Rule] = []


def rule(
    breaks: Edit, says: str
) -> Callable[[Callable[[Template], Iterator[str]]], Callable[[Template], Iterator[str]]]:
    """Put a check into the registry."""

    def register(check: Callable[[Template], Iterator[str]]) -> Callable[..., Iterator[str]]:
        RULES.append(Rule(check, breaks, says))
        return check

    return register


def _set(path: str, value: Any) -> Edit:
    """An edit that sets what stands at a path; keys are separated by dots."""

    def edit(raw: Raw) -> None:
        *steps, last = path.split(".")
        for step in steps:
            raw = raw.setdefault(step, {})
        raw[last] = value

    return edit


def _drop(path: str) -> Edit:
    """An edit that deletes what stands at a path."""

    def edit(raw: Raw) -> None:
        *steps, last = path.split(".")
        for step in steps:
            raw = raw[step]
        del raw[last]

    return edit


def _grant(function: str, action: str, resource: Any = "*") -> Edit:
    """An edit that lets a function do one thing more."""

    def edit(raw: Raw) -> None:
        policies = raw["Resources"][function]["Properties"]["Policies"]
        policies[-1]["Statement"].append(
            {"Effect": "Allow", "Action": action, "Resource": resource}
        )

    return edit


def _targets(template: Template) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, properties in template.of_type("AWS::Events::Rule").items():
        for target in properties["Targets"]:
            yield name, target
    for name, properties in template.of_type("AWS::Scheduler::Schedule").items():
        yield name, properties["Target"]


def _roles(template: Template) -> dict[str, list[dict[str, Any]]]:
    """Every statement that a role gets, by the role's logical id."""
    found = {
        name: list(statements(properties.get("Policies", [])))
        for name, properties in template.of_type("AWS::IAM::Role").items()
    }
    for properties in template.of_type("AWS::IAM::Policy").values():
        for role in references(properties["Roles"]):
            found[role] += statements(properties["PolicyDocument"])
    return found


@rule(_drop("Resources.OnSignalLog.Properties.RetentionInDays"), "OnSignalFunction")
def functions_log_with_retention(template: Template) -> Iterator[str]:
    """Each function logs into a group of this template that forgets."""
    groups = template.of_type("AWS::Logs::LogGroup")
    for name, properties in template.of_type(FUNCTION).items():
        group = properties.get("LoggingConfig", {}).get("LogGroup", {}).get("Ref")
        if not groups.get(group, {}).get("RetentionInDays"):
            yield f"{name} has no log group with retention"


@rule(_drop("Resources.OnRunEndedFunction.Properties.DeadLetterQueue"), "OnRunEndedFunction")
def asynchronous_paths_have_dead_letters(template: Template) -> Iterator[str]:
    """Each rule, schedule, queue and function called by them has somewhere to leave failures."""
    functions = template.of_type(FUNCTION)
    dead = {
        reference
        for properties in template.of_type("AWS::SQS::Queue").values()
        for reference in references(properties.get("RedrivePolicy"))
    }
    for name, target in _targets(template):
        if not target.get("DeadLetterConfig", {}).get("Arn"):
            yield f"{name} has no dead-letter queue"
        dead |= set(references(target.get("DeadLetterConfig")))
        for reference in references(target["Arn"]):
            if reference in functions and "DeadLetterConfig" not in functions[reference]:
                yield f"{reference} has no dead-letter queue"
    for name, properties in template.of_type("AWS::SQS::Queue").items():
        if name not in dead and "RedrivePolicy" not in properties:
            yield f"{name} has no dead-letter queue"


@rule(_drop("Globals.Function.Timeout"), "OnSignalFunction")
def functions_have_timeouts(template: Template) -> Iterator[str]:
    """Each function says how long it may take."""
    for name, properties in template.of_type(FUNCTION).items():
        if not 1 <= properties.get("Timeout", 0) <= 900:
            yield f"{name} has no timeout"


@rule(_set("Resources.SignalQueue.Properties.VisibilityTimeout", 300), "SignalQueue")
def messages_stay_hidden_long_enough(template: Template) -> Iterator[str]:
    """A message is hidden six times as long as its function may take, and tried five times."""
    for properties in template.of_type("AWS::Lambda::EventSourceMapping").values():
        (queue,) = references(properties["EventSourceArn"])
        (function,) = references(properties["FunctionName"])
        of_queue = template.resources[queue]["Properties"]
        timeout = template.resources[function]["Properties"]["Timeout"]
        if of_queue["VisibilityTimeout"] < 6 * timeout:
            yield f"{queue} shows messages again before {function} gave up"
        if of_queue["RedrivePolicy"]["maxReceiveCount"] < 5:
            yield f"{queue} gives up after less than five receptions"
        if properties.get("FunctionResponseTypes") != ["ReportBatchItemFailures"]:
            yield f"{function} fails whole batches"


@rule(_grant("OnSignalFunction", "sns:Publish"), "OnSignalFunction")
def wildcards_have_reasons(template: Template) -> Iterator[str]:
    """A grant on everything stands on a line that says why; no action is a wildcard."""
    reasons = len(re.findall(r'Resource: "\*" # reason: .+', template.text))
    broad = []
    for name, resource in template.raw["Resources"].items():
        for statement in statements(resource.get("Properties", {})):
            allows = statement["Effect"] != "Deny"
            if "*" in as_list(statement.get("Resource")) and "Principal" not in statement:
                broad.append(name)
            if allows and any(re.search(r":\*$|^\*$", a) for a in as_list(statement["Action"])):
                yield f"{name} allows {statement['Action']}"
    if len(broad) != reasons:
        yield f"{len(broad)} broad grants, {reasons} reasons: {', '.join(broad)}"


@rule(
    _set("Resources.DataLandedRule.Properties.EventPattern.detail", {"bucket": {"name": ["b"]}}),
    "DataLandedRule",
)
def rules_hear_this_stack_only(template: Template) -> Iterator[str]:
    """Each rule's pattern names something that only this stack has."""
    for name, properties in template.of_type("AWS::Events::Rule").items():
        if not set(references(properties["EventPattern"].get("detail"))) & set(template.resources):
            yield f"{name} hears other stacks"


@rule(_drop("Parameters.AlarmEmail.Description"), "AlarmEmail")
def parameters_and_outputs_are_described(template: Template) -> Iterator[str]:
    """People meet parameters and outputs in the console, without this file."""
    for kind in ("Parameters", "Outputs"):
        for name, entry in template.raw[kind].items():
            if len(entry.get("Description", "")) < 10:
                yield f"{name} has no description"


@rule(_set("Outputs.LedgerTable.Export.Name", "LedgerTable"), "LedgerTable")
def exports_carry_the_stack(template: Template) -> Iterator[str]:
    """Exports are one name space of account and Region."""
    for name, output in template.raw["Outputs"].items():
        if output["Export"]["Name"] != {"Fn::Sub": f"${{AWS::StackName}}-{name}"}:
            yield f"{name} is not exported as <stack>-{name}"


@rule(_drop("Resources.ArtifactBucket.Properties.BucketEncryption"), "ArtifactBucket")
def everything_is_encrypted(template: Template) -> Iterator[str]:
    """Buckets, table, queues, topic and logs; with the stack's own key if there is one."""
    places = {
        "AWS::S3::Bucket": ("BucketEncryption",),
        "AWS::DynamoDB::Table": ("SSESpecification",),
        "AWS::SQS::Queue": ("KmsMasterKeyId", "SqsManagedSseEnabled"),
        "AWS::SNS::Topic": ("KmsMasterKeyId",),
        "AWS::Logs::LogGroup": ("KmsKeyId",),
    }
    for kind, members in places.items():
        for name, properties in template.of_type(kind).items():
            text = json.dumps([properties.get(member) for member in members])
            if any(member not in properties for member in members) or "KmsKeyArn" not in text:
                yield f"{name} is not encrypted with the stack's key"


@rule(
    _set(
        "Resources.LandingBucket.Properties.PublicAccessBlockConfiguration.BlockPublicPolicy", False
    ),
    "LandingBucket",
)
def buckets_are_closed(template: Template) -> Iterator[str]:
    """Versioned, no public access, no ACLs, TLS only."""
    policies = json.dumps(template.of_type("AWS::S3::BucketPolicy"))
    for name, properties in template.of_type("AWS::S3::Bucket").items():
        block = properties.get("PublicAccessBlockConfiguration", {})
        if list(block.values()) != [True] * 4:
            yield f"{name} may be public"
        if properties.get("VersioningConfiguration") != {"Status": "Enabled"}:
            yield f"{name} has no versions"
        if "BucketOwnerEnforced" not in json.dumps(properties.get("OwnershipControls")):
            yield f"{name} has ACLs"
        if f'"Ref": "{name}"' not in policies or "LifecycleConfiguration" not in properties:
            yield f"{name} has no policy or no lifecycle"


@rule(_drop("Resources.SignalQueuePolicy"), "SignalQueue")
def only_tls_is_spoken(template: Template) -> Iterator[str]:
    """Each bucket, queue and topic refuses to be asked without TLS."""
    closed = set()
    for resource in template.resources.values():
        for statement in statements(resource.get("Properties", {})):
            if "aws:SecureTransport" in json.dumps(statement.get("Condition", {})):
                closed |= set(references(statement["Resource"]))
    for kind in ("AWS::S3::Bucket", "AWS::SQS::Queue", "AWS::SNS::Topic"):
        yield from (
            f"{n} can be asked without TLS" for n in template.of_type(kind) if n not in closed
        )


@rule(_drop("Resources.LedgerTable.Properties.PointInTimeRecoverySpecification"), "LedgerTable")
def the_ledger_is_safe(template: Template) -> Iterator[str]:
    """Point-in-time recovery, expiry of old rows, no capacity to plan."""
    for name, properties in template.of_type("AWS::DynamoDB::Table").items():
        recovery = properties.get("PointInTimeRecoverySpecification", {})
        if not recovery.get("PointInTimeRecoveryEnabled"):
            yield f"{name} has no point-in-time recovery"
        if properties.get("TimeToLiveSpecification", {}).get("AttributeName") != "expires":
            yield f"{name} never forgets"
        if properties.get("BillingMode") != "PAY_PER_REQUEST":
            yield f"{name} has planned capacity"


@rule(_set("Resources.LedgerTable.DeletionPolicy", "Delete"), "LedgerTable")
def data_outlives_the_stack(template: Template) -> Iterator[str]:
    """CloudFormation itself never deletes what holds data, once the stack stands."""
    for kind in STATEFUL:
        for name in template.of_type(kind):
            resource = template.resources[name]
            if resource.get("DeletionPolicy") != "RetainExceptOnCreate":
                yield f"{name} is deleted with the stack"
            if resource.get("UpdateReplacePolicy") != "Retain":
                yield f"{name} is deleted when it is replaced"


@rule(_drop("Resources.OnSignalFunction.DependsOn"), "OnSignalFunction")
def writers_go_before_the_data(template: Template) -> Iterator[str]:
    """Whoever writes is deleted before `DataRemains` takes the data away."""
    remains = template.resources["DataRemains"]["Properties"]
    provider = set(references(remains["ServiceToken"]))
    for kind in STATEFUL:
        yield from (
            f"DataRemains does not know {name}"
            for name in template.of_type(kind)
            if name not in set(references(remains))
        )
    for name in template.of_type(FUNCTION):
        if name not in provider and "DataRemains" not in as_list(
            template.resources[name].get("DependsOn", [])
        ):
            yield f"{name} may write after the data is gone"


NAMES = (
    "AlarmName", "BucketName", "DashboardName", "FunctionName", "LogGroupName", "Name",
    "QueueName", "StateMachineName", "TableName", "TopicName",
)  # fmt: skip
NAMELESS = ("AWS::IAM::Policy", "AWS::IAM::Role")  # policy names live inside their role


@rule(_set("Resources.SignalQueue.Properties.QueueName", "signals"), "SignalQueue")
def names_begin_with_the_token(template: Template) -> Iterator[str]:
    """A name of our own holds the stack's token or its whole name."""
    for name, resource in template.resources.items():
        if resource["Type"] in NAMELESS:
            continue
        for member in NAMES:
            value = resource.get("Properties", {}).get(member)
            text = json.dumps(value)
            if isinstance(value, dict) and value.get("Ref") in template.resources:
                continue  # what it names, it does not christen
            if value and "StackIdentity" not in text and "AWS::StackName" not in text:
                yield f"{name} is called {value}"


@rule(_set("Resources.OnSignalFunction.Properties.Role", {"Fn::GetAtt": "JobRole.Arn"}), "JobRole")
def each_function_has_its_role(template: Template) -> Iterator[str]:
    """No two functions share a role, and none uses one that is made for something else."""
    for name, properties in template.of_type(FUNCTION).items():
        (role,) = references(properties["Role"])
        if role != f"{name}Role":
            yield f"{name} uses {role}"


IAM = re.compile(r"iam:(?!PassRole|CreateServiceLinkedRole)")
DEPLOYING = re.compile(r"sagemaker:(Create|Update)(Endpoint$|Model$|EndpointConfig)")
#: How an endpoint scales is set once a release has ended, and removed with the endpoint.
SCALING = re.compile(
    r"application-autoscaling:(Put|Register)|sagemaker:UpdateEndpointWeights"
    r"|iam:CreateServiceLinkedRole"
)
REMOVING = re.compile(r"sagemaker:Delete(Endpoint|Model$|EndpointConfig)")
TRAINING = re.compile(r"sagemaker:Create(Training|HyperParameterTuning)")
TOUCHING = re.compile(r"sagemaker:(Create|Update|Delete)ModelPackage$")
MACHINES = {"RetrainMachineRole", "ReleaseMachineRole"}
#: Who may do what nobody else may.
RESERVED = (
    (IAM, set()),
    (DEPLOYING, {"ReleaseMachineRole", "ShareModelFunctionRole"}),
    (REMOVING, {"ReleaseMachineRole", "ConfirmReleaseFunctionRole", "OnReleaseEndedFunctionRole",
                "OnSweepDueFunctionRole", "OnStackChangedFunctionRole",
                "ShareModelFunctionRole"}),
    (SCALING, {"OnReleaseEndedFunctionRole", "OnSweepDueFunctionRole"}),
    (TRAINING, {"RetrainMachineRole"}),
    (TOUCHING, {"OnStackChangedFunctionRole", "RegisterVersionFunctionRole",
                "ApproveCandidateFunctionRole", "AwaitApprovalFunctionRole",
                "ConfirmReleaseFunctionRole", "OnReleaseEndedFunctionRole",
                "OnSweepDueFunctionRole"}),
    (re.compile(r"iam:PassRole"), {*MACHINES, "OnMonitorDueFunctionRole",
                                   "ShareModelFunctionRole"}),
    (re.compile(r"sagemaker:InvokeEndpoint"), {"SmokeTestRole", "PredictFunctionRole"}),
)  # fmt: skip


def _allowed(granted: list[dict[str, Any]]) -> set[str]:
    """Every action that some statements allow."""
    return {
        action
        for statement in granted
        if statement["Effect"] != "Deny"
        for action in as_list(statement["Action"])
    }


@rule(_grant("JudgeCandidateFunction", "sagemaker:UpdateModelPackage", "x"), "JudgeCandidate")
def roles_keep_to_their_task(template: Template) -> Iterator[str]:
    """Who trains does not deploy, who deploys does not train; few touch versions or pass roles."""
    for role, granted in _roles(template).items():
        for action in sorted(_allowed(granted)):
            for reserved, holders in RESERVED:
                if reserved.search(action) and role not in holders:
                    yield f"{role} may {action}"


@rule(_grant("ShareModelFunction", "sagemaker:UpdateEndpoint", "x"), "ShareModelFunctionRole")
def sharing_touches_one_endpoint(template: Template) -> Iterator[str]:
    """Who brings models to the shared endpoint can change that one, and none of one model's own."""
    for statement in _roles(template)["ShareModelFunctionRole"]:
        if not any(DEPLOYING.search(each) for each in as_list(statement["Action"])):
            continue
        for resource in as_list(statement["Resource"]):
            if not re.search(r"/\$\{StackIdentity\.Token\}-shared(-\*)?\"", json.dumps(resource)):
                yield f"ShareModelFunctionRole may change {resource}"


@rule(_grant("ReleaseMachine", "sagemaker:CreateTrainingJob", "x"), "ReleaseMachineRole")
def releasing_is_not_training(template: Template) -> Iterator[str]:
    """The release machine makes no model; the retrain machine and its jobs deploy none."""
    roles = _roles(template)
    for role, forbidden in (("ReleaseMachineRole", TRAINING), ("RetrainMachineRole", DEPLOYING),
                            ("JobRole", DEPLOYING), ("JobRole", TOUCHING)):  # fmt: skip
        for action in sorted(_allowed(roles[role])):
            if forbidden.search(action):
                yield f"{role} may {action}"


@rule(
    lambda raw: raw["Resources"]["BatchRole"]["Properties"]["Policies"][0]["PolicyDocument"][
        "Statement"
    ][3].__setitem__("Resource", {"Fn::Sub": "${ArtifactBucket.Arn}/models/*"}),
    "BatchRole",
)
def batches_write_predictions_alone(template: Template) -> Iterator[str]:
    """The containers of a batch put objects below its own output, and change nothing else."""
    for statement in _roles(template)["BatchRole"]:
        if "s3:PutObject" in as_list(statement["Action"]):
            for resource in as_list(statement["Resource"]):
                if "${ArtifactBucket.Arn}/batch/*/output/*" not in json.dumps(resource):
                    yield f"BatchRole may write {resource}"


@rule(
    lambda raw: raw["Resources"]["SmokeTestRole"]["Properties"]["Policies"][0]["PolicyDocument"][
        "Statement"
    ][0].__setitem__("Resource", {"Fn::Sub": "arn:x:endpoint/${StackIdentity.Token}-*"}),
    "SmokeTestRole",
)
def tests_call_staging_alone(template: Template) -> Iterator[str]:
    """The smoke test's job can invoke what versions are tested on in this stack, and no others."""
    for statement in _roles(template)["SmokeTestRole"]:
        if "sagemaker:InvokeEndpoint" in as_list(statement["Action"]):
            for resource in as_list(statement["Resource"]):
                if not re.search(r"endpoint/\$\{StackIdentity\.Token\}-(staging-\*|shared)\"",
                                 json.dumps(resource)):  # fmt: skip
                    yield f"SmokeTestRole may invoke {resource}"


@rule(
    lambda raw: raw["Resources"]["ReleaseMachine"]["Properties"]["Policies"][-1][
        "Statement"
    ].append(
        {
            "Effect": "Allow",
            "Action": "sagemaker:DeleteEndpoint",
            "Resource": {"Fn::Sub": "arn:x:endpoint/${StackIdentity.Token}-live-*"},
        }
    ),
    "ReleaseMachineRole",
)
def the_machine_deletes_no_production(template: Template) -> Iterator[str]:
    """While it runs, a release can delete nothing but its staging endpoint."""
    for statement in _roles(template)["ReleaseMachineRole"]:
        if any(REMOVING.search(action) for action in as_list(statement["Action"])):
            for resource in as_list(statement["Resource"]):
                if "-staging-" not in json.dumps(resource):
                    yield f"ReleaseMachineRole may delete {resource}"


@rule(
    lambda raw: raw["Resources"]["RegisterVersionFunction"]["Properties"]["Policies"][-1][
        "Statement"
    ].pop(),
    "RegisterVersion",
)
def writing_a_version_is_not_approving_it(template: Template) -> Iterator[str]:
    """Who registers or marks versions is denied the status Approved in so many words."""
    approving = {"ApproveCandidateFunctionRole"}
    writing = re.compile(r"sagemaker:(Create|Update)ModelPackage$")
    for role, granted in _roles(template).items():
        if role in approving or not any(writing.search(a) for a in _allowed(granted)):
            continue
        denied = [s for s in granted if s["Effect"] == "Deny" and "Condition" in s]
        if not any("Approved" in json.dumps(s["Condition"]) for s in denied):
            yield f"{role} may approve what it writes"


@rule(_grant("CheckClaimFunction", "sagemaker:InvokeEndpoint", "arn:x:endpoint/*"), "CheckClaim")
def endpoints_are_asked_by_name(template: Template) -> Iterator[str]:
    """Whoever asks endpoints may ask those of this stack's models, in production or staging."""
    for role, granted in _roles(template).items():
        for statement in granted:
            if "sagemaker:InvokeEndpoint" not in as_list(statement["Action"]):
                continue
            for resource in as_list(statement["Resource"]):
                if not re.search(
                    r":endpoint/\$\{StackIdentity\.Token\}-((live|next|staging)-\*|shared\")",
                    json.dumps(resource),
                ):
                    yield f"{role} may ask {resource}"


@rule(
    lambda raw: raw["Resources"]["PredictionsApi"]["Properties"]["DefinitionBody"]["paths"][
        "/models/{model}/predictions"
    ]["post"].pop("security"),
    "PredictionsApi",
)
def apis_are_guarded(template: Template) -> Iterator[str]:
    """Each route of an API asks who calls; each stage is throttled and logged."""
    for name, properties in template.of_type("AWS::ApiGatewayV2::Api").items():
        for path, methods in properties["Body"]["paths"].items():
            yield from (
                f"{name}: anybody may {method} {path}"
                for method, operation in methods.items()
                if not operation.get("security")
            )
    for name, properties in template.of_type("AWS::ApiGatewayV2::Stage").items():
        limits = properties.get("DefaultRouteSettings", {})
        if not {"ThrottlingBurstLimit", "ThrottlingRateLimit"} <= set(limits):
            yield f"{name} takes any number of requests"
        if "AccessLogSettings" not in properties:
            yield f"{name} leaves no trace"


@rule(_drop("Resources.JobRole.Properties.PermissionsBoundary"), "JobRole")
def roles_are_bounded(template: Template) -> Iterator[str]:
    """Each role takes the boundary that the stack was given."""
    for name, properties in template.of_type("AWS::IAM::Role").items():
        if "PermissionsBoundaryArn" not in json.dumps(properties.get("PermissionsBoundary")):
            yield f"{name} has no boundary"


@rule(
    lambda raw: raw["Resources"]["JobRole"]["Properties"]["AssumeRolePolicyDocument"]["Statement"][
        0
    ].pop("Condition"),
    "JobRole",
)
def deputies_are_not_confused(template: Template) -> Iterator[str]:
    """A role of ours that a service takes says for which account and source."""
    for name, properties in template.raw["Resources"].items():
        if properties["Type"] != "AWS::IAM::Role":
            continue
        trust = properties["Properties"]["AssumeRolePolicyDocument"]["Statement"][0]
        text = json.dumps(trust.get("Condition", {}))
        if "aws:SourceAccount" not in text or "aws:SourceArn" not in text:
            yield f"{name} can be taken for anybody"


@rule(_drop("Resources.FailedRunAlarm.Properties.AlarmActions"), "FailedRunAlarm")
def alarms_tell_people(template: Template) -> Iterator[str]:
    """Each alarm tells the topic, is described, and does not sound without data."""
    alarms = template.of_type("AWS::CloudWatch::Alarm")
    for name, properties in alarms.items():
        if "NoticesTopic" not in json.dumps(properties.get("AlarmActions")):
            yield f"{name} tells nobody"
        if not properties.get("AlarmDescription"):
            yield f"{name} does not say what it means"
        if properties.get("TreatMissingData") != "notBreaching":
            yield f"{name} sounds without data"


def _read_eleven(raw: Raw) -> None:
    metrics = raw["Resources"]["FailedFunctionAlarm"]["Properties"]["Metrics"]
    metrics += [{**metrics[-1], "Id": f"more_{number}"} for number in range(10)]


@rule(_read_eleven, "FailedFunctionAlarm")
def alarms_read_ten_metrics_at_most(template: Template) -> Iterator[str]:
    """CloudWatch refuses an alarm by metric math that reads more, and with it the whole stack."""
    for name, properties in template.of_type("AWS::CloudWatch::Alarm").items():
        read = [each for each in properties.get("Metrics", []) if "MetricStat" in each]
        if len(read) > 10:
            yield f"{name} reads {len(read)} metrics"


@rule(_drop("Resources.EventDeadLettersAlarm"), "EventDeadLetters")
def dead_letters_sound_alarms(template: Template) -> Iterator[str]:
    """Each dead-letter queue has an alarm, and each function's errors are counted by one."""
    watched = set(references(template.of_type("AWS::CloudWatch::Alarm")))
    for name, properties in template.of_type("AWS::SQS::Queue").items():
        if "RedrivePolicy" not in properties and name not in watched:
            yield f"{name} fills up silently"
    yield from (f"{n} fails silently" for n in template.of_type(FUNCTION) if n not in watched)


@rule(_set("Resources.CheckClaimFunction.Properties.CodeUri", "functions/claim/"), "CheckClaim")
def functions_are_called_as_their_folders(template: Template) -> Iterator[str]:
    """One name: folder, function, log group, and the build target of its makefile."""
    for name, resource in template.raw["Resources"].items():
        if resource["Type"] != "AWS::Serverless::Function":
            continue
        folder = re.sub(r"(?<!^)([A-Z])", r"_\1", name.removesuffix("Function")).lower()
        properties = resource["Properties"]
        if properties["CodeUri"] != f"functions/{folder}/":
            yield f"{name} is not built from functions/{folder}/"
        elif not all((ROOT / "functions" / folder / f).is_file() for f in ("app.py", "Makefile")):
            yield f"functions/{folder}/ has no app.py or no Makefile"
        if resource["Metadata"] != {"BuildMethod": "makefile"}:
            yield f"{name} is not built by its makefile"


@rule(_set("Resources.OnSignalFunction.Properties.Environment.Variables.COLOUR", "blue"), "COLOUR")
def environments_are_known(template: Template) -> Iterator[str]:
    """Each variable of a function is one that our code or Powertools reads."""
    sources = (ROOT / "layers" / "core" / "perennial").rglob("*.py")
    text = "\n".join(path.read_text("utf-8") for path in sources)
    for name, properties in template.of_type(FUNCTION).items():
        for variable in properties["Environment"]["Variables"]:
            if not variable.startswith("POWERTOOLS_") and f'"{variable}"' not in text:
                yield f"{name} gets {variable}, which nobody reads"
