"""A release whose execution is killed in a state: every state that the committed machine has.

Up to there the states of the way do what they do, to moto and the ledger, by the requests of the
plan and the functions' own use cases. Then the execution is stopped. In the end the ledger must
say what is live, and nothing may be left over. `tests/functional/stack/test_kill_points.py` does
the same to real executions.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.sagemaker.models import sagemaker_backends
from moto.stepfunctions.models import stepfunctions_backends
from perennial.await_approval import await_approval
from perennial.aws import endpoints, registry
from perennial.aws.shared_archives import list_archives
from perennial.check_release import check_release
from perennial.confirm_release import confirm_release
from perennial.domain.errors import Unavailable
from perennial.domain.ledger.rows import ReleaseRow
from perennial.domain.shared_naming import archive
from perennial.end_release import end_release, look_after_releases
from perennial.guard_endpoint import guard_endpoint
from perennial.list_releases import known_release
from perennial.plan_release import plan_release
from perennial.release_again import release_again
from perennial.remove_endpoint import remove_endpoint
from perennial.rollback_release import rollback_release
from perennial.share_model import share_model
from perennial.shift_traffic import shift_traffic
from perennial.watch_traffic import watch_traffic

from tests.statemachines.kill_points import (
    RELEASE_SCENARIOS,
    Edge,
    Scenario,
    uncovered,
    way_to,
)
from tests.unit.usecases.test_release_steps import ARTIFACT, put, servable
from tests.unit.usecases.test_releases import STAGING
from tests.unit.usecases.test_shared_releases import BYTES, STACK, VARIABLES
from tests.unit.world import MODEL, REGION, World, boto_client

MACHINE = json.loads(
    (Path(__file__).parents[3] / "statemachines" / "release.asl.json").read_text("utf-8")
)
ROLE = "arn:aws:iam::111122223333:role/endpoint"
FIRST, UPDATE, ROLLBACK, JUDGED, VPC, PERSON, MOVED, SHARED = RELEASE_SCENARIOS
SETTINGS: dict[str, Any] = {
    "endpoint": {"count": 2},
    "strategy": "all-at-once",
    "bake": "5m",
}
#: States that leave nothing behind but a file or a note, which nobody decides by.
LEAVE_NOTHING = frozenset(
    {
        *("EvaluateChampion", "Compare", "JudgeRelease", "SmokeTest", "ReadSmokeTest"),
        *("DescribeStaging", "DescribeEndpoint"),
    }
)


@dataclass
class Life:
    """One release on its way through the machine."""

    world: World
    number: int
    plan: dict[str, Any] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)

    @property
    def row(self) -> ReleaseRow:
        """The release's row."""
        return known_release(self.world.ports, MODEL, self.number)

    @property
    def _own(self) -> tuple[Any, str, int, str]:
        return (self.world.ports, MODEL, self.number, self.row.execution)

    def do(self, state: str) -> None:
        """What a state does to AWS and to the ledger."""
        kind = MACHINE["States"][state]["Type"]
        if kind == "Task" and state not in LEAVE_NOTHING:
            act: Callable[[Life], None] | None = ACTS.get(state)
            assert act is not None, f"say in ACTS what {state} does, or that it leaves nothing"
            act(self)
        elif kind == "Wait":
            self.world.wait(301)  # longer than a bake
        self.done.append(state)

    def make_plan(self) -> None:
        """PlanRelease."""
        self.plan = plan_release(*self._own)

    def create_model(self) -> None:
        """CreateModel, in a VPC or not."""
        boto_client("sagemaker").create_model(
            ModelName=self.plan["names"]["config"],
            PrimaryContainer=self.plan["container"],
            ExecutionRoleArn=ROLE,
        )

    def create_config(self, name: str, variants: str) -> None:
        """CreateStagingConfig and CreateEndpointConfig."""
        boto_client("sagemaker").create_endpoint_config(
            EndpointConfigName=self.plan["names"][name], ProductionVariants=self.plan[variants]
        )

    def create_endpoint(self, name: str, config: str) -> None:
        """CreateStaging and CreateEndpoint."""
        names = self.plan["names"]
        boto_client("sagemaker").create_endpoint(
            EndpointName=names[name], EndpointConfigName=names[config]
        )
        self._touch(names[name])

    def remove_staging(self) -> None:
        """RemoveStaging."""
        boto_client("sagemaker").delete_endpoint(EndpointName=self.plan["names"]["staging"])

    def update_endpoint(self) -> None:
        """UpdateEndpoint, which ends at once here."""
        self.world.wait(1)
        self._touch(self.plan["names"]["endpoint"]).endpoint_config_name = self.row.config

    def confirm(self) -> None:
        """ConfirmRelease, repeated by its Retry while something is still being removed."""
        for _ in range(9):
            with suppress(Unavailable):
                confirm_release(*self._own)
                return
            self.world.wait(31)
        raise AssertionError(f"{self.row} is never confirmed")

    def _touch(self, name: str) -> Any:
        """Note on an endpoint that it changed now, by the world's clock, as moto writes it."""
        backend: Any = sagemaker_backends[DEFAULT_ACCOUNT_ID][REGION]
        seen = backend.endpoints[name]
        at = datetime.fromtimestamp(self.world.clock.now_ms / 1000)
        seen.last_modified_time = at.strftime("%Y-%m-%d %H:%M:%S")
        return seen

    def kill(self) -> ReleaseRow:
        """Stop the execution, let everybody look after it, and answer how the release ended."""
        backend = stepfunctions_backends[DEFAULT_ACCOUNT_ID][REGION]
        execution: Any = backend.describe_execution(self.row.execution)
        execution.status, execution.error, execution.cause = "ABORTED", "", ""
        now_ms = self.world.clock.now_ms
        execution.stop_date = datetime.fromtimestamp(now_ms / 1000, timezone.utc)
        end_release(self.world.ports, self.row.execution)
        for _ in range(9):
            if self.world.model().open_release is None:
                return self.row
            self.world.wait(31)
            look_after_releases(self.world.ports, MODEL)
        raise AssertionError(f"{self.row} never ends: {self.world.model()}")

    @property
    def expected(self) -> str:
        """How it must end, by what was done before it was killed."""
        changed = {"CreateEndpoint", "UpdateEndpoint"} & set(self.done)
        if not self.plan.get("moves"):
            return "released" if changed else "stopped"
        if "WatchTraffic" in self.done:
            return "released"
        return "rolled_back" if "ShiftTraffic" in self.done else "stopped"


ACTS: dict[str, Callable[[Life], Any]] = {
    "PlanRelease": Life.make_plan,
    "CreateModel": Life.create_model,
    "CreateModelInVpc": Life.create_model,
    "CreateStagingConfig": lambda life: life.create_config("staging_config", "staging_variants"),
    "CreateStaging": lambda life: life.create_endpoint("staging", "staging_config"),
    "RemoveStaging": Life.remove_staging,
    "AwaitApproval": lambda life: await_approval(*life._own, "token"),
    "CreateEndpointConfig": lambda life: life.create_config("config", "variants"),
    "CreateUncapturedConfig": lambda life: life.create_config("config", "variants"),
    "GuardEndpoint": lambda life: guard_endpoint(*life._own),
    "CheckRelease": lambda life: check_release(*life._own),
    "CreateEndpoint": lambda life: life.create_endpoint("endpoint", "config"),
    "UpdateEndpoint": Life.update_endpoint,
    "ShiftTraffic": lambda life: shift_traffic(*life._own, life.plan["traffic"]["step"]),
    # More looks than any bake takes.
    "WatchTraffic": lambda life: watch_traffic(*life._own, step=1, looks=10_000),
    "ConfirmRelease": Life.confirm,
    "ShareModel": lambda life: share_model(*life._own, life.plan["container"]),
}


def begun(world: World, scenario: Scenario) -> Life:
    """Open the next release, in the world of its scenario."""
    row = world.model()
    for number, arn in enumerate(versions(), 1):
        registry.update_approval(arn, registry.APPROVED, f"version {number} approved by ann: good")
    if scenario is FIRST and row.live is not None:
        remove_endpoint(world.ports, MODEL)
    if scenario is ROLLBACK:
        if row.previous is None:
            one_by_one(world, 2)
        (number,) = rollback_release(world.ports, MODEL, by="ann", because="worse").opened
        return Life(world, number)
    if scenario in (UPDATE, MOVED, SHARED) and row.live is None:
        one_by_one(world, 1)
    live = world.model().live
    other = 1 if live is None or live.version == 2 else 2
    (number,) = release_again(world.ports, MODEL, other, "again", "ann").opened
    return Life(world, number)


def versions() -> list[str]:
    """The ARNs of the registered versions, the oldest first."""
    found = boto_client("sagemaker").list_model_packages(ModelPackageGroupName=f"perennial-{MODEL}")
    return sorted(each["ModelPackageArn"] for each in found["ModelPackageSummaryList"])


def one_by_one(world: World, count: int) -> None:
    """Let releases go well, each of the version that is not live."""
    for _ in range(count):
        scenario = UPDATE if world.model().live else FIRST
        live = world.model().live
        other = 1 if live is None or live.version == 2 else 2
        (number,) = release_again(world.ports, MODEL, other, "first", "ann").opened
        life = Life(world, number)
        for edge in way_to(MACHINE, "IsLive", scenario.shuns - {"UpdateEndpoint", "CreateEndpoint"}
                           | ({"CreateEndpoint"} if live else {"UpdateEndpoint"})):  # fmt: skip
            life.do(edge.source)
        assert life.kill().outcome == "released"


def is_clean(world: World) -> None:
    """What is live is what the ledger says, and nothing else is left of any release."""
    model = world.model()
    backend: Any = sagemaker_backends[DEFAULT_ACCOUNT_ID][REGION]
    serving = {name: each.endpoint_config_name for name, each in backend.endpoints.items()}
    kept = {
        each.config
        for each in (model.live, model.previous)
        if each is not None and each.kind != "multi-model"
    }
    live = {model.live.endpoint: model.live.config} if model.live else {}
    archives = list_archives("artifacts", "shared/")
    if model.live is not None and model.live.kind == "multi-model":
        assert archives == (archive(MODEL, model.live.config),)
        kept |= {serving[model.live.endpoint]}
        live = {model.live.endpoint: serving[model.live.endpoint]}
    else:
        assert archives == ()
    assert set(endpoints.list_configs("perennial-")) == kept
    assert set(endpoints.list_models("perennial-")) == kept
    assert endpoints.describe_endpoint(STAGING) is None
    assert serving == live
    alarms = boto_client("cloudwatch").describe_alarms(AlarmNamePrefix="perennial-guard-")
    assert alarms["MetricAlarms"] == []
    assert (model.waiting, model.open_release) == (None, None)


def test_every_state_has_a_kill_point() -> None:
    """A state that nobody has put into a scenario fails here, by its name."""
    assert uncovered(MACHINE, RELEASE_SCENARIOS) == []
    without = {**MACHINE, "States": {**MACHINE["States"], "New": {"Type": "Pass"}}}
    (words,) = uncovered(without, RELEASE_SCENARIOS)
    assert words.startswith("state New has no kill point: name it in a scenario")


@pytest.mark.long
@pytest.mark.parametrize("scenario", RELEASE_SCENARIOS, ids=lambda each: each.name)
def test_a_release_may_be_killed_in_every_state(world: World, scenario: Scenario) -> None:
    """Its outcome is what the endpoint shows; champion and live agree, nothing is left over.

    Of a state whose failure leads to the killed one, the request may have reached AWS or not.
    """
    kill_in_each(world, scenario, scenario.states)


def test_a_release_may_be_killed_around_its_update(world: World) -> None:
    """While it is staged, when the update is announced, and when it was asked for."""
    kill_in_each(world, UPDATE, ("SmokeTest", "EndpointExists", "WaitForEndpoint"))


def test_a_release_to_a_shared_endpoint_may_be_killed_around_its_shares(world: World) -> None:
    """When its archive is there, when it answers, and when it was never brought."""
    kill_in_each(world, SHARED, ("ShareModelFailed", "WaitForStaging", "WaitForTraffic"))


def kill_in_each(world: World, scenario: Scenario, states: tuple[str, ...]) -> None:
    """Make the scenario's world, and kill a release in each of these states, one by one."""
    put(ARTIFACT, BYTES)
    world.push(release=SETTINGS)
    for _ in range(2):
        servable(world, Environment=VARIABLES)
    if scenario is PERSON:
        world.push("b" * 64, release={**SETTINGS, "production": "person"})
    if scenario in (MOVED, SHARED):
        for number, arn in enumerate(versions(), 1):
            registry.update_approval(arn, registry.APPROVED, f"{number} approved by ann: good")
        one_by_one(world, 1)
        kind = "serverless" if scenario is MOVED else "multi-model"
        world.push("b" * 64, release={**SETTINGS, "endpoint": {"kind": kind}})
        world.outputs.update(STACK)
    for state in dict.fromkeys(states):
        way = way_to(MACHINE, state, scenario.shuns)
        for was_done in (False, True) if way and way[-1].error else (True,):
            kill_in(world, scenario, way, state, was_done=was_done)


def kill_in(
    world: World, scenario: Scenario, way: list[Edge], state: str, *, was_done: bool
) -> None:
    """Go the way, kill there, and look; `was_done`: the last step's request had its effect."""
    life = begun(world, scenario)
    before = world.model()
    for edge in way[: None if was_done else -1]:
        life.do(edge.source)
    row = life.kill()
    where = f"{state} in {scenario.name}, {was_done=}: {row.words}"
    assert row.outcome == life.expected, where
    after = world.model()
    if row.outcome == "released":
        assert after.live is not None, where
        assert (after.live.release, after.live.version) == (row.number, row.version), where
        assert after.champion is not None, where
        assert after.champion.version == row.version, where
    else:
        assert (after.live, after.champion) == (before.live, before.champion), where
        present = "nothing is live" if before.live is None else "production is as it was"
        assert present in row.words, where
    is_clean(world)
