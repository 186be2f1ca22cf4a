"""EventBridge's API: moto's rules and buses, our delivery, refusals by name."""

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from moto.events.exceptions import ValidationException
from moto.events.models import EventPatternParser
from moto.events.responses import EventsHandler

from local.events.bus import from_entry
from local.events.pattern import matches
from local.events.targets import unsupported
from local.schedules.expression import ExpressionInvalidError, parse_schedule

if TYPE_CHECKING:
    from collections.abc import Callable

    from moto.core.responses import BaseResponse

    from local.cloud import Cloud

MAX_ENTRIES = 10
MAX_ENTRY_BYTES = 1024 * 1024
MAX_TARGETS = 5
REQUIRED = ("Source", "DetailType", "Detail")


def events_response(cloud: "Cloud") -> "Callable[[], BaseResponse]":
    """The response class, bound to this cloud."""

    class Response(_EventsResponse):
        """Bound to one cloud."""

    Response.cloud = cloud
    return Response


class _EventsResponse(EventsHandler):
    """moto's events with real delivery."""

    cloud: "Cloud"

    def call_action(self) -> Any:
        """Under the service's lock."""
        with self.cloud.lock("events"):
            return super().call_action()

    def put_events(self) -> Any:
        """Take entries; a bad one is reported beside the good ones, as AWS does."""
        entries = self._get_param("Entries") or []
        if not 1 <= len(entries) <= MAX_ENTRIES:
            raise ValidationException(
                "1 validation error detected: Value '[PutEventsRequestEntry]' at 'entries' failed "
                "to satisfy constraint: Member must have length less than or equal to "
                f"{MAX_ENTRIES}"
            )
        results = [self._put_event(entry) for entry in entries]
        failed = sum("ErrorCode" in result for result in results)
        return json.dumps({"FailedEntryCount": failed, "Entries": results})

    def _put_event(self, entry: dict[str, Any]) -> dict[str, str]:
        for name in REQUIRED:
            if not entry.get(name):
                text = f"Parameter {name} is not valid. Reason: {name} is a required argument."
                return {"ErrorCode": "InvalidArgument", "ErrorMessage": text}
        if str(entry["Source"]).startswith("aws."):
            text = "Not authorized to use 'aws.' as a source."
            return {"ErrorCode": "NotAuthorizedForSourceException", "ErrorMessage": text}
        if not _is_object(entry["Detail"]):
            return {"ErrorCode": "MalformedDetail", "ErrorMessage": "Detail is malformed."}
        if len(json.dumps(entry)) > MAX_ENTRY_BYTES:
            text = f"Total size of the entry is greater than {MAX_ENTRY_BYTES} bytes."
            return {"ErrorCode": "InvalidArgument", "ErrorMessage": text}
        bus = str(entry.get("EventBusName") or "default").rpartition("/")[2]
        if bus not in self.events_backend.event_buses:
            return {
                "ErrorCode": "ResourceNotFoundException",
                "ErrorMessage": f"Event bus {bus} does not exist.",
            }
        seconds = entry.get("Time") or self.cloud.clock.now()
        moment = datetime.fromtimestamp(float(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        event = from_entry(self.cloud, entry, moment)
        self.cloud.bus.publish(event, bus)
        return {"EventId": event["id"]}

    def put_rule(self) -> Any:
        """As moto, but a schedule must be one that fires."""
        schedule = self._get_param("ScheduleExpression")
        if schedule:
            try:
                parse_schedule(schedule, allow_at=False)
            except ExpressionInvalidError as error:
                raise ValidationException("Parameter ScheduleExpression is not valid.") from error
        return super().put_rule()

    def put_targets(self) -> Any:
        """Refuse what would not be delivered, by name."""
        targets = self._get_param("Targets") or []
        for target in targets:
            refusal = unsupported(target)
            if refusal:
                raise ValidationException(refusal)
        rule = self.events_backend.describe_rule(
            self._get_param("Rule"), self._get_param("EventBusName")
        )
        kept = {target["Id"] for target in rule.targets} | {target["Id"] for target in targets}
        if len(kept) > MAX_TARGETS:
            return self.error(
                "LimitExceededException",
                "The requested resource exceeds the maximum number allowed.",
            )
        return super().put_targets()

    def test_event_pattern(self) -> Any:
        """Answer with the matcher that delivery uses."""
        pattern = EventPatternParser(self._get_param("EventPattern")).parse()
        event = json.loads(self._get_param("Event"))
        return json.dumps({"Result": matches(pattern, event)})

    def start_replay(self) -> Any:
        """Archives and replays are not part of the local cloud."""
        raise NotImplementedError("EventBridge StartReplay is not supported")

    def create_archive(self) -> Any:
        """Archives and replays are not part of the local cloud."""
        raise NotImplementedError("EventBridge CreateArchive is not supported")


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False
