"""Which time span a monitor judges next.

Windows are explicit times, `[start, end)` in milliseconds. They follow each other without a gap
or an overlap, end on the monitor's grid (full hours, midnights, or `offset` after them, UTC), and
never span a release: the first one of a version begins when its release was confirmed. What the
version before answered after its last window is not judged, for it is not live any more. They
begin and end with whole seconds, for SageMaker's capture tells no more of a request's time: else
what is answered in a part of a second would be in no window. After an outage the missed windows
follow one after the other, each as long as it would have been.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from perennial.domain.settings_monitor import DAY, HOUR, MINUTE, SECOND_MS, Monitor

HOUR_MS = HOUR * SECOND_MS
#: The sweeper starts a window that nobody started so long after it was due.
MISSED_MS = 10 * MINUTE * SECOND_MS


@dataclass(frozen=True)
class Window:
    """The time span that one job judges. `is_whole`: it is as long as the settings ask for."""

    start_ms: int
    end_ms: int
    is_whole: bool = True


@dataclass(frozen=True)
class Judged:
    """How far a monitor has come: the end of its last window (0: none yet).

    `is_open`: a window is being judged; the next one waits for it.
    """

    until_ms: int = 0
    is_open: bool = False


def next_window(
    monitor: Monitor,
    judged: Judged,
    since_ms: int,
    now_ms: int,
    *,
    by_hand: bool = False,
) -> Window | None:
    """The window that is due at `now_ms`; None when there is none yet, or one is open.

    `since_ms`: since when the version serves that is live. `by_hand`: somebody asks for what
    there is up to now, although the window is not over; the next one begins where this one ends.
    """
    if judged.is_open:
        return None
    start = window_start(judged, since_ms)
    end = grid_end(monitor, start)
    if by_hand and now_ms < end:
        until = _second(now_ms)
        return Window(start, until, is_whole=False) if until > start else None
    if end + monitor.delay * SECOND_MS > now_ms and not by_hand:
        return None
    return Window(start, end, is_whole=end - start == monitor.window * SECOND_MS)


def window_start(judged: Judged, since_ms: int) -> int:
    """Where the next window begins: at the last one's end, or with the release."""
    return max(judged.until_ms, _second(since_ms))


def grid_end(monitor: Monitor, start_ms: int) -> int:
    """The first end on the monitor's grid after `start_ms`."""
    step, shift = monitor.window * SECOND_MS, monitor.offset * SECOND_MS
    return (start_ms - shift) // step * step + step + shift


def due_ms(monitor: Monitor, judged: Judged, since_ms: int) -> int:
    """When the next window can be judged."""
    return grid_end(monitor, window_start(judged, since_ms)) + monitor.delay * SECOND_MS


def is_missed(monitor: Monitor, judged: Judged, since_ms: int, now_ms: int) -> bool:
    """Whether a window is due for so long that its schedule must have been lost."""
    return not judged.is_open and due_ms(monitor, judged, since_ms) + MISSED_MS <= now_ms


def schedule(monitor: Monitor) -> str:
    """The cron expression (UTC) that looks `every` so often, when windows on the grid are due.

    It fires at the first full minute at which the delay after an end on the grid has passed.
    """
    phase = -(-(monitor.offset + monitor.delay) // MINUTE) % (monitor.every // MINUTE)
    if monitor.every < HOUR:
        minutes = monitor.every // MINUTE
        return "cron(* * * * ? *)" if minutes == 1 else f"cron({phase}/{minutes} * * * ? *)"
    hours, (hour, minute) = monitor.every // HOUR, divmod(phase, 60)
    if monitor.every == DAY:
        return f"cron({minute} {hour} * * ? *)"
    if hours == 1:
        return f"cron({minute} * * * ? *)"
    return f"cron({minute} {hour}/{hours} * * ? *)"


def hour_folders(start_ms: int, end_ms: int) -> list[str]:
    """The folders of captured traffic (`yyyy/mm/dd/hh`) that may hold a window's requests.

    A server's clock may be a little off and a file is written some time after its first request,
    so the hour after the window's last one counts too.
    """
    hour = _utc(start_ms - start_ms % HOUR_MS)
    folders = []
    while hour <= _utc(end_ms - 1 + HOUR_MS):
        folders.append(f"{hour:%Y/%m/%d/%H}")
        hour += timedelta(hours=1)
    return folders


def words(start_ms: int, end_ms: int) -> str:
    """A window in a few words, like `the hour to 14:00` (UTC)."""
    start, end = _utc(start_ms), _utc(end_ms)
    seconds = (end_ms - start_ms) / SECOND_MS
    if seconds == HOUR:
        return f"the hour to {end:%H:%M} UTC"
    if seconds == DAY:
        return f"the day to {end:%Y-%m-%d %H:%M} UTC"
    form = "%H:%M" if seconds >= 10 * MINUTE else "%H:%M:%S"
    return f"the time from {start:%Y-%m-%d {form}} to {end:{form}} UTC"


def _second(moment_ms: int) -> int:
    """The whole second in which a moment lies."""
    return moment_ms // SECOND_MS * SECOND_MS


def _utc(moment_ms: int) -> datetime:
    return datetime.fromtimestamp(moment_ms / SECOND_MS, tz=timezone.utc)
