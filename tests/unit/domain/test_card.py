"""The model card: every number and text of it is one of verdict.json's, and nothing runs in it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from perennial.domain import findings
from perennial.domain.card import card_html
from perennial.domain.card_markdown import card_markdown
from perennial.domain.page import LONGEST_TEXT
from perennial.domain.text import printable

from tests.unit.domain import verdict_builders as build

VOID = {"meta", "line", "circle", "rect", "path", "polyline"}
ALLOWED = {
    *("html", "head", "meta", "title", "style", "body", "main", "header", "section", "h1", "h2"),
    *("p", "span", "b", "small", "code", "div", "ul", "li", "data", "table", "caption", "thead"),
    *("tbody", "tr", "th", "td", "figure", "figcaption", "details", "summary"),
    *("svg", "desc", "line", "circle", "rect", "path", "polyline", "text"),
}
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=y>',
    "a | b\n\n# passed",
    "]]> <!-- & &lt; &#60;",
    "\x1b[2J\x00\u202egnp.exe",
    "x" * 100_000,
    "国" * 60,
    "~0/1~",
    "` | **bold** [a](http://evil)",
    "\ud800",
]


class Page(HTMLParser):
    """A card, taken apart: figures, texts of the verdict, keys, and all other text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[tuple[str, dict[str, str]]] = []
        self.figures: list[tuple[str, str, str]] = []
        self.texts: list[tuple[str, str]] = []
        self.keys: list[tuple[str, str]] = []
        self.other: list[str] = []
        self.ids: list[str] = []
        self.pictures = 0
        self.feed(html)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        assert tag in ALLOWED, tag
        assert not [name for name in attributes if name.startswith("on") or name in ("href", "src")]
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.pictures += tag == "svg"
        if tag not in VOID:
            self.open.append((tag, attributes))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        tag, attributes = self.open[-1] if self.open else ("", {})
        path = attributes.get("data-path")
        if tag == "data":
            self.figures.append((attributes["data-path"], attributes["value"], data))
        elif path is not None and attributes.get("class") == "key":
            self.keys.append((path, data))
        elif path is not None:
            self.texts.append((path, data))
        elif tag != "style" and not any(each == "svg" for each, _ in self.open):
            self.other.append(data)


def at(document: Any, pointer: str) -> Any:
    """What stands at a JSON pointer."""
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        document = document[int(key)] if isinstance(document, list) else document[key]
    return document


def near(text: str, value: float) -> bool:
    """Whether a shown number is the figure, as rounded as it is shown."""
    digits = text.replace(",", "").lstrip("+$").split(" ")[0]
    shown = float(digits)
    if text.endswith(" %"):
        shown /= 100
    if text.endswith(" days"):
        shown *= 86400
    if text.endswith(" hours"):
        shown *= 3600
    return abs(shown - value) <= 6e-3 * max(abs(value), 1e-12) or abs(shown - value) <= 0.006


def check(document: Mapping[str, Any]) -> Page:
    """Take the card of a verdict apart and hold every number and text against the verdict."""
    page = Page(card_html(document))
    for path, value, shown in page.figures:
        found = at(document, path)
        assert value == repr(found), path
        assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", shown) or near(shown, found), (
            path,
            shown,
        )
    for path, text in page.texts:
        found = at(document, path)
        words = {True: "true", False: "false"}.get(found, str(found))
        whole = printable(words)
        assert text == whole or text == whole[: LONGEST_TEXT - 1] + "…", path
    for path, key in page.keys:
        assert any(key in printable(str(name)) for name in at(document, path)), (path, key)
    loose = [each for each in page.other if re.search(r"\d", each.replace("99th", ""))]
    assert [each for each in loose if not each.startswith(document["model"])] == []
    assert len(page.ids) == len(set(page.ids))
    return page


@pytest.mark.parametrize("problem", ["binary", "multiclass", "regression"])
def test_every_number_of_a_card_is_the_verdicts(problem: str) -> None:
    """All problem types: each figure names its place in verdict.json and equals what is there."""
    gates = {"rows": {"min": 500}, "DPPL:sex=Female": {"min": -0.2, "max": 0.2}}
    if problem != "binary":
        gates.pop("DPPL:sex=Female")
    document = build.verdict(problem, given={"gates": gates})
    page = check(document)
    paths = {path for path, _, _ in page.figures}
    assert len(paths) > 150
    for path in (
        "/comparison/difference",
        "/comparison/windows/4/interval/1",
        "/rows",
        "/cost/usd",
    ):
        assert path in paths
    assert {path for path, _, _ in page.figures if path.startswith("/explanations/global/")}
    drawn = {"binary": 8, "multiclass": 5, "regression": 6}[problem]
    assert page.pictures == drawn


def test_figures_of_the_verdict_are_in_the_card() -> None:
    """The other way round: no headline, gate, bias or group figure of the verdict is left out."""
    document = build.verdict("binary")
    shown = {path for path, _, _ in check(document).figures}
    wanted = [
        f"/{part}/{name.replace('/', '~1')}"
        for part in ("metrics", "bias", "producers", "figures")
        for name, value in document[part].items()
        if isinstance(value, float)
    ]
    wanted += [f"/gates/{i}/bound" for i in range(len(document["gates"]))]
    assert [path for path in wanted if path not in shown] == []


def test_a_first_run_says_so() -> None:
    """Without a champion there is no comparison, no change, and no gate against it."""
    document = build.verdict(champion=None, comparison=None, incompatible=None)
    check(document)
    assert "There is no champion yet." in card_html(document)
    assert "There is no champion yet." in card_markdown(document)
    assert [gate["name"] for gate in document["gates"]] == []
    assert document["words"].endswith("There is no champion yet.")


def test_a_lost_run_shows_which_gate_it_lost() -> None:
    """The loser's card is as complete as the winner's, and rejected."""
    document = build.verdict(comparison=build.comparison(lower=-0.01), incompatible=["no column x"])
    check(document)
    assert not document["passed"]
    page = card_html(document)
    assert page.count('<span class="word fail">fail</span>') == 2
    assert '<span class="badge fail">rejected</span>' in page
    assert "# census, run 12: rejected" in card_markdown(document)


def test_evidence_that_failed_leaves_a_card() -> None:
    """Steps that failed leave out their section; the gates that rest on them say why they fail."""
    document = build.verdict(
        given={"gates": {"DPPL:sex=Female": {"max": 0.2}}},
        comparison=None,
        bias=None,
        explanations=None,
        incompatible=None,
        failures={
            "measure_bias": "MeasureBiasFailed: <b>KeyError</b>",
            "compare": "ran out of time",
        },
    )
    check(document)
    words = [gate["words"] for gate in document["gates"]]
    assert not any(gate["passed"] for gate in document["gates"])
    assert "bias was not measured: MeasureBiasFailed: <b>KeyError</b>" in words[0]
    assert "census 7 could not be scored beside the candidate: ran out of time" in words[1]
    assert "its schema is not there" in words[2]
    page = card_html(document)
    assert "could not be compared" in page
    assert "<b>KeyError" not in page
    assert "What moves the predictions" not in page


def test_an_unknown_cost_is_no_zero() -> None:
    """A job without a price is unknown in both cards, and so is the sum."""
    cost = {**build.COST, "usd": None}
    document = build.verdict(sections={"cost": cost})
    check(document)
    assert "The run cost an unknown amount" in card_html(document)
    assert "| measure\\_bias" not in card_markdown(document)
    assert "| measure_bias | ml.z9.large | unknown | unknown |" in card_markdown(document)
    assert "| all |  |  | unknown |" in card_markdown(document)


def hostile_verdict(text: str) -> Any:
    """A verdict into which somebody wrote a text wherever the data let them."""
    evaluation = build.evaluation(facets=(f"sex={text}",))
    problem = evaluation["binary_classification_metrics"]
    problem["confusion_matrix"] = {text: {text: 5}}
    report = build.report((text,))
    report["leaks"] = [{"feature": text, "words": f"{text} equals income"}]
    return build.verdict(
        evaluation=evaluation,
        bias=build.bias((f"sex={text}",)),
        explanations=build.explanations((text, "age")),
        report=report,
        failures={"explain": text},
        comparison=None,
        incompatible=[findings.sentence(text)],
        notes=[findings.sentence(text)],
        sections={"changes": [findings.sentence(text)]},
    )


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_texts_are_harmless(text: str) -> None:
    """Levels, producers and failures are anybody's text: they are shown, and form nothing."""
    document = hostile_verdict(text)
    check(document)
    page = card_html(document)
    page.encode()
    assert len(json.dumps(document)) < 200_000
    assert not re.search(r"[\x00-\x09\x0b-\x1f\u202e]", page)
    card = card_markdown(document)
    assert [line for line in card.splitlines() if line.startswith("# ")] == [
        "# census, run 12: rejected"
    ]
    assert "\x1b" not in card
    assert not re.search(r"(?<!\\)<(script|img)", card)


@given(st.text(max_size=120))
@settings(max_examples=20, deadline=None)
def test_any_text_is_shown_as_it_is(text: str) -> None:
    """No text opens a tag, leaves its cell, or makes a number of the card differ."""
    check(hostile_verdict(text))


def test_many_groups_stay_a_small_verdict_and_card() -> None:
    """A facet with ten thousand levels is cut, and a note counts what was."""
    facets = tuple(f"city={i}" for i in range(10_000))
    document = build.verdict(evaluation=build.evaluation(facets=facets), bias=build.bias(facets))
    assert len(json.dumps(document)) < 200_000
    assert len(card_html(document)) < 1_000_000
    read = findings.read_evaluation(build.evaluation(facets=facets))
    assert read.notes == ("19,700 more figures of groups are in the evaluation",)
    assert len(read.metrics) > 20_000


def test_a_version_1_verdict_has_a_card() -> None:
    """Verdicts of earlier runs stay readable."""
    whole = build.verdict(champion=None, comparison=None, incompatible=None)
    keys = (
        *("model", "run", "problem", "candidate", "champion", "gates", "passed", "words"),
        *("figures", "rows", "evaluation", "manifest", "decided_ms"),
    )
    document = {"version": 1, **{key: whole[key] for key in keys}}
    assert "0.928" in card_html(document)
    assert "| auc | 0.927984 |" in card_markdown(document)
    check(document)


def test_the_page_needs_nothing_from_outside() -> None:
    """A policy forbids scripts and requests; the page has neither."""
    page = card_html(build.verdict())
    assert "default-src 'none'" in page
    assert not re.search(r"(?i)<script|javascript:|url\(|@import|http-equiv=.refresh", page)
    assert "prefers-color-scheme:dark" in page
    assert "@media print" in page


def test_folded_tables_are_printed() -> None:
    """Paper cannot be unfolded: what a closed <details> hides on a screen stands in a print.

    Seen in Chromium's print; a browser that does not know `::details-content` leaves it folded.
    """
    page = card_html(build.verdict())
    assert "<details>" in page
    (printed,) = re.findall(r"@media print\{(html.*)\}\s*</style>", page, re.DOTALL)
    assert "details::details-content{content-visibility:visible;display:block" in printed
    assert "summary{display:none}" in printed


def test_pictures_are_named_for_those_who_do_not_see_them() -> None:
    """Each picture has a title, a description, and the role of an image."""
    page = card_html(build.verdict())
    pictures = re.findall(r'<svg role="img" [^>]*aria-labelledby="(\S+) (\S+)"', page)
    assert len(pictures) == page.count("<svg")
    for title, description in pictures:
        assert f'<title id="{title}">' in page
        assert f'<desc id="{description}">' in page


def test_markdown_shows_gates_figures_and_groups() -> None:
    """A table each, and the digests of the evidence."""
    document = build.verdict(given={"gates": {"auc": {"min": 0.99}}})
    lines = card_markdown(document).splitlines()
    for line in (
        "| auc.min | **fail** | 0.927984 | auc 0.927984 is not at least 0.99 |",
        "| auc | 0.927984 | 0.0021 | 0.9228 |",
        "| sex=Female | 0.9 | 0.9 |",
        "| rounds | `300` |",
        f"| manifest | `s3://b/runs/census/12/manifest.json` | `{'f' * 64}` |",
        "| DI:sex=Male | Infinity | - |",
    ):
        assert line in lines, line
