"""`ab`: shares as people write them, and what the command says when a test does not go well."""

from __future__ import annotations

import pytest
from perennial.advance_ab import AbAdvance
from perennial.domain.ab_report import VariantFigures
from perennial.domain.ledger.ab_rows import AbTest

from cli.ab import parse_share, refuse_unfinished, row_of
from cli.errors import CommandError, Usage


@pytest.mark.parametrize(
    ("text", "permille"), [("0%", 0), ("10%", 100), (" 2.5% ", 25), ("0.1%", 1), ("50%", 500)]
)
def test_shares(text: str, permille: int) -> None:
    """In tenths of a percent."""
    assert parse_share(text) == permille


@pytest.mark.parametrize("text", ["", "10", "0.1", "51%", "-1%", "0.05%", "1000%", "ten%", "10%%"])
def test_shares_that_are_none(text: str) -> None:
    """A number without its sign could mean a fraction: it is refused, with an example."""
    with pytest.raises(Usage) as caught:
        parse_share(text)
    assert "like 10% or 2.5%" in caught.value.next_step


def test_a_test_that_failed_or_is_not_done_is_an_error() -> None:
    """With what happened, and the next command."""
    refuse_unfinished(AbAdvance("census", is_at_rest=True))
    with pytest.raises(CommandError, match="endpoint x is Updating; it is not done yet") as caught:
        refuse_unfinished(AbAdvance("census", words="endpoint x is Updating"))
    assert caught.value.next_step.startswith("perennial ab status census")
    ended = AbTest(
        *(3, 2, "arn:2", 1, "e", "c", "d", 1), outcome="failed", words="failed, by Perennial: /ping"
    )
    with pytest.raises(CommandError, match="A/B test 3 of census has ended: failed") as caught:
        refuse_unfinished(AbAdvance("census", is_at_rest=True, ended=ended))
    assert caught.value.next_step == "perennial endpoint census"


def test_a_variant_is_a_row_of_the_table() -> None:
    """What is not known is a dash; an error is no percentage."""
    nothing = VariantFigures("main", 1, 0, 0, None, None, 0, None)
    assert row_of(nothing, is_error=False) == ("main", "1", "0", "0", "-", "-", "0", "-")
    known = VariantFigures("challenger", 2, 1234, 5, 7.25, 90.0, 1000, 0.875)
    assert row_of(known, is_error=False)[2:] == (
        *("1,234", "5", "7.2 ms", "90.0 ms", "1,000", "87.5%"),
    )
    assert row_of(known, is_error=True)[-1] == "0.875"
