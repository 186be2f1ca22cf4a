"""Model Monitor's analyzer in each Region of our jobs: not every one of them has it."""

import json
from importlib.resources import files

from statemachines.images import regions
from statemachines.sdk import image_uris

FRAMEWORK = "model-monitor"


def uri(region: str) -> str:
    """The image's address in a Region, or "" where the SDK's own table knows none."""
    table = json.loads((files("sagemaker.image_uri_config") / f"{FRAMEWORK}.json").read_text())
    if region not in table["versions"][""]["registries"]:
        return ""
    found: str = image_uris.retrieve(FRAMEWORK, region)
    return found


def mapping() -> str:
    """The Mappings block of the template, one line a Region; an empty address says "none"."""
    empty = '""'
    lines = ["  MonitorImages:"]
    lines += [f"    {region}: {{Uri: {uri(region) or empty}}}" for region in regions()]
    return "\n".join(lines) + "\n"
