"""Functions run as the template defines them, in AWS's own runtime client."""

import base64
import json
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.functional.conftest import LocalCloud, StartCloud
from tests.functional.local_core.conftest import (
    MakeFunction,
    archive,
    eventually,
    function_maker,
    unique,
)
from tests.functional.local_core.test_events import receive

ECHO = """
import os, sys, json
count = 0
def handler(event, context):
    global count
    count += 1
    return {"event": event, "count": count, "pid": os.getpid(), "path": sys.path,
            "environment": dict(os.environ), "arn": context.invoked_function_arn,
            "left": context.get_remaining_time_in_millis(), "memory": context.memory_limit_in_mb}
"""


def invoke(cloud: LocalCloud, name: str, event: Any = None, **options: Any) -> dict[str, Any]:
    """Invoke and parse; adds `FunctionError` under `error` and the log tail under `log`."""
    answer = cloud.client("lambda").invoke(
        FunctionName=name, Payload=json.dumps(event), LogType="Tail", **options
    )
    body = answer["Payload"].read()
    return {
        "status": answer["StatusCode"],
        "error": answer.get("FunctionError"),
        "log": base64.b64decode(answer.get("LogResult", "")).decode(),
        "payload": json.loads(body) if body else None,
    }


def test_handler_environment_and_context_are_the_functions_own(
    local_cloud: LocalCloud, make_function: MakeFunction
) -> None:
    """Event, variables, memory, timeout and ARN reach the handler; credentials are dummies."""
    name = make_function(ECHO, MemorySize=512, Environment={"Variables": {"COLOUR": "green"}})
    seen = invoke(local_cloud, name, {"a": 1})["payload"]
    assert seen["event"] == {"a": 1}
    assert seen["environment"]["COLOUR"] == "green"
    assert seen["environment"]["AWS_ENDPOINT_URL"] == local_cloud.endpoint
    assert seen["environment"]["AWS_SECRET_ACCESS_KEY"] == "local"
    assert Path(seen["environment"]["AWS_CONFIG_FILE"]).read_bytes() == b""
    assert seen["memory"] == "512"
    assert 8000 < seen["left"] <= 10000
    assert seen["arn"].endswith(f":function:{name}")


def test_warm_environment_is_reused_until_code_or_configuration_change(
    local_cloud: LocalCloud, make_function: MakeFunction
) -> None:
    """Module state survives between invocations and ends with an update."""
    name = make_function(ECHO)
    first, second = (invoke(local_cloud, name)["payload"] for _ in range(2))
    assert (first["pid"], second["count"]) == (second["pid"], 2)
    client = local_cloud.client("lambda")
    client.update_function_configuration(FunctionName=name, Environment={"Variables": {"X": "1"}})
    third = invoke(local_cloud, name)["payload"]
    assert (third["count"], third["environment"]["X"]) == (1, "1")
    client.update_function_code(
        FunctionName=name, ZipFile=archive({"app.py": "def handler(e, c): return 'new'"})
    )
    assert invoke(local_cloud, name)["payload"] == "new"


def test_only_what_lambda_has_is_on_the_path(
    local_cloud: LocalCloud, make_function: MakeFunction
) -> None:
    """boto3 imports; what only the project's environment has does not, nor does the project."""
    source = """
import importlib.util
def handler(event, context):
    return {name: importlib.util.find_spec(name) is not None for name in event}
"""
    names = [
        "boto3",
        "awslambdaric",
        "moto",
        "aws_lambda_powertools",
        "perennial",
        "local",
        "click",
    ]
    found = invoke(local_cloud, make_function(source), names)["payload"]
    assert [name for name in names if found[name]] == ["boto3", "awslambdaric"]


def test_missing_requirement_fails_as_on_aws(
    local_cloud: LocalCloud, make_function: MakeFunction
) -> None:
    """An import of something that was not packed is Runtime.ImportModuleError."""
    answer = invoke(local_cloud, make_function("import moto\ndef handler(e, c): pass"))
    assert answer["error"] == "Unhandled"
    assert answer["payload"]["errorType"] == "Runtime.ImportModuleError"
    assert (
        answer["payload"]["errorMessage"] == "Unable to import module 'app': No module named 'moto'"
    )


def test_layers_are_on_the_path_and_the_last_one_wins(
    local_cloud: LocalCloud, make_function: MakeFunction
) -> None:
    """Layer packages import from python/; of two layers the later overrides the earlier."""
    client = local_cloud.client("lambda")
    arns = []
    for number in (1, 2):
        files = {"python/shared.py": f"NUMBER = {number}", f"python/only{number}.py": ""}
        layer = client.publish_layer_version(
            LayerName=unique("layer"), Content={"ZipFile": archive(files)}
        )
        arns.append(layer["LayerVersionArn"])
    source = "import shared, only1, only2\ndef handler(e, c): return shared.NUMBER"
    assert invoke(local_cloud, make_function(source, Layers=arns))["payload"] == 2


def test_exception_is_reported_in_lambdas_form_and_logged(
    local_cloud: LocalCloud, make_function: MakeFunction
) -> None:
    """errorType, errorMessage and stackTrace in the answer; the traceback is one log event."""
    name = make_function("def handler(e, c): raise KeyError('gone')")
    answer = invoke(local_cloud, name)
    assert (answer["error"], answer["payload"]["errorType"]) == ("Unhandled", "KeyError")
    assert answer["payload"]["errorMessage"] == "'gone'"
    assert "app.py" in answer["payload"]["stackTrace"][0]
    events = local_cloud.client("logs").filter_log_events(
        logGroupName=f"/aws/lambda/{name}", filterPattern="ERROR"
    )["events"]
    assert len(events) == 1
    assert "Traceback" in events[0]["message"]


def test_timeout_kills_the_process_group(
    local_cloud: LocalCloud, make_function: MakeFunction
) -> None:
    """Sandbox.Timedout with AWS's words; neither the worker nor its children survive."""
    source = """
import subprocess, time
def handler(event, context):
    child = subprocess.Popen(["sleep", "300"])
    print("child", child.pid, flush=True)
    time.sleep(60)
"""
    name = make_function(source, Timeout=1)
    started = time.monotonic()
    answer = invoke(local_cloud, name)
    assert time.monotonic() - started < 5
    assert answer["payload"]["errorType"] == "Sandbox.Timedout"
    message = answer["payload"]["errorMessage"]
    assert message.startswith("RequestId: ")
    assert message.endswith(" Error: Task timed out after 1.00 seconds")
    child = int(answer["log"].split("child ")[1].split()[0])
    eventually(lambda: not Path(f"/proc/{child}/stat").exists() or _is_zombie(child), 5)
    assert invoke(local_cloud, name)["payload"]["errorType"] == "Sandbox.Timedout"


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1].startswith("Z")
    except OSError:
        return True


def test_exit_of_the_process_is_runtime_exit_error(
    local_cloud: LocalCloud, make_function: MakeFunction
) -> None:
    """A handler that ends the process fails with Runtime.ExitError, and the next one is new."""
    source = "import os\ndef handler(e, c):\n    os._exit(7) if e else None\n    return 'fine'"
    name = make_function(source)
    answer = invoke(local_cloud, name, True)
    assert answer["payload"]["errorType"] == "Runtime.ExitError"
    assert answer["payload"]["errorMessage"].endswith("Runtime exited with error: exit status 7")
    assert invoke(local_cloud, name, False)["payload"] == "fine"


def test_log_lines_and_metrics_are_lambdas(
    local_cloud: LocalCloud, make_function: MakeFunction
) -> None:
    """START, prints and records in order, END, REPORT; Invocations, Errors, Duration."""
    source = """
import logging
def handler(event, context):
    print("first")
    logging.getLogger().warning("second")
    print("third")
    if event: raise ValueError
"""
    name = make_function(source)
    answer = invoke(local_cloud, name)
    invoke(local_cloud, name, True)
    lines = answer["log"].splitlines()
    assert lines[0].startswith("START RequestId: ")
    assert lines[0].endswith(" Version: $LATEST")
    assert (lines[1], lines[3]) == ("first", "third")
    assert lines[2].startswith("[WARNING]\t")
    assert lines[2].endswith("\tsecond")
    assert lines[4].startswith("END RequestId: ")
    assert "Billed Duration: " in lines[5]
    assert "Init Duration: " in lines[5]
    sums = {}
    for metric in ("Invocations", "Errors"):
        points = local_cloud.client("cloudwatch").get_metric_statistics(
            Namespace="AWS/Lambda",
            MetricName=metric,
            Dimensions=[{"Name": "FunctionName", "Value": name}],
            StartTime=time.time() - 300,
            EndTime=time.time() + 60,
            Period=3600,
            Statistics=["Sum"],
        )["Datapoints"]
        sums[metric] = sum(point["Sum"] for point in points)
    assert sums == {"Invocations": 2, "Errors": 1}


def test_json_logging_reaches_runtime_and_platform(
    local_cloud: LocalCloud, make_function: MakeFunction
) -> None:
    """LoggingConfig: records are JSON objects, in the group that it names, with platform lines."""
    source = """
import logging
def handler(event, context):
    logging.getLogger().warning("seen")
    logging.getLogger().info("hidden")
"""
    group = f"/own/{unique('group')}"
    config = {"LogFormat": "JSON", "ApplicationLogLevel": "WARN", "LogGroup": group}
    name = make_function(source, LoggingConfig=config)
    invoke(local_cloud, name)
    described = local_cloud.client("lambda").get_function_configuration(FunctionName=name)
    assert described["LoggingConfig"]["LogGroup"] == group
    events = local_cloud.client("logs").filter_log_events(logGroupName=group)["events"]
    lines = [json.loads(event["message"]) for event in events]
    assert [line.get("type", line.get("message")) for line in lines] == [
        "platform.start",
        "seen",
        "platform.report",
    ]
    assert lines[2]["record"]["status"] == "success"


def test_embedded_metrics_become_data_points(
    local_cloud: LocalCloud, make_function: MakeFunction
) -> None:
    """A log line in the embedded metric format is a metric; a malformed one is only a line."""
    source = """
import json, time
def handler(event, context):
    print(json.dumps({"_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [
        {"Namespace": event, "Dimensions": [["model"]],
         "Metrics": [{"Name": "Admitted", "Unit": "Count"}]}]},
        "model": "census", "Admitted": [2.0, 3.0]}))
    print('{"_aws": 7}')
"""
    namespace = unique("Embedded")
    invoke(local_cloud, make_function(source), namespace)
    points = local_cloud.client("cloudwatch").get_metric_statistics(
        Namespace=namespace,
        MetricName="Admitted",
        Dimensions=[{"Name": "model", "Value": "census"}],
        StartTime=time.time() - 300,
        EndTime=time.time() + 60,
        Period=3600,
        Statistics=["Sum", "SampleCount"],
    )["Datapoints"]
    assert (sum(p["Sum"] for p in points), sum(p["SampleCount"] for p in points)) == (5, 2)


def test_payload_limits_and_bad_payloads_are_refused(
    local_cloud: LocalCloud, make_function: MakeFunction
) -> None:
    """6 MB for a synchronous call, 1 MB for an event, and JSON only."""
    name = make_function("def handler(e, c): return 'x' * (7 * 1024 * 1024)")
    client = local_cloud.client("lambda")
    cases = [
        ("RequestResponse", b'"' + b"x" * (6 * 1024 * 1024) + b'"', "RequestTooLargeException"),
        ("Event", b'"' + b"x" * (1024 * 1024) + b'"', "RequestTooLargeException"),
        ("RequestResponse", b"{nonsense", "InvalidRequestContentException"),
    ]
    for kind, payload, code in cases:
        with pytest.raises(ClientError) as error:
            client.invoke(FunctionName=name, InvocationType=kind, Payload=payload)
        assert error.value.response["Error"]["Code"] == code
    assert invoke(local_cloud, name)["payload"]["errorType"] == "Function.ResponseSizeTooLarge"
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.invoke(FunctionName="nobody")


def test_reserved_concurrency_throttles(
    local_cloud: LocalCloud, make_function: MakeFunction
) -> None:
    """Beyond the reserved concurrency a caller gets TooManyRequestsException and a metric."""
    name = make_function("import time\ndef handler(e, c): time.sleep(1)")
    client = local_cloud.client("lambda")
    client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)
    thread = threading.Thread(target=invoke, args=(local_cloud, name))
    thread.start()
    time.sleep(0.5)
    with pytest.raises(client.exceptions.TooManyRequestsException):
        client.invoke(FunctionName=name)
    thread.join()
    assert invoke(local_cloud, name)["error"] is None


def test_asynchronous_failures_are_retried_then_sent_on(fast_cloud: LocalCloud) -> None:
    """Two retries, then the on-failure destination (AWS's record) and the dead-letter queue."""
    cloud = fast_cloud
    sqs, client = cloud.client("sqs"), cloud.client("lambda")
    urls = [sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("failed", "dead")]
    arns = [f"arn:aws:sqs:eu-west-1:123456789012:{name}" for name in ("failed", "dead")]
    source = "def handler(e, c): raise RuntimeError('no')"
    name = function_maker(cloud, [])(source, DeadLetterConfig={"TargetArn": arns[1]})
    client.put_function_event_invoke_config(
        FunctionName=name, DestinationConfig={"OnFailure": {"Destination": arns[0]}}
    )
    assert (
        client.invoke(FunctionName=name, InvocationType="Event", Payload=b'{"n":1}')["StatusCode"]
        == 202
    )
    messages = [receive(cloud, url)[0] for url in urls]
    record = json.loads(messages[0]["Body"])
    assert record["requestContext"]["condition"] == "RetriesExhausted"
    assert record["requestContext"]["approximateInvokeCount"] == 3
    assert record["requestPayload"] == {"n": 1}
    assert record["responsePayload"]["errorType"] == "RuntimeError"
    assert json.loads(messages[1]["Body"]) == {"n": 1}
    assert messages[1]["MessageAttributes"]["ErrorCode"]["StringValue"] == "200"
    runs = [entry for entry in cloud.journal("invocation") if entry["function"] == name]
    assert len(runs) == 3


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"Runtime": "nodejs22.x"}, "nodejs22.x"),
        (
            {
                "FileSystemConfigs": [
                    {
                        "Arn": "arn:aws:elasticfilesystem:eu-west-1:123456789012:"
                        "access-point/fsap-0123456789abcdef0",
                        "LocalMountPath": "/mnt/x",
                    }
                ]
            },
            "FileSystemConfigs",
        ),
        ({"SnapStart": {"ApplyOn": "PublishedVersions"}}, "SnapStart"),
    ],
)
def test_unsupported_configuration_is_refused_by_name(
    local_cloud: LocalCloud, options: dict[str, Any], word: str
) -> None:
    """What would not be honoured is not accepted."""
    base = {
        "FunctionName": unique("refused"),
        "Runtime": "python3.13",
        "Handler": "app.handler",
        "Role": "arn:aws:iam::123456789012:role/any",
        "Code": {"ZipFile": archive({"app.py": ""})},
    }
    with pytest.raises(ClientError, match=word):
        local_cloud.client("lambda").create_function(**{**base, **options})


def test_worker_calls_the_cloud_through_boto3(
    local_cloud: LocalCloud, make_function: MakeFunction
) -> None:
    """An unmodified boto3 client in a function reaches the cloud, and its calls are counted."""
    source = """
import boto3
def handler(event, context):
    return boto3.client("sqs").create_queue(QueueName=event)["QueueUrl"]
"""
    name = make_function(source)
    queue = unique("queue")
    assert queue in invoke(local_cloud, name, queue)["payload"]
    calls = [c for c in local_cloud.journal("call") if c["function"] == name]
    assert [(c["call"], c["service"], c["operation"]) for c in calls] == [(1, "sqs", "CreateQueue")]


def test_sam_and_aws_style_log_reading(
    local_cloud: LocalCloud, make_function: MakeFunction
) -> None:
    """FilterLogEvents returns the function's lines in order, as `sam logs` reads them."""
    name = make_function("def handler(e, c): print('hello from', e)")
    for number in range(3):
        invoke(local_cloud, name, number)
    events = local_cloud.client("logs").filter_log_events(
        logGroupName=f"/aws/lambda/{name}", filterPattern="hello"
    )["events"]
    assert [event["message"] for event in events] == [f"hello from {n}" for n in range(3)]


def test_no_worker_survives_the_cloud(start_cloud: StartCloud) -> None:
    """After kill -9 of the server, neither workers nor what they started are left."""
    cloud = start_cloud()
    source = """
import subprocess, os
def handler(event, context):
    child = subprocess.Popen(["sleep", "300"], start_new_session=False)
    return [os.getpid(), child.pid]
"""
    name = function_maker(cloud, [])(source)
    pids = invoke(cloud, name)["payload"]
    assert all(Path(f"/proc/{pid}").exists() for pid in pids)
    cloud.stop(9)
    eventually(lambda: all(_is_zombie(pid) for pid in pids), 5)
    listing = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    assert str(cloud.state) not in listing.stdout
