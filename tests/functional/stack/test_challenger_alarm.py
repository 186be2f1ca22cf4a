"""A failing challenger loses its traffic by itself: metrics, alarm, event, deployed sweeper."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from perennial.describe_model import known_model
from perennial.start_ab import start_test
from perennial.wiring import Ports

from tests.functional.sagemaker.hosting import Hosting
from tests.functional.sagemaker.test_ab_tests import LIVE, MODEL, Stage, go_live
from tests.functional.stack.conftest import Checkout, hold_sweeps, make_checkout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A stack whose clock hurries, so that a minute of an alarm takes a second."""
    folder, state = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("cloud") / "state"
    made = make_checkout(folder, state, "--clock", "60")
    yield made
    made.cloud.stop()


def test_an_alarm_of_the_challenger_takes_its_traffic_away(
    checkout: Checkout, ports: Ports
) -> None:
    """Nobody asks for it: the alarm's event reaches on_sweep_due, which sets the weights."""
    cloud = checkout.cloud
    stage = Stage(Hosting(cloud), ports, checkout.outputs["ArtifactBucket"])
    # Approvals and passes would open releases; here the alarm's event alone is to be heard.
    hold_sweeps(cloud, ports.deployment.token)
    events = cloud.client("events")
    (rule,) = (r["Name"] for r in events.list_rules()["Rules"] if "OnVersionApproved" in r["Name"])
    events.disable_rule(Name=rule)
    go_live(stage)
    stage.ask(30)
    cloud.idle()
    started = start_test(ports, MODEL, 2, 300, because="newer", by="ann", patience_s=60)
    assert started.words == "the challenger gets 30% of the traffic"
    fault = {"endpoint": LIVE, "variant": "challenger", "status": 503, "times": 1_000_000}
    cloud.faults(serve=[fault])

    def asked() -> dict[str, float]:
        for _ in range(5):
            try:
                stage.ask(30)
            except stage.hosting.patient.exceptions.ModelError:
                continue
        return stage.weights

    stage.hosting.until(asked, lambda weights: weights == {"main": 1.0, "challenger": 0.0}, 90)
    cloud.idle()
    assert {stage.ask(30)[0] for _ in range(20)} == {"main"}
    test = known_model(ports.ledger, MODEL).ab
    assert test is not None
    assert [(share.permille, share.by) for share in test.shares] == [(300, "ann"), (0, "Perennial")]
    assert "perennial-guard-census-ab1-errors sounds" in test.shares[-1].because
    logged = cloud.client("logs").filter_log_events(
        logGroupName="/perennial/perennial/on_sweep_due"
    )["events"]
    swept = [json.loads(each["message"]) for each in logged if "model swept" in each["message"]]
    assert "the challenger gets 0% of the traffic" in [each["ab"] for each in swept]
