"""The stand-in for the image's serving stack: HTTP, the module's contract, the server's life."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.jobs.model_server import ModelServer, serving

MODULE = """
import os, time
from pathlib import Path

def model_fn(folder):
    wait = Path(folder) / "wait"
    while wait.exists():
        time.sleep(0.01)
    return (Path(folder) / "name").read_text()

def transform_fn(model, body, kind, accept):
    from sagemaker_containers.beta.framework import worker
    if body == "400":
        return worker.Response('{"error": "no"}', status=400, mimetype="application/json")
    if body == "raise":
        raise RuntimeError("secret place")
    if body == "nothing":
        return None
    if body == "exit":
        os._exit(9)
    if body == "slow":
        time.sleep(0.5)
    return f"{model}|{type(body).__name__}|{len(body)}|{kind}|{accept}|{os.getpid()}", "text/plain"

def execution_parameters_fn():
    return '{"MaxPayloadInMB": 6}'
"""


def folders(place: Path, module: str = MODULE, name: str = "m1") -> Path:
    """Model and code of a server; answers the code folder."""
    (place / "model").mkdir()
    (place / "model" / "name").write_text(name)
    code = place / "code"
    code.mkdir()
    (code / "serve.py").write_text(module)
    return code


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    """A server of the module above, whose clients have a second to send a request."""
    place = tmp_path_factory.mktemp("server")
    variables = {"SAGEMAKER_MODEL_SERVER_TIMEOUT": "1"}
    with serving(place, folders(place), variables=variables) as started:
        yield started


def raw(server: ModelServer, *pieces: bytes) -> bytes:
    """Send pieces on one connection and read until the server closes it."""
    with server.connect() as sock:
        for piece in pieces:
            sock.sendall(piece)
        sock.shutdown(socket.SHUT_WR)
        return read_all(sock)


def read_all(sock: socket.socket) -> bytes:
    """Everything until the other side closes."""
    found = b""
    while piece := sock.recv(1 << 16):
        found += piece
    return found


def read_answer(sock: socket.socket) -> bytes:
    """One answer with a Content-Length."""
    found = b""
    while b"\r\n\r\n" not in found:
        found += sock.recv(1 << 16)
    head, _, body = found.partition(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    while len(body) < length:
        body += sock.recv(1 << 16)
    return head + b"\r\n\r\n" + body


def post(body: bytes, *headers: bytes) -> bytes:
    """A request to /invocations in bytes."""
    lines = [b"POST /invocations HTTP/1.1", b"Host: x", b"Content-Length: %d" % len(body)]
    return b"\r\n".join([*lines, *headers, b"", body])


def test_a_request_reaches_the_module_as_in_the_image(server: ModelServer) -> None:
    """CSV and JSON come as text, all else as bytes; type and accept have the image's defaults."""
    said = server.invoke("a,b", "text/csv", accept="text/csv")
    assert said.kind == "text/plain"
    assert said.body.decode().startswith("m1|str|3|text/csv|text/csv|")
    assert b"|bytes|3|image/png|" in server.invoke("abc", "image/png").body
    assert b"|application/json|application/json|" in server.ask("POST", "/invocations", "1").body
    any_accept = server.invoke("1", accept="*/*").body
    assert b"|application/json|application/json|" in any_accept


def test_a_response_of_the_module_keeps_its_status(server: ModelServer) -> None:
    """`worker.Response` is how a module of that image says 400."""
    said = server.invoke("400")
    assert (said.status, said.json) == (400, {"error": "no"})


@pytest.mark.parametrize("body", ["raise", "nothing"])
def test_what_the_module_breaks_is_a_500_without_its_traceback(
    server: ModelServer, body: str
) -> None:
    """The client learns nothing of the code; the log has everything; the server goes on."""
    said = server.invoke(body)
    assert said.status == 500
    assert b"Traceback" not in said.body
    assert b"secret place" not in said.body
    assert "Traceback" in server.text()
    assert server.ask("GET", "/ping").status == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/ping", 200),
        ("POST", "/ping", 405),
        ("GET", "/invocations", 405),
        ("GET", "/", 404),
        ("POST", "/models", 404),
        ("GET", "/ping?x=1", 200),
    ],
)
def test_routes(server: ModelServer, method: str, path: str, status: int) -> None:
    """Only SageMaker's paths answer; /ping has an empty body."""
    said = server.ask(method, path, None)
    assert said.status == status
    assert said.body == b""


def test_batch_transform_learns_its_parameters(server: ModelServer) -> None:
    """GET /execution-parameters is the module's own function."""
    assert server.ask("GET", "/execution-parameters").json == {"MaxPayloadInMB": 6}


def test_connections_are_kept_and_may_be_pipelined(server: ModelServer) -> None:
    """Three requests in two pieces get three answers in order on one connection."""
    answers = raw(server, post(b"1") + post(b"22")[:-1], b"2" + post(b"333"))
    places = [answers.find(b"|str|%d|" % size) for size in (1, 2, 3)]
    assert -1 not in places
    assert places == sorted(places)
    assert answers.count(b"HTTP/1.1 200 OK") == 3


def test_a_chunked_body_is_put_together(server: ModelServer) -> None:
    """Chunks in any cut, with extensions and trailers."""
    head = b"POST /invocations HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    body = b"3;name=x\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: 1\r\n\r\n"
    whole = head + body
    for cut in (len(head) + 2, len(head) + 9, len(whole) - 3):
        assert b"|str|5|" in raw(server, whole[:cut], whole[cut:])


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET /ping HTTP/1.1\r\nno colon\r\n\r\n", b"400"),
        (b"GET /ping HTTP/1.1\r\nbad name : 1\r\n\r\n", b"400"),
        (b"POST /invocations HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"400"),
        (b"POST /invocations HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"POST /invocations HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", b"400"),
        (
            b"POST /i HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"400",
        ),
        (b"POST /i HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", b"400"),
        (b"POST /i HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
        (b"POST /i HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n", b"400"),
        (b"GET /ping HTTP/1.1\r\nX: " + b"a" * 40_000, b"431"),
        (b"POST /invocations HTTP/1.1\r\nContent-Length: 6291457\r\n\r\n", b"413"),
        (
            b"POST /i HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n7fffffff\r\n",
            b"413",
        ),
    ],
)
def test_what_is_no_good_request_is_refused_and_the_connection_closed(
    server: ModelServer, request_bytes: bytes, status: bytes
) -> None:
    """Each with its status; whoever could smuggle a second request is cut off."""
    answer = raw(server, request_bytes)
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert b"Connection: close" in answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]


def test_six_megabytes_pass_and_a_sender_of_more_can_read_why(server: ModelServer) -> None:
    """The limit is SageMaker's; the refusal arrives although the client still sends."""
    limit = 6 * 1024 * 1024
    assert f"|str|{limit}|".encode() in server.invoke(b"x" * limit, "text/csv").body
    said = server.invoke(b"x" * (limit + 1), "text/csv")
    assert said.status == 413
    assert "6,291,456" in said.json["error"]


def test_a_client_that_waits_to_be_told_is_told(server: ModelServer) -> None:
    """Expect: 100-continue, as curl sends it for large bodies."""
    with server.connect() as sock:
        whole = post(b"abcd", b"Expect: 100-continue")
        sock.sendall(whole[:-4])
        assert sock.recv(100).startswith(b"HTTP/1.1 100 ")
        sock.sendall(whole[-4:])
        assert b"|str|4|" in read_answer(sock)


def test_a_slow_client_is_cut_off_and_disturbs_nobody(server: ModelServer) -> None:
    """Half a request for longer than the limit is a 408; others are answered meanwhile."""
    with server.connect() as sock:
        sock.sendall(post(b"12345")[:-3])
        assert server.invoke("1").status == 200
        assert read_all(sock).startswith(b"HTTP/1.1 408 ")


def test_clients_that_hang_up_disturb_nobody(server: ModelServer) -> None:
    """Before, within and after a request; also while the answer is being made."""
    for piece in (b"", b"POST /inv", post(b"12345")[:-3], post(b"slow")):
        with server.connect() as sock:
            sock.sendall(piece)
    assert server.invoke("1").status == 200
    assert server.process.poll() is None


def test_a_worker_that_dies_is_replaced(tmp_path: Path) -> None:
    """A crash in the model's code costs its request, not the server."""
    with serving(tmp_path, folders(tmp_path)) as server:
        with server.connect() as sock:
            sock.sendall(post(b"exit"))
            assert read_all(sock) == b""
        server.await_ping()
        seen: set[bytes] = set()
        deadline = time.monotonic() + 30
        while len(seen) < 2 and time.monotonic() < deadline:
            seen.add(server.invoke("1").body.rpartition(b"|")[2])
        assert len(seen) == 2
        assert "exit code 9" in server.text()


def test_ping_fails_while_the_model_loads(tmp_path: Path) -> None:
    """503 until `model_fn` has returned, then 200."""
    code = folders(tmp_path)
    wait = tmp_path / "model" / "wait"
    wait.touch()
    with serving(tmp_path, code, awaits=503) as server:
        assert server.invoke("1").status == 503
        wait.unlink()
        server.await_ping()
        assert server.invoke("1").status == 200


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("def model_fn(d): raise ValueError('the files are not those')", "the files are not those"),
        ("x = 1", "has no model_fn"),
        ("import no_such_module", "No module named 'no_such_module'"),
        (
            "def model_fn(d): pass\ndef transform_fn(a,b,c,d): pass\ndef input_fn(a,b): pass",
            "Cannot use transform_fn",
        ),
    ],
)
def test_a_model_that_cannot_be_loaded_fails_every_ping(
    tmp_path: Path, module: str, words: str
) -> None:
    """The server stays, so that the health check tells, and its log says why; it ends by TERM."""
    with serving(tmp_path, folders(tmp_path, module), awaits=500) as server:
        assert words in server.text()
        assert server.invoke("1").status == 500
        assert server.end() == 0


def test_the_three_functions_work_as_well(tmp_path: Path) -> None:
    """input_fn, predict_fn and output_fn, as the SDK's examples have them."""
    module = """
def model_fn(folder): return 2
def input_fn(body, kind): return [float(x) for x in body.split(",")]
def predict_fn(data, model): return [model * x for x in data]
def output_fn(found, accept): return ",".join(map(str, found)), accept
"""
    with serving(tmp_path, folders(tmp_path, module)) as server:
        said = server.invoke("1,2", "text/csv", accept="text/csv")
        assert (said.kind, said.body) == ("text/csv", b"2.0,4.0")


def test_term_answers_what_has_begun_and_then_ends(tmp_path: Path) -> None:
    """A request under way is answered in full; the exit code is 0, and nobody is left."""
    with (
        serving(tmp_path, folders(tmp_path)) as server,
        server.connect() as idle,
        server.connect() as half,
    ):
        found: list[int] = []
        asking = threading.Thread(target=lambda: found.append(server.invoke("slow").status))
        idle.sendall(post(b"1"))
        read_answer(idle)
        asking.start()
        begun = post(b"abcdef")
        half.sendall(begun[:-3])
        # Connections are accepted in their order: once a later one is answered, this one is too.
        server.invoke("1")
        os.kill(server.process.pid, signal.SIGTERM)
        half.sendall(begun[-3:])
        assert b"|str|6|" in read_all(half)
        asking.join()
        assert found == [200]
        assert server.process.wait(30) == 0
        assert idle.recv(10) == b""
        with pytest.raises(OSError, match="refused"):
            server.connect()
