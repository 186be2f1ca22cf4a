"""Progress that reads well on a terminal and in a file: lasting lines, and one changing place."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text


class Progress:
    """Lasting lines by `say`; `now` changes one place below them, on a terminal only."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._live: Live | None = None
        self._spinner = Spinner("dots", style="cyan")

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._live = Live(console=self.console, transient=True, refresh_per_second=12)
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    @property
    def is_live(self) -> bool:
        """Say whether somebody sees the changing place."""
        return self._live is not None

    def say(self, text: str | RenderableType = "") -> None:
        """Print a lasting line; text is rich markup."""
        self.console.print(text, soft_wrap=isinstance(text, str))

    def now(self, text: str, tail: tuple[str, ...] = (), picture: tuple[str, ...] = ()) -> None:
        """Show what happens now; below it a picture in text, and a few dim lines of a log.

        Nothing where not live.
        """
        if self._live is None:
            return
        self._spinner.update(text=Text.from_markup(f" {text}"))
        width = self.console.width - 6
        drawn = [Text(f"    {line[:width]}", no_wrap=True) for line in picture]
        lines = [Text(f"    {line[:width]}", style="dim", no_wrap=True) for line in tail]
        self._live.update(Group(self._spinner, *drawn, *lines))

    def quiet(self) -> None:
        """Empty the changing place."""
        if self._live is not None:
            self._live.update(Text(""), refresh=True)
