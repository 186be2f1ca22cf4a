"""Messages of the signal queue become signals, or say why not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from perennial.domain.errors import SignalInvalid
from perennial.domain.signals import (
    Ignored,
    ObjectVersion,
    Signal,
    Wake,
    code_signal,
    data_signal,
    drift_body,
    is_folder_mark,
    manual_signal,
    parse_signal,
    policy_body,
    signal_id,
    wake_body,
)

GOLDEN_ID = "f64cbcebe94be14b4c0cbb1b9c260df9fc03431ee2d032ee4b74e5d47613b580"
EVENTS = Path(__file__).parents[3] / "events"


def golden(name, **changes):
    """A golden payload, with some members changed."""
    document = json.loads((EVENTS / f"{name}.json").read_text(encoding="utf-8"))
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = document
        for each in parents:
            place = place[each]
        if value is ...:
            del place[last]
        else:
            place[last] = value
    return json.dumps(document)


def object_event(key, **changes):
    """S3's event for a key."""
    document = json.loads(golden("s3_object_created", **changes))
    document["detail"]["object"]["key"] = key
    return json.dumps(document)


STAYS = "perennial-monitor-census-data-quality"


def test_an_alarm_that_stays_in_alarm():
    """Its message names the window, so that each window is a signal of its own; it reads back."""
    body = drift_body("census", "data-quality", STAYS, 7, reason="x" * 2000, worst=0.31)
    assert parse_signal(body) == Signal(
        "census",
        "drift",
        (STAYS, "window 7"),
        {
            "alarm": STAYS,
            "monitor": "data-quality",
            "reason": "x" * 1000,
            "again": True,
            "datapoints": [0.31],
        },
    )
    bare = drift_body("census", "data-quality", STAYS, 7, reason="still", worst=None)
    assert "datapoints" not in json.loads(bare)
    assert "datapoints" not in parse_signal(bare).evidence
    assert parse_signal(golden("drift")).parts == (STAYS, "window 1795183200000")


def test_figures_of_an_alarm_that_stays_are_numbers():
    """At most ten; what is no number is left out."""
    found = parse_signal(golden("drift", datapoints=[True, "x", 1e200, *range(20)]))
    assert found.evidence["datapoints"] == [0, 1, 2, 3, 4, 5, 6]
    assert "datapoints" not in parse_signal(golden("drift", datapoints="many")).evidence


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "Census"}, "'Census' cannot name a model"),
        ({"model": "other"}, "is no alarm of the data-quality monitor of other"),
        ({"monitor": "bias"}, "is no alarm of the bias monitor of census"),
        ({"monitor": ...}, "monitor is no text"),
        ({"alarm": ...}, "alarm is no text"),
        ({"alarm": "perennial-blind-census-bias"}, "is no alarm of"),
        ({"reason": ""}, "reason is no text"),
        ({"window_end_ms": -1}, "window_end_ms is no whole number"),
        ({"window_end_ms": "7"}, "window_end_ms is no whole number"),
    ],
)
def test_no_alarm_that_stays(changes, words):
    """What is no such message ends among the dead letters, with these words."""
    with pytest.raises(SignalInvalid, match=words):
        parse_signal(golden("drift", **changes))


def test_an_object_that_landed():
    """The key is taken raw: EventBridge does not URL-encode it."""
    assert parse_signal(golden("s3_object_created"), "perennial") == Signal(
        "census",
        "data",
        (
            "perennial-landing",
            "incoming/census/2026/11/part 1+a%20ü.csv",
            "IYV3p45BT0ac8hjHg1houSdS1a.Mro8e",
        ),
        {"size": 1024, "etag": "b57f9512698f4b09e608f4f2a65852e5", "landed_ms": 1795168800000},
    )


def test_an_alarm_that_goes_off():
    """Its id is the alarm and the time of its state; figures are evidence."""
    signal = parse_signal(golden("alarm_state_change"), "perennial")
    name = "perennial-monitor-census-data-quality"
    assert (signal.model, signal.kind) == ("census", "drift")
    assert signal.parts == (name, "2026-11-20T10:05:30.123+0000")
    assert signal.evidence["alarm"] == name
    assert signal.evidence["monitor"] == "data-quality"
    assert signal.evidence["datapoints"] == [0.31]
    assert signal.evidence["threshold"] == 0.1
    assert signal.evidence["reason"].startswith("Threshold Crossed")


def test_a_human_loop_with_an_answer():
    """A2I's own shape is a review signal of its own."""
    signal = parse_signal(golden("a2i_human_loop_completed"), "perennial")
    loop = "arn:aws:sagemaker:eu-west-1:123456789012:human-loop/census-rev-1"
    assert (signal.model, signal.kind, signal.parts) == ("census", "review", ("a2i", loop))
    assert signal.evidence["output"].endswith("/census-rev-1/output.json")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("schedule", Signal("census", "schedule", ("nightly", "2026-11-20T03:00:00Z"), {})),
        ("code", code_signal("census", 3, by="ann")),
        ("review", Signal("census", "review", ("7",), {"answers": 120})),
        (
            "manual",
            manual_signal(
                "census",
                "4be4d2c8-6f51-4f0a-a7a4-1f3ad2f3a0c2",
                by="ann",
                because="try deeper trees",
                overrides={"train.hyperparameters.num_leaves": "63"},
            ),
        ),
        ("wake", Wake("census", 1795168800000)),
    ],
)
def test_our_own_messages(name, expected):
    """Each of Perennial's own words is understood."""
    assert parse_signal(golden(name), "perennial") == expected
    assert parse_signal(json.loads(golden(name))) == expected
    assert parse_signal(golden(name).encode()) == expected


def test_a_training_that_the_policy_asks_for_says_why():
    """It is a schedule's signal with the policy's reason, cut to what a row may keep."""
    body = policy_body("census", "retrain-policy", "2026-11-20T03:00:00Z", "it pays")
    assert parse_signal(body, "perennial") == Signal(
        "census", "schedule", ("retrain-policy", "2026-11-20T03:00:00Z"), {"reason": "it pays"}
    )
    long = policy_body("census", "retrain-policy", "2026-11-20T03:00:00Z", "x" * 99_999)
    assert set(parse_signal(long).evidence["reason"]) == {"x"}


def test_a_request_needs_no_overrides():
    """Then its evidence holds none."""
    signal = parse_signal(golden("manual", overrides=...))
    assert signal.evidence == {"by": "ann", "because": "try deeper trees"}


def test_our_wake_reads_back():
    """What is sent is what is understood."""
    assert parse_signal(wake_body("census", 5)) == Wake("census", 5)


@pytest.mark.parametrize(
    "key",
    [
        "incoming/census/a b+c%2Bd.csv",
        "incoming/census/ü/漢字/🙂.csv",
        "incoming/census/" + "k" * 1008,
        "incoming/census//double//slash.csv",
        "incoming/census/..",
        "incoming/census/new\nline.csv",
    ],
)
def test_hostile_keys_are_kept_as_they_are(key):
    """Up to S3's 1,024 bytes, whatever they hold."""
    assert parse_signal(object_event(key), "perennial").parts[1] == key


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (object_event("other/census/a.csv"), "does not lie under incoming/<model>/"),
        (object_event("incoming/a.csv"), "does not lie under incoming/<model>/"),
        (object_event("incoming/Census/a.csv"), "does not lie under incoming/<model>/"),
        (object_event("incoming/census/"), "does not lie under incoming/<model>/"),
        (
            object_event("incoming/census/2026/", detail__object__size=0),
            "is a folder's mark, not data",
        ),
        (golden("alarm_state_change", detail__state__value="OK"), "went to OK"),
        (golden("alarm_state_change", detail__alarmName="other"), "watches no monitor"),
        (
            golden("alarm_state_change", detail__alarmName="dev-monitor-census-bias"),
            "watches no monitor of this stack",
        ),
        (
            golden("a2i_human_loop_completed", detail__humanLoopStatus="Failed"),
            "ended Failed, without an answer",
        ),
        (
            golden("a2i_human_loop_completed", detail__flowDefinitionArn="arn:x/dev-census"),
            "belongs to no model of this stack",
        ),
        (
            golden("a2i_human_loop_completed", detail__flowDefinitionArn="arn:x/xxxxxxxxxxcensus"),
            "belongs to no model of this stack",
        ),
        (golden("s3_object_created", **{"detail-type": "Object Deleted"}), "Object Deleted of a"),
    ],
)
def test_what_calls_for_nothing_is_acknowledged(body, why):
    """It is understood, logged and forgotten."""
    found = parse_signal(body, "perennial")
    assert isinstance(found, Ignored)
    assert why in found.why


@pytest.mark.parametrize(
    "body",
    [
        "",
        "no json",
        "[]",
        "null",
        b"\xff\xfe",
        "{}",
        "[" * 100_000,
        json.dumps({"source": "aws.s3", "detail-type": None}),
        json.dumps({"perennial": "unknown", "model": "census"}),
        json.dumps({"perennial": ["wake"], "model": "census"}),
        golden("s3_object_created", detail=...),
        golden("s3_object_created", detail__bucket=[]),
        golden("s3_object_created", detail__bucket__name=""),
        golden("s3_object_created", detail__object__key=7),
        golden("s3_object_created", detail__object__size="1024"),
        golden("s3_object_created", detail__object__size=-1),
        golden("s3_object_created", detail__object__size=True),
        golden("s3_object_created", detail__object__size=2**63),
        golden("s3_object_created", time="yesterday"),
        golden("s3_object_created", time="2026-11-20T10:00:00"),
        object_event("incoming/census/" + "k" * 2000),
        object_event("incoming/census/\ud800.csv"),
        golden("schedule", model="Census"),
        golden("schedule", model=...),
        golden("schedule", scheduled="<aws.scheduler.scheduled-time>"),
        golden("schedule", schedule="n" * 65),
        golden("manual", token=""),
        golden("manual", token="t" * 129),
        golden("manual", because=None),
        golden("manual", overrides=[]),
        golden("manual", overrides={"a": 1}),
        golden("manual", overrides={str(n): "x" for n in range(51)}),
        golden("code", version="3"),
        golden("review", answers=None),
        golden("wake", due_ms=1.5),
        golden("alarm_state_change", detail__state="ALARM"),
        golden("alarm_state_change", detail__state__timestamp=...),
    ],
)
def test_poison_is_refused(body):
    """What is no signal raises, and so ends in the dead-letter queue."""
    with pytest.raises(SignalInvalid, match=r"^no signal: "):
        parse_signal(body, "perennial")


@pytest.mark.parametrize("body", ["", "no json", b"\xff\xfe", "[" * 100_000])
def test_what_is_no_json_is_called_so(body):
    """The dead-letter queue's reader wants to know."""
    with pytest.raises(SignalInvalid, match="the message is not JSON"):
        parse_signal(body)


def test_an_object_without_version_or_etag():
    """S3 calls the version of an unversioned bucket null."""
    event = golden(
        "s3_object_created", **{"detail__object__version-id": ..., "detail__object__etag": ...}
    )
    signal = parse_signal(event)
    assert (signal.parts[2], signal.evidence["etag"]) == ("null", "")


@pytest.mark.parametrize(
    ("reason_data", "figures"),
    [
        (None, {}),
        ("no json", {}),
        ("[]", {}),
        (
            '{"recentDatapoints": [1, null, true, 1e999, 2.5], "threshold": "x"}',
            {"datapoints": [1, 2.5]},
        ),
        ('{"recentDatapoints": 3, "threshold": 2}', {"threshold": 2}),
        ("[" * 100_000, {}),
        ('{"threshold": 1' + "0" * 400 + "}", {}),
        (json.dumps({"recentDatapoints": list(range(20))}), {"datapoints": list(range(10))}),
    ],
)
def test_odd_figures_of_an_alarm(reason_data, figures):
    """Composite alarms and odd ones carry other figures, or none; they are alarms all the same."""
    signal = parse_signal(golden("alarm_state_change", detail__state__reasonData=reason_data))
    found = {k: v for k, v in signal.evidence.items() if k in ("datapoints", "threshold")}
    assert found == figures


def test_long_reasons_are_cut():
    """A row stays small."""
    signal = parse_signal(golden("alarm_state_change", detail__state__reason="x" * 5000))
    assert len(signal.evidence["reason"]) == 1000


def test_an_alarm_without_a_reason():
    """It is an alarm all the same."""
    signal = parse_signal(golden("alarm_state_change", detail__state__reason=...))
    assert signal.evidence["reason"] == ""


@pytest.mark.parametrize(
    ("name", "path", "most"),
    [
        ("schedule", "schedule", 64),
        ("manual", "token", 128),
        ("manual", "because", 1000),
        ("a2i_human_loop_completed", "detail__humanLoopOutput__outputS3Uri", 1100),
        ("alarm_state_change", "detail__state__timestamp", 1000),
    ],
)
def test_how_long_texts_may_be(name, path, most):
    """One character more is no signal."""
    assert isinstance(parse_signal(golden(name, **{path: "x" * most})), Signal)
    with pytest.raises(SignalInvalid, match=f"no text of 1 to {most} characters"):
        parse_signal(golden(name, **{path: "x" * (most + 1)}))


def test_how_many_overrides_there_may_be():
    """Fifty settings of one run."""
    signal = parse_signal(golden("manual", overrides={str(n): "x" for n in range(50)}))
    assert len(signal.evidence["overrides"]) == 50


def test_schedules_times_are_times():
    """Scheduler's own form, up to 64 characters, and no placeholder."""
    assert parse_signal(golden("schedule", scheduled="2026-11-20T03:00:00.123456+00:00")).parts[1]
    with pytest.raises(SignalInvalid, match="no text of 1 to 64 characters"):
        parse_signal(golden("schedule", scheduled="2" * 65))


def test_alarms_of_any_stack_without_a_token():
    """Tools that read a message need not know the stack."""
    body = golden("alarm_state_change", detail__alarmName="dev-monitor-a-monitor-b-attribution")
    assert parse_signal(body).model in ("a-monitor-b", "b")
    loop = golden("a2i_human_loop_completed", detail__flowDefinitionArn="arn:x/census")
    assert parse_signal(loop).model == "census"


@given(st.lists(st.text(), max_size=4), st.lists(st.text(), max_size=4))
def test_ids_tell_all_parts_apart(one, other):
    """Whatever the parts hold, equal ids mean equal parts."""
    same = signal_id("data", tuple(one)) == signal_id("data", tuple(other))
    assert same == (one == other)


def test_ids_never_change():
    """Rows of years ago are found by them."""
    assert signal_id("data", ("landing", "incoming/census/ü +%.csv", "v1")) == GOLDEN_ID


def test_ids_tell_kinds_apart():
    """A schedule and a review with equal parts differ."""
    assert Signal("m", "schedule", ("7",)).id != Signal("m", "review", ("7",)).id
    assert Signal("m", "review", ("7",)).id == signal_id("review", ("7",))
    assert len(signal_id("review", ("7",))) == 64


def test_an_object_version_and_its_signal_agree():
    """Manifests, listings and events give the same id."""
    version = ObjectVersion("b", "k", "v", "e", 5, 9)
    signal = data_signal("census", version)
    assert version.id == signal.id
    assert signal.evidence == {"size": 5, "etag": "e", "landed_ms": 9}


def test_folder_marks():
    """Only an empty object whose key ends with a slash is one."""
    assert is_folder_mark("a/", 0)
    assert not is_folder_mark("a/", 1)
    assert not is_folder_mark("a", 0)
