"""Work along a dependency graph, as much of it side by side as the graph allows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

# Beyond this, two cores and moto's locks gain nothing.
_WORKERS = 6


def run_graph(
    needs: Mapping[str, set[str]], work: Callable[[str], bool], *, go_on: bool = False
) -> list[str]:
    """Do `work` for every name after all that it needs; return the names for which it said False.

    After a failure nothing new is started, unless `go_on`: then only what needs a failed name is
    left out. What is under way is always finished.
    """
    pending = {name: set(required) & set(needs) for name, required in needs.items()}
    running: dict[Future[bool], str] = {}
    failed: list[str] = []
    with ThreadPoolExecutor(_WORKERS, thread_name_prefix="cloudformation") as pool:
        while True:
            if not failed or go_on:
                for name in [name for name, required in pending.items() if not required]:
                    del pending[name]
                    running[pool.submit(work, name)] = name
            if not running:
                return failed
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                name = running.pop(future)
                if future.result():
                    for required in pending.values():
                        required.discard(name)
                else:
                    failed.append(name)


def inverted(needs: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Return the graph for taking apart what was built along `needs`."""
    result: dict[str, set[str]] = {name: set() for name in needs}
    for name, required in needs.items():
        for other in required:
            if other in result:
                result[other].add(name)
    return result
