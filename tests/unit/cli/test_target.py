"""Where commands act: never on AWS unless it is named."""

from __future__ import annotations

import pytest

from cli import target as module
from cli.errors import TargetUnreachable, Usage
from cli.local_cloud import RunningCloud
from cli.target import Target, client_environment, resolve_target

CLOUD = RunningCloud("http://127.0.0.1:4747", 1, "secret", "eu-west-1")


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> None:
    """A local cloud that answers."""
    monkeypatch.setattr(module, "find_cloud", lambda: CLOUD)


@pytest.fixture
def nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """No local cloud."""
    monkeypatch.setattr(module, "find_cloud", lambda: None)


@pytest.mark.usefixtures("running")
@pytest.mark.parametrize(
    ("asked", "environ", "expected"),
    [
        (None, {}, "local"),
        (None, {"PERENNIAL_TARGET": "local/dev-perennial"}, "local/dev-perennial"),
        ("local", {"PERENNIAL_TARGET": "aws:-/eu-west-1/prod-perennial"}, "local"),
        (
            None,
            {"PERENNIAL_TARGET": "aws:work/eu-west-1/prod-perennial"},
            "aws:work/eu-west-1/prod-perennial",
        ),
        ("aws:-/us-gov-west-1/perennial", {}, "aws:-/us-gov-west-1/perennial"),
    ],
)
def test_the_option_wins_over_the_variable_and_that_over_the_running_cloud(
    asked: str | None, environ: dict[str, str], expected: str
) -> None:
    """`--target`, else PERENNIAL_TARGET, else the running local cloud."""
    assert resolve_target(asked, environ).spec == expected


@pytest.mark.usefixtures("nothing_runs")
@pytest.mark.parametrize(
    "environ", [{}, {"AWS_PROFILE": "work", "AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "AKIA"}]
)
def test_aws_is_never_a_default(environ: dict[str, str]) -> None:
    """Credentials in the environment alone send no command to an account."""
    with pytest.raises(TargetUnreachable, match="No local cloud is running") as caught:
        resolve_target(None, environ)
    assert caught.value.exit_code == 3
    assert "perennial up" in caught.value.next_step


@pytest.mark.usefixtures("running")
@pytest.mark.parametrize(
    "asked",
    [
        "aws",
        "aws:",
        "aws:work",
        "aws:work/eu-west-1",
        "aws:work//perennial",
        "aws:work/europe/perennial",
        "aws:work/eu-west-1/per_ennial",
        "local/",
        "local/1st",
        "localhost",
        "http://127.0.0.1:4747",
    ],
)
def test_a_target_that_names_nothing_is_a_usage_error(asked: str) -> None:
    """Half a target is refused before anything is called."""
    with pytest.raises(Usage) as caught:
        resolve_target(asked, {})
    assert caught.value.exit_code == 2


def test_the_local_target_leaves_no_way_into_a_real_account() -> None:
    """Profiles, sessions and service endpoints of the caller are taken away."""
    environ = {
        "AWS_PROFILE": "work",
        "AWS_SESSION_TOKEN": "t",
        "AWS_ENDPOINT_URL_S3": "https://s3.eu-west-1.amazonaws.com",
        "AWS_ACCESS_KEY_ID": "AKIAREAL",
        "HOME": "/home/ann",
    }
    Target("perennial", "eu-west-1", cloud=CLOUD).apply(environ)
    assert environ == {"HOME": "/home/ann", **client_environment(CLOUD)}
    assert environ["AWS_ENDPOINT_URL"] == CLOUD.endpoint
    assert environ["AWS_CONFIG_FILE"] == "/dev/null"


def test_an_aws_target_leaves_the_local_cloud_behind() -> None:
    """No endpoint of the local cloud survives, and a profile beats keys in the environment."""
    environ = {
        "AWS_ENDPOINT_URL": CLOUD.endpoint,
        "AWS_ENDPOINT_URL_SQS": CLOUD.endpoint,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
    }
    Target("perennial", "eu-west-1", profile="work").apply(environ)
    assert environ == {
        "AWS_PROFILE": "work",
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
    }
