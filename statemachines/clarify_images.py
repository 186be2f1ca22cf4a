"""Amazon SageMaker Clarify's image in each Region of our jobs: not every one of them has it."""

import json
from importlib.resources import files

from statemachines.images import regions
from statemachines.sdk import image_uris

FRAMEWORK, VERSION = "clarify", "1.0"


def uri(region: str) -> str:
    """The image's address in a Region, or "" where the SDK's own table knows none."""
    table = json.loads((files("sagemaker.image_uri_config") / f"{FRAMEWORK}.json").read_text())
    if region not in table["processing"]["versions"][VERSION]["registries"]:
        return ""
    found: str = image_uris.retrieve(FRAMEWORK, region, version=VERSION)
    return found


def mapping() -> str:
    """The Mappings block of the template, one line a Region; an empty address says "none"."""
    empty = '""'
    lines = ["  ClarifyImages:"]
    lines += [f"    {region}: {{Uri: {uri(region) or empty}}}" for region in regions()]
    return "\n".join(lines) + "\n"
