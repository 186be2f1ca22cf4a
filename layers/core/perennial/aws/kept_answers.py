"""Answers that are kept for an Idempotency-Key: small rows in the ledger's table that expire.

Not Powertools' idempotency: its imports cost a cold start 20 to 36 ms of about 190
(`bench/predict.py`), and its keys do not belong to a caller. A row is claimed before the model is
asked, and holds the answer afterwards; only who claimed it writes or drops it.
"""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError
from perennial.aws.clients import client
from perennial.aws.errors import translated

#: Seconds that an answer is kept.
KEPT = 24 * 3600
#: Milliseconds that a claim holds: longer than any request of this function.
CLAIMED_MS = 35_000
#: Bytes of a packed answer; a row of DynamoDB holds 400 KB.
LARGEST = 380_000

_FREE = (
    "attribute_not_exists(pk) OR expires < :now_s OR (attribute_not_exists(answer) AND "
    "claimed_until < :now)"
)


@dataclass(frozen=True)
class Found:
    """What was kept under a key: whose question it was, and the answer (None: under way)."""

    fingerprint: str
    answer: str | None


@dataclass(frozen=True)
class KeptAnswers:
    """The answers of one model's clients, in the table of this name."""

    table: str
    model: str

    def claim(self, caller: str, key: str, fingerprint: str, holder: str, now: int) -> Found | None:
        """Claim a key, or find what another request did with it. `now`: milliseconds."""
        item = self._key(caller, key) | {
            "fingerprint": {"S": fingerprint},
            "holder": {"S": holder},
            "claimed_until": {"N": str(now + CLAIMED_MS)},
            "expires": {"N": str(now // 1000 + KEPT)},
        }
        with translated(f"claiming an Idempotency-Key of {self.model}"):
            try:
                client("dynamodb").put_item(
                    TableName=self.table,
                    Item=item,
                    ConditionExpression=_FREE,
                    ExpressionAttributeValues={
                        ":now": {"N": str(now)},
                        ":now_s": {"N": str(now // 1000)},
                    },
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
            except client("dynamodb").exceptions.ConditionalCheckFailedException as error:
                return _found(error)
        return None

    def keep(self, caller: str, key: str, holder: str, answer: str) -> bool:
        """Keep the answer; False when it is too large for a row, and then the claim is dropped."""
        packed = zlib.compress(answer.encode(), 1)
        if len(packed) > LARGEST:
            self.drop(caller, key, holder)
            return False
        with translated(f"keeping an answer of {self.model}"):
            dynamodb = client("dynamodb")
            try:
                dynamodb.update_item(
                    TableName=self.table,
                    Key=self._key(caller, key),
                    UpdateExpression="SET answer = :answer",
                    ConditionExpression="holder = :holder",
                    ExpressionAttributeValues={":answer": {"B": packed}, ":holder": {"S": holder}},
                )
            except dynamodb.exceptions.ConditionalCheckFailedException:
                return True  # the claim had run out: the request that holds the key keeps its own
        return True

    def drop(self, caller: str, key: str, holder: str) -> None:
        """Give a claim back, so that the key may be tried again at once."""
        with translated(f"freeing an Idempotency-Key of {self.model}"):
            dynamodb = client("dynamodb")
            try:
                dynamodb.delete_item(
                    TableName=self.table,
                    Key=self._key(caller, key),
                    ConditionExpression="holder = :holder",
                    ExpressionAttributeValues={":holder": {"S": holder}},
                )
            except dynamodb.exceptions.ConditionalCheckFailedException:
                return  # the claim had run out, and another request holds the key

    def _key(self, caller: str, key: str) -> dict[str, Any]:
        """No client finds another's answer, whatever key it names."""
        sort = hashlib.sha256(f"{caller}\x00{key}".encode()).hexdigest()
        return {"pk": {"S": f"answer#{self.model}"}, "sk": {"S": sort}}


def _found(error: ClientError) -> Found:
    response: Any = error.response
    item = response.get("Item") or {}
    packed = item.get("answer", {}).get("B")
    answer = zlib.decompress(packed).decode() if packed is not None else None
    return Found(item.get("fingerprint", {}).get("S", ""), answer)
