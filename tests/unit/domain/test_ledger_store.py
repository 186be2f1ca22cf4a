"""Rows as attributes, and the store's promises."""

from __future__ import annotations

from dataclasses import astuple, fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from perennial.domain.errors import Conflict
from perennial.domain.ledger import rows
from perennial.domain.ledger.ab_rows import AbShare, AbStop, AbTest
from perennial.domain.ledger.codec import from_item, to_item
from perennial.domain.ledger.monitor_rows import Earlier, MonitorRow, Proposal, WindowRow
from perennial.domain.ledger.move_rows import Move
from perennial.domain.ledger.store import (
    Check,
    MemoryStore,
    Write,
    change,
    create,
    drop,
    in_chunks,
    move,
    read_model,
    read_release,
    read_run,
    read_signal,
    read_signals,
    unchanged,
)

from tests.unit.domain.ledger_builders import (
    champion,
    claimed_run,
    data,
    manual,
    model,
    run,
    settings_row,
    store,
)

ROWS = st.one_of(
    st.builds(rows.ModelRow),
    st.from_type(rows.ModelRow),
    st.from_type(rows.SettingsRow),
    st.builds(
        rows.ReleaseRow,
        before=st.none() | st.from_type(rows.Live),
        ending=st.none() | st.from_type(rows.ReleaseEnding),
        figures=st.dictionaries(st.text(), st.integers() | st.text()),
    ),
)


def plain(value):
    """Whether DynamoDB can keep a value."""
    if isinstance(value, dict):
        return all(isinstance(k, str) and plain(v) for k, v in value.items())
    if isinstance(value, list):
        return all(map(plain, value))
    return value is None or isinstance(value, (str, int))


FULL_RUN = claimed_run(
    overrides={"a": "1"},
    because=("x", "y"),
    alarms=("z",),
    stop=rows.StopRequest("ann", "enough"),
    ending=rows.Ending("failed", "w", ran=False, transient=True, empty=True, at_ms=5),
    verdict=rows.Verdict("s3://v", "d", passed=False, figures='{"auc": 0.5}', paired="{}"),
    version=rows.Version(4, "arn", "Approved"),
    check={"rows": {"read": 5}, "refused": False, "none": None},
    plan="{}",
    steps=(rows.FinishedStep("train", "k", "j", "p", "a", 5), rows.FinishedStep("x", "", "", "")),
    notified=True,
)
FULL_AB = AbTest(
    *(2, 5, "arn:5", 4, "endpoint", "config", "config-ab", 8, "ann", "good", 9, 3, "d", 100),
    *("ended", (AbShare(9, 100, "ann", "begins"), AbShare(10, 0)), "config-ab", 8, 7),
    stop=AbStop("main", "ann", "enough"),
    ended_ms=11,
    outcome="main",
    words="w",
    tried="200 requests, no error",
)
FULL_MODEL = model(
    paused=rows.Paused("a", "b", 1),
    champion=champion(),
    retry=rows.Retry(4, "ann", "again", 9),
    closed=(rows.ClosedEvidence("a", 1, 2, 3, 4), rows.ClosedEvidence("b", 5, 6, 7, 8)),
    opened_ms=(1, 2),
    notices=(3,),
    cursor="c",
    removed_ms=0,
    last_release=4,
    open_release=4,
    decided_ms=7,
    decided_version=2,
    waiting=rows.Wanted("approval", 5, "arn:5", 8, 9, 3, "d", "ann", "good", "c"),
    live=rows.Live("endpoint", "config", 3, 4, "arn:4", 6, 5, "d", 3, "serverless", 100),
    previous=rows.Live("endpoint", "config0", 2, 3, "arn:3", 5),
    release_notices=(4,),
    scaled=3,
    scaling_words="w",
    last_ab=2,
    ab=replace(FULL_AB, number=2),
    ended_abs=(replace(FULL_AB, number=1),),
    move=Move(
        *(4, "endpoint-b", 5, "config-b", "arn:5", 100, 1, 8, True, True, "w", 3),
        *("serverless", 50),
    ),
)
FULL_RELEASE = rows.ReleaseRow(
    *("census", 4, "approval", 5, "arn:5", 3, 8, 9, 7, 3, "d", "ann", "good", "ended", "{}", "arn"),
    *("endpoint", "config", FULL_MODEL.live, "serverless", True, 50),
    *(10, 11, 9, 12, "token", "bob: fine"),
    stop=rows.StopRequest("ann", "no"),
    is_withdrawn=True,
    ending=rows.ReleaseEnding("failed", "w", "Error", "cause", "config", 5),
    ended_ms=6,
    outcome="failed",
    words="w",
    error="Error",
    cause="cause",
    figures={"rows": 200, "judged_again": True, "words": "fine"},
    notified=True,
    rev=3,
)
FULL_SIGNAL = data(
    evidence={"figures": [0.5, 1e-9], "ü": None}, state="quarantined", first_bad=("l1", "l2")
)


@pytest.mark.parametrize(
    "row",
    [
        FULL_RUN,
        FULL_MODEL,
        FULL_RELEASE,
        FULL_SIGNAL,
        settings_row(),
        rows.ModelRow("census"),
        run(),
        data(),
        manual(overrides={"a": "1"}),
        run(ending=rows.Ending("won", "")),
    ],
)
def test_rows_read_back(row):
    """Every field survives, fractions in evidence too; nothing but plain values is written."""
    item = to_item(row)
    assert plain(item)
    assert (item["pk"], item["sk"]) == row.key
    assert from_item(item) == row
    assert type(from_item(item)) is type(row)


@given(ROWS)
def test_any_row_reads_back(row):
    """Whatever texts and numbers it holds."""
    assert from_item(to_item(row)) == row


def test_defaults_take_no_room():
    """A small row is a small item, and an old row reads well after a new field came."""
    assert to_item(rows.ModelRow("census", rev=1)) == {
        "pk": "model#census",
        "sk": "model",
        "model": "census",
        "rev": 1,
    }
    assert not {"state", "overrides", "check", "because"} & set(to_item(run()))
    assert to_item(run(started_ms=0))["started_ms"] == 0


def test_what_absent_fields_mean():
    """A field that is not written has this value; changing one changes old rows."""
    assert astuple(rows.ModelRow("m")) == (
        *("m", 0, 0, None, 0, None, 0, (), 0, 0, 0, False, 0, 0, 0),
        *(None, None, (), (), "", None, None, 0, None, 0, 0, None, None, None, ()),
        *(0, "", 0, None, (), None),
    )
    assert astuple(Move(1, "e", 2, "c", "a")) == (
        *(1, "e", 2, "c", "a", 0, 0, 0, False, False, "", 0, "instances", 0),
    )
    assert Move(1, "e", 2, "c", "a", 250).share == 0.25
    assert astuple(AbTest(1, 2, "a", 3, "e", "c", "d", 4)) == (
        *(1, 2, "a", 3, "e", "c", "d", 4, "", "", 0, 0, "", 0, "starting", (), "", 0, 0),
        *(None, None, None, "", ""),
    )
    assert astuple(AbShare(1, 2)) == (1, 2, "", "")
    assert AbTest(1, 2, "a", 3, "e", "c", "d", 4).share == 0
    assert astuple(rows.ReleaseRow("m", 1, "again", 2, "a", 3, 4, 5)) == (
        *("m", 1, "again", 2, "a", 3, 4, 5, 0, 0, "", "", "", "opening", "", "", "", "", None),
        *("instances", False, 0),
        *(None, None, None, None, "", "", None, False, None, None, None, "", "", "", {}, False, 0),
    )
    assert astuple(rows.Live("e", "c", 1, 2, "a", 3)) == (
        *("e", "c", 1, 2, "a", 3, 0, "", 0, "instances", 0),
    )
    assert astuple(rows.Wanted("again", 2, "a", 3)) == (
        *("again", 2, "a", 3, 0, 0, "", "", "", ""),
    )
    assert astuple(rows.ReleaseEnding("failed", "w")) == ("failed", "w", "", "", "", 0)
    assert astuple(rows.RunRow("m", 1, 2, 3)) == (
        *("m", 1, 2, 3, "opening", {}, "", None, (), 0, (), "", None, "", None, None),
        *(None, None, None, None, "", "", None, None, {}, "", (), False, 0),
    )
    assert astuple(rows.FinishedStep("train", "k", "j", "p")) == ("train", "k", "j", "p", "", 0)
    assert astuple(rows.SignalRow("m", "i", "data", (), {}, 5)) == (
        *("m", "i", "data", (), {}, 5, "pending", "", None, 0, 0, None, (), None, 0),
    )
    assert settings_row().rev == 0
    assert astuple(rows.Version(4, "arn", "Approved")) == (4, "arn", "Approved", "")
    assert astuple(rows.Retry(1, "a", "b")) == (1, "a", "b", 0)
    assert astuple(rows.Verdict("u", "d", passed=True)) == ("u", "d", True, "", "{}", "")
    assert astuple(rows.Ending("won", "")) == ("won", "", True, False, "", "", False, 0)


def test_evidence_is_text_in_one_order():
    """Fractions do not fit into rows; equal evidence is equal text."""
    item = to_item(data(evidence={"b": 0.5, "a": [1]}))
    assert item["evidence"] == '{"a": [1], "b": 0.5}'


def test_lists_inside_of_maps():
    """They are written as lists too."""
    assert to_item(run(check={"x": [1, ("y",)]}))["check"] == {"x": [1, ["y"]]}


def test_items_of_unknown_kind_or_with_fractions():
    """They are mistakes of ours, and loud."""
    with pytest.raises(KeyError):
        from_item({"pk": "model#census", "sk": "other#1"})
    with pytest.raises(TypeError, match=r"a ledger row cannot hold 0\.5"):
        to_item(run(check={"share": 0.5}))
    extra = {**to_item(rows.ModelRow("census")), "of_tomorrow": 1}
    assert from_item(extra) == rows.ModelRow("census")


def test_keys_sort_by_number():
    """A query of runs is in their order."""
    assert rows.run_key("census", 12).sk == "run#000012"
    assert rows.settings_key("census", 3).sk == "settings#000003"
    assert rows.release_key("census", 12) == ("model#census", "release#000012")
    assert data().key == rows.open_key("census", data().id)
    assert data(state="consumed").key == rows.done_key("census", data().id)
    assert rows.model_key("census") == ("model#census", "model")
    assert rows.open_key("census", "x").sk == "open#x"
    assert rows.done_key("census", "x").sk == "done#x"


def test_what_changes_are():
    """Each write expects the revision that was read and grows it by one."""
    row = data(rev=4)
    assert create(row) == Write(row.key, None, replace(row, rev=1))
    assert create(row, after=6).row.rev == 7
    assert change(row, reason="x") == Write(row.key, 4, replace(row, reason="x", rev=5))
    assert drop(row) == Write(row.key, 4, None)
    assert unchanged(row) == Check(row.key, 4)
    done = data(state="consumed", rev=5)
    assert move(row, state="consumed") == (drop(row), Write(done.key, None, done))
    with pytest.raises(ValueError, match="does not move: pending to held"):
        move(row, state="held")


def test_small_transactions_are_joined():
    """Forty groups at a time, each with the guard in front."""
    groups = [move(data(str(n)), state="consumed") for n in range(41)]
    parts = in_chunks(groups, unchanged(run()))
    assert [len(part) for part in parts] == [81, 3]
    assert all(part[0] == unchanged(run()) for part in parts)
    assert in_chunks(groups[:1]) == (groups[0],)
    assert in_chunks([]) == ()


def test_a_transaction_takes_effect_whole():
    """One wrong revision and nothing is written."""
    table = store(data("a"), data("b"))
    first, second = data("a"), data("b", rev=2)
    with pytest.raises(Conflict, match=r"open#.* is not at revision 2"):
        table.commit([change(first, reason="x"), change(second, reason="x")])
    assert table.get(first.key) == first
    with pytest.raises(Conflict):
        table.commit([change(first, reason="x"), Check(rows.model_key("census"), 1)])
    assert table.get(first.key) == first
    table.commit([change(first, reason="x"), Check(rows.model_key("census"), None)])
    assert table.get(first.key).reason == "x"


@pytest.mark.parametrize(
    "wrong", [create(data()), Check(data().key, None), Check(data().key, 2), drop(data(rev=2))]
)
def test_wrong_expectations_conflict(wrong):
    """A row that is there, is not there, or is another."""
    with pytest.raises(Conflict):
        store(data()).commit([wrong])


def test_deleting():
    """A deleted row is gone, and can be created anew."""
    table = store(data())
    table.commit([drop(data())])
    assert table.get(data().key) is None
    table.commit([create(data(), after=1)])
    assert table.get(data().key).rev == 2


def test_dynamodbs_limits_hold_in_memory_too():
    """A hundred changes, one a row."""
    many = [create(data(str(n))) for n in range(101)]
    with pytest.raises(ValueError, match="no transaction: 101 changes of 101 rows"):
        MemoryStore().commit(many)
    MemoryStore().commit(many[:100])
    with pytest.raises(ValueError, match="no transaction: 2 changes of 1 rows"):
        store(data()).commit([change(data()), unchanged(data())])


def test_queries_are_ordered_and_of_one_model():
    """Only the sort keys that begin so."""
    table = store(run(number=10), run(number=9), data(), run(model="abalone", number=1))
    assert [row.number for row in table.query("model#census", "run#")] == [9, 10]
    assert [row.number for row in table.query("model#census", "run#00001")] == [10]
    assert table.query("model#other", "run#") == []


def test_typed_reads():
    """A key of another kind, a missing row or a removed model reads as None."""
    table = store(model(), data(), run(), data("b", state="consumed"))
    assert read_model(table, "census") == model()
    assert read_model(table, "other") is None
    assert read_model(store(model(removed_ms=0)), "census") is None
    assert read_signal(table, data().key) == data()
    assert read_signal(table, run().key) is None
    assert read_run(table, run().key) == run()
    assert read_run(table, data().key) is None
    assert read_release(store(FULL_RELEASE), FULL_RELEASE.key) == FULL_RELEASE
    assert read_release(table, run().key) is None
    assert read_signals(table, "census", rows.OPEN_SK) == (data(),)


def test_what_absent_fields_of_monitors_mean():
    """The rows of monitors and of their windows, likewise."""
    monitor = ("m", "bias", 0, 0, 0, None, 0, 0, "", 0, 0, "", None, None, 0, 0)
    assert astuple(MonitorRow("m", "bias")) == monitor
    window = WindowRow("m", "bias", 1, 2, 3, 4, 5, 6, 7)
    assert astuple(window) == (
        *("m", "bias", 1, 2, 3, 4, 5, 6, 7, "", True, "", 1, "", "", "", "open", None),
        *(0, 0, 0, "", "{}", (), None, 0),
    )
    scored = (Earlier(3, 4, gain="0.25", spread="0.5"), Earlier(2, 2, words="gone"))
    assert astuple(Earlier(1, 2)) == (1, 2, "", "", "")
    proposal = Proposal(3, 7, 99, "errs less", "release.approval is person", is_told=True)
    assert astuple(Proposal(3, 7, 99, "w")) == (3, 7, 99, "w", "", False)
    for row in (
        MonitorRow("m", "bias", 2, open_ms=5),
        MonitorRow("m", "bias", scoring_ms=5, proposal=proposal, asked=7),
        replace(window, state="done", rows=9, earlier=scored),
    ):
        assert from_item(to_item(row)) == row
    assert window.key.sk == "window#bias#00000000000002"


def test_every_field_of_a_row_is_covered_by_a_full_example():
    """A new field must be added to the examples above, so that it is known to read back."""
    for full in (FULL_RUN, FULL_MODEL, FULL_RELEASE, FULL_AB, FULL_MODEL.move):
        missing = {
            each.name
            for each in fields(full)
            if getattr(full, each.name) == getattr(type(full), each.name, None)
        }
        known = {"alone", "retry_of", "fresh", "claimed_ms", "started_ms", "ended_ms", "outcome"}
        known |= {"error", "cause", "open_run", "ended_ms", "transient_failures", "wake_ms"}
        known |= {"not_before_ms", "data_run", "labels_ms", "labels_run", "expires"}
        assert missing <= known
