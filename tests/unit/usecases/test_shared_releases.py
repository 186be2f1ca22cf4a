"""Releases onto the endpoint that several models share, step by step through moto."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest
from perennial.adopt_endpoint import adopt_endpoint
from perennial.aws import shared_archives, variants
from perennial.check_release import check_release
from perennial.describe_endpoint import describe_endpoint
from perennial.domain.errors import NotAllowed, NotClaimed, Rejected, Unavailable
from perennial.domain.ledger.release_words import waiting_words
from perennial.domain.ledger.releases import read_release_book
from perennial.domain.ledger.rows import ReleaseRow
from perennial.domain.project import ProjectInvalid
from perennial.guard_endpoint import guard_endpoint
from perennial.leave_shared import leave_shared
from perennial.observability import note_answer
from perennial.pack_project import pack_project
from perennial.release_again import release_again
from perennial.remove_endpoint import remove_endpoint
from perennial.rollback_release import rollback_release
from perennial.settings_env import Deployment
from perennial.share_model import share_model
from perennial.start_ab import start_test
from perennial.wiring import Ports

from tests.unit.usecases.test_release_moves import BAKED, end, shift, standing, watch
from tests.unit.usecases.test_release_steps import (
    ARTIFACT,
    CONTAINER,
    plan,
    put,
    row,
    seen,
    servable,
)
from tests.unit.usecases.test_releases import approve
from tests.unit.world import MODEL, World, boto_client

SHARED = "perennial-shared"
RELEASE: dict[str, Any] = {
    "endpoint": {"kind": "multi-model", "capture": "40%"},
    "share": "10%",
    "bake": "3m",
}


CODE = {"code/serve.py": b"# serves", "code/requirements.txt": b"numpy==2.2.6\n"}


def archive(text: str = "a model", more: dict[str, bytes] | None = None) -> bytes:
    """A model's tar.gz with its code."""
    found = io.BytesIO()
    with tarfile.open(fileobj=found, mode="w:gz") as packed:
        for name, body in {"model.txt": text.encode(), **CODE, **(more or {})}.items():
            member = tarfile.TarInfo(name)
            member.size = len(body)
            packed.addfile(member, io.BytesIO(body))
    return found.getvalue()


BYTES = archive()
VARIABLES = {
    **CONTAINER["Environment"],
    "PERENNIAL_MODEL_SHA256": hashlib.sha256(BYTES).hexdigest(),
    "PERENNIAL_CODE_IN_MODEL": "yes",
}

#: What the function of this state is told besides, by the template.
STACK = {
    "SHARED_INSTANCE_TYPE": "ml.m5.large",
    "SHARED_INSTANCE_COUNT": "1",
    "ENDPOINT_ROLE_ARN": "arn:aws:iam::123456789012:role/endpoint",
}


@pytest.fixture
def served(world: World) -> World:
    """A pushed model that asks to share an endpoint, and its trained artifact."""
    put(ARTIFACT, BYTES)
    world.push(release=RELEASE)
    world.outputs.update(STACK)
    return world


def one_more(world: World) -> None:
    """Register and approve a version that can be shared."""
    approve(world, servable(world, Environment=VARIABLES))


def share(world: World, number: int, ports: Ports | None = None) -> Any:
    """What ShareModel does; where the version can be asked."""
    its, planned = row(world, number), plan(world, number)
    return share_model(ports or world.ports, MODEL, number, its.execution, planned["container"])


def make(world: World, number: int) -> ReleaseRow:
    """What the machine does up to the first share."""
    its = row(world, number)
    share(world, number)
    guard_endpoint(world.ports, MODEL, number, its.execution)
    check_release(world.ports, MODEL, number, its.execution)
    return its


def released(world: World, number: int) -> ReleaseRow:
    """Let a release go well, share by share."""
    its, step = make(world, number), 0
    while shift(world, its, step):
        step += 1
        if watch(world, its, step, BAKED).next == "done":
            break
    return end(world, number)


def archives() -> dict[str, dict[str, str]]:
    """The shared archives by key, each with the variables in it."""
    s3 = boto_client("s3")
    found = {}
    for key in shared_archives.list_archives("artifacts", "shared/"):
        body = s3.get_object(Bucket="artifacts", Key=key)["Body"].read()
        with tarfile.open(fileobj=io.BytesIO(body)) as packed:
            assert packed.getnames() == ["perennial.json", "model.txt", *CODE]
            variables = packed.extractfile("perennial.json")
            assert variables is not None
            found[key] = json.load(variables)["environment"]
    return found


def key_of(number: int) -> str:
    """Where a release's archive lies."""
    return f"shared/{MODEL}/perennial-{MODEL}-r{number}.tar.gz"


def made() -> tuple[list[str], list[str]]:
    """The SageMaker Models and configurations of the shared endpoint."""
    sagemaker = boto_client("sagemaker")
    models = [each["ModelName"] for each in sagemaker.list_models()["Models"]]
    configs = sagemaker.list_endpoint_configs()["EndpointConfigs"]
    names = [each["EndpointConfigName"] for each in configs]
    return tuple([name for name in each if name.startswith(SHARED)] for each in (models, names))


def test_the_first_release_makes_the_endpoint_and_brings_its_archive(served: World) -> None:
    """With the variables that its own container would have; again changes nothing."""
    one_more(served)
    planned = plan(served, 1)
    assert (planned["shared"], planned["moves"], planned["captures"]) == (True, True, False)
    assert describe_endpoint(served.ports, MODEL).endpoint == SHARED
    book = read_release_book(served.ledger, MODEL)
    assert book is not None
    assert waiting_words(book) == (f"release 1 of {MODEL} (version 1) is being tested on {SHARED}",)
    assert planned["names"]["staging"] == planned["names"]["endpoint"] == SHARED
    target = json.loads(
        boto_client("s3")
        .get_object(Bucket="artifacts", Key=f"releases/{MODEL}/1/target/target.json")["Body"]
        .read()
    )
    assert (target["endpoint"], f"shared/{target['target_model']}") == (SHARED, key_of(1))
    assert share(served, 1) == share(served, 1)
    (server,) = shared_archives.list_archives("artifacts", "server/")
    (model, *_), _ = made()
    described = boto_client("sagemaker").describe_model(ModelName=model)["PrimaryContainer"]
    assert described["Environment"]["SAGEMAKER_SUBMIT_DIRECTORY"] == f"s3://artifacts/{server}"
    found = archives()
    assert set(found) == {key_of(1)}
    assert found[key_of(1)]["PERENNIAL_VERSION"] == "1"
    assert found[key_of(1)]["PERENNIAL_MODEL_NAME"] == MODEL
    assert "SAGEMAKER_PROGRAM" not in found[key_of(1)]
    assert released(served, 1).words == f"released: {SHARED} serves version 1"
    live = served.model().live
    assert live is not None
    assert (live.endpoint, live.kind, live.captured) == (SHARED, "multi-model", 40)
    assert standing(served) == {SHARED}
    shown = describe_endpoint(served.ports, MODEL)
    assert (shown.endpoint, shown.status, shown.words) == (SHARED, "InService", "")


def test_requests_go_over_to_another_archive_and_back(served: World) -> None:
    """On one endpoint: the archive that nobody asks any more is removed, and a rollback's again."""
    one_more(served)
    released(served, 1)
    one_more(served)
    its = make(served, 2)
    assert set(archives()) == {key_of(1), key_of(2)}
    assert shift(served, its, 0) == 100
    assert watch(served, its, 1, BAKED).next == "shift"
    assert shift(served, its, 1) == 1000
    assert watch(served, its, 2, BAKED).next == "done"
    assert end(served, 2).outcome == "released"
    assert set(archives()) == {key_of(2)}
    rollback_release(served.ports, MODEL, "slow", "ann")
    assert released(served, 3).outcome == "released"
    assert set(archives()) == {key_of(1)}
    model = served.model()
    assert model.live is not None
    assert (model.live.version, standing(served)) == (1, {SHARED})


@pytest.mark.parametrize("trouble", ["alarm", "archive"])
def test_trouble_turns_every_request_back(served: World, trouble: str) -> None:
    """An alarm on our own figures, or an archive that somebody took; the live one stays."""
    one_more(served)
    released(served, 1)
    one_more(served)
    its = make(served, 2)
    shift(served, its, 0)
    alarm = f"perennial-guard-{MODEL}-r2-errors"
    if trouble == "alarm":
        cloudwatch: Any = boto_client("cloudwatch")
        cloudwatch.set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason="9% failed")
        why = f"alarm {alarm} went off: 9% failed"
    else:
        boto_client("s3").delete_object(Bucket="artifacts", Key=key_of(2))
        why = f"the archive of {its.config} was taken from {SHARED} by someone"
    assert watch(served, its, 1).words == why
    ended = end(served, 2)
    assert ended.words == f"rolled back: {why}; production is as it was: version 1"
    assert (set(archives()), standing(served)) == ({key_of(1)}, {SHARED})


def test_a_model_leaves_the_shared_endpoint_and_the_last_one_takes_it_along(served: World) -> None:
    """To machines of its own; another model's archive keeps the endpoint."""
    one_more(served)
    released(served, 1)
    assert describe_endpoint(served.ports, MODEL).shared_with == ()
    put("shared/other/perennial-other-r1.tar.gz", b"another model's")
    assert describe_endpoint(served.ports, MODEL).shared_with == ("other",)
    served.push("b" * 64, release={**RELEASE, "endpoint": {"count": 2}})
    release_again(served.ports, MODEL, 1, "on machines", "ann")
    its = row(served, 2)
    assert (its.endpoint, its.moves) == (f"perennial-live-{MODEL}", True)
    sagemaker = boto_client("sagemaker")
    planned = plan(served, 2)
    sagemaker.create_model(
        ModelName=its.config,
        PrimaryContainer={"Image": "i", "ModelDataUrl": f"s3://artifacts/{ARTIFACT}"},
        ExecutionRoleArn="arn:aws:iam::123456789012:role/endpoint",
    )
    sagemaker.create_endpoint_config(
        EndpointConfigName=its.config, ProductionVariants=planned["variants"]
    )
    guard_endpoint(served.ports, MODEL, 2, its.execution)
    check_release(served.ports, MODEL, 2, its.execution)
    sagemaker.create_endpoint(EndpointName=its.endpoint, EndpointConfigName=its.config)
    assert shift(served, its, 0) == 100
    assert watch(served, its, 1, BAKED).next == "shift"
    assert shift(served, its, 1) == 1000
    assert watch(served, its, 2, BAKED).next == "done"
    assert end(served, 2).outcome == "released"
    assert standing(served) == {SHARED, its.endpoint}
    assert shared_archives.list_archives("artifacts", f"shared/{MODEL}/") == ()
    while leave_shared("perennial", "artifacts", "other"):
        pass
    assert standing(served) == {its.endpoint}
    assert made() == ([], [])


def test_an_endpoint_taken_away_by_a_person_takes_its_archives(served: World) -> None:
    """And the shared endpoint with the last of them; nothing answers then."""
    one_more(served)
    released(served, 1)
    servable(served, Environment=VARIABLES)
    with pytest.raises(NotAllowed, match=r"which several models share"):
        start_test(served.ports, MODEL, 2, 100, because="b", by="ann")
    with pytest.raises(NotAllowed, match="nothing on it can be adopted"):
        adopt_endpoint(served.ports, MODEL, None, "ours", "ann")
    removed = remove_endpoint(served.ports, MODEL)
    assert removed.endpoints == (f"{SHARED}: the archives of {MODEL}",)
    assert (standing(served), archives()) == (set(), {})
    assert served.model().live is None


def test_the_endpoint_is_changed_to_what_the_stack_asks_for_now(
    served: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the next release of any model; what it was made of before goes with the one after."""

    def update(endpoint: str, config: str, *, keeps_counts: bool) -> None:
        assert not keeps_counts  # else the endpoint kept the size that it has
        seen(endpoint).endpoint_config_name = config

    monkeypatch.setattr(variants, "ask_for_config", update)  # moto has no UpdateEndpoint
    one_more(served)
    released(served, 1)
    sagemaker = boto_client("sagemaker")
    before = sagemaker.describe_endpoint(EndpointName=SHARED)["EndpointConfigName"]
    larger = Ports(Deployment({**served.outputs, "SHARED_INSTANCE_COUNT": "3"}), served.clock)
    one_more(served)
    share(served, 2, larger)
    config = sagemaker.describe_endpoint(EndpointName=SHARED)["EndpointConfigName"]
    assert config != before
    found = sagemaker.describe_endpoint_config(EndpointConfigName=config)
    assert found["ProductionVariants"][0]["InitialInstanceCount"] == 3
    share(served, 2, larger)
    assert made() == ([config], [config])


def test_an_endpoint_that_never_came_up_is_removed_first(
    served: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And made anew when the state is tried again."""
    from perennial.aws import endpoints
    from perennial.domain.release_truth import SeenEndpoint

    one_more(served)
    share(served, 1)
    with monkeypatch.context() as patched:
        broken = SeenEndpoint("Failed", "c", "no capacity")
        patched.setattr(endpoints, "describe_endpoint", lambda _name: broken)
        with pytest.raises(Unavailable, match=r"never came up \(no capacity\)"):
            share(served, 1)
    assert standing(served) == set()
    share(served, 1)
    assert standing(served) == {SHARED}


def test_what_cannot_be_shared_is_refused_by_name(
    served: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An archive without its code, one that changed, one too large; and whoever may not ask."""
    without = {key: value for key, value in VARIABLES.items() if not key.endswith("CODE_IN_MODEL")}
    approve(served, servable(served, Environment=without))
    with pytest.raises(Rejected, match=r"archive lacks the server's code.*perennial retrain"):
        plan(served, 1)
    end(served, 1, "FAILED")
    one_more(served)
    planned, its = plan(served, 2), row(served, 2)
    put(ARTIFACT, archive("another model"))
    with pytest.raises(Rejected, match="not the archive any more that was judged"):
        share_model(served.ports, MODEL, 2, its.execution, planned["container"])
    put(ARTIFACT, BYTES)
    isolated = Ports(Deployment({**served.outputs, "NETWORK_ISOLATION": "yes"}), served.clock)
    with pytest.raises(Rejected, match="this stack isolates its containers from the network"):
        plan(served, 2, isolated)
    with pytest.raises(NotClaimed):
        share_model(served.ports, MODEL, 2, "arn:of-somebody-else", planned["container"])
    monkeypatch.setattr(shared_archives, "LARGEST_ARCHIVE", 10)
    with pytest.raises(Rejected, match="kind: instances"):
        share_model(served.ports, MODEL, 2, its.execution, planned["container"])
    assert archives() == {}


def test_a_project_with_packages_of_its_own_is_not_shared(served: World, tmp_path: Path) -> None:
    """One server has one environment: the push says so, and the release of what was pushed."""
    body = archive(more={"code/project/requirements.txt": b"scikit-survival==0.1\n"})
    put(ARTIFACT, body)
    digest = hashlib.sha256(body).hexdigest()
    variables = {**VARIABLES, "PERENNIAL_MODEL_SHA256": digest}
    approve(served, servable(served, Environment=variables))
    with pytest.raises(Rejected, match=r"the project has a requirements.txt of its own"):
        share(served, 1)
    assert archives() == {}
    folder = tmp_path / MODEL
    shutil.copytree(Path(__file__).parents[3] / "models" / MODEL, folder)
    (folder / "requirements.txt").write_text("# nothing more\n", encoding="utf-8")
    assert pack_project(folder, is_shared=True).sha256
    (folder / "requirements.txt").write_text("scikit-survival==0.1\n", encoding="utf-8")
    assert pack_project(folder).sha256
    with pytest.raises(ProjectInvalid, match=r"the project has a requirements.txt of its own"):
        pack_project(folder, is_shared=True)


def test_the_alarms_read_what_predict_notes(
    served: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By name, dimension and namespace, as CloudWatch takes it from the function's log."""
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "Perennial")
    note_answer(stack="perennial", model=MODEL, release=1, is_bad=True, spent_ms=12.5)
    noted = json.loads(capsys.readouterr().out)
    (directive,) = noted["_aws"]["CloudWatchMetrics"]
    one_more(served)
    share(served, 1)
    guard_endpoint(served.ports, MODEL, 1, row(served, 1).execution)
    cloudwatch: Any = boto_client("cloudwatch")
    alarms = cloudwatch.describe_alarms(AlarmNamePrefix="perennial-guard-")["MetricAlarms"]
    assert len(alarms) == 2
    for alarm in alarms:
        assert alarm["Namespace"] == directive["Namespace"]
        assert alarm["MetricName"] in [each["Name"] for each in directive["Metrics"]]
        names = {each["Name"]: each["Value"] for each in alarm["Dimensions"]}
        assert [set(names)] == [set(each) for each in directive["Dimensions"]]
        assert {name: noted[name] for name in names} == names
    assert (noted["BadAnswers"], noted["AnswerMilliseconds"]) == ([1.0], [12.5])
