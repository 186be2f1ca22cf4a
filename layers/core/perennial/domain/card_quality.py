"""The card's sections on how good the candidate is: beside the champion, curves, attributions."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from perennial.domain import pictures
from perennial.domain.page import (
    NOTHING,
    View,
    figure,
    moment,
    percent,
    section,
    shown,
    signed,
    table,
)
from perennial.domain.pictures import Axis, Caption, Series, Span

MOST_FEATURES = 15
WINDOW_NAMES = ("oldest", "second", "third", "fourth", "fifth")


def interval(view: View, form: Callable[[float], str] = shown) -> str:
    """The two ends of an interval as HTML."""
    if not view:
        return NOTHING
    return f'<span class="ends">[{view[0].number(form)}, {view[1].number(form)}]</span>'


def against_champion(view: View) -> str:
    """How candidate and champion compare on the same rows, in all and by landing time."""
    champion, comparison = view["champion"], view["comparison"]
    if not champion:
        return section("Against the champion", "<p>There is no champion yet.</p>")
    who = f"version {champion['version'].number(str)}, of run {champion['run'].number(str)}"
    if comparison["difference"].value is None:
        reasons = [each.text() for each in comparison["incompatible"].entries()]
        why = f": {'; '.join(reasons)}" if reasons else ""
        text = f"<p>The champion ({who}) and the candidate could not be compared{why}.</p>"
        return section("Against the champion", text, _compatibility(view))
    metric = comparison["metric"]
    better = comparison["better_share"]
    words = (
        f"<p>{metric.text()} on {comparison['rows'].number()} paired rows: candidate "
        f"{comparison['candidate'].number()}, champion ({who}) {comparison['champion'].number()}. "
        f"Difference {comparison['difference'].number(signed)}, positive when the candidate "
        f"is better, at "
        f"least {comparison['lower'].number(signed)} with "
        f"{comparison['confidence'].number(percent)} confidence. In "
        f"{better.number(percent)} of {comparison['draws'].number()} draws of the rows the "
        f"candidate is better.{_age(comparison)}</p>"
    )
    return section("Against the champion", words, _windows(comparison), _compatibility(view))


def _age(comparison: View) -> str:
    labels = comparison["labels"]
    if labels["oldest_ms"].value is None:
        return ""
    return (
        f" The rows landed from {labels['oldest_ms'].number(moment)} to "
        f"{labels['newest_ms'].number(moment)}."
    )


def _windows(comparison: View) -> str:
    """The difference in all and in each window, as a picture and a table."""
    parts = [("all rows", comparison)]
    windows = list(comparison["windows"].entries())[: len(WINDOW_NAMES)]
    parts += [(_window_name(i, len(windows)), each) for i, each in enumerate(windows)]
    spans = [
        Span(name, each["difference"].value, *(each["interval"].value or (None, None)))
        for name, each in parts
        if each["difference"].value is not None
    ]
    rows = []
    for name, each in parts:
        landed = NOTHING
        if each["from_ms"].value is not None:
            landed = f"{each['from_ms'].number(moment)} to {each['to_ms'].number(moment)}"
        rows.append(
            (
                name,
                landed,
                each["rows"].number(),
                each["candidate"].number(),
                each["champion"].number(),
                each["difference"].number(signed),
                interval(each["interval"], signed),
            )
        )
    head = ("rows", "landed", "count", "candidate", "champion", "difference", "interval")
    margin = comparison["margin"].value or 0.0
    caption = Caption(
        "windows",
        "Candidate less champion",
        "Difference with its interval, for all rows and by landing time. Right of zero the "
        "candidate is better; the broken line is the margin that the gate allows.",
    )
    label = f"difference in {comparison['metric'].value} (right: candidate better)"
    drawn = pictures.spans(caption, spans, label, marks=(-margin,))
    numbers = table(head, rows)
    return (
        f"<figure><figcaption>Candidate less champion, with intervals</figcaption>{drawn}"
        f"{numbers}</figure>"
    )


def _window_name(place: int, count: int) -> str:
    if place == count - 1 and place:
        return "newest window"
    return f"{WINDOW_NAMES[place]} window"


def _compatibility(view: View) -> str:
    found = view["compatibility"]
    if not found:
        return ""
    if found["compatible"].value:
        return "<p>The candidate takes every request that the champion takes.</p>"
    items = "".join(f"<li>{each.text()}</li>" for each in found["words"].entries())
    return f"<p>The candidate does not take what the champion takes:</p><ul>{items}</ul>"


def quality(view: View) -> str:
    """Curves, calibration, residuals and the confusion matrix, as far as there are any."""
    drawn = [
        _curve(
            view["curves"]["roc"],
            ("false_positive_rates", "false positive rate"),
            ("true_positive_rates", "true positive rate"),
            Caption("roc", "ROC curve", "True against false positive rate over all thresholds."),
        ),
        _curve(
            view["curves"]["precision_recall"],
            ("recalls", "recall"),
            ("precisions", "precision"),
            Caption("recall", "Precision-recall curve", "Precision against recall."),
        ),
        _calibration(view["calibration"]),
        _residuals(view["residuals"]),
        _confusion(view["confusion"]),
    ]
    found = "".join(drawn)
    return section("On the holdout", f'<div class="grid">{found}</div>' if found else "")


def _curve(curve: View, across: tuple[str, str], up: tuple[str, str], caption: Caption) -> str:
    xs, ys = curve[across[0]], curve[up[0]]
    if not xs:
        return ""
    points = list(zip(xs.value, ys.value, strict=True))
    is_roc = caption.key == "roc"
    drawn = pictures.lines(
        caption,
        [Series("candidate", points)],
        Axis(across[1], 0.0, 1.0),
        Axis(up[1], 0.0, 1.0),
        diagonal=is_roc,
    )
    rows = [(x.number(), y.number()) for x, y in zip(xs.entries(), ys.entries(), strict=True)]
    return figure(caption.title, drawn, table((across[1], up[1]), rows))


def _calibration(found: View) -> str:
    """The share of positives in each range of scores beside the mean score."""
    known = [
        (each["mean_score"].value, each["share"].value)
        for each in found.entries()
        if each["mean_score"].value is not None and each["share"].value is not None
    ]
    if not known:
        return ""
    caption = Caption(
        "calibration",
        "Calibration",
        "Share of positive rows against the mean score of each range; the diagonal is perfect.",
    )
    drawn = pictures.dots(
        caption,
        sorted(known),
        Axis("mean score", 0.0, 1.0),
        Axis("share of positives", 0.0, 1.0),
    )
    rows = [
        (
            f"{each['from'].number()} to {each['to'].number()}",
            each["rows"].number(),
            each["mean_score"].number(),
            each["share"].number(),
        )
        for each in found.entries()
    ]
    head = ("scores", "rows", "mean score", "share of positives")
    return figure("Calibration", drawn, table(head, rows))


def _residuals(found: View) -> str:
    """How far predictions lie from the labels."""
    bins = [
        (each["from"].value, each["to"].value, each["rows"].value)
        for each in found["bins"].entries()
        if None not in (each["from"].value, each["to"].value, each["rows"].value)
    ]
    if not bins:
        return ""
    caption = Caption("residuals", "Residuals", "How many rows have which residual.")
    drawn = pictures.columns(caption, bins, "residual", "rows")
    rows = [
        (f"{each['from'].number()} to {each['to'].number()}", each["rows"].number())
        for each in found["bins"].entries()
    ]
    scalars = [(found.key(name), value.number()) for name, value in found.items() if name != "bins"]
    extra = table(("residuals", ""), scalars) if scalars else ""
    return figure("Residuals", drawn, extra + table(("residual", "rows"), rows))


def _confusion(found: View) -> str:
    classes = list(found["classes"].entries())
    if not classes:
        return ""
    rows = [
        (f"actual {name.text()}", *(cell.number() for cell in row.entries()))
        for name, row in zip(classes, found["rows"].entries(), strict=True)
    ]
    head = ("", *(f"predicted {name.text()}" for name in classes))
    numbers = table(head, rows)
    return f"<figure><figcaption>Confusion matrix</figcaption>{numbers}</figure>"


def learning(view: View) -> str:
    """The learning curve, and how far training and validation lie apart at its end."""
    found, gap = view["learning"], view["gap"]
    parts = []
    if gap:
        parts.append(
            f"<p>{gap['metric'].text()}: {gap['train'].number()} on the training rows, "
            f"{gap['validation'].number()} on the validation rows.</p>"
        )
    figures = found["figures"]
    if figures:
        chosen = _of_one_metric(list(figures.value), str(gap["metric"].value or ""))
        rounds = found["rounds"].value
        values = [figures[name].value for name in chosen]
        caption = Caption("learning", "Learning curve", f"{', '.join(chosen)} by round.")
        drawn = pictures.lines(
            caption,
            [
                Series(name, list(zip(rounds, course, strict=True)))
                for name, course in zip(chosen, values, strict=True)
            ],
            pictures.axis_of("round", rounds),
            pictures.axis_of(_metric_of(chosen[0]), _flat(values)),
        )
        head = ("round", *(figures.key(name) for name in figures.value))
        courses = [list(each.entries()) for _, each in figures.items()]
        rows = [
            (at.number(), *(course[i].number() for course in courses))
            for i, at in enumerate(found["rounds"].entries())
        ]
        parts.append(
            f'<div class="grid">{figure("Learning curve", drawn, table(head, rows))}</div>'
        )
    return section("Learning", *parts)


def _flat(courses: Iterable[Iterable[float | None]]) -> list[float | None]:
    return [value for course in courses for value in course]


def _metric_of(name: str) -> str:
    for front in ("train_", "validation_"):
        if name.startswith(front):
            return name.removeprefix(front)
    return name


def _of_one_metric(names: list[str], metric: str) -> list[str]:
    """The courses to draw on one axis: those of the gap's figure, else of the first."""
    wanted = metric if any(_metric_of(name) == metric for name in names) else _metric_of(names[0])
    return [name for name in names if _metric_of(name) == wanted]


def attributions(view: View) -> str:
    """The fifteen features that move the predictions most."""
    found = view["explanations"]
    largest = list(found["global"].items())[:MOST_FEATURES]
    if not largest:
        return ""
    units = str(found["units"].value or "prediction")
    caption = Caption(
        "attributions",
        "Feature attributions",
        f"Mean absolute attribution of each feature, in {units}, largest first.",
    )
    drawn = pictures.bars(
        caption, [(name, value.value) for name, value in largest], f"mean |attribution|, {units}"
    )
    rows = [(found["global"].key(name), value.number()) for name, value in largest]
    how = ""
    if found["method"]:
        how = (
            f"<p>Method {found['method'].text()}, on {found['rows'].number()} rows; the "
            f"{found['features'].number()} features' attributions add up to the prediction within "
            f"{found['max_additivity_error'].number()}.</p>"
        )
    numbers = table(("feature", "mean absolute attribution"), rows)
    shown_figure = figure("Feature attributions", drawn, numbers, beside=True)
    return section("What moves the predictions", how, shown_figure)
