"""The API of predictions, called as any client calls it: signed by SigV4, or with a token."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import botocore.session
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.httpsession import URLLib3Session
from perennial.aws.errors import translated
from perennial.domain.errors import Denied, Unavailable

SECONDS = 35  # the API itself gives up after 30
TRIES = 4
LATER = (409, 429, 503)


@dataclass(frozen=True)
class ApiAnswer:
    """What the API answered: HTTP status, the document, and whether to ask again later."""

    status: int
    document: dict[str, Any]
    later: bool = False


@dataclass(frozen=True)
class PredictionsApi:
    """One deployment's API, by its URL; with a `token` nothing is signed."""

    url: str
    token: str = ""

    @cached_property
    def _connections(self) -> URLLib3Session:
        return URLLib3Session(timeout=SECONDS)

    @cached_property
    def _signer(self) -> SigV4Auth:
        session = botocore.session.get_session()
        credentials = session.get_credentials()
        if credentials is None:
            raise Denied(f"asking {self.url}: no AWS credentials, and no --token")
        region = str(session.get_config_variable("region") or os.environ.get("AWS_REGION", ""))
        return SigV4Auth(credentials, "execute-api", region)

    def describe(self, model: str) -> ApiAnswer:
        """What is live of a model and what its requests must hold."""
        return self._ask("GET", f"/models/{model}", None)

    def predict(self, model: str, document: Any, *, explain: bool) -> ApiAnswer:
        """Predictions; asked again, a few times, where the API says that this may help."""
        path = f"/models/{model}/predictions" + ("?explain=true" if explain else "")
        answer = self._ask("POST", path, document)
        for _ in range(TRIES - 1):
            if not answer.later:
                break
            time.sleep(1)
            answer = self._ask("POST", path, document)
        return answer

    def _ask(self, method: str, path: str, document: Any) -> ApiAnswer:
        body = b"" if document is None else json.dumps(document).encode()
        headers = {"content-type": "application/json"}
        request = AWSRequest(method, self.url + path, headers=headers, data=body)
        self._authorise(request)
        with translated(f"asking {self.url}"):
            answer: Any = self._connections.send(request.prepare())
        try:
            found = json.loads(answer.content)
        except ValueError:
            raise Unavailable(
                f"{self.url} answered {answer.status_code} and no JSON: is it the API's address?"
            ) from None
        later = answer.status_code in LATER and "retry-after" in answer.headers
        return ApiAnswer(answer.status_code, found, later or answer.status_code == 429)

    def _authorise(self, request: AWSRequest) -> None:
        if self.token:
            request.headers["authorization"] = f"Bearer {self.token}"
            return
        self._signer.add_auth(request)
