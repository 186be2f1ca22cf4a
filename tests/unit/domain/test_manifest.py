"""What a run reads, and what its machine is told."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace

import pytest
from perennial.domain import manifest, naming, run_input
from perennial.domain.errors import Rejected
from perennial.domain.run_input import Network, Place
from perennial.domain.schema import Column
from perennial.domain.settings import (
    STEPS,
    DataSettings,
    JobSettings,
    Range,
    Settings,
    TrainSettings,
    Tuning,
)
from perennial.domain.signals import ObjectVersion
from perennial.domain.window import Span

from tests.unit.domain.ledger_builders import NOW, claimed_run, settings_row, version

SETTINGS = Settings(
    project="census",
    problem="binary",
    label="income",
    data=DataSettings(columns=(Column("age", "integer"), Column("income", "text"))),
    jobs=(
        ("check_data", JobSettings("ml.m5.large", 30, 60, 1)),
        ("train", JobSettings("ml.m5.xlarge", 40, 70, 1)),
        *((step, JobSettings("ml.m5.large", 30, 80, 1)) for step in STEPS[2:]),
    ),
    tags=(("team", "risk"), ("perennial:run", "mine")),
)


def made(*objects, select=("*",), left_out=(), **given):
    """The manifest of run 7 over these objects."""
    return manifest.build(
        ("census", 7), objects, select=select, left_out=set(left_out), created_ms=5, **given
    )


def stored(key, at_ms=NOW):
    """A version of an object of the artifact bucket."""
    return ObjectVersion("artifacts", key, "v1", "e", 10, at_ms)


def test_a_manifest_lists_versions_by_key():
    """In one canonical form, whatever the order of the listing."""
    one, two = version("b.csv", size=7), version("a ü.csv", 2, size=3)
    found = made(one, two)
    assert found.objects == (two, one)
    assert found.body == made(two, one).body
    assert (found.bytes, found.ids) == (10, {one.id, two.id})
    assert (found.model, found.run) == ("census", 7)
    assert found.digest == hashlib.sha256(found.body).hexdigest()
    document = json.loads(found.body)
    assert document == {
        "version": 1,
        "model": "census",
        "run": 7,
        "created_ms": 5,
        "objects": [
            {
                "bucket": "landing",
                "key": each.key,
                "version_id": each.version_id,
                "etag": "e",
                "size": each.size,
                "last_modified_ms": each.last_modified_ms,
                "source": "landed",
            }
            for each in (two, one)
        ],
        "sources": {"landed": 2},
        "totals": {"objects": 2, "bytes": 10},
        "window": {"kind": "all", "words": "all data", "from_ms": 0},
    }
    assert found.outside == frozenset()
    assert b": " not in found.body
    assert found.body.startswith(b'{"created_ms":5,"model":"census","objects":[{"bucket":')
    assert "ü".encode() in found.body


def test_what_a_manifest_leaves_out():
    """Quarantined and excluded versions, what is not selected, and marks of folders."""
    good, bad, text = version("a.csv"), version("bad.csv"), version("a.txt")
    mark = version("folder.csv/", size=0)
    found = made(good, bad, text, mark, select=("*.csv", "*/"), left_out=[bad.id])
    assert found.objects == (good,)


def test_a_window_leaves_older_objects_out():
    """They are told, for their signals must be settled; what is not selected is not."""
    old = replace(version("old.csv"), last_modified_ms=NOW - 1)
    unwanted = replace(version("old.txt"), last_modified_ms=NOW - 1)
    span = Span("days", "the last 1h", NOW)
    found = made(old, version("new.csv"), unwanted, select=("*.csv",), span=span)
    assert [each.key for each in found.objects] == ["incoming/census/new.csv"]
    assert found.outside == {old.id}
    assert manifest.read(found.body) == found
    assert manifest.read(found.body).outside == frozenset()
    window = json.loads(found.body)["window"]
    assert window == {"kind": "days", "words": "the last 1h", "from_ms": NOW}
    assert made(old, left_out=[old.id], span=span).outside == frozenset()


def test_a_manifest_lists_the_sources_of_its_objects():
    """Labels by their age; captured requests of any age, for a label may come late."""
    objects = [
        ("labelled-traffic", stored("labels/census/new.jsonl")),
        ("labelled-traffic", stored("labels/census/old.jsonl", NOW - 1)),
        ("labelled-traffic", stored("capture/census/old.jsonl", NOW - 1)),
        ("labelled-traffic", stored("capture/census/bad.jsonl")),
        ("reviews", stored("reviews/census/old.jsonl", NOW - 1)),
        ("reviews", stored("reviews/census/1.jsonl")),
        ("reviews", replace(stored("reviews/census/"), size=0)),
    ]
    bad = objects[3][1].id
    span = Span("days", "w", NOW)
    found = made(version(), others=objects, left_out=[bad], span=span)
    document = json.loads(found.body)
    assert [(each["key"], each["source"]) for each in document["objects"]] == [
        ("capture/census/old.jsonl", "labelled-traffic"),
        ("incoming/census/a.csv", "landed"),
        ("labels/census/new.jsonl", "labelled-traffic"),
        ("reviews/census/1.jsonl", "reviews"),
    ]
    assert document["sources"] == {"labelled-traffic": 2, "landed": 1, "reviews": 1}
    assert found.outside == frozenset()
    assert manifest.read(found.body) == found


def test_captured_requests_without_any_label_are_not_listed():
    """They cannot teach anything; reviews beside them can."""
    objects = [
        ("labelled-traffic", stored("capture/census/a.jsonl")),
        ("reviews", stored("reviews/census/1.jsonl")),
    ]
    found = made(others=objects)
    assert [each.key for each in found.objects] == ["reviews/census/1.jsonl"]
    assert manifest.is_capture(objects[0][1])
    assert not manifest.is_capture(objects[1][1])


def test_a_manifest_reads_back():
    """From text or bytes; another version is refused."""
    found = made(version())
    assert manifest.read(found.body) == found
    assert manifest.read(found.body.decode()) == found
    with pytest.raises(Rejected, match="this manifest has version 2; this Perennial reads 1"):
        manifest.read(found.body.replace(b'"version":1', b'"version":2'))


@pytest.mark.parametrize(
    ("key", "patterns", "expected"),
    [
        ("incoming/census/a.csv", ["*.csv"], True),
        ("incoming/census/2026/a.csv", ["*.csv"], True),
        ("incoming/census/2026/a.csv", ["2025/*", "2026/*"], True),
        ("incoming/census/2027/a.csv", ["2025/*", "2026/*"], False),
        ("incoming/census/a.CSV", ["*.csv"], False),
        ("incoming/census/a.csv", [], False),
        ("incoming/censuses/a.csv", ["*"], False),
        ("incoming/census/new\nline.csv", ["*.csv"], True),
        ("incoming/census/[a].csv", ["[[]a].csv"], True),
    ],
)
def test_selection_of_keys(key, patterns, expected):
    """Patterns are held against the key below the model's prefix."""
    assert manifest.is_selected(key, "census", patterns) is expected


def document(place=None, settings=SETTINGS, **fields):
    """The input of run 7."""
    place = place or Place("perennial", "artifacts")
    text = run_input.build(
        claimed_run(**fields), settings_row(), settings, place, "s3://artifacts/manifest"
    )
    return json.loads(text)


def test_the_input_of_the_machine():
    """Names, places and sizes: all that the states need, and no figures."""
    found = document()
    tags = found.pop("tags")
    metrics = found["training"].pop("metrics")
    assert found == {
        "model": "census",
        "run": 7,
        "prefix": "perennial-census-7",
        "settings": 3,
        "code": "s3://artifacts/code/census/abc.tar.gz",
        "code_sha": "abc",
        "manifest": "s3://artifacts/manifest",
        "settings_uri": "s3://artifacts/runs/census/7/settings.json",
        "base": "s3://artifacts/runs/census/7",
        "models": "s3://artifacts/models/census/7",
        "group": "perennial-census",
        "instances": {
            "check_data": {
                "type": "ml.m5.large",
                "count": 1,
                "volume_gb": 30,
                "max_seconds": 60,
            },
            "train": {"type": "ml.m5.xlarge", "count": 1, "volume_gb": 40, "max_seconds": 70},
            **{
                step: {"type": "ml.m5.large", "count": 1, "volume_gb": 30, "max_seconds": 80}
                for step in STEPS[2:]
            },
        },
        "hyperparameters": {
            "step": '"train"',
            "sagemaker_program": '"entry.py"',
            "sagemaker_submit_directory": '"s3://artifacts/code/census/abc.tar.gz"',
        },
        "network": {
            "isolated": False,
            "check_data": {"EnableNetworkIsolation": False},
            "other_jobs": {"EnableNetworkIsolation": False},
        },
        "training": {
            "spot": False,
            "stopping": {"MaxRuntimeInSeconds": 70},
            "checkpoints": "s3://artifacts/runs/census/7/spot-checkpoints",
            "tuning_prefix": naming.tuning_prefix("perennial", "census", 7),
        },
    }
    assert {each["Key"]: each["Value"] for each in tags} == {
        "team": "risk",
        "perennial:stack": "perennial",
        "perennial:model": "census",
        "perennial:run": "7",
    }
    assert len(tags) == 4
    (auc,) = (each["Regex"] for each in metrics if each["Name"] == "auc")
    assert [re.findall(auc, line) for line in ("auc=0.9;", "validation_auc=0.8;")] == [
        ["0.9"],
        ["0.8"],
    ]
    assert re.findall(auc, "train_auc=0.99; xauc=1;") == []


def test_a_search_on_spot_machines_is_told_as_sagemaker_wants_it():
    """Ranges by kind, numbers as texts, the goal of the figure; the wait beside the limit."""
    ranges = (
        Range("rate", "float", 0.001, 0.5, "log"),
        Range("leaves", "int", 3, 255, "linear"),
        Range("kind", "category", values=("a", "b")),
    )
    tuning = Tuning("log_loss", "minimize", ranges, "Random", 6, 3, early_stopping=False)
    train = TrainSettings(tuning=tuning, spot=True, max_wait=90, metrics=(("mine", "m=(.*)"),))
    found = document(settings=replace(SETTINGS, train=train))["training"]
    assert found["stopping"] == {"MaxRuntimeInSeconds": 70, "MaxWaitTimeInSeconds": 90}
    assert found["metrics"][0] == {"Name": "mine", "Regex": "m=(.*)"}
    assert found["tuning"] == {
        "Strategy": "Random",
        "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "log_loss"},
        "ResourceLimits": {"MaxNumberOfTrainingJobs": 6, "MaxParallelTrainingJobs": 3},
        "ParameterRanges": {
            "IntegerParameterRanges": [
                {"Name": "leaves", "MinValue": "3", "MaxValue": "255", "ScalingType": "Linear"}
            ],
            "ContinuousParameterRanges": [
                {"Name": "rate", "MinValue": "0.001", "MaxValue": "0.5",
                 "ScalingType": "Logarithmic"}
            ],
            "CategoricalParameterRanges": [{"Name": "kind", "Values": ["a", "b"]}],
        },
        "TrainingJobEarlyStoppingType": "Off",
    }  # fmt: skip


def test_the_input_is_the_same_bytes_each_time():
    """A repeated start must be the same start."""
    place = Place("perennial", "artifacts")
    texts = {
        run_input.build(claimed_run(), settings_row(), SETTINGS, place, "s3://m") for _ in range(3)
    }
    assert len(texts) == 1
    assert ", " not in texts.pop()


def test_isolation_and_network_reach_the_jobs():
    """Isolation reaches every job but the data check; the network reaches all."""
    network = Network(("subnet-1", "subnet-2"), ("sg-1",), isolated=True)
    found = document(Place("perennial", "artifacts", network))["network"]
    vpc = {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1", "subnet-2"]}
    assert found == {
        "isolated": True,
        "vpc": vpc,
        "check_data": {"EnableNetworkIsolation": False, "VpcConfig": vpc},
        "other_jobs": {"EnableNetworkIsolation": True, "VpcConfig": vpc},
    }


def test_effective_settings_read_back():
    """What a job reads is what was validated."""
    body = run_input.effective_settings(SETTINGS)
    assert json.loads(body) == json.loads(json.dumps(SETTINGS.to_json()))
    assert b": " not in body
    renamed = replace(SETTINGS, label="ü")
    assert "ü".encode() in run_input.effective_settings(renamed)


def test_an_object_version_is_plain():
    """Its parts are its identity."""
    assert ObjectVersion("b", "k", "v", "e", 1, 2).parts == ("b", "k", "v")
