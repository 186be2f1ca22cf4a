"""The model card as Markdown, for terminals and pull requests, made of verdict.json alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from perennial.domain.gates import figure
from perennial.domain.page import dollars, moment
from perennial.domain.text import markdown, printable

MOST_FEATURES = 15
NOTHING = "-"


def card_markdown(verdict: Mapping[str, Any]) -> str:
    """The card of a verdict, given as the content of verdict.json (of version 1 or 2)."""
    parts = [
        _head(verdict),
        _gates(verdict["gates"]),
        _champion(verdict),
        _figures(verdict),
        _learning(verdict),
        _attributions(verdict.get("explanations") or {}),
        _bias(verdict),
        _groups(verdict.get("metrics") or {}),
        _list("What changed against the champion", verdict.get("changes") or ()),
        _data(verdict),
        _hyperparameters(verdict),
        _cost(verdict.get("cost") or {}),
        _list("Notes", verdict.get("notes") or ()),
        _evidence(verdict),
    ]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def _head(verdict: Mapping[str, Any]) -> list[str]:
    settings = verdict.get("settings") or {}
    result = "passed" if verdict["passed"] else "rejected"
    lines = [
        f"# {verdict['model']}, run {verdict['run']}: {result}",
        "",
        markdown(verdict["words"]),
        "",
        f"- Problem: {verdict['problem']}"
        + (f"; predicts {_code(settings['label'])}" if settings.get("label") else ""),
        f"- Judged on {verdict['rows']:,} holdout rows at {moment(verdict['decided_ms'])}",
    ]
    if verdict.get("leaks"):
        names = ", ".join(markdown(str(name)) for name in verdict["leaks"])
        lines.append(f"- **Label leakage**: {names}")
    if verdict.get("conflicts"):
        lines.append(
            f"- **{verdict['conflicts']:,} rows** have the identity of another row and a "
            "different label"
        )
    return lines


def _table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    body = [f"| {' | '.join(row)} |" for row in rows]
    if not body:
        return []
    return [f"## {title}", "", f"| {' | '.join(head)} |", "|---" * len(head) + "|", *body]


def _list(title: str, entries: Iterable[Any]) -> list[str]:
    lines = [f"- {markdown(str(entry))}" for entry in entries]
    return [f"## {title}", "", *lines] if lines else []


def _gates(gates: Sequence[Mapping[str, Any]]) -> list[str]:
    if not gates:
        return ["## Gates", "", "The settings name no gate, so nothing could fail."]
    rows = [
        (
            markdown(gate["name"]),
            "pass" if gate["passed"] else "**fail**",
            _shown(gate["value"]),
            markdown(gate["words"]),
        )
        for gate in gates
    ]
    return _table("Gates", ("gate", "result", "figure", "in words"), rows)


def _champion(verdict: Mapping[str, Any]) -> list[str]:
    champion, comparison = verdict.get("champion"), verdict.get("comparison") or {}
    title = "## Against the champion"
    if not champion:
        return [title, "", "There is no champion yet."]
    who = f"{verdict['model']} {champion['version']}, of run {champion['run']}"
    lines = [title, "", f"The champion is {who}."]
    if comparison.get("difference") is None:
        return [*lines, "The two could not be compared."]
    windows = [("all rows", comparison), *(("window", each) for each in comparison["windows"])]
    rows = [
        (
            name,
            f"{each['rows']:,}",
            _landed(each),
            _shown(each["candidate"]),
            _shown(each["champion"]),
            _shown(each["difference"]),
            _interval(each.get("interval")),
        )
        for name, each in windows
    ]
    head = ("rows", "count", "landed", "candidate", "champion", "difference", "interval")
    found = _table("", head, rows)[2:]
    metric = markdown(str(comparison["metric"]))
    return [
        *lines,
        "",
        f"{metric}; a positive difference says: the candidate is better.",
        "",
        *found,
    ]


def _landed(window: Mapping[str, Any]) -> str:
    if window.get("from_ms") is None:
        return NOTHING
    return f"{moment(window['from_ms'])} to {moment(window['to_ms'])}"


def _figures(verdict: Mapping[str, Any]) -> list[str]:
    metrics = verdict.get("metrics") or verdict["figures"]
    deviations = verdict.get("deviations") or {}
    champion = (verdict.get("champion") or {}).get("figures") or {}
    rows = [
        (
            markdown(name),
            _shown(value),
            _shown(deviations.get(name)),
            *((_shown(champion.get(name)),) if champion else ()),
        )
        for name, value in metrics.items()
        if ":" not in name
    ]
    head = ("figure", "value", "standard deviation", *(("champion",) if champion else ()))
    return _table("Figures", head, rows)


def _learning(verdict: Mapping[str, Any]) -> list[str]:
    gap = verdict.get("gap")
    if not gap:
        return []
    words = (
        f"{markdown(str(gap['metric']))}: {_shown(gap['train'])} on the training rows, "
        f"{_shown(gap['validation'])} on the validation rows."
    )
    return ["## Learning", "", words]


def _attributions(found: Mapping[str, Any]) -> list[str]:
    largest = list((found.get("global") or {}).items())[:MOST_FEATURES]
    units = markdown(str(found.get("units") or "prediction"))
    head = ("feature", f"mean absolute attribution ({units})")
    rows = ((markdown(name), _shown(value)) for name, value in largest)
    return _table("What moves the predictions", head, rows)


def _bias(verdict: Mapping[str, Any]) -> list[str]:
    intervals = verdict.get("bias_intervals") or {}
    rows = (
        (markdown(name), _shown(value), _interval(intervals.get(name)))
        for name, value in (verdict.get("bias") or {}).items()
    )
    return _table("Bias", ("metric", "value", "interval"), rows)


def _groups(metrics: Mapping[str, Any]) -> list[str]:
    groups: dict[str, dict[str, Any]] = {}
    for name, value in metrics.items():
        metric, separator, group = name.partition(":")
        if separator:
            groups.setdefault(group, {})[metric] = value
    columns = list(dict.fromkeys(metric for values in groups.values() for metric in values))
    rows = (
        (markdown(group), *(_shown(values.get(name)) for name in columns))
        for group, values in groups.items()
    )
    return _table("Groups", ("group", *columns), rows)


def _data(verdict: Mapping[str, Any]) -> list[str]:
    found = verdict.get("data") or {}
    rows = [
        (f"{name} {part}", f"{value:,}")
        for part in ("rows", "objects")
        for name, value in (found.get(part) or {}).items()
        if value is not None
    ]
    rows += [
        (f"share of producer {markdown(name)}", _shown(share))
        for name, share in (verdict.get("producers") or {}).items()
    ]
    return _table("Data and producers", ("data", "value"), rows)


def _hyperparameters(verdict: Mapping[str, Any]) -> list[str]:
    given = (verdict.get("settings") or {}).get("hyperparameters") or {}
    rows = ((markdown(str(name)), _code(value)) for name, value in sorted(given.items()))
    return _table("Hyperparameters", ("name", "value"), rows)


def _cost(found: Mapping[str, Any]) -> list[str]:
    rows = [
        (
            markdown(job["step"]),
            job["instance"] or "unknown",
            _shown(job["seconds"], "unknown"),
            _dollars(job["usd"]) + (" (reused)" if job["reused"] else ""),
        )
        for job in found.get("jobs") or ()
    ]
    if not rows:
        return []
    rows.append(("all", "", "", _dollars(found["usd"])))
    title = f"Cost by on-demand prices of {found['prices']}"
    return _table(title, ("step", "instance", "billed seconds", "cost"), rows)


def _dollars(value: float | None) -> str:
    return "unknown" if value is None else dollars(value)


def _evidence(verdict: Mapping[str, Any]) -> list[str]:
    candidate = verdict["candidate"]
    pairs = {
        "model archive": (candidate.get("artifact"), candidate.get("artifact_digest")),
        "code": (candidate.get("code"), candidate.get("code_digest")),
        "evaluation": tuple(verdict["evaluation"].values()),
        "manifest": tuple(verdict["manifest"].values()),
        **{what: tuple(each.values()) for what, each in (verdict.get("evidence") or {}).items()},
    }
    rows = ((markdown(what), *(_code(each) for each in pair)) for what, pair in pairs.items())
    return _table("Evidence", ("what", "where", "digest"), rows)


def _code(value: Any) -> str:
    """A value as code in a table's cell, where a bar or a back-tick would end it."""
    text = printable(str(value)).replace("`", "'").replace("|", "\\|")
    return f"`{text}`"


def _shown(value: Any, nothing: str = NOTHING) -> str:
    if value is None:
        return nothing
    return figure(value) if isinstance(value, int | float) else markdown(str(value))


def _interval(ends: Sequence[float] | None) -> str:
    return NOTHING if not ends else f"{figure(ends[0])} to {figure(ends[1])}"
