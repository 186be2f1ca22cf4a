"""The report page of a model's monitors."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from perennial.domain.drift_page import drift_page

WINDOW = {"start_ms": 1_795_179_600_000, "end_ms": 1_795_183_200_000}
NASTY = '<script>alert("x")</script>\u202e'


def windows(*figures: dict[str, float]) -> list[dict[str, Any]]:
    """Windows an hour apart with these figures."""
    return [
        {"end_ms": WINDOW["end_ms"] + i * 3_600_000, "rows": 100, "violations": 0, "figures": each}
        for i, each in enumerate(figures)
    ]


def report(figures: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A window's report."""
    return {
        "window": WINDOW,
        "model_version": 6,
        "rows": 100,
        "figures": figures,
        "violations": [],
        "notes": [],
        **fields,
    }


def document(*monitors: dict[str, Any]) -> dict[str, Any]:
    """What the page is made of."""
    return {
        "model": "census",
        "version": 7,
        "stack": "perennial",
        "at_ms": WINDOW["end_ms"],
        "monitors": list(monitors),
    }


AGE = {
    "bounds": [17.0, 40.0, 90.0],
    "now": [0.2, 0.8],
    "baseline": [0.6, 0.4],
    "distance": 0.31,
    "bound": 0.1,
    "fires": True,
    "missing": {"now": 0.0, "baseline": 0.01},
}
SEX = {"texts": ["Male", NASTY], "now": [0.5, 0.5], "baseline": [0.6, 0.4], "distance": 0.1}
QUALITY = {
    "kind": "data-quality",
    "alarm": "ALARM",
    "report": report(
        {"age": AGE, "sex": SEX, NASTY: AGE}, violations=[{"words": "`age` drifted 0.31"}]
    ),
    "windows": windows({"feature_baseline_drift_age": 0.02}, {"feature_baseline_drift_age": 0.31}),
}
MODEL = {
    "kind": "model-quality",
    "alarm": "OK",
    "report": report(
        {
            "auc": {"now": 0.9, "baseline": 0.91, "bound": 0.88, "operator": "LessThanThreshold"},
            "f1": {"now": 0.7, "baseline": 0.71},
        },
        labelled_rows=40,
        notes=["labels came late"],
    ),
    "windows": windows({"auc": 0.91}, {"auc": 0.9}),
}
BIAS = {
    "kind": "bias",
    "alarm": "OK",
    "report": report(
        {
            "DPPL:sex=Female": {
                "now": 0.1,
                "interval": [0.05, 0.15],
                "baseline": 0.08,
                "baseline_interval": [0.06, 0.1],
                "fires": False,
            },
            "DI:sex=Female": {"now": "Infinity", "interval": [], "baseline": 1.0},
        }
    ),
    "windows": [],
}
GAINS = {
    "kind": "attribution",
    "alarm": "OK",
    "report": report({">50K": {"age": {"now": 0.4, "baseline": 0.3}, "sex": {"now": 0.1}}}),
    "windows": windows({"ndcg[Label=>50K]": 0.99}),
}


class Balance(HTMLParser):
    """Whether every element that is opened is closed, and nothing is fetched or run."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        assert tag not in ("script", "link", "img", "iframe"), tag
        assert not any(name in ("src", "href") or name.startswith("on") for name, _ in attrs)
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        assert tag not in ("script", "link", "img", "iframe"), tag

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def checked(page: str) -> str:
    """The page, which stands alone and is whole."""
    balance = Balance()
    balance.feed(page)
    assert balance.open == []
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    return page


def test_all_four_monitors_have_pictures_and_tables() -> None:
    """Distributions now and then, drift and figures over time with bounds, intervals, gains."""
    page = checked(drift_page(document(QUALITY, MODEL, BIAS, GAINS)))
    assert "1 in ALARM" in page
    assert page.count(">6</data>, 20") == 4  # whose traffic it was: maybe of the version before
    assert page.count("<svg") >= 8
    for words in (
        "`age` drifted 0.31",
        "17 to 40",
        "Drift over time",
        "auc over time",
        "at least",
        "labels came late",
        "DPPL:sex=Female",
        "nDCG over time",
        "&gt;50K: what answers rest on, baseline",
    ):
        assert words in page, words


def test_what_others_wrote_is_text() -> None:
    """Names of columns and values can neither run nor turn the direction of writing."""
    page = checked(drift_page(document(QUALITY)))
    assert "<script" not in page
    assert "\u202e" not in re.sub(r"<[^>]+>", "", page)


@pytest.mark.parametrize("monitor", [QUALITY, MODEL, BIAS, GAINS], ids=lambda each: each["kind"])
def test_no_name_or_text_leaves_its_place(monitor: dict[str, Any]) -> None:
    """Of features, figures, facets, labels and notes, in tables, titles and pictures alike."""
    nasty = "</title></svg><img src=x onerror=alert(1)>\"'&"
    told = monitor["report"]
    figures = {nasty + name: each for name, each in told["figures"].items()}
    if monitor["kind"] == "attribution":
        figures = {name: {nasty + n: g for n, g in each.items()} for name, each in figures.items()}
    over_time = {f"feature_baseline_drift_{nasty}": 0.2, nasty + "auc": 0.9, f"ndcg[{nasty}]": 0.9}
    made = {
        **monitor,
        "report": {**told, "figures": figures, "notes": [nasty], "violations": [{"words": nasty}]},
        "windows": windows(over_time, over_time),
    }
    page = checked(drift_page({**document(made), "model": nasty, "stack": nasty}))
    assert page.count("&lt;img src=x") >= 6


def test_a_monitor_that_saw_nothing_says_so() -> None:
    """Before the first window there is no picture, and no error."""
    nothing = {"kind": "bias", "alarm": "INSUFFICIENT_DATA", "report": {}, "windows": []}
    page = checked(drift_page({**document(nothing), "version": None}))
    assert "no window with anything to see yet" in page
    assert "no alarm" in page
    assert checked(drift_page(document()))


def test_a_report_without_figures_is_no_error() -> None:
    """An empty or odd report leaves its pictures out."""
    odd = {"x": {"now": [], "baseline": []}, "y": {"texts": ["a"], "now": [1.0]}}
    for kind, figures in (("data-quality", odd), ("model-quality", {}), ("attribution", {})):
        monitor = {"kind": kind, "alarm": "OK", "report": report(figures), "windows": []}
        checked(drift_page(document(monitor)))
