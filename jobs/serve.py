"""The module that AWS's scikit-learn image hosts: `SAGEMAKER_PROGRAM=serve.py`.

That image's server calls `model_fn` once a worker and `transform_fn` for each request
(sagemaker-scikit-learn-container, `serving.py`). It turns whatever these raise into a 500, so an
answer with another status has to be handed over: as `worker.Response` of sagemaker-containers for
one model; for several by the request's context of sagemaker-inference, or, where the image gives
none (sagemaker-scikit-learn-container, `mms_transformer.py`), as its error. The
packed code's root holds a copy of this file. Nothing but the standard library is imported before
a model is loaded: the image imports this module once more to install it.

In a server of several models each model has a process and an archive with its own code, but the
image imports this module from where its own code lies, the same for all. So the model's code is
found when its folder is known.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parent
if (ROOT / "paths.py").exists():
    ROOT = ROOT.parent  # run as jobs/serve.py, from a checkout
#: The image also copies this file among its packages; the code itself lies here.
CODE = Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml")) / "code"
if not (ROOT / "jobs").is_dir() and (CODE / "jobs").is_dir():
    ROOT = CODE
for folder in (ROOT / "layers" / "core", ROOT):  # a checkout keeps perennial in the first
    if folder.is_dir() and str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
os.environ.setdefault("PERENNIAL_CODE_ROOT", str(ROOT))

if TYPE_CHECKING:
    from jobs.served import Served

VERSION = "PERENNIAL_VERSION"
MULTI_MODEL = "SAGEMAKER_MULTI_MODEL"
PAYLOAD_MB = 6


def model_fn(model_dir: str) -> Served:
    """Load the model; raises an error with clear words when its files are not those judged."""
    folder = Path(model_dir)
    if is_shared():
        return load_shared(folder)
    from jobs import digests  # noqa: PLC0415

    digests.verify(folder, Path(os.environ["PERENNIAL_CODE_ROOT"]))
    from jobs.served import Served  # noqa: PLC0415

    given = os.environ.get(VERSION, "")
    return Served(folder, int(given) if given else None)


def is_shared() -> bool:
    """Whether this is one model of several in its container."""
    return os.environ.get(MULTI_MODEL, "").lower() == "true"


def load_shared(folder: Path) -> Served:
    """Load one of several models by the code and the variables of its own archive."""
    root = folder / "code"
    if not (root / "jobs").is_dir():
        raise RuntimeError(
            f"the model in {folder} has no code of its own below code/, which an endpoint of "
            "several models needs. Release a version that was trained for such an endpoint"
        )
    os.environ["PERENNIAL_CODE_ROOT"] = str(root)
    sys.path.insert(0, str(root))
    from jobs import digests, shared  # noqa: PLC0415

    shared.check_code(root)
    variables = shared.variables(folder)
    digests.verify_shared(folder, root, variables)
    shared.bring_packages(root)
    from jobs.served import Served  # noqa: PLC0415

    served = Served(folder, int(variables[VERSION]))
    shared.check_name(served.name, variables)
    return served


def transform_fn(
    model: Served, body: str | bytes, content_type: str, accept: str | None, context: Any = None
) -> Any:
    """Answer one request: (body, content type), or what carries another status than 200."""
    reply = model.answer(body, content_type, accept)
    if reply.status == 200:
        return reply.body, reply.kind
    if context is not None:
        context.set_response_status(code=reply.status, phrase=PHRASES.get(reply.status, "Error"))
        return reply.body, reply.kind
    if is_shared():
        errors = importlib.import_module("sagemaker_inference.errors")
        raise errors.BaseInferenceToolkitError(reply.status, reply.body, reply.body)
    return respond(reply.body, reply.status, reply.kind)


def execution_parameters_fn() -> Any:
    """How batch transform should send: as many rows a request as fit, a request a worker."""
    workers = os.environ.get("SAGEMAKER_MODEL_SERVER_WORKERS") or os.cpu_count() or 1
    parameters = {
        "MaxConcurrentTransforms": int(workers),
        "BatchStrategy": "MULTI_RECORD",
        "MaxPayloadInMB": PAYLOAD_MB,
    }
    return respond(json.dumps(parameters), 200, "application/json")


PHRASES = {
    400: "Bad Request",
    406: "Not Acceptable",
    415: "Unsupported Media Type",
    500: "Internal Server Error",
}


def respond(body: str, status: int, kind: str) -> Any:
    """A response of the image's own server, the only thing it takes a status from."""
    framework = importlib.import_module("sagemaker_containers.beta.framework")
    return framework.worker.Response(response=body, status=status, mimetype=kind)
