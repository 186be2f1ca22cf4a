"""A storm of events through the local cloud with its faults on: violations, events per second.

    python -m bench.events [EVENTS] [--seed N] [--deaths]

The storm of `make test` (1,000 events there) with as many events as asked for, 100,000 by default,
over four models; then everything comes to rest, one sweep, and the checker states what
does not hold. `--deaths` also has each function die before and after every single AWS call of a
run, not only around its writes as `make test` does. The yardstick of the speed is the same number
of bare puts into the same bucket, without a fault.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
from perennial.describe_model import describe_model
from perennial.wiring import connect

import tests  # another package of this environment has that name too: ours is beside us
from bench.common import ROOT, control, report, running_stack

tests.__path__ = [str(ROOT / "tests")]

from tests.functional.conftest import LocalCloud  # noqa: E402
from tests.functional.stack.faults import deaths  # noqa: E402
from tests.functional.stack.faults.stack import Stack  # noqa: E402
from tests.functional.stack.faults.storm import Storm  # noqa: E402

SENDERS = 8
FACTOR = 120


class BenchCloud(LocalCloud):
    """The cloud that the bench has started, as the tests see one."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(None, endpoint, "", Path(), 0)  # type: ignore[arg-type]  # not ours to end

    def control(self, method: str, path: str, body: object = None, timeout: float = 90) -> object:
        """One call of the control API."""
        return control(method, path, body)


def stack_of(environment: dict[str, str]) -> Stack:
    """The running stack in the hands of a test."""
    found = boto3.client("cloudformation").describe_stacks(StackName="perennial")["Stacks"][0]
    outputs = {each["OutputKey"]: each["OutputValue"] for each in found["Outputs"]}
    cloud = BenchCloud(environment["AWS_ENDPOINT_URL"])
    stack = Stack(cloud, connect({**outputs, "StackName": "perennial"}))
    stack.subscribe()
    stack.hold_sweeps()
    return stack


def bare_seconds(stack: Stack, events: int) -> float:
    """How long as many bare puts take, sent alike, where nobody listens."""
    bucket, s3 = stack.ports.deployment.artifact_bucket, boto3.client("s3")
    began = time.perf_counter()
    with ThreadPoolExecutor(SENDERS) as pool:
        puts = (
            pool.submit(s3.put_object, Bucket=bucket, Key=f"bench/{n}", Body=b"x")
            for n in range(events)
        )
        for put in list(puts):
            put.result()
    return time.perf_counter() - began


def blow(stack: Stack, events: int, seed: int) -> list[str]:
    """One storm and the calm after it; what is wrong then."""
    storm = Storm.over_fresh_models(stack, events, seed)
    bare = bare_seconds(stack, events)
    began = time.perf_counter()
    storm.blow()
    storm.calm()
    wrong = stack.wrong()
    seconds = time.perf_counter() - began
    runs = sum(describe_model(stack.ports, model).last_run for model in storm.models)
    print(f"{events} events over {len(storm.models)} models: {dict(storm.sent)}")
    print(f"{events / seconds:.0f} events/s to rest and checked; {runs} runs")
    report("events through the loop", seconds, "as many bare puts", bare)
    return wrong


def die_everywhere(stack: Stack) -> list[str]:
    """Every function of a run dies around every call; the points that nobody died at."""
    stack.clock(FACTOR)
    found = deaths.Deaths(stack, every_call=True)
    found.go_through_a_run()
    print(found.report())
    return [f"nobody died at: {point}" for point in found.left]


def main() -> None:
    """Run the storm, then the deaths if they are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("events", nargs="?", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--deaths", action="store_true")
    asked = parser.parse_args()
    with running_stack() as environment:
        os.environ.update(environment)
        stack = stack_of(environment)
        wrong = die_everywhere(stack) if asked.deaths else []
        wrong += blow(stack, asked.events, asked.seed)
    print(f"violations: {len(wrong)}")
    if wrong:
        sys.exit("\n".join(wrong[:50]))


if __name__ == "__main__":
    main()
