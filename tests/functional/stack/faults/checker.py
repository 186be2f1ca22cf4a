"""DESIGN 5.2's invariants over the evidence of a quiet stack, one swept after the last fault.

Nothing of the ledger's rules is used: each invariant is told again in words of its own. Each
answer names what is wrong with which model, run or object; no answer means that all hold.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cached_property
from itertools import pairwise
from typing import Any

from tests.functional.stack.faults.evidence import Evidence, Landed

VERDICTS = ("won", "lost")
OPEN = ("pending", "held", "claimed")
DAY_MS = 24 * 3600 * 1000
UNITS_MS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": DAY_MS}
# A signal that was admitted at one moment is in the ledger a moment later, on a slow machine with
# a throttled table much later: whoever opened a run in between could not know of it.
ADMISSION_MS = 4000
Row = dict[str, Any]


class Checker:
    """One look at the evidence."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.models: dict[str, Row] = {}
        self.signals: dict[str, list[Row]] = defaultdict(list)
        self.runs: dict[str, dict[int, Row]] = defaultdict(dict)
        self.settings: dict[str, dict[int, Row]] = defaultdict(dict)
        for row in evidence.rows:
            model, family = row["model"], row["sk"].partition("#")[0]
            if family == "model":
                self.models[model] = row
            elif family == "run":
                self.runs[model][int(row["number"])] = row
            elif family == "settings":
                self.settings[model][int(row["version"])] = row
            else:
                self.signals[model].append({"state": "pending", **row})
        self.known = {m: row for m, row in self.models.items() if "removed_ms" not in row}

    def violations(self) -> list[str]:
        """Everything that does not hold."""
        checks = (
            self.objects,
            self.one_run,
            self.one_execution,
            self.pace,
            self.waits,
            self.counted_once,
            self.dead_letters,
            self.freed_once,
            self.versions,
            self.champions,
        )
        return [words for check in checks for words in check()]

    # -- 1: every object version is accounted for ------------------------------------------------

    def objects(self) -> Iterator[str]:
        """Each landed version is where it belongs, with whatever that state rests on."""
        by_parts = {
            tuple(row["parts"]): row
            for rows in self.signals.values()
            for row in rows
            if row["kind"] == "data"
        }
        for landed in self.evidence.landed:
            model = landed.key.split("/")[1]
            if model not in self.known or landed.is_marker or not self._selected(model, landed.key):
                continue
            name = f"{landed.key} version {landed.version}"
            row = by_parts.get((landed.bucket, landed.key, landed.version))
            if row is None:
                yield f"1: {name} of {model} is nowhere in the ledger"
            else:
                yield from self._object(name, row, landed)

    def _object(self, name: str, row: Row, landed: Landed) -> Iterator[str]:
        state = row["state"]
        if row["sk"].startswith("open#") != (state in OPEN):
            yield f"1: {name} is {state}, but lies in {row['sk'][:5]}"
        if state in ("consumed", "quarantined"):
            yield from self._judged(name, row)
        elif state in ("superseded", "withdrawn"):
            yield from self._old(name, state, landed)
        elif state in OPEN:
            yield from self._open(name, row, landed)
        elif state != "excluded" or not row.get("reason"):
            yield f"1: {name} is {state!r} ({row.get('reason') or 'no reason'})"

    def _judged(self, name: str, row: Row) -> Iterator[str]:
        parts, number = tuple(row["parts"]), int(row.get("run", 0))
        run, place = self.runs[row["model"]].get(number, {}), f"{row['model']}/{number}"
        if row["state"] == "quarantined":
            if not row.get("reason") or not row.get("first_bad"):
                yield f"1: {name} is quarantined without reason or first bad lines"
            if parts not in self.evidence.refused.get(place, set()):
                yield f"1: {name} is quarantined, but the check of run {place} did not say so"
            return
        if run.get("outcome") not in VERDICTS:
            yield f"1: {name} was consumed by a run without verdict ({place})"
        if parts not in self.evidence.manifests.get(place, set()):
            yield f"1: {name} was consumed by run {place}, whose manifest lacks it"

    def _open(self, name: str, row: Row, landed: Landed) -> Iterator[str]:
        state, run = row["state"], row.get("run")
        if state == "claimed":
            if self.models[row["model"]].get("open_run") != run:
                yield f"1: {name} is claimed by run {run}, which is not the model's open run"
        elif not landed.is_latest:
            yield f"1: {name} is {state}, but was overwritten or deleted"
        elif state == "held" and not row.get("reason"):
            yield f"1: {name} is held without a reason"

    def _old(self, name: str, state: str, landed: Landed) -> Iterator[str]:
        if landed.is_latest:
            yield f"1: {name} is {state}, but is the current version"
            return
        if state == "withdrawn" and self._current[landed.key].is_latest:
            newest = self._current[landed.key]
            if not newest.is_marker and newest.modified_ms <= landed.modified_ms:
                yield f"1: {name} is withdrawn, but nothing came after it"

    @cached_property
    def _current(self) -> dict[str, Landed]:
        return {each.key: each for each in self.evidence.landed if each.is_latest}

    def _selected(self, model: str, key: str) -> bool:
        newest = self.settings[model][int(self.models[model]["settings"])]
        patterns = json.loads(newest["settings"])["data"]["select"]
        rest = key.removeprefix(f"incoming/{model}/")
        return any(fnmatchcase(rest, pattern) for pattern in patterns)

    # -- 2: at most one run at a time ------------------------------------------------------------

    def one_run(self) -> Iterator[str]:
        """Neither two rows nor two executions of a model are at work together."""
        for model, runs in self.runs.items():
            at_work = [number for number, row in runs.items() if row.get("state") != "ended"]
            holder = self.models.get(model, {}).get("open_run")
            if at_work != ([] if holder is None else [int(holder)]):
                yield f"2: runs {at_work} of {model} have not ended; the model names run {holder}"
            if sorted(runs) != list(range(min(runs), max(runs) + 1)):
                yield f"2: the runs of {model} are not numbered one after the other: {sorted(runs)}"

    def one_execution(self) -> Iterator[str]:
        """No two executions of a model were past their claim check at the same time."""
        worked = defaultdict(list)
        for each in self.evidence.executions:
            if each.claimed_ms is not None and not each.redriven:
                end = each.stopped_ms or self.evidence.now_ms
                worked[each.model].append((each.claimed_ms, end, each))
        for model, spans in worked.items():
            spans.sort(key=lambda span: span[:2])
            for one, other in pairwise(spans):
                if other[0] < one[1]:
                    yield (
                        f"2: executions of runs {one[2].run} and {other[2].run} of {model} worked "
                        f"at the same time ({one[1] - other[0]} ms)"
                    )
            for number, count in Counter(span[2].run for span in spans).items():
                if count > 1:
                    yield f"2: run {number} of {model} had {count} executions at work"

    # -- 3 and 4: quiet period, longest wait, cool-down, budget ----------------------------------

    def pace(self) -> Iterator[str]:
        """Each run opened no earlier than the settings that it opened with allow."""
        for model, runs in self.runs.items():
            opened: list[int] = []
            before: Row | None = None
            for _, run in sorted(runs.items()):
                limits = self._limits(model, int(run["settings"]))
                if limits is not None and not self._asked_for(model, run):
                    yield from self._too_early(model, run, limits, before, opened)
                if run.get("started_ms"):
                    opened.append(int(run["opened_ms"]))
                    before = run

    def _limits(self, model: str, version: int) -> Row | None:
        row = self.settings[model].get(version)
        return None if row is None else json.loads(row["settings"])["triggers"]

    def _served(self, model: str, run: Row) -> list[Row]:
        return [row for row in self.signals[model] if row.get("run") == run["number"]]

    def _asked_for(self, model: str, run: Row) -> bool:
        """Whether a person asked for the run: then it waits for nothing but its turn."""
        by_hand = any(row["kind"] == "manual" for row in self._served(model, run))
        return by_hand or bool(run.get("overrides") or run.get("retry_of"))

    def _too_early(
        self, model: str, run: Row, limits: Row, before: Row | None, opened: list[int]
    ) -> Iterator[str]:
        name, now = f"run {run['number']} of {model}", int(run["opened_ms"])
        if before is not None and before.get("ended_ms"):
            cool = int(before["ended_ms"]) + in_ms(limits["cool_down"])
            if now < cool:
                yield f"4: {name} opened {cool - now} ms before the cool-down was over"
        recent = [at for at in opened if at > now - DAY_MS]
        if len(recent) >= limits["max_runs_per_day"]:
            yield f"4: {name} is run {len(recent) + 1} within 24 hours"
        served = self._served(model, run)
        earlier = [r for n, r in self.runs[model].items() if n < int(run["number"])]
        came_back = any(r.get("outcome") not in VERDICTS for r in earlier)
        if came_back or any(row["kind"] == "code" for row in served):
            return  # who came back from a run, or brings code, waits for no quiet period
        moments = [int(row["admitted_ms"]) for row in served]
        moments = [moment for moment in moments if moment <= now - ADMISSION_MS]
        if moments:
            quiet = max(moments) + in_ms(limits["quiet_period"])
            longest = min(moments) + in_ms(limits["max_wait"])
            if now < min(quiet, longest):
                yield f"3: {name} opened {min(quiet, longest) - now} ms too early"

    def waits(self) -> Iterator[str]:
        """Whatever waits says what for; nothing that could run is left waiting for nothing."""
        for model in self.known:
            told = self.evidence.waits.get(model, {})
            for row in self.signals[model]:
                if row["state"] in OPEN and not told.get(row["id"]):
                    what = f"{row['kind']} {' '.join(row['parts'])} of {model}"
                    yield f"4: {what} is {row['state']}, and nobody can say what it waits for"

    # -- 5: each signal counts once --------------------------------------------------------------

    def counted_once(self) -> Iterator[str]:
        """One row an id, under the hash of its parts; one code signal a push."""
        for model, rows in self.signals.items():
            for found, count in Counter(row["id"] for row in rows).items():
                if count > 1:
                    yield f"5: signal {found} of {model} lies in {count} places"
            for row in rows:
                words = json.dumps([row["kind"], *row["parts"]], separators=(",", ":"))
                if hashlib.sha256(words.encode()).hexdigest() != row["id"]:
                    yield f"5: {row['kind']} {row['parts']} of {model} has a foreign id"
            versions = sorted(int(r["parts"][0]) for r in rows if r["kind"] == "code")
            if model in self.known and versions != sorted(self.settings[model]):
                yield f"5: {model} has settings {sorted(self.settings[model])}, signals {versions}"

    # -- 6: what nobody can deal with is seen ----------------------------------------------------

    def dead_letters(self) -> Iterator[str]:
        """A dead letter means an alarm that stands at ALARM."""
        for queue, count in self.evidence.dead_letters.items():
            alarm = self.evidence.alarms.get(queue, "missing")
            if count and alarm != "ALARM":
                yield f"6: {queue} holds {count} messages, its alarm is {alarm}"

    # -- 7: a run that ends frees its model exactly once -----------------------------------------

    def freed_once(self) -> Iterator[str]:
        """Each ended run is settled whole, told of, and counted at most once."""
        for model, runs in self.runs.items():
            ended = {number: row for number, row in runs.items() if row.get("state") == "ended"}
            if self.evidence.freed.get(model, 0) > len(ended):
                count = self.evidence.freed[model]
                yield f"7: {count} runs of {model} were counted as ended, {len(ended)} have"
            for number, row in ended.items():
                yield from self._ended(model, number, row)
            claimed = [r for r in self.signals[model] if r["state"] == "claimed"]
            for signal in claimed:
                if int(signal.get("run", 0)) in ended:
                    what = f"{signal['kind']} {' '.join(signal['parts'])}"
                    yield f"7: {what} of {model} is still claimed by run {signal['run']}, ended"

    def _ended(self, model: str, number: int, row: Row) -> Iterator[str]:
        name = f"run {number} of {model}"
        if not row.get("outcome") or not row.get("ended_ms") or not row.get("ending"):
            yield f"7: {name} ended without outcome, time or ending"
        execution = self._by_arn.get(row.get("execution", ""))
        if execution is not None:
            if execution.status == "RUNNING":
                yield f"7: {name} has ended, but its execution runs"
            passed = execution.status == "SUCCEEDED"
            if passed != (row.get("outcome") in VERDICTS) and not execution.redriven:
                yield f"7: {name} is {row.get('outcome')}, its execution {execution.status}"
        front = f"{self.evidence.token}-{model}-{number}-"
        for job, status in self.evidence.jobs.items():
            if job.startswith(front) and status in ("InProgress", "Stopping"):
                yield f"7: {name} has ended, but its job {job} is {status}"
        told = sum(each.endswith(f"/{model}/{number}") for each in self.evidence.told)
        if not told and model in self.known:
            yield f"7: nobody was told of {name}"

    @cached_property
    def _by_arn(self) -> dict[str, Any]:
        return {each.arn: each for each in self.evidence.executions}

    # -- what a verdict rests on -----------------------------------------------------------------

    def versions(self) -> Iterator[str]:
        """One version a run with a verdict; none of a run that holds no claim."""
        by_run: dict[tuple[str, int], list[Any]] = defaultdict(list)
        for package in self.evidence.packages:
            by_run[package.group, package.run].append(package)
        for (model, number), packages in by_run.items():
            row = self.runs[model].get(number, {})
            if len(packages) > 1:
                yield f"5: run {number} of {model} registered {len(packages)} versions"
            if row.get("execution") != packages[0].execution:
                yield f"2: a version of {model} was registered by a stranger of run {number}"
        for model, runs in self.runs.items():
            for number, row in runs.items():
                if row.get("outcome") in VERDICTS and (model, number) not in by_run:
                    yield f"1: run {number} of {model} {row['outcome']}, but registered nothing"

    def champions(self) -> Iterator[str]:
        """What is approved is champion, and what is champion is approved."""
        approved = {p.arn for p in self.evidence.packages if p.status == "Approved"}
        for model, row in self.known.items():
            champion = row.get("champion")
            ours = [p for p in self.evidence.packages if p.group == model and p.arn in approved]
            if champion is not None and champion["arn"] not in approved:
                yield f"7: the champion of {model} is not approved"
            if ours and champion is None:
                yield f"7: {model} has an approved version, but no champion"


def in_ms(duration: str | int) -> int:
    """Milliseconds of a duration as settings write it: `30s`, `5m`, `1h`, or whole seconds."""
    if isinstance(duration, str):
        return int(duration[:-1]) * UNITS_MS[duration[-1]]
    return int(duration) * UNITS_MS["s"]


def violations(evidence: Evidence) -> list[str]:
    """What the evidence of a quiet stack proves wrong; empty: invariants 1 to 7 hold."""
    return Checker(evidence).violations()
