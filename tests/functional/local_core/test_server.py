"""The server itself: who may talk to it, how it starts, stops and comes back."""

import http.client
import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlencode

import pytest
from botocore.config import Config

from local import patches
from tests.functional.conftest import REPOSITORY, LocalCloud, StartCloud, free_port
from tests.functional.local_core.conftest import unique


def ask(
    cloud: LocalCloud, method: str, path: str, headers: dict[str, str] | None = None
) -> tuple[int, str]:
    """One raw request: status and body."""
    host, port = cloud.endpoint.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=20)
    connection.request(method, path, headers=headers or {})
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, body


SCOPE = "AWS4-HMAC-SHA256 Credential=AKIA/20260101/eu-west-1/s3/aws4_request"
SIGNED = {"Authorization": f"{SCOPE}, SignedHeaders=host, Signature=00"}


@pytest.mark.parametrize(
    ("headers", "path", "status", "word"),
    [
        ({}, "/", 403, "signed"),
        ({}, "/moto-api/reset", 403, "signed"),
        (SIGNED, "/moto-api/data.json", 403, "closed"),
        (
            {"Authorization": SCOPE},
            "/",
            403,
            "signed",
        ),
        ({**SIGNED, "Host": "evil.example"}, "/", 403, "host"),
        ({**SIGNED, "Origin": "https://evil.example"}, "/", 403, "origin"),
        ({**SIGNED, "Sec-Fetch-Site": "cross-site"}, "/", 403, "another site"),
        ({**SIGNED, "Sec-Fetch-Site": "same-site"}, "/", 403, "another site"),
        ({**SIGNED, "Sec-Fetch-Site": "none"}, "/", 200, "ListAllMyBucketsResult"),
        ({}, "/_local/health", 403, "Token"),
        ({"X-Perennial-Token": "guess"}, "/_local/journal", 403, "Token"),
        (SIGNED, "/", 200, "ListAllMyBucketsResult"),
    ],
)
def test_only_signed_requests_of_our_own_host_pass(
    local_cloud: LocalCloud, headers: dict[str, str], path: str, status: int, word: str
) -> None:
    """No signature, a foreign Host or Origin, or no token: refused."""
    found, body = ask(local_cloud, "GET", path, headers)
    assert found == status
    assert word in body


def test_presigned_urls_are_let_in(local_cloud: LocalCloud) -> None:
    """A pre-signed query is a signature too; without it the same object is refused."""
    name = unique("presigned-bucket")
    s3 = local_cloud.client("s3")
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    s3.put_object(Bucket=name, Key="k", Body=b"hello")
    signer = local_cloud.client("s3", config=Config(signature_version="s3v4"))
    url = signer.generate_presigned_url("get_object", Params={"Bucket": name, "Key": "k"})
    path = url.removeprefix(local_cloud.endpoint)
    assert ask(local_cloud, "GET", path) == (200, "hello")
    assert ask(local_cloud, "GET", path.partition("?")[0])[0] == 403
    signer.close()


@pytest.mark.parametrize(
    ("path", "service"), [("/", "cloudformation"), ("/cloudformation_eu-west-1/", "s3")]
)
def test_a_picture_of_a_web_page_makes_no_stack(
    local_cloud: LocalCloud, path: str, service: str
) -> None:
    """A link with an Action and a made-up signature runs nothing, in any browser.

    Without this, an `<img>` of any page could create a stack, and with it a function: code of
    the page's author, run as the developer.
    """
    query = {
        "Action": "ListStacks",
        "Version": "2010-05-15",
        "X-Amz-Credential": f"x/20260101/eu-west-1/{service}/aws4_request",
        "X-Amz-Signature": "x",
    }
    status, body = ask(local_cloud, "GET", f"{path}?{urlencode(query)}")
    assert status == 403
    assert "signed" in body


def test_bodies_have_a_limit(local_cloud: LocalCloud) -> None:
    """A request that announces more than its service's limit is refused before it is read."""
    headers = {**SIGNED, "Content-Length": str(17 * 1024 * 1024)}
    headers["Authorization"] = headers["Authorization"].replace("/s3/", "/sqs/")
    status, body = ask(local_cloud, "POST", "/", headers)
    assert (status, "limit" in body) == (413, True)


def test_it_listens_on_loopback_only(local_cloud: LocalCloud) -> None:
    """No listening socket of the server is bound to another address."""
    ours = subprocess.run(
        ["ss", "-Hltnp"], capture_output=True, text=True, check=False
    ).stdout.splitlines()
    mine = [line for line in ours if f"pid={local_cloud.process.pid}," in line]
    assert mine
    assert all(line.split()[3].startswith("127.0.0.1:") for line in mine)


def test_port_in_use_is_said_clearly(local_cloud: LocalCloud, tmp_path: Path) -> None:
    """Exit code 3 and a message that names the port and the way out."""
    port = local_cloud.endpoint.rpartition(":")[2]
    answer = subprocess.run(
        [sys.executable, "-m", "local", "--port", port, "--state", str(tmp_path / "s")],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert answer.returncode == 3
    assert f"Port {port} is in use" in answer.stderr
    assert "--port" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_state_folder_of_others_is_left_alone(tmp_path: Path) -> None:
    """A folder with other files in it is not emptied."""
    (tmp_path / "thesis.txt").write_text("three years of work")
    answer = subprocess.run(
        [sys.executable, "-m", "local", "--port", str(free_port()), "--state", str(tmp_path)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert answer.returncode == 2
    assert (tmp_path / "thesis.txt").exists()


def test_killed_cloud_starts_again_empty(start_cloud: StartCloud, tmp_path: Path) -> None:
    """After kill -9 the same port and state folder serve a new, empty cloud."""
    state = tmp_path / "again"
    first = start_cloud(state=state)
    first.client("sqs").create_queue(QueueName="left-over")
    port = int(first.endpoint.rpartition(":")[2])
    first.stop(signal.SIGKILL)
    assert (state / "cloud.json").exists()
    second = start_cloud(state=state, port=port)
    assert "QueueUrls" not in second.client("sqs").list_queues()
    assert second.token != first.token


def test_termination_is_clean(start_cloud: StartCloud) -> None:
    """SIGTERM ends the server with status 0 and removes its record."""
    cloud = start_cloud()
    assert cloud.stop(signal.SIGTERM) == 0
    assert not (cloud.state / "cloud.json").exists()


def test_record_is_private_and_complete(local_cloud: LocalCloud) -> None:
    """cloud.json names endpoint, process, token and interpreter, readable by its owner only.

    So is all else that functions and jobs leave in the folder.
    """
    assert local_cloud.state.stat().st_mode & 0o777 == 0o700
    path = local_cloud.state / "cloud.json"
    record = json.loads(path.read_text())
    assert record["endpoint"] == local_cloud.endpoint
    assert record["pid"] == local_cloud.process.pid
    assert record["python"]
    assert path.stat().st_mode & 0o077 == 0


def test_start_is_quick(start_cloud: StartCloud) -> None:
    """Within seconds; the figure itself is the bench's."""
    assert start_cloud().seconds_to_ready < 10


def test_changed_moto_is_refused_by_name() -> None:
    """A patch whose function has another source stops the start and names the function."""
    wrong = patches.Patch("moto.sqs.models:Message.delay", "0" * 64, None)
    with pytest.raises(patches.PatchMismatchError, match=r"Message[.]delay"):
        patches.apply([wrong])


def test_unsupported_operations_fail_by_name(local_cloud: LocalCloud) -> None:
    """What nobody implements is refused with its name, in a form that SDKs show."""
    events = local_cloud.client("events")
    with pytest.raises(Exception, match=r"CreateArchive|create_archive"):
        events.create_archive(
            ArchiveName="a",
            EventSourceArn="arn:aws:events:eu-west-1:123456789012:event-bus/default",
        )
    with pytest.raises(Exception, match=r"(?i)anomaly"):
        local_cloud.client("cloudwatch").put_anomaly_detector(
            SingleMetricAnomalyDetector={"Namespace": "N", "MetricName": "M", "Stat": "Sum"}
        )


def test_environment_of_the_user_does_not_leak_in(
    start_cloud: StartCloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A real profile and endpoint in the user's shell reach neither the server nor its workers."""
    config = tmp_path / "config"
    config.write_text("[profile prod]\naws_access_key_id=REAL\n")
    monkeypatch.setenv("AWS_PROFILE", "prod")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://real.example")
    cloud = start_cloud()
    text = Path(f"/proc/{cloud.process.pid}/environ").read_bytes().decode()
    assert "AWS_PROFILE=prod" in text  # given to the process, which must not use it
    cloud.client("sqs").create_queue(QueueName="q")
    assert cloud.client("sqs").list_queues()["QueueUrls"]


def test_aws_cli_and_sam_read_it(local_cloud: LocalCloud) -> None:
    """boto3 with nothing but the environment that `perennial env` exports."""
    code = "import boto3; print(boto3.client('sts').get_caller_identity()['Account'])"
    answer = subprocess.run(
        [sys.executable, "-c", code],
        env=local_cloud.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert answer.stdout.strip() == "123456789012"


def test_idle_connections_do_not_block(local_cloud: LocalCloud) -> None:
    """A client that connects and says nothing holds up nobody."""
    host, port = local_cloud.endpoint.removeprefix("http://").split(":")
    silent = [socket.create_connection((host, int(port))) for _ in range(20)]
    started = time.monotonic()
    local_cloud.client("sqs").list_queues()
    assert time.monotonic() - started < 2
    for connection in silent:
        connection.close()
