"""Every failure that Perennial raises by name.

The class says what a caller may do about it: a :class:`Retryable` may be tried again unchanged,
a :class:`Terminal` may not. State machines match on ``__name__`` (``ErrorEquals``), so a class
name is part of the contract with ``statemachines/``.
"""

from __future__ import annotations

__all__ = [
    "Conflict",
    "Denied",
    "NotAllowed",
    "NotClaimed",
    "NotFound",
    "PerennialError",
    "Refused",
    "Rejected",
    "Retryable",
    "SettingMissing",
    "SignalInvalid",
    "Stale",
    "StartRefused",
    "Terminal",
    "Throttled",
    "Unavailable",
    "Withdrawn",
]


class PerennialError(Exception):
    """Base of all errors that are Perennial's own; its text is written for a person."""


class Terminal(PerennialError):
    """Trying again changes nothing: the input, the settings or the code must change first."""


class Retryable(PerennialError):
    """Trying the same again may succeed."""


class Conflict(Retryable):
    """A compare-and-swap lost: a row changed after it was read. Read again, decide again."""


class Throttled(Retryable):
    """A service asked to be called less often."""


class Unavailable(Retryable):
    """A service failed on its side, could not be reached or did not answer in time."""


class NotFound(Terminal):
    """What was named does not exist (a model, a run, an object, a version)."""


class Denied(Terminal):
    """AWS does not let the caller do this: credentials or rights are missing."""


class Rejected(Terminal):
    """A service refused a request as wrong; repeating it unchanged changes nothing."""


class SettingMissing(Terminal):
    """A function or command was not told the name of a resource that it needs."""


class NotAllowed(Terminal):
    """A command that Perennial refuses to carry out in the present state; the text says why."""


class SignalInvalid(Terminal):
    """A message on the signal queue that is none: it belongs in the dead-letter queue."""


class Refused(Terminal):
    """A run that ends before training, because too little good data is left."""


class NotClaimed(Terminal):
    """An execution that works for a run which it does not hold (restarted, redriven, too late)."""


class StartRefused(Terminal):
    """``StartExecution`` failed in a way that repeating cannot mend."""


class Stale(Terminal):
    """A release whose version does not win, or no longer does, against the present champion."""


class Withdrawn(Terminal):
    """A release whose version is not approved any more."""
