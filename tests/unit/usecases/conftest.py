"""Each test gets a stack of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from perennial import capture_prediction, predict
from perennial.aws.clients import forget_clients

from tests.unit.usecases.asking import COLUMNS, go_live
from tests.unit.usecases.model_server import Runtime, predicting, serve_runtime
from tests.unit.world import MODEL, World, new_world


@pytest.fixture
def world() -> Iterator[World]:
    """A fresh stack in moto."""
    with new_world() as made:
        yield made


@pytest.fixture(scope="module")
def server() -> Iterator[Runtime]:
    """A runtime that every client of this module reaches; making clients takes time."""
    with serve_runtime() as made, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", made.url)
        forget_clients()
        yield made
    forget_clients()


@pytest.fixture
def runtime(server: Runtime) -> Runtime:
    """The runtime as at first: it predicts, and remembers nothing."""
    server.reply = predicting
    server.requests.clear()
    return server


@pytest.fixture
def live(world: World, runtime: Runtime) -> World:
    """A world whose model has version 7 on its live endpoint."""
    world.push(data={"columns": COLUMNS, "select": ["*.csv"], "missing": ["", "?"]})
    go_live(world)
    predict.forget(world.ports, MODEL)
    capture_prediction.forget_failures()
    return world
