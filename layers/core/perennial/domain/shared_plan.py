"""What the endpoint that several models share asks of SageMaker, as parts of its requests.

Its one container unpacks the archive that a request names (TargetModel) and starts a process of
its own for it. All that differs between the models lies in their archives, so these requests say
nothing of any of them; what they ask for is in their names, and another size is another name.

https://docs.aws.amazon.com/sagemaker/latest/dg/create-multi-model-endpoint.html
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from perennial.domain import shared_naming
from perennial.domain.release_plan import DOWNLOAD_SECONDS, MAIN, SERVER, START_SECONDS
from perennial.domain.run_input import Network

#: The largest archive that is shared: one that is larger is not small, and is slow to load.
LARGEST_ARCHIVE = 100 * 1024 * 1024


@dataclass(frozen=True)
class Shared:
    """The shared endpoint as the stack asks for it. `key`: ARN of the stack's KMS key, or empty.

    `server`: the URI of the code that its server starts with; AWS's image does not start without.
    """

    stack: str
    bucket: str
    image: str
    server: str
    instance: str
    count: int
    role: str
    network: Network
    key: str = ""

    @property
    def endpoint(self) -> str:
        """Its name."""
        return shared_naming.endpoint(self.stack)

    @property
    def config(self) -> str:
        """The name of its Model and of its EndpointConfig: the same for the same requests."""
        asked = json.dumps([self._container(), self._place(), self._variant("")], sort_keys=True)
        return shared_naming.config_name(self.stack, hashlib.sha256(asked.encode()).hexdigest()[:8])

    def model_request(self) -> dict[str, Any]:
        """CreateModel."""
        return {
            "ModelName": self.config,
            "PrimaryContainer": self._container(),
            "Tags": self._tags(),
            **self._place(),
        }

    def config_request(self) -> dict[str, Any]:
        """CreateEndpointConfig. SageMaker captures nothing of such an endpoint."""
        return {
            "EndpointConfigName": self.config,
            "ProductionVariants": [self._variant(self.config)],
            "Tags": self._tags(),
            **({"KmsKeyId": self.key} if self.key else {}),
        }

    def endpoint_request(self) -> dict[str, Any]:
        """CreateEndpoint."""
        return {
            "EndpointName": self.endpoint,
            "EndpointConfigName": self.config,
            "Tags": self._tags(),
        }

    def _container(self) -> dict[str, Any]:
        return {
            "Image": self.image,
            "Mode": "MultiModel",
            "ModelDataUrl": f"s3://{self.bucket}/{shared_naming.prefix()}",
            "Environment": {"SAGEMAKER_PROGRAM": SERVER, "SAGEMAKER_SUBMIT_DIRECTORY": self.server},
        }

    def _place(self) -> dict[str, Any]:
        network = self.network
        vpc = {"Subnets": list(network.subnets), "SecurityGroupIds": list(network.security_groups)}
        return {
            "ExecutionRoleArn": self.role,
            "EnableNetworkIsolation": network.isolated,
            **({"VpcConfig": vpc} if network.subnets else {}),
        }

    def _variant(self, model_name: str) -> dict[str, Any]:
        return {
            "VariantName": MAIN,
            "ModelName": model_name,
            "InstanceType": self.instance,
            "InitialInstanceCount": self.count,
            "InitialVariantWeight": 1.0,
            "ModelDataDownloadTimeoutInSeconds": DOWNLOAD_SECONDS,
            "ContainerStartupHealthCheckTimeoutInSeconds": START_SECONDS,
        }

    def _tags(self) -> list[dict[str, str]]:
        return [{"Key": "perennial:stack", "Value": self.stack}]


def variables_of(container: Mapping[str, Any]) -> dict[str, str]:
    """What an archive's own server must know: the container's variables, but for the image's."""
    return {
        name: value
        for name, value in container["Environment"].items()
        if name.startswith("PERENNIAL_")
    }
