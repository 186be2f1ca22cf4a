"""AWS's images in each Region: the one that every job runs on, and those of its algorithms."""

import json
from dataclasses import dataclass
from importlib.resources import files

from statemachines.sdk import image_uris


@dataclass(frozen=True)
class Image:
    """One image: its name in the SDK's tables and its version there.

    `is_scoped` says whether the table tells training from inference images.
    """

    mapping: str
    framework: str
    version: str
    is_scoped: bool = True

    def regions(self) -> list[str]:
        """The Regions whose registry the SDK's own table knows for this version."""
        file = files("sagemaker.image_uri_config") / f"{self.framework}.json"
        table = json.loads(file.read_text())
        versions = table["training"]["versions"] if self.is_scoped else table["versions"]
        return sorted(versions[self.version]["registries"])

    def uri(self, region: str) -> str:
        """The image's address in a Region; `training` is the scope that all of them have."""
        python = {"py_version": "py3"} if self.framework == "sklearn" else {}
        found: str = image_uris.retrieve(
            self.framework,
            region,
            version=self.version,
            instance_type="ml.m5.large",
            image_scope="training",
            **python,
        )
        return found


IMAGES = (
    Image("JobImages", "sklearn", "1.4-2"),
    Image("XGBoostImages", "xgboost", "3.0-5"),
    Image("LinearLearnerImages", "linear-learner", "1", is_scoped=False),
)


def regions() -> list[str]:
    """The Regions that the jobs' image is in: nowhere else can a stack be deployed."""
    return IMAGES[0].regions()


def mappings() -> str:
    """The Mappings blocks of the template, one line a Region and image.

    Raises ValueError when a Region that has the jobs' image lacks another: a stack there could
    not be deployed.
    """
    lines = []
    for image in IMAGES:
        missing = sorted(set(regions()) - set(image.regions()))
        if missing:
            raise ValueError(f"{image.framework} {image.version} is not in {', '.join(missing)}")
        lines.append(f"  {image.mapping}:")
        lines += [f"    {region}: {{Uri: {image.uri(region)}}}" for region in image.regions()]
    return "\n".join(lines) + "\n"
