"""A/B tests through moto: who may do which step, what SageMaker refuses, what people are told."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.sagemaker.models import sagemaker_backends
from perennial.advance_ab import advance_ab
from perennial.aws import variants
from perennial.aws.variant_metrics import period_ms
from perennial.describe_ab import judge
from perennial.domain.capture import Exchange, captured, file_body, file_key
from perennial.domain.captured import BadLine
from perennial.domain.errors import NotAllowed, NotFound, Rejected
from perennial.domain.ledger.ab_rows import AbShare, AbTest
from perennial.domain.ledger.ab_tests import request_stop
from perennial.domain.ledger.rows import Live, ReleaseRow
from perennial.domain.ledger.store import change, create
from perennial.domain.schema import BadValue, Column
from perennial.remove_endpoint import remove_served
from perennial.remove_model import remove_model
from perennial.start_ab import start_test
from perennial.stop_ab import stop_test
from perennial.sweep import sweep
from perennial.try_challenger import check_trial, try_challenger

from tests import alarms
from tests.unit.usecases.model_server import Reply, Runtime, model_error
from tests.unit.usecases.test_releases import LIVE, make_config, version
from tests.unit.world import MODEL, REGION, World, boto_client

MAIN_CONFIG, CONFIG = f"perennial-{MODEL}-r1", f"perennial-{MODEL}-ab1"
ALARM = f"perennial-guard-{MODEL}-ab1-errors"


@pytest.fixture
def tested(world: World) -> World:
    """A running test: the endpoint serves both variants, the challenger a fifth of the requests."""
    run_test(world)
    return world


def run_test(world: World) -> None:
    """Let a test of the world's model run."""
    world.push(release={"endpoint": {"count": 2}})
    make_config(MAIN_CONFIG)
    make_config(CONFIG, ("main", "challenger"))
    boto_client("sagemaker").create_endpoint(EndpointName=LIVE, EndpointConfigName=CONFIG)
    now = world.clock.now_ms
    test = AbTest(
        *(1, 2, "arn:2", 1, LIVE, MAIN_CONFIG, CONFIG, now),
        by="ann",
        permille=200,
        state="running",
        shares=(AbShare(now, 200),),
        asked_config=CONFIG,
        asked_ms=now,
    )
    live = Live(LIVE, MAIN_CONFIG, 1, 1, "arn:1", now, settings=1)
    world.ledger.commit([change(world.model(), live=live, ab=test, last_ab=1)])
    advance_ab(world.ports, MODEL)
    assert weights() == {"main": 0.8, "challenger": 0.2}


def weights() -> dict[str, float]:
    """The endpoint's, by variant."""
    found = boto_client("sagemaker").describe_endpoint(EndpointName=LIVE)["ProductionVariants"]
    return {each["VariantName"]: each["CurrentWeight"] for each in found}


def sound(name: str = ALARM) -> None:
    """Let an alarm sound."""
    cloudwatch = boto_client("cloudwatch")
    alarms.put_alarm(cloudwatch, name)
    alarms.sound(cloudwatch, name)


def of_test(notices: list[dict[str, Any]]) -> list[str]:
    """The ids of what people were told about tests."""
    return [
        each["MessageAttributes"]["id"]["Value"]
        for each in notices
        if each["MessageAttributes"]["outcome"]["Value"] == "ab"
    ]


def test_the_sweeper_heeds_a_challengers_alarm(tested: World) -> None:
    """Also when its event was lost; people are told once, and the test stays open."""
    tested.inbox()
    sound()
    for _ in range(2):
        (found,) = sweep(tested.ports, deadline=float("inf"))
        assert (found.failure, found.ab) == ("", "the challenger gets 0% of the traffic")
    assert weights() == {"main": 1.0, "challenger": 0.0}
    test = tested.model().ab
    assert test is not None
    assert [share.permille for share in test.shares] == [200, 0]
    assert of_test(tested.inbox()) == [f"perennial/{MODEL}/ab1/1"]


def test_the_sweeper_changes_no_configuration(tested: World) -> None:
    """A test that is being stopped waits for somebody who may update the endpoint."""
    tested.ledger.commit(request_stop(tested.model(), "main", "ann", "enough"))
    (found,) = sweep(tested.ports, deadline=float("inf"))
    assert (found.failure, found.ab) == ("", f"{LIVE} is to serve {MAIN_CONFIG}")
    assert tested.model().ab is not None


def test_the_sweeper_ends_a_test_whose_endpoint_is_gone(tested: World) -> None:
    """What the test made is removed; what somebody else did is not touched."""
    boto_client("sagemaker").delete_endpoint(EndpointName=LIVE)
    tested.inbox()
    (found,) = sweep(tested.ports, deadline=float("inf"))
    assert found.failure == ""
    row = tested.model()
    assert row.ab is None
    assert row.ended_abs[-1].words.endswith(f"endpoint {LIVE} was deleted by someone")
    assert row.ended_abs[-1].outcome == "failed"
    configs = boto_client("sagemaker").list_endpoint_configs()["EndpointConfigs"]
    assert [each["EndpointConfigName"] for each in configs] == [MAIN_CONFIG]
    assert len(of_test(tested.inbox())) == 1


def starting(world: World) -> AbTest:
    """Put the world's test back to where its challenger has joined, at no weight."""
    test = world.model().ab
    assert test is not None
    begun = replace(test, state="starting", shares=(), asked_config=CONFIG)
    world.ledger.commit([change(world.model(), ab=begun)])
    variants.set_weights(LIVE, {"main": 1.0, "challenger": 0.0})
    return begun


def captured_by_main(world: World, *ages: int) -> None:
    """Let main have answered requests of one row each, and captured them."""
    lines = [
        captured(
            Exchange(
                *(MODEL, LIVE, "main", f"e{age}", world.clock.now_ms),
                *(json.dumps({"instances": [{"age": age}]}).encode(), "application/json"),
                *(b'{"predictions": [{"prediction": 1}]}', "application/json"),
            )
        )
        for age in ages
    ]
    parts = [(str(number), line) for number, line in enumerate(lines)]
    boto_client("s3").put_object(
        Bucket=world.outputs["ArtifactBucket"], Key=file_key(parts), Body=file_body(parts)
    )


def trial_of(world: World) -> Any:
    """The trial as `ab start` does it."""
    return lambda row, test: try_challenger(world.ports, row, test)


def test_a_challenger_is_tried_before_it_gets_traffic(tested: World, runtime: Runtime) -> None:
    """On what main answered, newest first, by its own variant; then it gets its share."""
    starting(tested)
    captured_by_main(tested, 30, 40)
    runtime.reply = lambda _: Reply(body=b'{"predictions": [1], "version": 2}')
    assert advance_ab(tested.ports, MODEL).words.startswith("the challenger is not tried yet")
    assert weights() == {"main": 1.0, "challenger": 0.0}
    advance_ab(tested.ports, MODEL, trial=trial_of(tested))
    test = tested.model().ab
    assert test is not None
    assert test.tried == "it answered 2 of 2 requests that main has answered"
    assert weights() == {"main": 0.8, "challenger": 0.2}
    bodies = [json.loads(body)["instances"][0]["age"] for _, _, body in runtime.requests]
    assert bodies == [40, 30]
    heads = [headers for _, headers, _ in runtime.requests]
    assert {head["x-amzn-sagemaker-target-variant"] for head in heads} == {"challenger"}
    assert all(head["x-amzn-sagemaker-inference-id"].startswith("trial-") for head in heads)


def test_a_challenger_that_fails_its_trial_gets_no_traffic(tested: World, runtime: Runtime) -> None:
    """The test ends as failed, with the first failure; the endpoint goes back to main alone."""
    starting(tested)
    captured_by_main(tested, 30, 40)
    runtime.reply = lambda document: (
        model_error(500, '{"error": "no such column"}')
        if document["instances"][0]["age"] == 30
        else Reply(body=b'{"predictions": [1], "version": 2}')
    )
    done = advance_ab(tested.ports, MODEL, trial=trial_of(tested), may_deploy=False)
    assert done.words == f"{LIVE} is to serve {MAIN_CONFIG}"
    test = tested.model().ab
    assert test is not None
    assert test.stop is not None
    assert test.stop.outcome == "failed"
    found = test.stop.because
    assert "version 2 failed 1 of 2 requests that main has answered" in found
    assert "no such column" in found
    assert weights().get("challenger", 0.0) == 0.0


def test_a_challenger_that_cannot_be_tried_needs_a_smoke_test(tested: World) -> None:
    """Without a captured request, a release of that very version must have passed one."""
    test = starting(tested)
    with pytest.raises(NotAllowed, match="never passed a release's smoke test, and there is no"):
        check_trial(tested.ports, tested.model(), test)
    names = {"version": 2, "settings": 1, "decided_ms": 1, "opened_ms": 1, "state": "ended"}
    row = ReleaseRow(MODEL, 1, "approval", arn=test.arn, figures={"rows": 200}, **names)  # type: ignore[arg-type]
    tested.ledger.commit([create(row), change(tested.model(), last_release=1)])
    check_trial(tested.ports, tested.model(), test)
    assert "passed a release's smoke test" in try_challenger(tested.ports, tested.model(), test)
    other = replace(test, arn="arn:other")
    with pytest.raises(NotAllowed, match="0%, or release the version"):
        check_trial(tested.ports, tested.model(), other)
    tested.wait(-8 * 24 * 3600)
    captured_by_main(tested, 30)
    tested.wait(8 * 24 * 3600)
    with pytest.raises(NotAllowed, match="captured within 7 days"):
        check_trial(tested.ports, tested.model(), other)


def test_a_challenger_that_cannot_be_made_ends_the_test(tested: World) -> None:
    """In SageMaker's words; the endpoint serves main alone, as before."""
    backend: Any = sagemaker_backends[DEFAULT_ACCOUNT_ID][REGION]
    backend.endpoints[LIVE].endpoint_config_name = MAIN_CONFIG
    test = tested.model().ab
    assert test is not None
    begun = replace(test, state="starting", shares=(), asked_config="")
    tested.ledger.commit([change(tested.model(), ab=begun)])

    def make(_row: Any, _test: AbTest) -> None:
        raise Rejected("no such machine")

    done = advance_ab(tested.ports, MODEL, make=make)
    assert done.ended is not None
    assert done.ended.words == "failed, by Perennial: no such machine"
    assert tested.model().ab is None


def test_a_configuration_that_is_not_found_yet_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """SageMaker is eventually consistent; one that never comes is an error after all."""
    answers: list[Any] = [missing(), missing(), {}]
    pauses: list[float] = []

    class SageMaker:
        """Answers UpdateEndpoint from the list."""

        def update_endpoint(self, **request: Any) -> Any:
            """The next answer."""
            assert request["RetainAllVariantProperties"] is True
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

    monkeypatch.setattr(variants, "client", lambda _service: SageMaker())
    monkeypatch.setattr(variants.time, "sleep", pauses.append)
    variants.ask_for_config(LIVE, CONFIG)
    assert (answers, pauses) == ([], [1.0, 2.0])
    answers.extend(missing() for _ in range(4))
    with pytest.raises(NotFound, match="Could not find endpoint configuration"):
        variants.ask_for_config(LIVE, CONFIG)


def missing() -> ClientError:
    """SageMaker's words for what is not there."""
    words = f'Could not find endpoint configuration "{CONFIG}".'
    error: Any = {"Error": {"Code": "ValidationException", "Message": words}}
    return ClientError(error, "UpdateEndpoint")


def test_a_test_that_is_open_keeps_its_model(tested: World) -> None:
    """Neither the model nor a removed stack's endpoint goes unseen."""
    with pytest.raises(NotAllowed, match=f"A/B test 1 of {MODEL} is open"):
        remove_model(tested.ports, MODEL, by="ann", with_data=False, tell=print)
    sound()
    removed = remove_served("perennial", "artifacts", MODEL, float("inf"))
    assert set(removed.configs) == {MAIN_CONFIG, CONFIG}
    assert removed.alarms == (ALARM,)
    assert boto_client("sagemaker").list_models()["Models"] == []


def test_what_cannot_be_started_or_stopped(world: World) -> None:
    """Nothing live, no such version, no open test: in words, and nothing is made."""
    world.push(release={"endpoint": {"count": 2}})
    with pytest.raises(NotAllowed, match="no A/B test of census is open"):
        stop_test(world.ports, MODEL, "main", because="x", by="ann")
    version(world)
    with pytest.raises(NotFound, match="9"):
        start_test(world.ports, MODEL, 9, 100, because="x", by="ann")
    with pytest.raises(NotAllowed, match="nothing of census is live"):
        start_test(world.ports, MODEL, 1, 100, because="x", by="ann")
    now = world.clock.now_ms
    live = Live(LIVE, MAIN_CONFIG, 1, 7, "arn:7", now, settings=1)
    world.ledger.commit([change(world.model(), live=live)])
    with pytest.raises(NotAllowed, match="is not there, and not what the ledger says is live"):
        start_test(world.ports, MODEL, 1, 100, because="x", by="ann")
    assert (world.model().ab, world.model().last_ab) == (None, 0)


def test_predictions_are_held_against_labels() -> None:
    """By the label's column: aliases count, numbers are compared as numbers."""
    text = Column("income", "category", levels=("no", "yes"), aliases=(("y", "yes"),))
    assert judge(text, frozenset({""}), ("yes", "no"), ("y", "yes")) == (1.0, 0.0)
    number = Column("rings", "int", minimum=0)
    assert judge(number, frozenset({""}), ("9.5", "-1"), ("10", "3.0")) == (0.5, 4.0)
    with pytest.raises(BadLine, match="2 predictions, 1 labels"):
        judge(text, frozenset(), ("yes", "no"), ("y",))
    with pytest.raises(BadValue):
        judge(text, frozenset({""}), ("yes",), ("maybe",))
    with pytest.raises(BadValue):
        judge(number, frozenset({""}), ("9",), ("many",))


def test_periods_are_as_fine_as_cloudwatch_keeps_them() -> None:
    """Minutes for a fortnight, then five, then hours."""
    day = 86_400_000
    assert [period_ms(0, days * day) for days in (1, 14, 16, 62, 64)] == [
        *(60_000, 60_000, 300_000, 300_000, 3_600_000)
    ]
