"""The card's sections on groups, bias, data, settings, cost and evidence."""

from __future__ import annotations

from perennial.domain import pictures
from perennial.domain.card_quality import interval
from perennial.domain.page import (
    NOTHING,
    View,
    days,
    dollars,
    listed,
    moment,
    percent,
    section,
    table,
)
from perennial.domain.pictures import Caption, Span

MOST_DRAWN_FACETS = 8
# Clarify's short names in words; a metric that is drawn lies within -1 and 1, and 0 is no bias.
NAMES = {
    "CI": "class imbalance",
    "DPL": "difference in proportions of labels",
    "KL": "Kullback-Leibler divergence",
    "JS": "Jensen-Shannon divergence",
    "LP": "Lp-norm",
    "TVD": "total variation distance",
    "KS": "Kolmogorov-Smirnov",
    "CDDL": "conditional demographic disparity in labels",
    "DPPL": "difference in positive proportions in predicted labels",
    "DI": "disparate impact",
    "DCA": "difference in conditional acceptance",
    "DCR": "difference in conditional rejection",
    "RD": "recall difference",
    "SD": "specificity difference",
    "DAR": "difference in acceptance rates",
    "DRR": "difference in rejection rates",
    "AD": "accuracy difference",
    "CDDPL": "conditional demographic disparity in predicted labels",
    "TE": "treatment equality",
    "GE": "generalized entropy",
    "FT": "counterfactual flip test",
}
DRAWN = ("CI", "DPL", "DPPL", "RD", "SD", "DAR", "DRR", "AD", "CDDL", "CDDPL")


def bias(view: View) -> str:
    """Bias figures by facet, drawn with their intervals where they are differences."""
    found, intervals = view["bias"], view["bias_intervals"]
    facets: dict[str, list[str]] = {}
    for name in found.value or ():
        metric, _, facet = name.partition(":")
        facets.setdefault(facet, []).append(metric)
    parts = [
        _facet(place, facet, metrics, found, intervals)
        for place, (facet, metrics) in enumerate(facets.items())
    ]
    return section("Bias", f'<div class="grid">{"".join(parts)}</div>' if parts else "")


def _facet(place: int, facet: str, metrics: list[str], found: View, intervals: View) -> str:
    rows, spans = [], []
    for metric in metrics:
        name = f"{metric}:{facet}"
        value, ends = found[name], intervals[name]
        key = found.key(name) if not facet else f"<code>{found.key(metric)}</code>"
        rows.append((key, NAMES.get(metric, ""), value.number(), interval(ends)))
        if metric in DRAWN and isinstance(value.value, int | float):
            spans.append(Span(metric, value.value, *(ends.value or (None, None))))
    numbers = table(("metric", "meaning", "value", "interval"), rows)
    if not spans or place >= MOST_DRAWN_FACETS:
        return f"<figure><figcaption>{found.key(facet)}</figcaption>{numbers}</figure>"
    caption = Caption(
        f"bias-{place}",
        f"Bias, {facet}",
        "Differences between this group and the others with their intervals; zero is none.",
    )
    drawn = pictures.spans(caption, spans, "difference between groups")
    return (
        f"<figure><figcaption>{found.key(facet)}</figcaption>{drawn}"
        f"<details open><summary>Numbers</summary>{numbers}</details></figure>"
    )


def groups(view: View) -> str:
    """Figures of each group of the facets."""
    metrics = view["metrics"]
    found: dict[str, dict[str, View]] = {}
    for name, value in metrics.items():
        metric, separator, group = name.partition(":")
        if separator:
            found.setdefault(group, {})[metric] = value
    if not found:
        return ""
    columns = list(dict.fromkeys(metric for values in found.values() for metric in values))
    rows = [
        (
            metrics.key(group),
            *(values[name].number() if name in values else NOTHING for name in columns),
        )
        for group, values in found.items()
    ]
    return section("Groups", table(("group", *(metrics.key(name) for name in columns)), rows))


def changed(view: View) -> str:
    """What is different beside the champion."""
    if not view["champion"]:
        return ""
    changes = [each.text() for each in view["changes"].entries()]
    return section(
        "What changed against the champion",
        listed(changes) or "<p>Nothing that is recorded differs.</p>",
    )


def data(view: View) -> str:
    """Rows, objects, data window, sources and who produced the rows."""
    found, settings = view["data"], view["settings"]
    rows = []
    for part, names in (
        ("rows", ("training", "holdout", "bad", "replaced", "outside")),
        ("objects", ("read", "good")),
    ):
        for name in names:
            if found[part][name].value is not None:
                words = f"{name} {part}" if name != "outside" else "rows outside the data window"
                rows.append((words, found[part][name].number()))
    labels = found["labels"]
    if labels["oldest_ms"].value is not None:
        landed = f"{labels['oldest_ms'].number(moment)} to {labels['newest_ms'].number(moment)}"
        rows.append(("landed", landed))
    if settings["window"]["kind"]:
        rows.append(
            ("data window", settings["window"]["kind"].text() + _window(settings["window"]))
        )
    for name, rows_of in found["sources"].items():
        rows.append((f"rows from {found['sources'].key(name)}", rows_of.number()))
    if settings["holdout"].value is not None:
        rows.append(("share held out", settings["holdout"].number(percent)))
    producers = view["producers"]
    shares = [(producers.key(name), share.number(percent)) for name, share in producers.items()]
    return section(
        "Data and producers",
        table(("data", ""), rows) if rows else "",
        table(("producer", "share of rows"), shares) if shares else "",
    )


def _window(window: View) -> str:
    if window["seconds"].value:
        return f", {window['seconds'].number(days)}"
    return f", {window['rows'].number()} rows" if window["rows"].value else ""


def hyperparameters(view: View) -> str:
    """What the training was given, and how tuning found it."""
    found, tuning = view["settings"]["hyperparameters"], view["tuning"]
    rows = [(found.key(name), f"<code>{_whole(value)}</code>") for name, value in found.items()]
    trials = ""
    if tuning:
        counts = ", ".join(
            f"{tuning['trials'].key(status)} {count.number()}"
            for status, count in tuning["trials"].items()
        )
        trials = f"<p>Tuned; trials by status: {counts or NOTHING}.</p>"
    return section("Hyperparameters", trials, table(("name", "value"), rows) if rows else "")


def _whole(value: View) -> str:
    """A hyperparameter as it was set: not rounded, and lists entry by entry."""
    if isinstance(value.value, list):
        return ", ".join(_whole(each) for each in value.entries()) or "none"
    if isinstance(value.value, dict):
        return ", ".join(f"{value.key(k)} {_whole(v)}" for k, v in value.items()) or "none"
    if value.value is None:
        return "none"
    is_number = isinstance(value.value, int | float) and not isinstance(value.value, bool)
    return value.number(repr) if is_number else value.text()


def cost(view: View) -> str:
    """What the run cost so far, job by job."""
    found = view["cost"]
    if not found:
        return ""
    rows = [
        (
            job["step"].text(),
            job["instance"].text() if job["instance"] else "unknown",
            job["seconds"].number(nothing="unknown"),
            job["usd"].number(dollars, nothing="unknown")
            + (" (reused)" if job["reused"].value else ""),
        )
        for job in found["jobs"].entries()
    ]
    words = (
        f"<p>The run cost {found['usd'].number(dollars, nothing='an unknown amount')} until this "
        f"verdict, by on-demand prices of {found['prices'].text()}; storage, requests and transfer "
        "are not counted.</p>"
    )
    return section("Cost", words, table(("step", "instance", "billed seconds", "cost"), rows))


def evidence(view: View) -> str:
    """Where each document lies and the digest of its bytes."""
    candidate = view["candidate"]
    rows = [
        ("model archive", _code(candidate["artifact"]), _code(candidate["artifact_digest"])),
        ("code", _code(candidate["code"]), _code(candidate["code_digest"])),
        ("evaluation", _code(view["evaluation"]["uri"]), _code(view["evaluation"]["digest"])),
        ("manifest", _code(view["manifest"]["uri"]), _code(view["manifest"]["digest"])),
    ]
    rows += [
        (view["evidence"].key(what), _code(each["uri"]), _code(each["digest"]))
        for what, each in view["evidence"].items()
    ]
    champion = view["champion"]["arn"]
    arn = f"<p>Champion: {_code(champion)}</p>" if champion else ""
    return section("Evidence", arn, table(("what", "where", "SHA of its bytes"), rows))


def _code(view: View) -> str:
    return f"<code>{view.text()}</code>" if view else NOTHING
