"""Render the state machines: `python -m statemachines.render [--check]`.

Writes, for each machine, the definition (`.asl.json`), the picture (`.svg`) and the Mermaid
text (`.mmd`), and the Mappings block of the template that names AWS's job image in each Region.
All are committed: what is deployed never needs the SDK. `--check` writes nothing and fails
naming each file that differs from what it would write. Needs no network and no account.
"""

import argparse
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from statemachines import clarify_images, draw, gpu_images, images, monitor_images, release, retrain

HERE = Path(__file__).parent
TEMPLATE = HERE.parent / "template.yaml"
MACHINES = {"retrain": retrain.build, "release": release.build}
BLOCK = re.compile(r"(?<=# images: begin\n).*?(?=  # images: end)", re.DOTALL)


def rendered() -> Mapping[Path, str]:
    """Every file that this module owns, with the text it should hold."""
    files: dict[Path, str] = {}
    for name, build in MACHINES.items():
        definition: Mapping[str, Any] = build()
        files[HERE / f"{name}.asl.json"] = json.dumps(definition, indent=2) + "\n"
        files[HERE / f"{name}.svg"] = draw.svg(definition)
        files[HERE / f"{name}.mmd"] = draw.mermaid(definition)
    template = TEMPLATE.read_text("utf-8")
    if not BLOCK.search(template):
        raise ValueError(f"{TEMPLATE.name} has no lines '# images: begin' and '# images: end'")
    mappings = "".join(
        (
            images.mappings(),
            clarify_images.mapping(),
            gpu_images.mapping(),
            monitor_images.mapping(),
        )
    )
    files[TEMPLATE] = BLOCK.sub(lambda _: mappings, template)
    return files


def main(arguments: list[str]) -> int:
    """Write or check; 0 when everything is as it should be."""
    parser = argparse.ArgumentParser(prog="statemachines.render", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail on a difference")
    check: bool = parser.parse_args(arguments).check
    files = rendered()
    stale = [p for p, text in files.items() if not p.exists() or p.read_text("utf-8") != text]
    words = "differs; run python -m statemachines.render" if check else "written"
    for path in stale:
        if not check:
            path.write_text(files[path], "utf-8")
        sys.stderr.write(f"{path.name}: {words}\n")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
