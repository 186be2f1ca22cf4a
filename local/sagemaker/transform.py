"""Transform jobs: objects in, a model server an instance, `<name>.out` objects out."""

import copy
import functools
import logging
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from botocore.model import ServiceModel

from local.sagemaker.container.images import ImageError
from local.sagemaker.container.objects import DataError, Objects, split_uri
from local.sagemaker.endpoints.connections import Answer, Ports
from local.sagemaker.endpoints.models import container_of
from local.sagemaker.errors import invalid
from local.sagemaker.family import TERMINAL, JobFamily, Operation
from local.sagemaker.job import TEXT_LIMIT, JobFailedError, JobStoppedError
from local.sagemaker.records import Record
from local.sagemaker.runtime import JobRuntime
from local.sagemaker.tags import Tags
from local.sagemaker.transform_records import MEGABYTE, Batch, Recipe, RecordError
from local.sagemaker.transform_rules import (
    MULTI,
    SINGLE,
    SPELLED,
    accepted,
    environment,
    settings,
    transform_event,
)
from local.sagemaker.transform_server import ALGORITHM, CLIENT, Post, TransformServer

log = logging.getLogger(__name__)
CLIENT_DEFAULTS = {"InvocationsTimeoutInSeconds": 600, "InvocationsMaxRetries": 3}
MESSAGE_LIMIT = 2048  # characters of a server's answer that go to the log


class TransformJob:
    """One transform job in a thread of its own. `record` holds what Describe shows."""

    def __init__(
        self,
        runtime: JobRuntime,
        ports: Ports,
        record: Record,
        model: Mapping[str, Any],
        tags: Tags,
    ) -> None:
        self.name = name = str(record["TransformJobName"])
        self.record = record
        self.lock = threading.RLock()
        self._runtime = runtime
        self._ports = ports
        self._tags = tags
        self._stop_asked = threading.Event()
        self._key = f"transform-job/{name}"
        self._servers: list[TransformServer] = []
        container = container_of(model)
        variables = {**container.get("Environment", {}), **environment(record)}
        isolated = bool(model["EnableNetworkIsolation"])
        self._post = Post(name, {**container, "Environment": variables}, isolated)
        self._move("InProgress")

    # --- status -----------------------------------------------------------------------------
    def _move(self, status: str) -> None:
        with self.lock:
            self.record["LastModifiedTime"] = round(time.time(), 3)
            self.record["TransformJobStatus"] = status
            arn = self.record["TransformJobArn"]
            detail = transform_event(self.record, self._tags.of(arn))
        name = "SageMaker Transform Job State Change"
        self._runtime.cloud.publish_event("aws.sagemaker", name, detail, [arn])

    def start(self) -> None:
        """Begin; returns at once."""
        self._runtime.enter(self._key)
        self._runtime.cloud.background(f"transform job {self.name}", self._live)

    def snapshot(self) -> Record:
        """What Describe shows now."""
        with self.lock:
            return copy.deepcopy(self.record)

    def stop(self) -> None:
        """Ask for the end; what is done stays, what is under way leaves no object."""
        self._stop_asked.set()
        for server in list(self._servers):
            server.interrupt()

    def stopping(self) -> None:
        """Once."""
        with self.lock:
            if self.record["TransformJobStatus"] == "InProgress":
                self._move("Stopping")

    def _live(self) -> None:
        self._runtime.log_file("transform", self.name).unlink(missing_ok=True)
        try:
            status, reason = self._through()
            with self.lock:
                self.record["TransformEndTime"] = round(time.time(), 3)
                if reason:
                    self.record["FailureReason"] = reason
                if self.record["TransformJobStatus"] not in TERMINAL:
                    self._move(status)
        finally:
            self._runtime.leave(self._key)

    def _through(self) -> tuple[str, str]:
        try:
            self._work()
            self._check_stop()
        except JobStoppedError:
            return "Stopped", ""
        except (JobFailedError, DataError, ImageError) as error:
            if self._stop_asked.is_set():
                return "Stopped", ""
            known = isinstance(error, JobFailedError)
            return "Failed", f"{'' if known else 'ClientError: '}{error}"[:TEXT_LIMIT]
        except Exception as error:
            log.exception("transform job %s", self.name)
            text = f"InternalServerError: the local cloud failed: {type(error).__name__}: {error}"
            return "Failed", text[:TEXT_LIMIT]
        finally:
            _together([server.stop for server in self._servers])
        return "Completed", ""

    def _check_stop(self) -> None:
        if self._stop_asked.is_set():
            raise JobStoppedError

    # --- work -------------------------------------------------------------------------------
    def _work(self) -> None:
        source = self.record["TransformInput"]["DataSource"]["S3DataSource"]
        key = self.record["TransformOutput"].get("KmsKeyId")
        objects = Objects(self._runtime.s3(), key)
        names = objects.names(source["S3Uri"], source["S3DataType"])
        self._check_stop()
        count = self.record["TransformResources"]["InstanceCount"]
        self._servers = [
            TransformServer(self._runtime, self._ports, self._post) for _ in range(count)
        ]
        _together([server.start for server in self._servers])
        self._check_stop()
        _together([server.wait for server in self._servers])
        self._check_stop()
        with self.lock:
            self.record["TransformStartTime"] = round(time.time(), 3)
        recipe, together = settings(self.record, self._servers[0].told())
        self._transform(_Work(self, objects, names, recipe), together)

    def _transform(self, work: "_Work", together: int) -> None:
        strategy = SPELLED[MULTI if work.recipe.several else SINGLE]
        megabytes = work.recipe.limit // MEGABYTE
        for server in self._servers:
            server.say(
                f"MaxConcurrentTransforms={together}, MaxPayloadInMB={megabytes}, "
                f"BatchStrategy={strategy}"
            )
            server.requests = ThreadPoolExecutor(together, f"transform {self.name}")
        # Small objects fill an instance only several at once, large ones by their own batches.
        at_once = min(together, -(-len(work.names) // len(self._servers)))
        takers = [
            functools.partial(work.take_all, server, together)
            for server in self._servers
            for _ in range(at_once)
        ]
        _together(takers)
        if work.failures:
            raise work.failures[0]


class _Work:
    """The objects of one job, taken by whoever is free."""

    def __init__(
        self,
        job: TransformJob,
        objects: Objects,
        names: list[tuple[str, str, str]],
        recipe: Recipe,
    ) -> None:
        self.names = names
        self.recipe = recipe
        self.failures: list[JobFailedError] = []
        self._job = job
        self._objects = objects
        self._left = deque(names)
        record = job.record
        source, target = record["TransformInput"], record["TransformOutput"]
        self._gunzip = source["CompressionType"] == "Gzip"
        headers = {"Content-Type": source.get("ContentType"), "Accept": target.get("Accept")}
        self._headers = {name: value for name, value in headers.items() if value}
        self._client = {**CLIENT_DEFAULTS, **record.get("ModelClientConfig", {})}
        self._bucket, self._prefix = split_uri(target["S3OutputPath"])

    def take_all(self, server: TransformServer, together: int) -> None:
        """Transform one object after another; one that fails leaves the others their turn."""
        while not server.ended.is_set():
            self._job._check_stop()
            try:
                bucket, key, name = self._left.popleft()
            except IndexError:
                return
            try:
                self._one(server, together, (bucket, key, name))
            except JobFailedError as error:
                self._job._check_stop()
                self.failures.append(error)
            except (DataError, RecordError) as error:
                self._job._check_stop()
                server.say(f"{bucket}/{key}: ClientError: {error}")
                self.failures.append(JobFailedError(CLIENT))
        if self._left:
            self.failures.append(JobFailedError(ALGORITHM))

    def _one(self, server: TransformServer, together: int, place: tuple[str, str, str]) -> None:
        """One object whole: nothing of it is stored before its last answer has come."""
        bucket, key, name = place
        pool = server.requests
        if pool is None:
            raise RuntimeError("the instance takes no requests yet")
        waiting: deque[tuple[Batch, Future[Answer]]] = deque()
        with tempfile.NamedTemporaryFile(prefix="transform-") as file:

            def write() -> None:
                batch, future = waiting.popleft()
                file.write(self._answered(server, place, batch, future.result()))

            try:
                pieces = self._objects.pieces(bucket, key, gunzip=self._gunzip)
                for batch in self.recipe.batches(pieces):
                    self._job._check_stop()
                    waiting.append(
                        (batch, pool.submit(server.invoke, batch.body, self._headers, self._client))
                    )
                    if len(waiting) >= together:
                        write()
                while waiting:
                    write()
            finally:
                for _, future in waiting:
                    future.cancel()
            file.flush()
            front = self._prefix.rstrip("/")
            target = f"{front}/{name}.out" if front else f"{name}.out"
            self._objects.store_file(Path(file.name), self._bucket, target)

    def _answered(
        self, server: TransformServer, place: tuple[str, str, str], batch: Batch, answer: Answer
    ) -> bytes:
        if 200 <= answer.status < 300:
            return self.recipe.output(batch, answer.body)
        where = f"{place[0]}/{place[1]}"
        side = "ClientError" if 400 <= answer.status < 500 else "AlgorithmError"
        text = answer.body.decode("utf-8", "replace")[:MESSAGE_LIMIT]
        server.say(
            f"{where}: {side}: {answer.status}",
            f"{where}: ",
            f"{where}: Message:",
            f"{where}: {text}",
        )
        raise JobFailedError(CLIENT if side == "ClientError" else ALGORITHM)


def _together(works: Sequence[Callable[[], None]]) -> None:
    """Do all of it side by side; the first error, once all have ended."""
    with ThreadPoolExecutor(max(1, len(works))) as pool:
        done = [pool.submit(work) for work in works]
    for future in done:
        future.result()


class TransformJobs(JobFamily[TransformJob]):
    """CreateTransformJob and its siblings."""

    kind = "Transform"
    path = "transform-job"
    words = "transform job"
    missing = "Could not find requested job with name: {name}"
    taken = (
        "Job name must be unique within an AWS account and region, and a job with this name "
        "already exists ({arn})"
    )

    def __init__(
        self,
        model: ServiceModel,
        tags: Tags,
        runtime: JobRuntime,
        find_model: Callable[[str], Record],
        ports: Ports,
    ) -> None:
        super().__init__(runtime.cloud, model, tags, runtime)
        self._find_model = find_model
        self._ports = ports

    def operations(self) -> dict[str, Operation]:
        """What this part answers; AWS has no DeleteTransformJob."""
        found = super().operations()
        del found["DeleteTransformJob"]
        return found

    def build(self, name: str, record: Record) -> TransformJob:
        """The job itself, with the model as it is now: it may be deleted while the job runs."""
        model = self._find_model(record["ModelName"])
        return TransformJob(self.runtime, self._ports, record, model, self.tags)

    def accept(self, parameters: Record, arn: str) -> Record:
        """Refuse what is not done here, fill in AWS's defaults."""
        model = self._find_model(parameters["ModelName"])
        if container_of(model).get("Mode") == "MultiModel":
            raise invalid(
                "Batch transform does not take a multi-model container (Mode MultiModel)."
            )
        record = accepted(copy.deepcopy(parameters), arn)
        role = model.get("ExecutionRoleArn")
        if role is not None:
            self.runtime.check_role(role)
        return record
