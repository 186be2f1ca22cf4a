"""Which models a server of several has: loaded once, kept while in use, given up for room."""

import io
import json
import tarfile
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from local.sagemaker.container.folders import JobFolder
from local.sagemaker.container.objects import DataError, Objects
from local.sagemaker.endpoints.connections import Answer, Connections
from local.sagemaker.endpoints.model_cache import (
    Figures,
    LoadRefusedError,
    MissingModelError,
    ModelCache,
    NotReadyError,
    has_memory,
)

NOTHING = Figures(lambda _name, _value: None)


class Store(Objects):
    """Every target is an archive of its own name, but for those that are missing."""

    def __init__(self) -> None:
        super().__init__(None)
        self.fetched: list[str] = []

    def fetch_object(self, uri: str, target: Path) -> None:
        """One archive with the file `word.txt`."""
        self.fetched.append(uri)
        if "missing" in uri:
            raise DataError("no such object")
        with tarfile.open(target, "w:gz") as tar:
            member = tarfile.TarInfo("word.txt")
            member.size = len(uri)
            tar.addfile(member, io.BytesIO(uri.encode()))


class Server(Connections):
    """A container with room for some models, that may be held while it loads."""

    def __init__(self, room: int) -> None:
        super().__init__(0)
        self.room = room
        self.loaded: dict[str, Path] = {}
        self.gate = threading.Event()
        self.gate.set()

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        seconds: float,
    ) -> Answer:
        """Load, unload or look."""
        name = path.rpartition("/")[2]
        if method == "POST":
            assert self.gate.wait(10)
            asked = json.loads(body or b"")
            if len(self.loaded) >= self.room:
                return Answer(507, {}, b"no room")
            self.loaded[asked["model_name"]] = Path(asked["url"])
            return Answer(200, {}, b"")
        if method == "DELETE":
            del self.loaded[name]
            return Answer(200, {}, b"")
        return Answer(200 if name in self.loaded else 404, {}, b"")


def cache(tmp_path: Path, server: Server, **more: Any) -> tuple[ModelCache, Store]:
    """A cache of this server, and the store that it fetches from."""
    store = Store()
    folder = JobFolder(tmp_path / "server", private=False)
    more.setdefault("has_room", lambda: True)
    return ModelCache(store, folder, "s3://bucket/prefix", server, **more), store


def take(models: ModelCache, target: str, seconds: float = 10) -> str:
    """Take and give back at once; the path."""
    path = models.take(target, seconds, NOTHING)
    models.give_back(target)
    return path


def test_requests_at_once_load_a_model_once(tmp_path: Path) -> None:
    """All wait for the same load, and the files lie where the container was told."""
    server = Server(2)
    models, store = cache(tmp_path, server)
    server.gate.clear()
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(take, models, "a.tar.gz") for _ in range(8)]
        server.gate.set()
        paths = {future.result() for future in asked}
    assert store.fetched == ["s3://bucket/prefix/a.tar.gz"]
    ((name, place),) = server.loaded.items()
    assert paths == {f"/models/{name}/invoke"}
    assert (place / "word.txt").read_text() == "s3://bucket/prefix/a.tar.gz"


def test_a_model_in_use_is_not_given_up(tmp_path: Path) -> None:
    """With room for one: the second is refused while the first answers, and comes after it."""
    server = Server(1)
    models, _ = cache(tmp_path, server)
    models.take("a", 10, NOTHING)
    with pytest.raises(LoadRefusedError) as caught:
        take(models, "b")
    assert caught.value.answer.status == 507
    assert models.has("a")
    models.give_back("a")
    take(models, "b")
    assert (models.has("a"), models.has("b"), models.loaded()) == (False, True, 1)
    assert len(list((tmp_path / "server" / "ml" / "models").iterdir())) == 1, "no files are left"


def test_little_memory_makes_room_before_the_container_runs_out(tmp_path: Path) -> None:
    """The model that was used longest ago goes, and only as many as have to."""
    server, left = Server(9), [True, True, True, False, True]
    models, _ = cache(tmp_path, server, has_room=lambda: left.pop(0))
    for target in ("a", "b", "a", "c", "d"):
        take(models, target)
    assert [models.has(target) for target in "abcd"] == [True, False, True, True]
    assert isinstance(has_memory(), bool)


def test_a_slow_load_goes_on_without_its_request(tmp_path: Path) -> None:
    """The request is told so; the next one finds the model without another load."""
    server = Server(1)
    models, store = cache(tmp_path, server)
    server.gate.clear()
    with pytest.raises(NotReadyError):
        take(models, "a", 0.01)
    server.gate.set()
    take(models, "a")
    assert len(store.fetched) == 1


def test_what_fails_is_tried_again(tmp_path: Path) -> None:
    """A missing archive leaves nothing behind; a model that the container lost is loaded anew."""
    server = Server(1)
    models, store = cache(tmp_path, server)
    for _ in range(2):
        with pytest.raises(MissingModelError, match=r"bucket: bucket, key: prefix/missing"):
            take(models, "missing")
    assert len(store.fetched) == 2
    take(models, "a")
    server.loaded.clear()
    models.look_after("a")
    assert not models.has("a")
    take(models, "a")
    models.look_after("a")
    assert models.has("a")
