"""`/_local/…`: how tests, benches and `perennial` steer the cloud itself. Needs its token."""

import hmac
import json
import time
from collections.abc import Callable
from typing import Any

from werkzeug.wrappers import Request, Response

from local.cloud import Cloud
from local.faults import FaultsInvalidError
from local.services import Environ


class Control:
    """Answers health, faults, journal, clock and idle."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self._routes: dict[tuple[str, str], Callable[[Request], Any]] = {
            ("GET", "/_local/health"): self._health,
            ("POST", "/_local/faults"): self._faults,
            ("GET", "/_local/journal"): self._journal,
            ("POST", "/_local/clock"): self._clock,
            ("POST", "/_local/idle"): self._idle,
        }

    def __call__(self, environ: Environ) -> Response:
        """Answer one control request."""
        request = Request(environ)
        token = request.headers.get("X-Perennial-Token", "")
        if not hmac.compare_digest(token.encode(), self.cloud.token.encode()):
            return _json(403, {"message": "X-Perennial-Token is missing or wrong."})
        route = self._routes.get((request.method, request.path))
        if route is None:
            return _json(404, {"message": f"There is no {request.method} {request.path}."})
        try:
            return _json(200, route(request))
        except (FaultsInvalidError, ValueError, TypeError, KeyError) as error:
            return _json(400, {"message": str(error)})

    def _health(self, _: Request) -> dict[str, Any]:
        return {
            "ready": True,
            "endpoint": self.cloud.endpoint,
            "factor": self.cloud.clock.factor,
            "busy": self.cloud.busy(),
            **self.cloud.facts,
        }

    def _faults(self, request: Request) -> dict[str, Any]:
        self.cloud.faults.replace(_body(request))
        return {"ok": True}

    def _journal(self, request: Request) -> dict[str, Any]:
        since = int(request.args.get("since", "0"))
        return {"entries": self.cloud.journal.since(since, request.args.get("kind"))}

    def _clock(self, request: Request) -> dict[str, Any]:
        self.cloud.clock.factor = float(_body(request)["factor"])
        return {"factor": self.cloud.clock.factor}

    def _idle(self, request: Request) -> dict[str, Any]:
        """Wait until nothing is under way for a moment; `timeout` in real seconds (default 60)."""
        body = _body(request)
        deadline = time.monotonic() + float(body.get("timeout", 60))
        ignore = set(body.get("ignore", []))
        quiet = 0
        busy: dict[str, int] = {}
        while time.monotonic() < deadline:
            busy = {k: v for k, v in self.cloud.busy().items() if k not in ignore}
            quiet = 0 if busy else quiet + 1
            if quiet >= 3:
                return {"idle": True, "busy": {}}
            time.sleep(0.05)
        return {"idle": False, "busy": busy}


def _body(request: Request) -> dict[str, Any]:
    document = json.loads(request.get_data() or b"{}")
    if not isinstance(document, dict):
        raise TypeError("the body must be a JSON object")
    return document


def _json(status: int, document: Any) -> Response:
    return Response(json.dumps(document), status, content_type="application/json")
