"""From a model's container definition to the folder and the command of one server."""

import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.sagemaker.container.folders import JobFolder
from local.sagemaker.container.images import ImageError
from local.sagemaker.container.objects import DataError, Objects, split_uri
from local.sagemaker.container.process import Command
from local.sagemaker.container.serving import SUBMIT_DIRECTORY, Serving, serving_command
from local.sagemaker.endpoints.model_cache import MODELS
from local.sagemaker.endpoints.models import (
    data_uri,
    is_archive,
    is_multi_model,
    is_prefix,
)
from local.sagemaker.runtime import JobRuntime

LABEL = "container_1"  # what AWS's messages call a model's first container


class StartError(Exception):
    """A server cannot be started, now or ever; the text is the endpoint's failure reason."""


@dataclass(frozen=True)
class Artifact:
    """A model's data as it was fetched once for one instance; restarts need no S3."""

    place: Path
    uri: str | None
    archive: bool

    @classmethod
    def fetch(cls, runtime: JobRuntime, container: Mapping[str, Any], place: Path) -> "Artifact":
        """Download; StartError in AWS's words when the artifact is not there."""
        uri = None if is_multi_model(container) else data_uri(container)  # each model on demand
        made = cls(place, uri, is_archive(container))
        place.mkdir(parents=True)
        if uri is None:
            return made
        objects = Objects(runtime.s3())
        try:
            if is_prefix(container):
                objects.fetch(uri, "S3Prefix", place)
            else:
                objects.fetch_object(uri, place / Path(split_uri(uri)[1]).name)
        except DataError as error:
            raise StartError(
                f'Failed to download model data for container "{LABEL}" from URL: "{uri}". Please '
                "ensure that there is an object located at the URL and that the role passed to "
                f"CreateModel has permissions to download the object. ({error})"
            ) from error
        return made

    def lay_out(self, folder: Path) -> None:
        """A fresh copy at the folder that the server sees as /opt/ml/model."""
        for path in sorted(self.place.rglob("*")):
            if not path.is_file():
                continue
            if self.archive:
                self._unpack(path, folder)
                continue
            target = folder / path.relative_to(self.place)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())

    def _unpack(self, archive: Path, folder: Path) -> None:
        try:
            with tarfile.open(archive, "r:gz") as tar:
                tar.extractall(folder, filter="data")
        except (tarfile.TarError, EOFError, OSError) as error:
            raise StartError(
                f'Failed to extract model data archive for container "{LABEL}" from URL '
                f'"{self.uri}". Please ensure that the object located at the URL is a valid '
                f"tar.gz archive. ({error})"
            ) from error


@dataclass(frozen=True)
class Launch:
    """What one server is started from."""

    container: Mapping[str, Any]
    artifact: Artifact
    port: int
    network: bool


def prepare(runtime: JobRuntime, folder: JobFolder, launch: Launch) -> Command:
    """Lay out the model and make the command `serve`; StartError says what is wrong."""
    launch.artifact.lay_out(folder.make("/opt/ml/model"))
    image = launch.container["Image"]
    environment = {
        **runtime.environment(network=launch.network),
        "SAGEMAKER_BIND_TO_PORT": str(launch.port),
        "SAGEMAKER_SAFE_PORT_RANGE": f"{launch.port}-{launch.port}",
        **launch.container.get("Environment", {}),
    }
    if is_multi_model(launch.container):
        environment["SAGEMAKER_MULTI_MODEL"] = "true"
        folder.make(MODELS)
    source = environment.get(SUBMIT_DIRECTORY, "")
    if not launch.network and source.startswith("s3://"):
        raise StartError(
            f"The container has no network (EnableNetworkIsolation) and cannot fetch its code "
            f"from {source} as it starts; put the code into the model's archive and name its "
            f"folder in {SUBMIT_DIRECTORY} (/opt/ml/model/code)."
        )
    if not folder.private:
        environment["SAGEMAKER_BASE_DIR"] = str(folder.ml)
    try:
        return serving_command(image, runtime, Serving(folder, environment, launch.network))
    except (ImageError, DataError) as error:
        raise StartError(f"The container of image {image} cannot be made: {error}") from error
