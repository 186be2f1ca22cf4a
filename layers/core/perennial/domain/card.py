"""The model card as one printable page, made of verdict.json alone.

No scripts and nothing from outside: pictures are inline SVG with a title, a description and a
table of their numbers. Every figure names the place in verdict.json where it stands (page.py), so
a test can take the page apart and compare. Sections without evidence are left out, and what
failed or is missing is said in the notes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from perennial.domain import card_data, card_quality
from perennial.domain.card_style import STYLE
from perennial.domain.page import View, listed, moment, plain, section, shown, signed, table

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def card_html(verdict: Mapping[str, Any]) -> str:
    """The card of a verdict, given as the content of verdict.json (of version 1 or 2)."""
    view = View(verdict)
    title = f"{plain(verdict['model'])}, run {plain(verdict['run'])}"
    body = "".join(
        (
            _head(view),
            _warnings(view),
            section("Gates", _gates(view)),
            card_quality.against_champion(view),
            section("Figures", _figures(view)),
            card_quality.quality(view),
            card_quality.learning(view),
            card_quality.attributions(view),
            card_data.bias(view),
            card_data.groups(view),
            card_data.changed(view),
            card_data.data(view),
            card_data.hyperparameters(view),
            card_data.cost(view),
            section("Notes", listed([each.text() for each in view["notes"].entries()])),
            card_data.evidence(view),
        )
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}</style></head><body><main>{body}</main></body></html>\n"
    )


def _head(view: View) -> str:
    passed = bool(view["passed"].value)
    badge = "passed" if passed else "rejected"
    tone = "pass" if passed else "fail"
    facts = [f"{view['problem'].text()} problem"]
    settings = view["settings"]
    if settings["label"]:
        facts.append(f"predicts <code>{settings['label'].text()}</code>")
    if settings["positive"]:
        facts.append(f"positive class <code>{settings['positive'].text()}</code>")
    facts.append(f"judged {view['decided_ms'].number(moment)}")
    return (
        f"<header><h1>{view['model'].text()}, run {view['run'].number(str)}"
        f'<span class="badge {tone}">{badge}</span></h1>'
        f'<p class="words">{view["words"].text()}</p>'
        f'<p class="note">{" · ".join(facts)}</p></header>{_tiles(view)}'
    )


def _tiles(view: View) -> str:
    """The headline figures, each with the champion's beside it."""
    champion = view["champion"]["figures"]
    tiles = []
    for name, value in view["figures"].items():
        other = champion[name]
        beside = f"champion {other.number()}" if other else ""
        tiles.append(_tile(view["figures"].key(name), value.number(), beside))
    tiles.append(_tile("holdout rows", view["rows"].number()))
    if view["latency"]["p99"]:
        tiles.append(_tile("latency, 99th percentile", f"{view['latency']['p99'].number()} ms"))
    if view["size_mb"]:
        tiles.append(_tile("model size", f"{view['size_mb'].number()} MB"))
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _tile(name: str, value: str, beside: str = "") -> str:
    return f'<div class="tile"><span>{name}</span><b>{value}</b><small>{beside}</small></div>'


def _warnings(view: View) -> str:
    """What a person must not overlook: leaks and rows that contradict one another."""
    found = []
    if view["leaks"]:
        names = ", ".join(f"<code>{each.text()}</code>" for each in view["leaks"].entries())
        found.append(f"Label leakage: {names}. Such a feature knows what it should predict.")
    if view["conflicts"].value:
        found.append(
            f"{view['conflicts'].number()} rows have the identity of another row and a "
            "different label."
        )
    return "".join(f'<p class="warn">{each}</p>' for each in found)


def _gates(view: View) -> str:
    gates = list(view["gates"].entries())
    if not gates:
        return "<p>The settings name no gate, so nothing could fail.</p>"
    rows = []
    for gate in gates:
        tone = "pass" if gate["passed"].value else "fail"
        bound = "at least" if gate["operator"].value == "min" else "at most"
        rows.append(
            (
                f"<code>{gate['name'].text()}</code>",
                f'<span class="word {tone}">{tone}</span>',
                gate["value"].number(nothing="unknown"),
                f"{bound} {gate['bound'].number()}",
                gate["words"].text(),
            )
        )
    return table(("gate", "result", "figure", "bound", "in words"), rows)


def _figures(view: View) -> str:
    """Every overall figure, with its spread and the champion's where they are known."""
    metrics, spread = view["metrics"], view["deviations"]
    compared = view["comparison"]["metrics"]
    head = ["figure", "value"]
    if spread:
        head.append("standard deviation")
    if compared:
        head += ["champion", "difference (positive: better)", "interval"]
    rows = []
    for name, value in metrics.items():
        if ":" in name:
            continue
        cells = [metrics.key(name), value.number()]
        if spread:
            cells.append(spread[name].number())
        if compared:
            entry = compared[name]
            cells += [entry["champion"].number(), entry["difference"].number(signed)]
            cells.append(card_quality.interval(entry["interval"], shown))
        rows.append(cells)
    return table(head, rows) if rows else ""
