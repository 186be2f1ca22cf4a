"""How a model server is started: the stand-in for `serve` of AWS's scikit-learn image.

The image's own stack (sagemaker-containers 2.8.6 with nginx and gunicorn, Multi Model Server for
several models) needs Java, fixed folders and ports of its machine. The program
`local/images/model_server` keeps the same contract towards the user's module and towards
SageMaker; see docs/serving.md.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from local.sagemaker.container.folders import JobFolder
from local.sagemaker.container.images import ImageError, base_environment
from local.sagemaker.container.objects import DataError, Objects, unpack_code
from local.sagemaker.container.process import Command
from local.sagemaker.container.script_mode import CODE

if TYPE_CHECKING:
    from local.sagemaker.runtime import JobRuntime

PROGRAM = Path(__file__).parents[2] / "images" / "model_server" / "__main__.py"
SUBMIT_DIRECTORY = "SAGEMAKER_SUBMIT_DIRECTORY"


@dataclass(frozen=True)
class Serving:
    """What one server is started with.

    `folder` holds the unpacked model at /opt/ml/model (several models: nothing yet). The port is
    SAGEMAKER_BIND_TO_PORT of the environment. `network` says whether the model may use it.
    """

    folder: JobFolder
    environment: Mapping[str, str]
    network: bool = True


def serving_command(image: str, runtime: "JobRuntime", serving: Serving) -> Command:
    """Fetch the code, lay its requirements over the image's, and say what to run.

    Raises `DataError` when the code cannot be fetched, `ImageError` when the image is not known or
    cannot serve, or a requirement cannot be met.

    A server without network keeps the machine's loopback, for it must be reached; what it lacks
    are the credentials, which the caller leaves out of its environment.
    """
    code = fetch_code(runtime, serving)
    requirements = serving.folder.real(code) / "requirements.txt"
    extra = requirements.read_text(encoding="utf-8") if requirements.is_file() else ""
    if not serving.network and runtime.images.lacks(image, extra):
        _check_wheels(serving.folder.real(code) / "wheelhouse")
    place = runtime.images.environment(image, extra)
    image_own = base_environment(place, serving.folder.scratch)
    environment = {
        **image_own,
        **serving.environment,
        # The caller cannot know the environment that the code's requirements are laid over.
        "PATH": image_own["PATH"],
        "VIRTUAL_ENV": image_own["VIRTUAL_ENV"],
        "PYTHONPATH": code,
    }
    found = runtime.images.shelf.find(image)
    if found is None or not found.serve:
        raise ImageError(f"{image} has no model server in the local cloud")
    return Command(list(found.serve), environment, code, image=place, network=True)


def _check_wheels(wheelhouse: Path) -> None:
    """Without a network pip has the wheels that came with the code, or nothing."""
    if not any(wheelhouse.glob("*.whl")):
        raise ImageError(
            "it has no network, its requirements.txt asks for packages that the image lacks, and "
            "its code brings no wheelhouse to install them from; push the project with one"
        )


def fetch_code(runtime: "JobRuntime", serving: Serving) -> str:
    """The folder of the code as the server sees it: what SAGEMAKER_SUBMIT_DIRECTORY names.

    An archive in S3 is unpacked at /opt/ml/code; a folder, as of the model's own archive, is taken
    as it lies. Raises `DataError` for a folder that is not there.
    """
    source = serving.environment.get(SUBMIT_DIRECTORY, "")
    target = serving.folder.make(CODE)
    if source.startswith("s3://"):
        archive = serving.folder.scratch / "served-code.tar.gz"
        Objects(runtime.s3()).fetch_object(source, archive)
        unpack_code(archive, target)
        archive.unlink()
    if not source or source.startswith("s3://"):
        return CODE
    try:
        found = serving.folder.real(source).is_dir()
    except ValueError as error:
        raise DataError(f"{SUBMIT_DIRECTORY}: {error}") from error
    if not found:
        raise DataError(f"{SUBMIT_DIRECTORY} names {source}, which the container does not have")
    return source


def program_command(python: Path | None = None) -> list[str]:
    """The command line of the server program by itself, for tests and benchmarks."""
    return [str(python or os.path.realpath(sys.executable)), str(PROGRAM)]
