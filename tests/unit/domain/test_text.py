"""Text that others wrote: what is text at all."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from perennial.domain.text import parse_json

PLAIN = st.recursive(
    st.none() | st.integers() | st.text(),
    lambda parts: st.lists(parts) | st.dictionaries(st.text(), parts),
    max_leaves=5,
)


@settings(max_examples=100, deadline=None)
@given(PLAIN, st.booleans())
def test_what_is_text_is_read_as_it_is(document: object, escaped: bool) -> None:
    """Also characters beyond the first plane, which JSON may write as pairs of escapes."""
    assert parse_json(json.dumps(document, ensure_ascii=escaped)) == document


@pytest.mark.parametrize(
    "text", [r'"\ud800"', r'{"a": ["x\udFFF"]}', r'{"\uD83D": 1}', r'"\ude00\ud83d"']
)
def test_half_of_a_pair_is_no_text(text: str) -> None:
    """JSON can write it; files of tables and UTF-8 cannot."""
    with pytest.raises(ValueError, match="half of a surrogate pair"):
        parse_json(text)


def test_an_escape_that_is_written_out_is_text() -> None:
    """A backslash and the letters behind it are no half character; a whole pair is one."""
    assert parse_json(r'"\\ud800"') == r"\ud800"
    assert parse_json(r'"\ud83d\ude00"') == "\N{GRINNING FACE}"
