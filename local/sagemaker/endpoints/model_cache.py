"""Several models in one server: each is fetched and loaded when it is first asked for.

https://docs.aws.amazon.com/sagemaker/latest/dg/how-multi-model-endpoints-work.html and
https://docs.aws.amazon.com/sagemaker/latest/dg/mms-container-apis.html
"""

import contextlib
import hashlib
import json
import shutil
import tarfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from local.sagemaker.container.folders import JobFolder
from local.sagemaker.container.objects import DataError, Objects, split_uri
from local.sagemaker.endpoints.connections import (
    Answer,
    Connections,
    ServerAbsentError,
    ServerGoneError,
    ServerSilentError,
)

MODELS = "/opt/ml/models"
LOADED, NO_MEMORY, UNKNOWN = 409, 507, 404
LOOK_SECONDS = 10.0
LEAST_FREE = 0.1  # of the memory; with less, a model is unloaded before the next is loaded
LOAD_SECONDS = 360.0  # that SageMaker goes on loading at most


class MissingModelError(Exception):
    """There is no such artifact, or it is no archive."""


class NotReadyError(Exception):
    """The model is still being loaded; it goes on, and a later request finds it."""


class LoadRefusedError(Exception):
    """The container does not load the model; `answer` is what it said."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"the container answered {answer.status}")
        self.answer = answer


@dataclass
class _Model:
    """One target. `users` are requests under way; whoever loads or unloads holds `lock`.

    `loading` is the load that is under way, if any: all that ask meanwhile wait for the same.
    """

    name: str
    lock: threading.Lock = field(default_factory=threading.Lock)
    loaded: bool = False
    users: int = 0
    loading: "Future[None] | None" = None


@dataclass(frozen=True)
class Figures:
    """What the platform counts, by the names of CloudWatch; times in microseconds."""

    put: Callable[[str, float], None]

    def timed(self, name: str, began: float) -> None:
        """The time since `began` of the performance counter."""
        self.put(name, (time.perf_counter() - began) * 1e6)


def has_memory() -> bool:
    """Whether the machine has a tenth of its memory left; AWS does not tell its own bound."""
    fields = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    total, left = (int(fields[name].split()[0]) for name in ("MemTotal", "MemAvailable"))
    return left > total * LEAST_FREE


class ModelCache:
    """The models of one server process. `prefix` is the URI that targets are relative to.

    `has_room` says whether the machine has memory for one more model.
    """

    def __init__(
        self,
        objects: Objects,
        folder: JobFolder,
        prefix: str,
        connections: Connections,
        has_room: Callable[[], bool] = has_memory,
    ) -> None:
        self._objects = objects
        self._folder = folder
        self._prefix = prefix if prefix.endswith("/") else prefix + "/"
        self._connections = connections
        self._has_room = has_room
        self._models: OrderedDict[str, _Model] = OrderedDict()  # used least recently first
        self._lock = threading.Lock()

    def has(self, target: str) -> bool:
        """Whether the model is loaded now."""
        found = self._models.get(target)
        return found is not None and found.loaded

    def loaded(self) -> int:
        """How many models are."""
        return sum(model.loaded for model in list(self._models.values()))

    def take(self, target: str, seconds: float, figures: Figures) -> str:
        """The path that answers for the target, which stays loaded until it is given back.

        Raises `NotReadyError` when it is not loaded after so many real seconds,
        `MissingModelError`, `LoadRefusedError` and what `Connections.ask` raises.
        """
        with self._lock:
            name = hashlib.sha256(target.encode()).hexdigest()
            model = self._models.setdefault(target, _Model(name))
            self._models.move_to_end(target)
            model.users += 1
            hit = model.loaded
            begin = not hit and model.loading is None
            if begin:
                model.loading = Future()
            loading = model.loading
        figures.put("ModelCacheHit", float(hit))
        if loading is None:
            return self._path(model)
        began = time.perf_counter()
        if begin:
            work = (model, target, loading, figures)
            threading.Thread(target=self._bring, args=work, name="load", daemon=True).start()
        try:
            loading.result(seconds)
        except BaseException as error:
            self.give_back(target)
            if isinstance(error, TimeoutError) and not loading.done():
                raise NotReadyError(f"Model {target} is still being loaded.") from None
            raise
        figures.timed("ModelLoadingWaitTime", began)
        return self._path(model)

    @staticmethod
    def _path(model: _Model) -> str:
        return f"/models/{quote(model.name)}/invoke"

    def give_back(self, target: str) -> None:
        """The request is answered."""
        with self._lock:
            self._models[target].users -= 1

    def look_after(self, target: str) -> None:
        """Load the model anew at its next request if the container has lost it.

        A server that is gone itself is started again with no models, and has another cache.
        """
        model = self._models[target]
        with contextlib.suppress(ServerAbsentError, ServerGoneError, ServerSilentError):
            found = self._connections.ask("GET", f"/models/{model.name}", None, {}, LOOK_SECONDS)
            if found.status == UNKNOWN:
                with self._lock:
                    model.loaded = False

    # --- loading ----------------------------------------------------------------------------
    def _bring(self, model: _Model, target: str, loading: "Future[None]", figures: Figures) -> None:
        """Fetch and load, in a thread of its own: no request's end ends it."""
        try:
            with model.lock:
                self._fetch(model, target, figures)
                while not self._has_room() and self._unload_one(figures):
                    pass
                self._load(model, figures)
        except Exception as error:
            with self._lock:
                model.loading = None
            loading.set_exception(error)
            return
        with self._lock:
            model.loaded, model.loading = True, None
        loading.set_result(None)

    def _place(self, model: _Model) -> str:
        return f"{MODELS}/{model.name}/model"

    def _fetch(self, model: _Model, target: str, figures: Figures) -> None:
        """Download and unpack; nothing of an earlier try stays."""
        began = time.perf_counter()
        uri = self._prefix + target.lstrip("/")
        self._remove(model)
        place = self._folder.make(self._place(model))
        archive = self._folder.scratch / f"{model.name}.tar.gz"
        try:
            self._objects.fetch_object(uri, archive)
            with tarfile.open(archive, "r:gz") as tar:
                tar.extractall(place, filter="data")
        except DataError as error:
            self._remove(model)
            bucket, key = split_uri(uri)
            raise MissingModelError(
                f"Failed to download model data(bucket: {bucket}, key: {key}). Please ensure that "
                "there is an object located at the URL and that the role passed to CreateModel "
                "has permissions to download the model."
            ) from error
        except (tarfile.TarError, EOFError, OSError) as error:
            self._remove(model)
            raise MissingModelError(
                f'Failed to extract model data archive from URL "{uri}". Please ensure that the '
                f"object located at the URL is a valid tar.gz archive. ({error})"
            ) from error
        finally:
            archive.unlink(missing_ok=True)
        figures.timed("ModelDownloadingTime", began)

    def _load(self, model: _Model, figures: Figures) -> None:
        """Ask the container, which may have to give up others first."""
        began = time.perf_counter()
        while True:
            answer = self._ask_to_load(model)
            if answer.status in (200, LOADED):
                figures.timed("ModelLoadingTime", began)
                return
            if answer.status != NO_MEMORY or not self._unload_one(figures):
                self._remove(model)
                raise LoadRefusedError(answer)

    def _ask_to_load(self, model: _Model) -> Answer:
        # As the server sees it: where it has no private /opt/ml, the real place.
        seen = self._folder.as_seen(self._place(model))
        body = json.dumps({"model_name": model.name, "url": seen}).encode()
        kind = {"Content-Type": "application/json"}
        return self._connections.ask("POST", "/models", body, kind, LOAD_SECONDS)

    def _unload_one(self, figures: Figures) -> bool:
        """Unload the model that nobody uses and nobody used for longest; False: there is none."""
        with self._lock:
            free = [m for m in self._models.values() if m.loaded and not m.users]
            if not free:
                return False
            chosen = free[0]
            chosen.loaded = False
            chosen.lock.acquire()
        began = time.perf_counter()
        try:
            self._connections.ask("DELETE", f"/models/{chosen.name}", None, {}, LOAD_SECONDS)
            self._remove(chosen)
        finally:
            chosen.lock.release()
        figures.timed("ModelUnloadingTime", began)
        return True

    def _remove(self, model: _Model) -> None:
        place: Path = self._folder.real(f"{MODELS}/{model.name}")
        shutil.rmtree(place, ignore_errors=True)
