"""Notices to people: one SNS topic a stack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from perennial.aws.clients import client
from perennial.aws.errors import translated

LONGEST_SUBJECT = 100


@dataclass(frozen=True)
class Notices:
    """The topic, by its ARN."""

    topic: str

    def publish(self, subject: str, text: str, attributes: Mapping[str, str]) -> None:
        """Send one notice; subscribers filter and de-duplicate by its attributes."""
        # SNS takes a subject of up to 100 printable ASCII characters that begins with a letter.
        plain = "".join(c if " " <= c <= "~" else "?" for c in subject)[:LONGEST_SUBJECT]
        with translated("sending a notice"):
            client("sns").publish(
                TopicArn=self.topic,
                Subject=plain,
                Message=text,
                MessageAttributes={
                    name: {"DataType": "String", "StringValue": value}
                    for name, value in attributes.items()
                    if value
                },
            )
