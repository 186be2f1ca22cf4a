"""SageMaker's control plane and its runtime API, put together from their parts."""

from collections.abc import Iterable

from local.cloud import Cloud
from local.jsonapi.service import JsonService
from local.sagemaker.endpoints.invoke import Invocations
from local.sagemaker.endpoints.service import Endpoints
from local.sagemaker.groups import Groups
from local.sagemaker.monitoring.definitions import DATA_QUALITY, MODEL_QUALITY, Definitions
from local.sagemaker.monitoring.executions import Executor
from local.sagemaker.monitoring.schedules import Schedules
from local.sagemaker.packages import Packages
from local.sagemaker.processing import ProcessingJobs
from local.sagemaker.runtime import JobRuntime
from local.sagemaker.tags import Tags
from local.sagemaker.training import TrainingJobs
from local.sagemaker.transform import TransformJobs
from local.sagemaker.tuning import TuningJobs
from local.services import Environ, StartResponse


class SageMaker(JsonService):
    """The API."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__("sagemaker")
        self._cloud = cloud
        self._runtime = JobRuntime(cloud)
        tags = Tags(cloud)
        groups = Groups(cloud, self.model, tags)
        packages = Packages(cloud, self.model, tags, groups)
        training = TrainingJobs(cloud, self.model, tags, self._runtime)
        processing = ProcessingJobs(cloud, self.model, tags, self._runtime)
        tuning = TuningJobs(cloud, self.model, tags, self._runtime, training)
        endpoints = Endpoints(cloud, self.model, tags, self._runtime, packages)
        transform = TransformJobs(
            self.model, tags, self._runtime, endpoints.models.find, endpoints.ports
        )
        definitions = {
            kind: Definitions(cloud, self.model, tags, self._runtime, kind)
            for kind in (DATA_QUALITY, MODEL_QUALITY)
        }
        executor = Executor(self._runtime, endpoints, processing)
        schedules = Schedules(cloud, self.model, tags, definitions, executor)
        self._invocations = Invocations(cloud, endpoints)
        for part in (tags, groups, packages, training, processing, tuning, transform, endpoints):
            self.operations.update(part.operations())
        for kind in definitions.values():
            self.operations.update(kind.operations())
        self.operations.update(schedules.operations())

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Both APIs are signed for the service `sagemaker`; the runtime's paths tell them apart."""
        if environ.get("PATH_INFO", "").startswith("/endpoints/"):
            return self._invocations(environ, start_response)
        return super().__call__(environ, start_response)

    def register(self) -> None:
        """Answer for the service, and prepare what the first job would have to wait for."""
        self._cloud.register("sagemaker", self)
        self._cloud.add_idle_probe("jobs", self._runtime.running)
        self._cloud.background("jobs environment", self._runtime.prepare)
