"""The settings: round trips, overrides, and a message for every kind of mistake."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from perennial.domain.settings import Settings, SettingsInvalid, apply_overrides, parse_settings
from perennial.domain.settings_reader import duration, parse_duration

ROOT = Path(__file__).resolve().parents[3]

GOOD: dict[str, Any] = {
    "problem": "binary",
    "label": "won",
    "positive": "yes",
    "facets": {"team": {}, "size": {"edges": [10, 20]}},
    "data": {
        "columns": {
            "size": "int",
            "share": {"type": "float", "min": 0, "max": 1},
            "team": {"type": "category", "levels": ["a", "b"], "open": True, "required": False},
            "note": {"type": "string", "required": False},
            "won": {"type": "category", "levels": ["no", "yes"], "aliases": {"y": "yes"}},
        },
        "identity": ["size", "team"],
        "missing": ["?"],
    },
    "train": {"hyperparameters": {"depth": 3, "rate": 0.1, "kind": "dart", "on": True}},
    "gates": {"auc": {"min": 0.8}, "log_loss": {"max": 0.5}, "recall:team=a": {"min": 0.3}},
    "release": {"approval": "policy"},
    "triggers": {"quiet_period": "2m", "schedules": {"nightly": "cron(0 3 * * ? *)"}},
    "tags": {"team": "data science"},
}

# Path of the change, its value (`...` removes the key), path of the mistake, words in it.
MISTAKES: list[tuple[str, Any, str, str]] = [
    ("problem", "binry", "problem", "did you mean binary?"),
    ("problem", ..., "problem", "found nothing; expected binary, multiclass or regression"),
    ("label", "win", "label", "a column of data.columns"),
    ("positive", "maybe", "positive", "one of the label's levels: no, yes"),
    ("positive", ..., "positive", "one of the label's levels"),
    ("facets", ["nothing"], "facets.nothing", "the name of a feature column"),
    ("facets", ["won"], "facets.won", "the name of a feature column"),
    ("facets", {"size": {}}, "facets.size.edges", "the bounds that cut"),
    ("facets", {"size": {"edges": [2, 1]}}, "facets.size.edges", "each larger"),
    ("facets", {"team": {"edges": [1]}}, "facets.team.edges", "team is no number"),
    ("facets", {"note": {}}, "facets.note", "a category, bool or numeric column"),
    ("data", ..., "data.columns", "at least two"),
    ("data", [1], "data", "keys with values"),
    ("data.columns.size", "integer", "data.columns.size.type", "did you mean int?"),
    ("data.columns.share", {"type": "float", "min": 2, "max": 1}, "data.columns.share.min", "at"),
    ("data.columns.note", {"type": "string", "min": 1}, "data.columns.note.min", "only int"),
    ("data.columns.team", {"type": "category"}, "data.columns.team.levels", "or open: true"),
    ("data.columns.size", {"type": "int", "levels": ["a"]}, "data.columns.size.levels", "only cat"),
    ("data.columns.__row", "int", "data.columns.__row", "not beginning __"),
    ("data.columns.won", {"type": "category", "open": True}, "data.columns.won", "levels listed"),
    ("data.columns.won.levels", ["a", "b", "c"], "data.columns.won.levels", "two, as it is binary"),
    ("data.columns.won.required", False, "data.columns.won.required", "teaches nothing"),
    ("data.columns.won.aliases", {"j": "ja"}, "data.columns.won.aliases.j", "no or yes"),
    ("data.columns", [{"type": "int"}], "data.columns", "columns with a name each"),
    ("data.columns", [{"name": "a", "type": "int"}] * 2, "data.columns", "none of them twice"),
    ("data.identity", ["nobody"], "data.identity", "names of columns"),
    ("data.identity", ["won"], "data.identity", "without the label"),
    ("data.format", "xml", "data.format", "csv, jsonlines or parquet"),
    ("data.header", "yes", "data.header", "true or false"),
    ("data.delimiter", "||", "data.delimiter", "one character"),
    ("data.missing", [None], "data.missing", "quote each"),
    ("data.select", ["incoming/x"], "data.select", "key patterns below"),
    ("data.max_bad_rows", -1, "data.max_bad_rows", "a whole number from 0"),
    ("data.max_bad_rows", True, "data.max_bad_rows", "a whole number from 0"),
    ("data.min_rows", 0, "data.min_rows", "a whole number from 1"),
    ("data.holdout", 1.5, "data.holdout", "a share"),
    ("data.colums", {}, "data.colums", "expected columns?"),
    ("train.instance", "big", "train.instance", "an instance type like"),
    ("train.max_seconds", "1w", "train.max_seconds", "a duration like"),
    ("train.max_seconds", 10**9, "train.max_seconds", "a whole number from 1 to 432,000"),
    ("train.hyperparameters", {"a b": 1}, "train.hyperparameters.a b", "letters, digits"),
    ("train.hyperparameters", {"a": {}}, "train.hyperparameters.a", "a text, number"),
    ("jobs.train", {"instance": "ml.m5.large"}, "jobs.train", "stand under train"),
    ("jobs.evaluate", {"count": 2}, "jobs.evaluate.count", "not built yet"),
    ("gates.auc", 0.9, "gates.auc", "keys with values"),
    ("gates.auc", {}, "gates.auc", "min or max"),
    ("gates.auc", {"min": "high"}, "gates.auc.min", "a number"),
    ("gates.acu", {"min": 0.9}, "gates.acu", "auc?"),
    ("gates.rmse", {"max": 1}, "gates.rmse", "no figure of this problem"),
    ("gates.auc", {"min": 0.9, "max": 0.8}, "gates.auc.min", "at most max"),
    ("gates.auc", {"margin": 1}, "gates.auc.margin", "stands under gates.champion"),
    ("gates.auc:age=1", {"min": 0}, "gates.auc:age=1", "a group of no facet"),
    ("release.approval", "robot", "release.approval", "person or policy"),
    ("release.canary", 10, "release.canary", "found an unknown key"),
    ("triggers.quiet_period", "soon", "triggers.quiet_period", "a duration like 30s"),
    ("triggers.quiet_period", 300, "triggers.quiet_period", "a duration like 30s"),
    ("triggers.max_wait", "1m", "triggers.max_wait", "at least quiet_period"),
    ("triggers.max_runs_per_day", 0, "triggers.max_runs_per_day", "a whole number"),
    ("triggers.schedules", {"n": "daily"}, "triggers.schedules.n", "a cron of six fields"),
    ("triggers.schedules", {"n": "rate(2 day)"}, "triggers.schedules.n", "rate(1 day)"),
    ("triggers.schedules", {"N N": "rate(1 day)"}, "triggers.schedules.N N", "a name of"),
    ("triggers.quite_period", "1m", "triggers.quite_period", "quiet_period?"),
    ("tags", {"aws:x": "y"}, "tags.aws:x", "are taken"),
    ("tags", {"x": 1}, "tags.x", "a tag value"),
    ("monitor", {"drift": True}, "monitor.drift", "an unknown key"),
    ("review", {"below": 0.6}, "review", "reviews; not built yet"),
    ("network", {"subnets": ["x"]}, "network", "VpcSubnetIds"),
    ("key", "arn", "key", "KmsKeyArn"),
    ("providers", {"monitor": "sagemaker"}, "providers.monitor", "with data-quality"),
    ("providers", {"monitor": "other"}, "providers.monitor", "perennial or sagemaker"),
    ("version", 9, "version", "a whole number from 1 to 1"),
    ("project", "other", "project", "game"),
]  # fmt: skip


def changed(path: str, value: Any) -> dict[str, Any]:
    """The good document with one change; dots in the last part of gates are kept."""
    document = copy.deepcopy(GOOD)
    *parents, last = path.split(".")
    place = document
    for key in parents:
        if not isinstance(place.get(key), dict):
            place[key] = {}
        place = place[key]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return document


def mistakes(document: Any, project: str = "game") -> dict[str, str]:
    """Path → message of every mistake in a document."""
    with pytest.raises(SettingsInvalid) as caught:
        parse_settings(document, project=project)
    return {mistake.path: str(mistake) for mistake in caught.value.mistakes}


@pytest.mark.parametrize(("path", "value", "where", "words"), MISTAKES)
def test_each_mistake_is_named(path: str, value: Any, where: str, words: str) -> None:
    """Key path, what was found, what was expected."""
    found = mistakes(changed(path, value))
    assert where in found, found
    assert words in found[where]


def test_all_mistakes_are_told_at_once() -> None:
    """Nobody wants to mend one and meet the next."""
    document = changed("problem", "x")
    document["data"]["holdout"] = 2
    document["triggers"]["cool_down"] = "never"
    assert {"problem", "data.holdout", "triggers.cool_down"} <= set(mistakes(document))


def test_message_names_file_and_project() -> None:
    """The first line says where to look."""
    with pytest.raises(SettingsInvalid, match=r"^game/model\.yaml of game: 1 mistake\n  problem: "):
        parse_settings(changed("problem", "x"), project="game", file="game/model.yaml")


@pytest.mark.parametrize("document", [None, [], "text", 3, {}])
def test_what_is_no_document_is_refused(document: Any) -> None:
    """An empty file and other YAML get the messages of the keys that must be there."""
    assert "problem" in mistakes(document)


@pytest.mark.parametrize("name", ["", "Game", "1game", "a" * 21, "game-", "ga_me"])
def test_project_names_are_checked(name: str) -> None:
    """The folder's name becomes the model's in every AWS name."""
    assert "the project's folder" in mistakes(GOOD, project=name)


def test_settings_round_trip_through_json() -> None:
    """What the ledger keeps reads back as the same settings, also twice."""
    settings = parse_settings(GOOD, project="game")
    again = Settings.from_json(settings.to_json(), project="game")
    assert again == settings
    assert again.to_json() == settings.to_json()


def test_sorted_keys_keep_the_columns_order() -> None:
    """The ledger stores canonical JSON; files without header are read by position."""
    settings = parse_settings(GOOD, project="game")
    stored = json.loads(json.dumps(settings.to_json(), sort_keys=True))
    again = Settings.from_json(stored, project="game")
    assert again.data == settings.data
    assert [column.name for column in again.data.columns] == list(GOOD["data"]["columns"])


def test_defaults_are_spelled_out() -> None:
    """A reader of the stored settings sees what holds, not what was left out."""
    document = parse_settings(GOOD, project="game").to_json()
    assert document["triggers"]["cool_down"] == "1h"
    assert document["jobs"]["check_data"]["instance"] == "ml.m5.large"
    assert document["data"]["select"] == ["*"]
    assert document["reuse"] == "7d"
    assert document["gates"]["champion"]["metric"] == "auc"
    assert document["train"]["spot"] is False


def test_harmless_forms_of_later_features_are_accepted() -> None:
    """Asking for nothing that is not built changes nothing."""
    document = copy.deepcopy(GOOD)
    document["data"] |= {"window": "all", "sources": ["landed"]}
    document["train"] |= {"spot": False}
    document["providers"] = {"monitor": "perennial", "review": "perennial", "bias": "perennial"}
    assert parse_settings(document, project="game") == parse_settings(GOOD, project="game")


@pytest.mark.parametrize("name", ["census", "abalone"])
def test_example_models_are_valid(name: str) -> None:
    """The projects that come along pass their own check."""
    document = yaml.safe_load((ROOT / "models" / name / "model.yaml").read_text())
    assert parse_settings(document, project=name).gates


def test_overrides_are_read_as_json_or_text() -> None:
    """`--set` values become numbers, truth values or text."""
    settings = parse_settings(GOOD, project="game")
    found = apply_overrides(
        settings,
        {
            "train.hyperparameters.depth": "7",
            "train.hyperparameters.kind": "goss",
            "train.hyperparameters.on": "false",
            "gates.auc.min": "0.99",
            "train.max_seconds": "2h",
        },
    )
    assert found.train.parameters() == {"depth": 7, "rate": 0.1, "kind": "goss", "on": False}
    assert next(gate.bound for gate in found.gates if gate.metric == "auc") == 0.99
    assert found.job("train").max_seconds == 7200
    assert settings.train.parameters()["depth"] == 3


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("triggers.cool_down", "1s", "one run cannot change"),
        ("label", "size", "one run cannot change"),
        ("train.hyperparameters.", "1", "an empty key"),
        ("train.seed.x", "1", "a path of keys"),
        ("gates.auc.min", "high", "a number"),
        ("train.hyperprameters.depth", "1", "hyperparameters?"),
        ("data.window", "30d", "one run cannot change"),
        ("providers.bias", "sagemaker", "one run cannot change"),
        ("reuses", "1d", "an unknown key"),
        ("train.tuning.jobs", "20", "train.tuning.ranges"),
    ],
)
def test_wrong_overrides_are_refused(path: str, value: str, words: str) -> None:
    """An override that would do nothing, or harm, never passes in silence."""
    with pytest.raises(SettingsInvalid) as caught:
        apply_overrides(parse_settings(GOOD, project="game"), {path: value})
    assert words in str(caught.value)


def test_a_push_may_override_any_key() -> None:
    """A demo shortens the triggers without a second model.yaml."""
    settings = parse_settings(GOOD, project="game")
    found = apply_overrides(settings, {"triggers.quiet_period": "1s"}, scope="push")
    assert found.triggers.quiet_period == 1


def test_numeric_facets_have_names_for_their_groups() -> None:
    """Right-open groups, in words."""
    facet = next(f for f in parse_settings(GOOD, project="game").facets if f.column == "size")
    assert facet.groups() == ("<10", "10-20", ">=20")


@given(st.integers(0, 9_999_999))
def test_durations_round_trip(seconds: int) -> None:
    """Whatever is written is read back as the same number of seconds."""
    assert parse_duration(duration(seconds)) == seconds


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.sampled_from([path for path, *_ in MISTAKES]), JSON)
def test_no_value_of_a_key_breaks_the_reading(path: str, value: Any) -> None:
    """Any YAML gives settings that round-trip, or mistakes with a path: never another error."""
    try:
        settings = parse_settings(changed(path, value), project="game")
    except SettingsInvalid as error:
        nameless = [mistake for mistake in error.mistakes if not mistake.path]
    else:
        nameless = []
        assert Settings.from_json(settings.to_json(), project="game") == settings
    assert not nameless
