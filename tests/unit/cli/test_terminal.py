"""Text of others cannot steer the terminal that shows it."""

from __future__ import annotations

import io
import json
from typing import IO

import pytest
from rich.markup import escape

from cli.errors import CommandError
from cli.output import Screen, console_for, table

HOSTILE = "\x1b]0;title\x07\x1b[2J\x9b31m\r\u202eadult.csv\ud800"
# Rich itself leaves out bell and carriage return.
SHOWN = "�]0;title�[2J�31m�adult.csv�"


class Teletype(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Claim to be one."""
        return True


@pytest.mark.parametrize("stream", [Teletype(), io.StringIO()], ids=["terminal", "file"])
def test_control_codes_are_shown_not_sent(stream: IO[str]) -> None:
    """In lines, in cells of tables and in errors; line ends stay."""
    console = console_for(stream)
    console.print(escape(f"{HOSTILE}\nnext"), soft_wrap=True)
    console.print(table(("key",), [(HOSTILE.replace("\x07", "").replace("\r", ""),)]))
    CommandError(HOSTILE, HOSTILE).show(stream)
    written = stream.getvalue()  # type: ignore[attr-defined]  # both are StringIO
    assert written.count(SHOWN) == 4
    assert f"{SHOWN}\nnext" in written
    for code in "\x07\x9b\r\u202e":
        assert code not in written
    assert "\x1b]" not in written
    assert "\x1b[2J" not in written


def test_json_documents_escape_what_a_terminal_obeys(capsys: pytest.CaptureFixture[str]) -> None:
    """The document means the same and is safe to look at."""
    Screen(as_json=True).document({"key": HOSTILE})
    written = capsys.readouterr().out
    assert json.loads(written) == {"key": HOSTILE}
    assert written.isascii()
