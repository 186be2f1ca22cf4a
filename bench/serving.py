"""The model server's requests a second and latency, beside a bare server of the same kind.

    .venv/bin/python -m bench.serving

The census model is trained once and served by the local model server with two workers. The bare
server is the same program with a module that answers the same bytes from memory: their ratio is
what casting, preparing and predicting cost. MLflow's own scoring server has the same model and
answers the same rows, in an environment that this benchmark makes and throws away.

The load generator is `bench.serving_load`: keep-alive connections of plain sockets, each a closed
loop, in two processes of the same two cores. Every answer's status is checked.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import io
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from perennial.pack_project import pack_project

from bench.common import ROOT, fetch_csv, run
from local.sagemaker.container.images import KNOWN, Images
from local.sagemaker.container.serving import program_command

WORKERS = "2"
SECONDS = 1.0
TURNS = 7
AIM = 0.5
FRAME_ROWS = 101  # the fewest that make a frame where a project has a predict_row
MLFLOW = "mlflow==3.6.0"
#: Its server uses what newer releases of Starlette have no more.
MLFLOW_NEEDS = ("fastapi==0.115.14", "starlette==0.46.2", "pandas<3")
JSON = "application/json"
CONNECTIONS = (1, 16)
BARE = """
from pathlib import Path

def model_fn(folder):
    return (Path(folder) / "answer.json").read_text()

def transform_fn(model, body, content_type, accept):
    return model, "application/json"
"""
WRAPPED = """
import sys
import lightgbm, mlflow, mlflow.pyfunc, pandas

class Census(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        self.booster = lightgbm.Booster(model_file=context.artifacts["model"])
        self.levels = self.booster.pandas_categorical

    def predict(self, context, frame, params=None):
        names = self.booster.feature_name()
        frame["capital"] = frame["capital_gain"] - frame["capital_loss"]
        frame = frame[names].copy()
        texts = [n for n in names if frame[n].dtype == object]
        for name, levels in zip(texts, self.levels, strict=True):
            frame[name] = pandas.Categorical(frame[name], categories=levels)
        return self.booster.predict(frame).tolist()

mlflow.pyfunc.save_model(sys.argv[1], python_model=Census(), artifacts={"model": sys.argv[2]})
"""


@dataclass(frozen=True)
class Load:
    """What a load of some seconds measured: requests a second, milliseconds."""

    rate: float
    p50: float
    p99: float

    def __str__(self) -> str:
        return f"{self.rate:8,.0f} req/s, p50 {self.p50:6.2f} ms, p99 {self.p99:6.2f} ms"


def main() -> None:
    """Train, serve, load; print each figure beside its yardstick."""
    python = Images(ROOT).environment(KNOWN) / "bin" / "python"
    with tempfile.TemporaryDirectory(prefix="perennial-bench-") as temporary:
        place = Path(temporary)
        train(python, place)
        row = first_row(place, python)
        bodies = {"predict_row": row, "frame": {"instances": [row] * FRAME_ROWS}}
        yardsticks: dict[tuple[str, int], Load] = {}
        for path, document in bodies.items():
            body = json.dumps(document).encode()
            with served(place, python) as port:
                bare = place / "bare"
                make_bare(bare, ask(port, body))
                with serving(bare, bare / "code", python, {}) as bare_port:
                    for count in CONNECTIONS:
                        pair = in_turns(port, bare_port, body, count)
                        yardsticks[path, count] = pair[0]
                        tell(path, count, *pair)
        beside_mlflow(place, row, yardsticks)


def in_turns(port: int, bare_port: int, body: bytes, count: int) -> tuple[Load, Load, float]:
    """The medians of short loads on both servers in turns, and of the turns' own ratios of
    requests a second: a shared machine is not the same for a minute."""
    pairs = [(load(port, body, count), load(bare_port, body, count)) for _ in range(TURNS)]
    ratio = statistics.median(ours.rate / bare.rate for ours, bare in pairs)
    return middle([ours for ours, _ in pairs]), middle([bare for _, bare in pairs]), ratio


def middle(loads: list[Load]) -> Load:
    """The median of each figure."""
    return Load(
        statistics.median(each.rate for each in loads),
        statistics.median(each.p50 for each in loads),
        statistics.median(each.p99 for each in loads),
    )


def tell(path: str, count: int, ours: Load, bare: Load, ratio: float) -> None:
    """A path's figures, the bare server's, their ratio, and the aim where there is one."""
    aim = ""
    if path == "predict_row":
        aim = f"  (aim: at least {AIM}: {'met' if ratio >= AIM else 'MISSED'})"
    rows = "1 row" if path == "predict_row" else f"{FRAME_ROWS} rows"
    print(f"{path} path ({rows}), {count:2} connections: {ours}", flush=True)
    print(f"    the same bytes from memory:     {bare}; ratio {ratio:.2f}{aim}", flush=True)


def train(python: Path, place: Path) -> None:
    """The census model on genuine rows, and its packed code."""
    data = place / "adult.csv"
    data.write_text("\n".join(fetch_csv("census")))
    environment = {"PYTHONPATH": f"{ROOT}:{ROOT / 'layers' / 'core'}"}
    kept = ("--keep", str(place / "kept"))
    folder = str(ROOT / "models" / "census")
    run(str(python), "-m", "jobs.check_project", folder, str(data), *kept, env=environment)
    packed = pack_project(ROOT / "models" / "census")
    with tarfile.open(fileobj=io.BytesIO(packed.body)) as archive:
        archive.extractall(place / "kept" / "code", filter="data")


def first_row(place: Path, python: Path) -> dict[str, object]:
    """A raw row of the holdout, as a request brings it."""
    code = (
        "import json,sys,pyarrow.parquet as q;"
        "print(json.dumps(q.read_table(sys.argv[1]).slice(0, 1).to_pylist()[0]))"
    )
    rows = place / "kept" / "holdout" / "rows.parquet"
    found: dict[str, object] = json.loads(run(str(python), "-c", code, str(rows)))
    return {n: v for n, v in found.items() if not n.startswith("__") and n != "income"}


@contextlib.contextmanager
def served(place: Path, python: Path) -> Iterator[int]:
    """The model behind its server, with the digests that it was judged by."""
    kept = place / "kept"
    evaluation = json.loads((kept / "evaluation" / "evaluation.json").read_text())
    listing = (kept / "code" / "files.sha256").read_bytes()
    variables = {
        "PERENNIAL_MODEL_FILES_SHA256": evaluation["perennial"]["model_files"],
        "PERENNIAL_CODE_FILES_SHA256": hashlib.sha256(listing).hexdigest(),
    }
    with serving(kept, kept / "code", python, variables) as port:
        yield port


def make_bare(place: Path, answer: bytes) -> None:
    """The folders of a server that answers these bytes."""
    shutil.rmtree(place, ignore_errors=True)
    for folder in ("model", "code"):
        (place / folder).mkdir(parents=True)
    (place / "model" / "answer.json").write_bytes(answer)
    (place / "code" / "serve.py").write_text(BARE)


@contextlib.contextmanager
def serving(base: Path, code: Path, python: Path, variables: Mapping[str, str]) -> Iterator[int]:
    """The server program on a folder with model and code; its port."""
    port = free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(code),
        "SAGEMAKER_BASE_DIR": str(base),
        "SAGEMAKER_BIND_TO_PORT": str(port),
        "SAGEMAKER_PROGRAM": "serve.py",
        "SAGEMAKER_MODEL_SERVER_WORKERS": WORKERS,
        **variables,
    }
    with running(program_command(python), environment, code, port):
        yield port


@contextlib.contextmanager
def running(
    command: list[str], environment: Mapping[str, str], cwd: Path, port: int
) -> Iterator[None]:
    """A server process that answers /ping; ended with its children afterwards."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, env=environment, cwd=cwd, stdout=log, stderr=log, start_new_session=True
        )
        try:
            deadline = time.monotonic() + 120
            while not pings(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    sys.exit(f"{command[0]} does not serve:\n{log.read().decode()[-2000:]}")
                time.sleep(0.05)
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 15)
            process.wait(30)


def pings(port: int) -> bool:
    """Whether /ping answers 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/ping")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ask(port: int, body: bytes) -> bytes:
    """The answer to one request; the benchmark ends if it is no 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("POST", "/invocations", body, {"Content-Type": JSON})
    answer = connection.getresponse()
    found = answer.read()
    connection.close()
    if answer.status != 200:
        sys.exit(f"the server answers {answer.status}: {found[:500]!r}")
    return found


def load(port: int, body: bytes, connections: int) -> Load:
    """Load a server; the first moment of each load does not count."""
    command = [
        sys.executable,
        "-m",
        "bench.serving_load",
        str(port),
        str(connections),
        str(SECONDS),
    ]
    done = subprocess.run(command, input=body, capture_output=True, cwd=ROOT, check=False)
    if done.returncode:
        sys.exit(f"the load failed: {done.stderr.decode()[-1000:]}")
    return Load(**json.loads(done.stdout))


def beside_mlflow(
    place: Path, row: dict[str, object], ours: Mapping[tuple[str, int], Load]
) -> None:
    """MLflow's scoring server on the same booster, if its package can be installed."""
    venv = place / "mlflow"
    try:
        python = install_mlflow(venv)
    except subprocess.CalledProcessError as error:
        words = " ".join(error.stderr.split())[-200:]
        print(f"MLflow is not there to compare with: {MLFLOW} cannot be installed ({words})")
        return
    saved = place / "saved"
    # It makes a folder for runs wherever it is started, also when it only saves a model.
    os.environ["MLFLOW_TRACKING_URI"] = (place / "mlruns").as_uri()
    run(str(python), "-c", WRAPPED, str(saved), str(place / "kept" / "model" / "model.txt"))
    port = free_port()
    # What `mlflow models serve --env-manager local` starts, without its own reinstallation.
    command = [
        *(str(venv / "bin" / "mlflow"), "models", "serve", "-m", str(saved), "-p", str(port)),
        *("--env-manager", "local", "--workers", WORKERS),
    ]
    path = f"{venv / 'bin'}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"}
    body = json.dumps({"dataframe_records": [row]}).encode()
    with running(command, environment, place, port):
        ask(port, body)
        for count in CONNECTIONS:
            theirs = middle([load(port, body, count) for _ in range(TURNS)])
            ratio = ours["predict_row", count].rate / theirs.rate
            print(f"{MLFLOW}, the same row, {count:2} connections: {theirs}", flush=True)
            print(f"    requests a second of the predict_row path are {ratio:.1f} times these")


def install_mlflow(venv: Path) -> Path:
    """An environment with MLflow and LightGBM; CalledProcessError when the index has none."""
    images = Images(ROOT)
    uv = images._uv() or "uv"
    python = venv / "bin" / "python"
    packages = [MLFLOW, "lightgbm==4.7.0", *MLFLOW_NEEDS]
    for command in (
        [uv, "venv", "--quiet", "--python", os.path.realpath(sys.executable), str(venv)],
        [uv, "pip", "install", "--quiet", "--python", str(python), *packages],
    ):
        subprocess.run(command, capture_output=True, text=True, check=True)
    return python


if __name__ == "__main__":
    main()
