"""The rules of composite alarms: ALARM("a") AND NOT (OK(b) OR INSUFFICIENT_DATA(c)).

https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutCompositeAlarm.html
"""

import re
from collections.abc import Mapping

_TOKEN = re.compile(
    r"\s*(?:(?P<state>ALARM|OK|INSUFFICIENT_DATA)\s*\(\s*(?P<name>\"[^\"]+\"|'[^']+'|[^\s()]+)\s*\)"
    r"|(?P<word>AND|OR|NOT|TRUE|FALSE)\b|(?P<bracket>[()]))"
)


class RuleInvalidError(ValueError):
    """A rule that cannot be read."""


def evaluate_rule(rule: str, states: Mapping[str, str]) -> tuple[str, list[str]]:
    """ALARM or OK, and the names of the alarms that the rule uses."""
    reader = _Reader(rule, states)
    value = reader.disjunction()
    reader.end()
    return ("ALARM" if value else "OK"), reader.names


class _Reader:
    def __init__(self, rule: str, states: Mapping[str, str]) -> None:
        self.names: list[str] = []
        self._rule = rule
        self._states = states
        self._tokens = []
        at = 0
        while at < len(rule.rstrip()):
            match = _TOKEN.match(rule, at)
            if not match:
                raise RuleInvalidError(f"the alarm rule is not understood at {rule[at:]!r}")
            self._tokens.append(match)
            at = match.end()
        self._at = 0

    def _word(self) -> str:
        if self._at >= len(self._tokens):
            return ""
        token = self._tokens[self._at]
        return token.group("word") or token.group("bracket") or ""

    def disjunction(self) -> bool:
        value = self._conjunction()
        while self._word() == "OR":
            self._at += 1
            other = self._conjunction()
            value = value or other
        return value

    def _conjunction(self) -> bool:
        value = self._negation()
        while self._word() == "AND":
            self._at += 1
            other = self._negation()
            value = value and other
        return value

    def _negation(self) -> bool:
        if self._word() == "NOT":
            self._at += 1
            return not self._negation()
        return self._atom()

    def _atom(self) -> bool:
        if self._at >= len(self._tokens):
            raise RuleInvalidError(f"the alarm rule ends too early: {self._rule!r}")
        token = self._tokens[self._at]
        word = self._word()
        self._at += 1
        if word == "(":
            value = self.disjunction()
            if self._word() != ")":
                raise RuleInvalidError(f"the alarm rule misses a bracket: {self._rule!r}")
            self._at += 1
            return value
        if word in ("TRUE", "FALSE"):
            return word == "TRUE"
        if not token.group("state"):
            raise RuleInvalidError(f"the alarm rule is not understood at {word!r}")
        name = token.group("name").strip("\"'")
        self.names.append(name.rpartition(":alarm:")[2])
        return self._states.get(name) == token.group("state")

    def end(self) -> None:
        if self._at != len(self._tokens):
            raise RuleInvalidError(f"the alarm rule goes on where it should end: {self._rule!r}")
