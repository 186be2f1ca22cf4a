"""AWS's Hugging Face image (PyTorch, CUDA, transformers) in each Region: what a GPU trains in."""

import json
from importlib.resources import files

from statemachines.images import regions
from statemachines.sdk import image_uris

FRAMEWORK, VERSION, BASE, PYTHON = "huggingface", "4.56.2", "pytorch2.8.0", "py312"


def uri(region: str) -> str:
    """The image's address in a Region, or "" where the SDK's own table knows none."""
    table = json.loads((files("sagemaker.image_uri_config") / f"{FRAMEWORK}.json").read_text())
    if region not in table["training"]["versions"][VERSION][BASE]["registries"]:
        return ""
    found: str = image_uris.retrieve(
        FRAMEWORK,
        region,
        version=VERSION,
        base_framework_version=BASE,
        py_version=PYTHON,
        instance_type="ml.g5.xlarge",
        image_scope="training",
    )
    return found


def mapping() -> str:
    """The Mappings block of the template, one line a Region; an empty address says "none"."""
    empty = '""'
    lines = ["  GpuImages:"]
    lines += [f"    {region}: {{Uri: {uri(region) or empty}}}" for region in regions()]
    return "\n".join(lines) + "\n"
