"""What an A/B test has shown, in figures and in words."""

from __future__ import annotations

from typing import Any

import pytest
from perennial.domain.ab_report import AbReport, Judged, Period, report
from perennial.domain.ledger.ab_rows import AbShare, AbStop

from tests.unit.domain.ledger_builders import MINUTE, NOW
from tests.unit.domain.test_ledger_ab_tests import running


def periods(count: int, *, requests: int = 100, errors: int = 0, latency: float = 10.0) -> Any:
    """Minutes since the test began, with latencies that alternate about a mean."""
    return [
        Period(
            begin_ms=NOW + place * MINUTE,
            end_ms=NOW + (place + 1) * MINUTE,
            requests=requests,
            errors=errors,
            latency_ms=latency + (0.5 if place % 2 else -0.5),
            p99_ms=2 * latency,
        )
        for place in range(count)
    ]


def judged(count: int, right: float) -> list[Judged]:
    """Labelled requests of one row, a share of them right."""
    return [
        Judged(NOW + place * 100, (float(place % 100 < 100 * right),)) for place in range(count)
    ]


def of(main: Any = (), challenger: Any = (), *, fields: Any = None, **more: Any) -> AbReport:
    """The report of a test of half the traffic, since now."""
    test = running(**{"shares": (AbShare(NOW, 500),), **(fields or {})})
    labels = {"main": more.get("main_labels", ()), "challenger": more.get("labels", ())}
    counted = {"main": main, "challenger": challenger}
    return report("census", test, counted, labels, is_error=more.get("is_error", False))


def test_nothing_yet() -> None:
    """No request, no label: too little data, and the next step."""
    found = of()
    assert (found.winner, found.variants[1].quality, found.variants[1].latency_ms) == (
        "",
        None,
        None,
    )
    nothing = "0 labelled answers of the challenger, 0 of main; labels land below labels/census/"
    assert found.words == (
        f"quality: too little data yet ({nothing})",
        "failed requests: too few yet to tell a difference",
        "latency: too little data yet",
        "nothing is decided yet; looking again does no harm",
    )
    idle = of(fields={"shares": (AbShare(NOW, 0),)})
    assert idle.words[-1] == (
        'the challenger gets no traffic: perennial ab shift census --share 10% --because "..."'
    )


def test_figures_of_the_variants() -> None:
    """Sums, the mean latency by requests, the worst minute, the share of right answers."""
    slow = [
        Period(NOW, NOW + MINUTE, 300, 3, 20.0, 90.0),
        Period(NOW, NOW + MINUTE, 5, 0, None, None),
    ]
    found = of([*periods(1), *slow], main_labels=judged(200, 0.75))
    main = found.variants[0]
    assert (main.variant, main.version, main.requests, main.errors) == ("main", 4, 405, 3)
    assert main.latency_ms == pytest.approx((9.5 * 100 + 20 * 300) / 400)
    assert (main.worst_p99_ms, main.labelled, main.quality) == (90.0, 200, 0.75)


def test_the_challenger_answers_better() -> None:
    """The interval is told, and the command that makes it main."""
    found = of(labels=judged(3000, 0.9), main_labels=judged(3000, 0.8))
    assert (found.winner, found.quality.finding) == ("challenger", "higher")
    assert found.words[0].startswith(
        "quality: the challenger is better (right answers: challenger minus main lies between +"
    )
    assert found.words[0].endswith(
        " points; 3,000 labelled answers of the challenger, 3,000 of main)"
    )
    assert found.words[-1] == (
        "the challenger answers better: perennial ab stop census "
        '--because "..." --winner challenger'
    )


def test_main_answers_better() -> None:
    """Also of a regression, where less is better."""
    found = of(labels=judged(3000, 0.8), main_labels=judged(3000, 0.9))
    assert found.winner == "main"
    assert (
        found.words[-1]
        == 'main answers better: perennial ab stop census --because "..." --winner main'
    )
    errors = [Judged(NOW, (float(place % 7) + 1,)) for place in range(3000)]
    less = [Judged(NOW, (float(place % 7),)) for place in range(3000)]
    off = of(labels=errors, main_labels=less, is_error=True)
    assert (off.winner, off.quality.finding) == ("main", "higher")
    assert "main is better (mean absolute error:" in off.words[0]
    assert of(labels=less, main_labels=errors, is_error=True).winner == "challenger"


def test_harm_is_weighed_against_quality() -> None:
    """Failures or slowness alone speak for main; beside better answers a person decides."""
    found = of(periods(100), periods(100, errors=5))
    assert found.errors.finding == "higher"
    assert found.words[1].startswith("failed requests: the challenger has more (")
    assert found.words[-1] == (
        'the challenger fails more often: perennial ab stop census --because "..." --winner main'
    )
    slower = of(periods(100), periods(100, latency=12.0, errors=5))
    assert slower.words[2].startswith("latency: the challenger is slower (challenger minus main")
    assert "fails more often and is slower" in slower.words[-1]
    assert of(periods(100, latency=12.0), periods(100)).latency.finding == "lower"
    both = of(
        periods(100),
        periods(100, errors=5),
        labels=judged(3000, 0.9),
        main_labels=judged(3000, 0.8),
    )
    assert both.words[-1] == (
        "the challenger answers better, but fails more often: that is for you to weigh"
    )


def test_a_minute_in_which_the_share_changed_is_not_compared() -> None:
    """Nor what main did before the challenger had its first share; the table counts it all."""
    shares = (AbShare(NOW + 10 * MINUTE, 100), AbShare(NOW + 50 * MINUTE + 1, 500))
    found = of(periods(100), periods(100), fields={"shares": shares})
    assert found.latency.main.count == 100 - 10 - 1
    assert found.variants[0].requests == 100 * 100
    early = [Judged(NOW, (1.0,)), Judged(NOW + 10 * MINUTE, (1.0,))]
    late = of(labels=early, main_labels=early, fields={"shares": shares})
    assert (late.quality.main.count, late.variants[0].labelled) == (1, 2)


def test_a_test_that_is_over_says_how_it_ended() -> None:
    """And one that is being stopped gives no advice."""
    over = {"ended_ms": NOW, "words": "main, by ann: enough", "state": "ended"}
    assert of(fields=over).words[-1] == "the test is over: main, by ann: enough"
    stopping = {"stop": AbStop("main", "ann", "x")}
    assert of(fields=stopping).words[-1] == "the test is being stopped"
