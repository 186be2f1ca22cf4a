"""What all jobs share: the images, what the machine allows, who runs, and a fair share of it."""

import logging
import os
import secrets
import threading
import weakref
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from local.cloud import Cloud
from local.sagemaker.container.folders import JobFolder
from local.sagemaker.container.images import KNOWN, ImageError, Images
from local.sagemaker.container.process import Isolation, probe_isolation
from local.sagemaker.errors import invalid

log = logging.getLogger(__name__)


_runtimes: "weakref.WeakKeyDictionary[Cloud, JobRuntime]" = weakref.WeakKeyDictionary()


def watch_job(cloud: Cloud, key: str, told: threading.Event) -> None:
    """Set `told` at the end of a job, by the end of its ARN: `training-job/<name>` and so on."""
    _runtimes[cloud].watch(key, told)


class JobRuntime:
    """One a cloud."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        _runtimes[cloud] = self
        self.images = Images(cloud.repository)
        self._root = cloud.state_dir / "jobs"
        self._running: set[str] = set()
        self._steering: set[str] = set()
        self._watchers: dict[str, list[threading.Event]] = {}
        self._lock = threading.Lock()
        self._probe = threading.Lock()
        self._isolation: Isolation | None = None
        self._s3: Any = None

    def prepare(self) -> None:
        """Probe the machine and build the image's environment before the first job asks."""
        if self.isolation().mounts:
            log.info("jobs run in namespaces of their own, with a private /opt/ml")
        self.s3()  # its first use would cost the first job 0.1 s
        try:
            log.info("jobs' environment: %s", self.images.environment(KNOWN))
        except (ImageError, OSError) as error:
            # Said again, as its failure reason, by every job that needs it.
            log.warning("the jobs' environment is not ready: %s", error)

    def isolation(self) -> Isolation:
        """What the machine allows, probed once."""
        with self._probe:
            if self._isolation is None:
                self._root.mkdir(parents=True, exist_ok=True)
                (self._root / "logs").mkdir(exist_ok=True)
                self._isolation = probe_isolation(self.cloud)
                if not self._isolation.mounts:
                    log.warning(
                        "no private /opt/ml for jobs on this machine (%s): they find their files "
                        "by the SM_* variables and by /opt/ml rewritten in their arguments",
                        self._isolation.why_not,
                    )
            return self._isolation

    def s3(self) -> Any:
        """The platform's own client for inputs and outputs: it does not give up easily."""
        with self._lock:
            if self._s3 is None:
                config = Config(
                    max_pool_connections=32,
                    retries={"mode": "standard", "total_max_attempts": 10},
                    s3={"addressing_style": "path"},
                )
                self._s3 = boto3.session.Session(
                    aws_access_key_id="ASIALOCALSAGEMAKER00",
                    aws_secret_access_key="local",  # noqa: S106 - a dummy, nothing checks it
                    region_name=self.cloud.region,
                ).client("s3", endpoint_url=self.cloud.endpoint, config=config)
            return self._s3

    def folder(self, kind: str, name: str) -> JobFolder:
        """A fresh folder for one job."""
        place = self._root / f"{kind}-{name}-{secrets.token_hex(3)}"
        return JobFolder(place, private=self.isolation().mounts)

    def log_file(self, kind: str, name: str) -> Path:
        """Where a job's whole output is kept."""
        return self._root / "logs" / f"{kind}-{name}.log"

    def enter(self, name: str, *, computes: bool = True) -> None:
        """A job begins; one that does not compute only steers others."""
        with self._lock:
            (self._running if computes else self._steering).add(name)

    def leave(self, name: str) -> None:
        """A job is over."""
        with self._lock:
            self._running.discard(name)
            self._steering.discard(name)
            watchers = self._watchers.pop(name, [])
        for told in watchers:
            told.set()

    def watch(self, name: str, told: threading.Event) -> None:
        """Set `told` when the job of that name has reached its end, or at once if it has."""
        with self._lock:
            if name in self._running or name in self._steering:
                self._watchers.setdefault(name, []).append(told)
            else:
                told.set()

    def running(self) -> int:
        """How many jobs are under way."""
        with self._lock:
            return len(self._running) + len(self._steering)

    def cpus(self) -> int:
        """The cores for one job: two that both use all of them are ten times slower."""
        with self._lock:
            computing = len(self._running)
        return max(1, len(os.sched_getaffinity(0)) // max(1, computing))

    def threads(self) -> dict[str, str]:
        """What keeps a job's threads to its share of the machine.

        OpenMP's threads wait for one another by spinning. Beside anything else that computes, the
        ones that spin keep the one that works from its core: a fit of 1 s was seen to take 40 s.
        """
        cpus = str(self.cpus())
        return {"SM_NUM_CPUS": cpus, "OMP_NUM_THREADS": cpus, "OMP_WAIT_POLICY": "PASSIVE"}

    def environment(self, *, network: bool) -> dict[str, str]:
        """Region and dummy credentials towards this cloud; an isolated job gets none."""
        if not network:
            return {"AWS_REGION": self.cloud.region, "AWS_DEFAULT_REGION": self.cloud.region}
        key = "ASIAJOB" + secrets.token_hex(7).upper()[:13]
        return self.cloud.child_environment(key)

    def check_image(self, image: str) -> None:
        """Refuse an image that the local cloud cannot run, by its name."""
        if self.images.shelf.find(image) is None:
            raise invalid(self.images.shelf.missing(image))

    def check_isolation(self, wanted: bool) -> None:
        """Refuse network isolation where the machine cannot give it."""
        if wanted and not self.isolation().mounts:
            raise invalid(
                "the local cloud cannot isolate a job's network on this machine: "
                f"{self.isolation().why_not}"
            )

    def check_role(self, arn: str) -> None:
        """The role must exist and trust SageMaker, as AWS checks when a job is created."""
        text = (
            f"Could not assume role {arn}. Please ensure that the role exists and allows "
            "principal 'sagemaker.amazonaws.com' to assume the role."
        )
        iam = self.cloud.client("iam")
        try:
            role = iam.get_role(RoleName=arn.rpartition("/")[2])["Role"]
        except iam.exceptions.NoSuchEntityException as error:
            raise invalid(text) from error
        if role["Arn"] != arn or not _trusts(role["AssumeRolePolicyDocument"]):
            raise invalid(text)


def _trusts(policy: dict[str, Any]) -> bool:
    statements = policy.get("Statement", [])
    for statement in statements if isinstance(statements, list) else [statements]:
        services = statement.get("Principal", {}).get("Service", [])
        names = [services] if isinstance(services, str) else services
        if statement.get("Effect") == "Allow" and "sagemaker.amazonaws.com" in names:
            return True
    return False
