"""What the retrain machine sends to each service, from the histories of real executions."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import pytest
from perennial.domain import naming, run_input
from perennial.domain.ledger.rows import RunRow, SettingsRow
from perennial.domain.settings import TrainSettings, parse_settings

from tests.statemachines.aws_api import JOB_OPERATIONS, mistakes
from tests.statemachines.machine import ROOT, Ran, load, parse, run, states_of
from tests.statemachines.scenarios import (
    ANSWERS,
    by_clarify,
    document,
    from_parents,
    planned,
    trained_by,
)

DEFINITION = load("retrain")
STATES = states_of(DEFINITION)
LONGEST_STACK, LONGEST_MODEL = "prod-perennial-with-a-long-name", "m" * 20
SEARCHING = {
    "spot": True,
    "max_wait": "2h",
    "hyperparameters": {"rate": 0.1, "leaves": 31, "kind": "a"},
    "tuning": {
        "jobs": 6,
        "parallel": 2,
        "objective": "auc",
        "ranges": {
            "rate": {"type": "float", "min": 0.001, "max": 0.5, "scale": "log"},
            "leaves": {"type": "int", "min": 3, "max": 255},
            "kind": {"values": ["a", "b"]},
        },
    },
}
PAYLOAD_LIMIT = 32 * 1024
SUBNETS, GROUPS = ("subnet-0a", "subnet-0b"), ("sg-0a",)


def settings_of(columns: int, *, tuned: bool = False) -> Any:
    """Settings of a model with so many columns, every one described; a search on spot machines."""
    described: dict[str, Any] = {
        f"column_number_{n}": {"type": "float", "min": 0, "max": 1} for n in range(columns - 1)
    }
    described["label"] = {"type": "category", "levels": ["no", "yes"]}
    return parse_settings(
        {
            "version": 1,
            "problem": "binary",
            "label": "label",
            "positive": "yes",
            "data": {"columns": described},
            **({"train": SEARCHING} if tuned else {}),
            "tags": {f"team-{n}": "x" * 256 for n in range(40)},
        },
        project=LONGEST_MODEL,
    )


def input_of(
    network: run_input.Network, *, columns: int = 3, tuned: bool = False
) -> dict[str, Any]:
    """A run's input as `open_run` builds it, for the longest names that are possible."""
    settings = settings_of(columns, tuned=tuned)
    pushed = SettingsRow(
        model=LONGEST_MODEL,
        version=999_999,
        code=f"s3://artifacts/code/{LONGEST_MODEL}/{'c' * 64}.tar.gz",
        code_sha="c" * 64,
        settings=json.dumps(settings.to_json()),
        pushed_ms=1,
        pushed_by="somebody",
    )
    opened = RunRow(model=LONGEST_MODEL, number=999_999, settings=pushed.version, opened_ms=1)
    place = run_input.Place(LONGEST_STACK, "artifacts-" + "b" * 50, network)
    manifest = f"s3://artifacts/runs/{LONGEST_MODEL}/999999/manifest-{'a' * 16}.json"
    text = run_input.build(opened, pushed, settings, place, manifest)
    built: dict[str, Any] = json.loads(text)
    return built


NETWORKS = {
    "open": run_input.Network(),
    "isolated": run_input.Network(isolated=True),
    "VPC": run_input.Network(SUBNETS, GROUPS),
    "VPC, isolated": run_input.Network(SUBNETS, GROUPS, isolated=True),
}


#: A search that continues from another one, and bias that Clarify measures.
OTHER_WAYS = {
    **ANSWERS,
    "PlanRun": [{**from_parents(), "clarify": by_clarify()["clarify"]}],
}


@pytest.fixture(scope="module")
def ran() -> dict[str, Ran]:
    """One execution for each kind of network."""
    program = parse(DEFINITION)
    return (
        {name: run(program, input_of(network), ANSWERS) for name, network in NETWORKS.items()}
        | {
            f"{name}, tuned": run(program, input_of(network, tuned=True), ANSWERS)
            for name, network in NETWORKS.items()
        }
        | {
            f"{name}, warm, by Clarify": run(program, input_of(network, tuned=True), OTHER_WAYS)
            for name, network in NETWORKS.items()
        }
    )


@pytest.mark.parametrize(
    ("state", "golden"), [("PlanRun", "plan_run"), ("JudgeCandidate", "judge_candidate")]
)
def test_the_golden_events_are_what_the_machine_sends(state: str, golden: str) -> None:
    """The events that the handlers are tested with, member for member and value for value."""
    (sent,) = run(parse(DEFINITION), document(), ANSWERS).payloads[state]
    assert sent == json.loads((ROOT / "events" / f"{golden}.json").read_text("utf-8"))


def _api(state: str) -> tuple[str, str]:
    service, operation = re.match(
        r"arn:aws:states:::(?:aws-sdk:)?(\w+):(\w+)", STATES[state]["Resource"]
    ).groups()  # type: ignore[union-attr]  # a Task that is no integration is no case here
    return service, operation


def _requests(ran: dict[str, Ran]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (network, state, payload)
        for network, one in ran.items()
        for state, payloads in one.payloads.items()
        if ":function:" not in STATES[state]["Resource"]
        for payload in payloads
    ]


def test_aws_would_accept_every_request(ran: dict[str, Ran]) -> None:
    """Each evaluated request fits the API's own model: members, enums, patterns, lengths."""
    requests = _requests(ran)
    assert len(requests) == (9 + 10 + 10) * len(NETWORKS)
    assert [
        (network, state, *found)
        for network, state, payload in requests
        if (found := mistakes(*_api(state), payload))
    ] == []


@pytest.mark.parametrize(
    "train",
    [
        TrainSettings(algorithm="xgboost", input="libsvm"),
        TrainSettings(algorithm="linear-learner", validation=0),
        TrainSettings(image="123456789012.dkr.ecr.eu-west-1.amazonaws.com/own/trainer:7"),
    ],
)
@pytest.mark.parametrize("tuned", [False, True])
def test_aws_would_accept_what_any_trainer_is_given(train: TrainSettings, *, tuned: bool) -> None:
    """Algorithms of AWS's and own images go through the same states, with channels of their own."""
    answers = {**ANSWERS, "PlanRun": [planned(training=trained_by(train))]}
    one = run(parse(DEFINITION), input_of(NETWORKS["open"], tuned=tuned), answers)
    state = "Tune" if tuned else "Train"
    request = one.payloads[state][0]
    assert mistakes(*_api(state), request) == []
    job = request["TrainingJobDefinition"] if tuned else request
    names = [channel["ChannelName"] for channel in job["InputDataConfig"]]
    assert names[:2] == (["train", "validation"] if train.validation else ["train"])
    # SageMaker refuses metrics of ours for its own algorithms.
    has_metrics = "MetricDefinitions" in job["AlgorithmSpecification"]
    assert has_metrics == (not train.algorithm)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("ResourceConfig", "InstanceType"), "ml.no.such", "none of"),
        (("TrainingJobName",), "a_b", "does not match"),
        (("StoppingCondition", "MaxRuntimeInSeconds"), 0, "valid min value"),
        (("EnableNetworkIsolation",), "false", "Invalid type"),
        (("VpcConfig",), {}, "Missing required parameter"),
        (("Tags",), [{"Key": "k", "Value": "v"}] * 60, "not within"),
        (("NoSuchMember",), 1, "Unknown parameter"),
    ],
)
def test_a_wrong_request_is_noticed(
    path: tuple[str, ...], value: Any, words: str, ran: dict[str, Ran]
) -> None:
    """The check that the others rest on finds each kind of mistake."""
    request = copy.deepcopy(ran["open"].payloads["Train"][0])
    inner = request
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    assert words in " ".join(mistakes("sagemaker", "createTrainingJob", request))


def test_only_jobs_are_waited_for() -> None:
    """`.sync` exists for the five kinds of job, and nowhere else."""
    for name, state in STATES.items():
        resource = state.get("Resource", "")
        operation = resource.rsplit(":", 1)[-1]
        assert operation.endswith(".sync") == (operation.removesuffix(".sync") in JOB_OPERATIONS), (
            name
        )


def test_payloads_stay_small_for_large_data() -> None:
    """With 10,000 objects and 500 columns, no payload and no state input passes 32 KiB."""
    program = parse(DEFINITION)
    biggest = {
        "refused": False,
        "reason": "",
        "rows": dict.fromkeys(("read", "good", "bad", "training", "holdout"), 10**12),
        "objects": dict.fromkeys(("read", "good", "quarantined"), 10_000),
    }
    answers = {**ANSWERS, "ReadCheck": [{"Body": json.dumps(biggest)}]}
    one = run(program, input_of(NETWORKS["VPC, isolated"], columns=500), answers)
    assert one.status == "SUCCEEDED"
    sizes = {
        state: len(json.dumps(payload).encode())
        for state, payloads in one.payloads.items()
        for payload in payloads
    }
    assert max(sizes.values()) < PAYLOAD_LIMIT, sizes
    assert one.largest < PAYLOAD_LIMIT


def test_the_network_reaches_every_job(ran: dict[str, Ran]) -> None:
    """VPC and isolation are in each job's request, but the data check is never isolated."""
    vpc = {"SecurityGroupIds": list(GROUPS), "Subnets": list(SUBNETS)}
    for name, network in NETWORKS.items():
        sent = ran[name].payloads
        train = sent["TrainInVpc" if network.subnets else "Train"][0]
        expected = vpc if network.subnets else None
        assert train.get("VpcConfig") == expected
        assert train["EnableNetworkIsolation"] is network.isolated
        others = ("Evaluate", "EvaluateChampion", "Compare", "MeasureBias", "Explain", "Baseline")
        tune = ran[f"{name}, tuned"].payloads["TuneInVpc" if network.subnets else "Tune"][0]
        trial = tune["TrainingJobDefinition"]
        assert trial.get("VpcConfig") == expected
        assert trial["EnableNetworkIsolation"] is network.isolated
        warm = ran[f"{name}, warm, by Clarify"].payloads
        search = warm["TuneFromParentsInVpc" if network.subnets else "TuneFromParents"][0]
        assert search["TrainingJobDefinition"].get("VpcConfig") == expected
        clarify = warm["MeasureBiasWithClarify"][0]["NetworkConfig"]
        assert clarify.get("VpcConfig") == expected
        assert clarify["EnableNetworkIsolation"] is network.isolated
        for state, isolated in (("CheckData", False), *((s, network.isolated) for s in others)):
            assert sent[state][0]["NetworkConfig"].get("VpcConfig") == expected
            assert sent[state][0]["NetworkConfig"]["EnableNetworkIsolation"] is isolated


def test_the_key_reaches_every_job() -> None:
    """A key of one's own encrypts volumes and outputs; none at all is an empty text."""
    text = json.dumps(DEFINITION)
    key = "arn:aws:kms:eu-west-1:111122223333:key/0a"
    keyed = json.loads(re.sub(r'"(\w*KmsKeyId)": ""', lambda found: f'"{found[1]}": "{key}"', text))
    one = run(parse(keyed), document(), ANSWERS)
    train, check = one.payloads["Train"][0], one.payloads["CheckData"][0]
    assert train["OutputDataConfig"]["KmsKeyId"] == key
    assert train["ResourceConfig"]["VolumeKmsKeyId"] == key
    assert check["ProcessingOutputConfig"]["KmsKeyId"] == key
    assert check["ProcessingResources"]["ClusterConfig"]["VolumeKmsKeyId"] == key
    assert mistakes("sagemaker", "createTrainingJob", train) == []
    assert "DebugHookConfig" not in train


def test_functions_get_what_they_ask_for(ran: dict[str, Ran]) -> None:
    """The payload of each function has exactly the members that it reads."""
    sent = ran["open"].payloads
    asked = {
        "CheckClaim": {"model", "run", "execution"},
        "PlanRun": {"model", "run", "execution", "image", "clarify_image", "gpu_image",
                    "algorithm_images"},
        "JudgeCandidate": {"model", "run", "base", "manifest", "settings_uri", "code", "code_sha",
                           "plan", "evaluations", "examinations"},
        "RegisterVersion": {"model", "run", "execution", "group", "verdict", "artifact", "code",
                            "code_sha", "image", "manifest", "check_job", "training_job",
                            "evaluate_job", "plan"},
        "ApproveCandidate": {"model", "run", "arn", "verdict", "settings"},
    }  # fmt: skip
    assert {state: set(sent[state][0]) for state in asked} == asked


def test_job_names_are_those_of_the_ledger(ran: dict[str, Ran]) -> None:
    """The machine makes the names by which the end of a run finds its jobs."""
    sent = ran["open"].payloads
    prefix = naming.run_prefix(LONGEST_STACK, LONGEST_MODEL, 999_999)
    assert sent["Train"][0]["TrainingJobName"] == naming.job_name(prefix, "train", 0)
    assert sent["CheckData"][0]["ProcessingJobName"] == naming.job_name(prefix, "check-data", 0)
    for state, step in (("Evaluate", "evaluate"), ("EvaluateChampion", "evaluate-champion"),
                        ("Compare", "compare"), ("MeasureBias", "measure-bias"),
                        ("Explain", "explain"), ("Baseline", "baseline")):  # fmt: skip
        assert sent[state][0]["ProcessingJobName"] == naming.job_name(prefix, step, 0)


def test_no_place_is_the_beginning_of_another(ran: dict[str, Ran]) -> None:
    """SageMaker takes an input's URI for a prefix: `check` would also fetch `checkpoints`."""
    sent = [payload for one in ran.values() for each in one.payloads.values() for payload in each]
    places = set(re.findall(r"s3://[^\"]+?/runs/[^\"]+", json.dumps(sent)))
    assert len(places) > 10
    begins = {
        (one, other) for one in places for other in places if one != other and other.startswith(one)
    }
    assert {pair for pair in begins if not pair[1].startswith(f"{pair[0]}/")} == set()
