"""Several models in one server: loaded, asked and dropped by name."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.images.model_server.multi_model import LoadError, Models
from tests.jobs.model_server import ModelServer, serving

ROOT = Path(__file__).parents[3]
MODULE = """
from pathlib import Path

def model_fn(folder):
    return (Path(folder) / "name").read_text()

def transform_fn(model, body, kind, accept, context=None):
    if body == "400":
        context.set_response_status(code=400, phrase="Bad Request")
        return '{"error": "no"}', "application/json"
    if body == "exit":
        import os; os._exit(3)
    if body == "raise":
        raise RuntimeError("secret")
    return f"{model}: {body}"
"""
OWN = """
def model_fn(folder): return "own"
def transform_fn(model, body, kind, accept): return f"{model} code", "text/plain"
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three models, one of them with code of its own, one without its file."""
    place = tmp_path_factory.mktemp("models")
    (place / "code").mkdir()
    (place / "code" / "serve.py").write_text(MODULE)
    for name in ("a", "b", "broken", "own"):
        (place / "models" / name).mkdir(parents=True)
    for name in ("a", "b"):
        (place / "models" / name / "name").write_text(f"model {name}")
    (place / "models" / "own" / "code").mkdir()
    (place / "models" / "own" / "code" / "serve.py").write_text(OWN)
    return place


@pytest.fixture
def server(place: Path) -> Iterator[ModelServer]:
    """A server without any model."""
    with serving(place, place / "code", variables={"SAGEMAKER_MULTI_MODEL": "true"}) as started:
        yield started


def load(server: ModelServer, place: Path, name: str) -> int:
    """Ask for a model; the status of the answer."""
    document = {"model_name": name, "url": str(place / "models" / name)}
    return server.ask("POST", "/models", json.dumps(document)).status


def invoke(server: ModelServer, name: str, body: str) -> tuple[int, bytes]:
    """Ask a model."""
    said = server.ask("POST", f"/models/{name}/invoke", body, content_type="application/json")
    return said.status, said.body


def test_models_are_loaded_asked_listed_and_dropped(server: ModelServer, place: Path) -> None:
    """Each answers for itself; what is not there is a 404, what is there already a 409."""
    assert server.ask("GET", "/models").json == {"models": []}
    assert [load(server, place, name) for name in ("a", "b", "a")] == [200, 200, 409]
    assert invoke(server, "a", "x") == (200, b"model a: x")
    assert invoke(server, "b", "y") == (200, b"model b: y")
    listed = server.ask("GET", "/models").json["models"]
    assert [model["modelName"] for model in listed] == ["a", "b"]
    assert server.ask("GET", "/models/b").json["modelUrl"] == str(place / "models" / "b")
    assert server.ask("DELETE", "/models/a").status == 200
    assert invoke(server, "a", "x")[0] == 404
    assert server.ask("DELETE", "/models/a").status == 404
    assert server.ask("GET", "/models/a").status == 404
    assert load(server, place, "a") == 200


def test_a_model_may_bring_its_own_code(server: ModelServer, place: Path) -> None:
    """Its folder `code` comes before the server's, and the others do not see it."""
    assert load(server, place, "own") == load(server, place, "a") == 200
    assert invoke(server, "own", "x") == (200, b"own code")
    assert invoke(server, "a", "x") == (200, b"model a: x")


def test_what_one_model_does_is_not_the_others_matter(server: ModelServer, place: Path) -> None:
    """A refused request, an error, the end of its process: each has its status."""
    assert load(server, place, "a") == load(server, place, "b") == 200
    assert invoke(server, "a", "400") == (400, b'{"error": "no"}')
    assert invoke(server, "a", "x") == (200, b"model a: x")
    status, body = invoke(server, "a", "raise")
    assert (status, b"secret" in body) == (500, False)
    assert invoke(server, "a", "exit")[0] == 500
    assert invoke(server, "a", "x")[0] == 404
    assert invoke(server, "b", "x") == (200, b"model b: x")


def test_what_cannot_be_loaded_is_said(server: ModelServer, place: Path) -> None:
    """No folder, a model whose code raises, a body that names nothing, another path."""
    assert load(server, place, "nowhere") == 404
    assert load(server, place, "broken") == 500
    assert "No such file" in server.text()
    for body in ("", "no json", "[]", '{"model_name": "a"}'):
        assert server.ask("POST", "/models", body).status == 400
    assert server.ask("GET", "/else").status == 404
    assert server.ask("GET", "/ping").status == 200


def test_term_ends_every_model(server: ModelServer, place: Path) -> None:
    """The processes of the models end with the server."""
    assert load(server, place, "a") == 200
    assert server.end() == 0


def test_a_deep_folder_holds_sockets_too(place: Path, tmp_path: Path) -> None:
    """A path that is too long for a socket's address is no matter."""
    deep = tmp_path / ("x" * 120)
    deep.mkdir()
    variables = {"SAGEMAKER_MULTI_MODEL": "true", "TMPDIR": str(deep)}
    with serving(place, place / "code", variables=variables) as server:
        assert load(server, place, "a") == 200
        assert invoke(server, "a", "x") == (200, b"model a: x")


def test_a_model_that_hung_up_on_an_idle_connection_still_answers(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that was kept may be closed by now; only a process that has ended is buried."""
    monkeypatch.setenv("SAGEMAKER_PROGRAM", "serve.py")
    monkeypatch.setenv("SAGEMAKER_MULTI_MODEL", "true")
    monkeypatch.setenv("PYTHONPATH", f"{place / 'code'}:{ROOT}")
    models = Models(tmp_path, 60)
    models.load("a", str(place / "models" / "a"))
    try:
        asked = ("a", b"x", {"content-type": "application/json"})
        assert models.invoke(*asked).body == b"model a: x"
        (kept,) = models._loaded["a"].idle
        kept.sock.shutdown(socket.SHUT_RDWR)
        assert models.invoke(*asked).body == b"model a: x"
        assert models.listed()
        models._loaded["a"].process.kill()
        with pytest.raises(LoadError, match="the process of model a has ended"):
            models.invoke(*asked)
        assert models.listed() == []
    finally:
        models.end()
