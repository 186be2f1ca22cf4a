"""Operations on whole stacks: create, update, delete, each in a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from local.cloudformation.deploy import Deployment, tear_down
from local.cloudformation.handling import Handling, reason_of
from local.cloudformation.kinds import Kinds
from local.cloudformation.stacks import Plan, Stack, StackResource, Store

if TYPE_CHECKING:
    from local.cloud import Cloud

log = logging.getLogger(__name__)

# A call waits this long for its operation: what is done by then spares the caller a poll (boto3's
# waiters sleep 30 s between two). AWS answers at once; a caller cannot tell, but for the time.
PATIENCE_SECONDS = 2.0
DELETE_PATIENCE_SECONDS = 20.0


class Engine:
    """Carries out plans on stacks."""

    def __init__(self, cloud: Cloud, store: Store, kinds: Kinds) -> None:
        self._cloud, self._store, self._kinds = cloud, store, kinds
        self._running = 0
        self._lock = threading.Lock()

    def running(self) -> int:
        """Return how many operations are under way."""
        with self._lock:
            return self._running

    def create(self, stack: Stack, plan: Plan) -> None:
        """Create a stack's resources."""
        self._store.record(stack, None, "CREATE_IN_PROGRESS", "User Initiated", plan.token)
        stack.plan = plan
        self._start(stack, lambda: self._create(stack, plan), PATIENCE_SECONDS)

    def update(self, stack: Stack, plan: Plan) -> None:
        """Change a stack's resources."""
        self._store.record(stack, None, "UPDATE_IN_PROGRESS", "User Initiated", plan.token)
        stack.pending = plan
        self._start(stack, lambda: self._update(stack, plan), PATIENCE_SECONDS)

    def delete(self, stack: Stack, retain: Iterable[str], token: str | None = None) -> None:
        """Delete a stack with its resources."""
        self._store.record(stack, None, "DELETE_IN_PROGRESS", "User Initiated", token)
        kept = set(retain)
        self._start(stack, lambda: self._delete(stack, kept), DELETE_PATIENCE_SECONDS)

    def _start(self, stack: Stack, work: Callable[[], None], patience: float) -> None:
        def run() -> None:
            try:
                work()
            except Exception as error:
                log.exception("operation on stack %s", stack.name)
                status = stack.status.replace("_IN_PROGRESS", "_FAILED").replace(
                    "_COMPLETE_CLEANUP", ""
                )
                reason = f"The local cloud failed: {type(error).__name__}: {error}"
                self._store.record(stack, None, status, reason)
            finally:
                with self._lock:
                    self._running -= 1

        with self._lock:
            self._running += 1
        thread = threading.Thread(target=run, name=f"stack-{stack.name}", daemon=True)
        thread.start()
        thread.join(patience)

    def _create(self, stack: Stack, plan: Plan) -> None:
        deployment = Deployment(self._cloud, self._store, self._kinds, stack, plan)
        # The same set that evaluation fills: what is imported is held from that moment on.
        stack.imports = deployment.scope.imports
        reason = self._attempt(stack, deployment, "create")
        if reason is None:
            self._store.record(stack, None, "CREATE_COMPLETE")
            return
        if plan.on_failure == "DO_NOTHING" or plan.disable_rollback:
            self._store.record(stack, None, "CREATE_FAILED", reason)
            return
        if plan.on_failure == "DELETE":
            self._store.record(
                stack, None, "DELETE_IN_PROGRESS", f"{reason} Delete requested by user."
            )
            self._remove_all(stack, "DELETE_COMPLETE", "DELETE_FAILED", rollback=True)
            return
        self._store.record(
            stack, None, "ROLLBACK_IN_PROGRESS", f"{reason} Rollback requested by user."
        )
        self._remove_all(stack, "ROLLBACK_COMPLETE", "ROLLBACK_FAILED", rollback=True)

    def _attempt(self, stack: Stack, deployment: Deployment, verb: str) -> str | None:
        failed = deployment.apply()
        if failed:
            return f"The following resource(s) failed to {verb}: [{', '.join(sorted(failed))}]."
        try:
            outputs = deployment.outputs()
        except Exception as error:
            return reason_of(error)
        with stack.lock:
            stack.outputs, stack.imports = outputs, deployment.scope.imports
        return None

    def _remove_all(self, stack: Stack, done: str, failed: str, *, rollback: bool) -> None:
        handling = self._handling(stack)
        doomed: list[StackResource] = []
        kept: list[StackResource] = []
        for resource in list(stack.resources.values()):
            retain = resource.deletion_policy == "Retain" or (
                resource.deletion_policy == "RetainExceptOnCreate" and not rollback
            )
            (kept if retain and resource.physical_id else doomed).append(resource)
        for resource in kept:
            self._store.record(stack, resource, "DELETE_SKIPPED")
        left = tear_down(handling, [item for item in doomed if item.status != "DELETE_COMPLETE"])
        if left:
            names = ", ".join(sorted(item.logical_id for item in left))
            reason = f"The following resource(s) failed to delete: [{names}]."
            self._store.record(stack, None, failed, reason)
            return
        with stack.lock:
            stack.outputs, stack.imports = [], set()
        self._store.record(stack, None, done)

    def _update(self, stack: Stack, plan: Plan) -> None:
        deployment = Deployment(self._cloud, self._store, self._kinds, stack, plan)
        outputs, imports = stack.outputs, stack.imports
        # While it runs, the stack imports what it did and what it will.
        reason = self._attempt(stack, deployment, "update")
        if reason is not None:
            stack.outputs, stack.imports = outputs, imports
            if plan.disable_rollback:
                self._store.record(stack, None, "UPDATE_FAILED", reason)
                return
            self._roll_back(stack, deployment, reason)
            return
        removed = deployment.removed()
        with stack.lock:
            for resource in removed:
                stack.resources.pop(resource.logical_id)
            stack.plan = plan
        doomed = [item for item in deployment.obsolete if item.update_replace_policy == "Delete"]
        doomed += [item for item in removed if item.deletion_policy == "Delete"]
        kept = [item for item in [*deployment.obsolete, *removed] if item not in doomed]
        self._store.record(stack, None, "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
        for resource in kept:
            self._store.record(stack, resource, "DELETE_SKIPPED")
        self._clean_up(stack, doomed)
        self._store.record(stack, None, "UPDATE_COMPLETE")

    def _roll_back(self, stack: Stack, deployment: Deployment, reason: str) -> None:
        self._store.record(stack, None, "UPDATE_ROLLBACK_IN_PROGRESS", reason)
        failed = deployment.take_back()
        if failed:
            names = ", ".join(sorted(failed))
            reason = f"The following resource(s) failed to update: [{names}]."
            self._store.record(stack, None, "UPDATE_ROLLBACK_FAILED", reason)
            return
        self._store.record(stack, None, "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS")
        doomed = [item for item in deployment.fresh if item.deletion_policy != "Retain"]
        for resource in deployment.fresh:
            if resource not in doomed and resource.physical_id:
                self._store.record(stack, resource, "DELETE_SKIPPED")
        self._clean_up(stack, doomed)
        self._store.record(stack, None, "UPDATE_ROLLBACK_COMPLETE")

    def _clean_up(self, stack: Stack, doomed: list[StackResource]) -> None:
        # What cannot be deleted is left behind; its event says so. AWS does the same.
        tear_down(self._handling(stack), doomed)

    def _delete(self, stack: Stack, retain: set[str]) -> None:
        for name in stack.exports:
            users = self._store.importers(name)
            if users:
                reason = f"Export {name} cannot be deleted as it is in use by {', '.join(users)}"
                self._store.record(stack, None, "DELETE_FAILED", reason)
                return
        for name in retain:
            if name in stack.resources:
                stack.resources[name].deletion_policy = "Retain"
        self._remove_all(stack, "DELETE_COMPLETE", "DELETE_FAILED", rollback=False)

    def _handling(self, stack: Stack) -> Handling:
        tags = stack.plan.tags if stack.plan else {}
        return Handling(self._cloud, self._store, self._kinds, stack, tags)
