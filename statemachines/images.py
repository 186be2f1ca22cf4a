"""The image that every job runs on: AWS's scikit-learn container, in each Region that has it."""

import json
from importlib.resources import files

from statemachines.sdk import image_uris

FRAMEWORK, VERSION = "sklearn", "1.4-2"


def regions() -> list[str]:
    """The Regions whose registry the SDK's own table knows for this version."""
    table = json.loads((files("sagemaker.image_uri_config") / f"{FRAMEWORK}.json").read_text())
    return sorted(table["training"]["versions"][VERSION]["registries"])


def uri(region: str) -> str:
    """The image's address in a Region; `training` is the scope that this version has."""
    found: str = image_uris.retrieve(
        FRAMEWORK,
        region,
        version=VERSION,
        py_version="py3",
        instance_type="ml.m5.large",
        image_scope="training",
    )
    return found


def mappings() -> str:
    """The Mappings block of the template, one line a Region."""
    lines = ["  JobImages:"]
    lines += [f"    {region}: {{Uri: {uri(region)}}}" for region in regions()]
    return "\n".join(lines) + "\n"
