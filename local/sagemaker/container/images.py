"""Container images: which there are, and the environment of files that stands in for each."""

import fcntl
import hashlib
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from local.sagemaker.container.built_in_metrics import LINEAR_LEARNER_METRICS, XGBOOST_METRICS
from local.sagemaker.container.process import Command

log = logging.getLogger(__name__)

# Addresses in the local cloud's Region, from the SageMaker SDK's tables.
KNOWN = "141502667606.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-scikit-learn:1.4-2-cpu-py3"
CLARIFY = "131013547314.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-clarify-processing:1.0"
MODEL_MONITOR = "468650794304.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-model-monitor-analyzer"
MERGER = "468650794304.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-model-monitor-groundtruth-merger"
XGBOOST = "141502667606.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-xgboost:3.0-5"
LINEAR_LEARNER = "438346466558.dkr.ecr.eu-west-1.amazonaws.com/linear-learner:1"
REPOSITORY = re.compile(r"[0-9]{12}\.dkr\.ecr[^/]*/([a-z0-9][a-z0-9._/-]*?)(?:[:@].*)?")
_building = threading.Lock()


class ImageError(Exception):
    """An image's environment could not be built; the text says why."""


@dataclass(frozen=True)
class Image:
    """What stands in for a container image.

    `requirements` is the file of its packages (None: none), `train` the command that trains when
    a job names no entry point; empty for an image that runs scripts. `metrics` are those that
    SageMaker defines for its own algorithms, and that no job may define anew. `processing` is the
    image's own entry point in a processing job; empty if it has none. `serve` is the command of its
    model server; empty for an image that cannot serve.
    """

    requirements: Path | None
    train: tuple[str, ...] = ()
    metrics: tuple[Mapping[str, str], ...] = ()
    processing: tuple[str, ...] = ()
    serve: tuple[str, ...] = ()

    @property
    def is_built_in(self) -> bool:
        """Whether it is one of SageMaker's algorithms."""
        return bool(self.metrics)


class ImageShelf:
    """The images that the local cloud has: AWS's, and folders that stand in for people's own."""

    def __init__(self, repository: Path) -> None:
        self.own = repository / ".local" / "images"
        programs = repository / "local" / "images"
        self._aws = {
            KNOWN: Image(
                repository / "jobs" / "requirements.txt",
                serve=("python3", str(programs / "model_server" / "__main__.py")),
            ),
            # The jobs' environment has all that Clarify's stand-in imports.
            CLARIFY: Image(
                repository / "jobs" / "requirements.txt",
                processing=("python3", str(programs / "clarify_image.py"), "/opt/ml/processing"),
            ),
            # As has Model Monitor's.
            MODEL_MONITOR: Image(
                repository / "jobs" / "requirements.txt",
                processing=("python3", str(programs / "model_monitor_image.py")),
            ),
            MERGER: Image(
                repository / "jobs" / "requirements.txt",
                processing=("python3", str(programs / "groundtruth_merge_image.py")),
            ),
            XGBOOST: Image(
                programs / "xgboost-requirements.txt",
                ("python3", "-m", "local.images.xgboost_image"),
                metrics=XGBOOST_METRICS,
            ),
            LINEAR_LEARNER: Image(
                programs / "linear-learner-requirements.txt",
                ("python3", "-m", "local.images.linear_learner_image"),
                metrics=LINEAR_LEARNER_METRICS,
            ),
        }

    def find(self, uri: str) -> Image | None:
        """The image of that address, or None."""
        if uri in self._aws:
            return self._aws[uri]
        folder = self.stand_in(uri)
        if folder is None:
            return None
        train, serve = (_program(folder, name) for name in ("train", "serve"))
        if not train and not serve:
            return None
        requirements = folder / "requirements.txt"
        return Image(requirements if requirements.exists() else None, train, serve=serve)

    def stand_in(self, uri: str) -> Path | None:
        """The folder that may stand in for an own image: named as its repository."""
        match = REPOSITORY.fullmatch(uri)
        return self.own / match[1] if match and ".." not in match[1] else None

    def missing(self, uri: str) -> str:
        """Why there is no such image, and what to do."""
        words = f"the local cloud does not have the image {uri}; it has {', '.join(self._aws)}"
        folder = self.stand_in(uri)
        if folder is None:
            return words
        return (
            f"{words}. A folder can stand in for it: {folder}, with an executable file `train` "
            "or `serve` (and a requirements.txt of its packages)"
        )


def _program(folder: Path, name: str) -> tuple[str, ...]:
    return (str(folder / name),) if os.access(folder / name, os.X_OK) else ()


class Images:
    """The environments below `<repository>/.local/envs`; they survive the cloud."""

    def __init__(self, repository: Path) -> None:
        self._repository = repository
        self._envs = repository / ".local" / "envs"
        self.shelf = ImageShelf(repository)

    def environment(self, image: str, extra: str = "") -> Path:
        """The folder of the image's environment, built once per content of its requirements.

        `extra` is the text of a requirements.txt that the job brings: it is laid over the image's
        own, as `pip install -r` in the container would.
        """
        found = self.shelf.find(image)
        if found is None:
            raise ImageError(self.shelf.missing(image))
        base = found.requirements.read_text(encoding="utf-8") if found.requirements else "\n"
        wanted = base if not _adds_to(base, extra) else f"{base}\n# the job's own\n{extra}"
        if wanted == base:
            return self._ensure(base, base, "")
        if _is_ready(self._place(wanted)):
            return self._place(wanted)
        self._try_out(self._ensure(base, base, ""), extra)
        return self._ensure(wanted, base, extra)

    def lacks(self, image: str, extra: str) -> bool:
        """Whether a requirements.txt asks for what the image does not have; then pip installs."""
        found = self.shelf.find(image)
        base = found.requirements if found is not None else None
        return _adds_to(base.read_text(encoding="utf-8") if base else "\n", extra)

    def path(self) -> str:
        """Where the programs of the built-in algorithms find their own modules."""
        return f"{self._repository}:{self._repository / 'layers' / 'core'}"

    def _place(self, wanted: str) -> Path:
        return self._envs / f"jobs-{hashlib.sha256(wanted.encode()).hexdigest()[:16]}"

    def _try_out(self, base: Path, extra: str) -> None:
        """Fail early, before a whole environment is built, when a requirement cannot be met."""
        uv = self._uv()
        if not uv:
            return
        with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
            file.write(extra)
            file.flush()
            install = [uv, "pip", "install", "--quiet", "--dry-run", "-r", file.name]
            _run([*install, "--python", str(base / "bin" / "python")])

    def _ensure(self, wanted: str, base: str, extra: str) -> Path:
        place = self._place(wanted)
        with _building:
            if not _is_ready(place):
                self._build(place, base, extra)
        return place

    def _build(self, place: Path, base: str, extra: str) -> None:
        self._envs.mkdir(parents=True, exist_ok=True)
        with (self._envs / f"{place.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # another cloud on this machine may build it too
            if _is_ready(place):
                return
            log.info("building the environment %s", place)
            shutil.rmtree(place, ignore_errors=True)
            files = []
            for name, text in (("base.txt", base), ("extra.txt", extra)):
                if text:
                    file = self._envs / f"{place.name}.{name}"
                    file.write_text(text, encoding="utf-8")
                    files.append(file)
            # One after the other, as the image comes before `pip install -r requirements.txt`.
            self._create(place)
            try:
                for file in files:
                    self._install(place, file)
            except ImageError:
                shutil.rmtree(place, ignore_errors=True)
                raise
            finally:
                for file in files:
                    file.unlink()
            (place / ".done").write_text(_python_version(), encoding="utf-8")

    def _create(self, place: Path) -> None:
        uv = self._uv()
        if uv:
            python = os.path.realpath(sys.executable)
            _run([uv, "venv", "--quiet", "--seed", "--python", python, str(place)])
        else:
            _run([sys.executable, "-m", "venv", str(place)])

    def _install(self, place: Path, file: Path) -> None:
        uv, python = self._uv(), str(place / "bin" / "python")
        if uv:
            install = [uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", python]
            _run([*install, "-r", str(file)])
        else:
            _run([python, "-m", "pip", "install", "--quiet", "-r", str(file)])

    def _uv(self) -> str | None:
        own = self._repository / ".tools" / "uv" / "bin" / "uv"
        return str(own) if own.exists() else shutil.which("uv")


def base_environment(place: Path, scratch: Path) -> dict[str, str]:
    """What the image's ENV lines give every container."""
    return {
        "PATH": f"{place / 'bin'}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "VIRTUAL_ENV": str(place),
        "HOME": str(scratch / "home"),
        "TMPDIR": str(scratch / "tmp"),
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "PYTHONIOENCODING": "UTF-8",
        "TZ": "UTC",
        # What a job installs by itself is downloaded once a machine, not once a job.
        "PIP_CACHE_DIR": str(place.parent.parent / "pip-cache"),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }


def command(
    argv: Sequence[str], environment: dict[str, str], cwd: str, place: Path, *, network: bool
) -> Command:
    """A command in the image's environment."""
    return Command(argv=argv, environment=environment, cwd=cwd, image=place, network=network)


def _python_version() -> str:
    return ".".join(map(str, sys.version_info[:3]))


def _is_ready(place: Path) -> bool:
    done = place / ".done"
    return done.exists() and done.read_text(encoding="utf-8").strip() == _python_version()


def _lines(text: str) -> set[str]:
    stripped = (line.split("#")[0].strip().rstrip("\\").strip() for line in text.splitlines())
    return {line for line in stripped if line and not line.startswith("--hash")}


def _adds_to(base: str, extra: str) -> bool:
    """Whether `extra` asks for anything that the image's own lock does not pin in the same way."""
    return not _lines(extra) <= _lines(base)


def _run(argv: Sequence[str]) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment.pop("VIRTUAL_ENV", None)
    done = subprocess.run(argv, capture_output=True, text=True, env=environment, check=False)
    if done.returncode != 0:
        tail = (done.stderr or done.stdout).strip()[-800:]
        raise ImageError(f"{Path(argv[0]).name} failed with exit code {done.returncode}: {tail}")
