"""What is registered for scaling: targets, their policies, and what was done for them."""

import threading
import uuid
from dataclasses import dataclass, field
from typing import Any

Record = dict[str, Any]
NAMESPACE = "sagemaker"
DIMENSION = "sagemaker:variant:DesiredInstanceCount"
MOST_ACTIVITIES = 1000  # that are remembered in all
IN_PROGRESS = "InProgress"


@dataclass(frozen=True)
class Place:
    """A production variant of an endpoint."""

    endpoint: str
    variant: str

    @property
    def resource(self) -> str:
        """Its ResourceId."""
        return f"endpoint/{self.endpoint}/variant/{self.variant}"

    @property
    def members(self) -> Record:
        """The three members by which the API names it."""
        return {
            "ServiceNamespace": NAMESPACE,
            "ResourceId": self.resource,
            "ScalableDimension": DIMENSION,
        }


@dataclass
class Policy:
    """A target tracking policy with the names of its alarms; times are service seconds."""

    name: str
    arn: str
    configuration: Record
    high: str
    low: str
    created: float
    last_out: float | None = None
    before_out: int = 0  # instances before the last scale-out
    last_in: float | None = None

    @property
    def target(self) -> float:
        """Requests a minute that an instance shall get."""
        return float(self.configuration["TargetValue"])

    @property
    def can_shrink(self) -> bool:
        """Whether it takes instances away, too."""
        return not self.configuration.get("DisableScaleIn")

    def alarms(self) -> list[str]:
        """The names of the alarms that it has."""
        return [self.high, self.low] if self.can_shrink else [self.high]


@dataclass
class Activity:
    """One change of a variant's count; `policy` asked for it, if one did."""

    place: Place
    count: int
    was: int
    cause: str
    started: float
    policy: str = ""
    status: str = IN_PROGRESS
    message: str = ""
    ended: float | None = None
    id: str = field(default_factory=lambda: str(uuid.uuid4()))

    def shown(self) -> Record:
        """As DescribeScalingActivities shows it."""
        found = {
            "ActivityId": self.id,
            **self.place.members,
            "Description": f"Setting desired instance count to {self.count}.",
            "Cause": self.cause,
            "StartTime": round(self.started, 3),
            "StatusCode": self.status,
            "StatusMessage": self.message,
        }
        return found if self.ended is None else {**found, "EndTime": round(self.ended, 3)}


@dataclass
class Target:
    """A variant whose count may be changed. `born`: when its endpoint was created."""

    place: Place
    least: int
    most: int
    arn: str
    born: float
    created: float
    suspended: Record
    policies: dict[str, Policy] = field(default_factory=dict)
    under_way: Activity | None = None
    is_new: bool = True  # its bounds have not been looked at since they were set
    quiet_until: float = 0.0  # service seconds


class ScalingBook:
    """All targets; changed under `lock`."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.targets: dict[Place, Target] = {}
        self.activities: list[Activity] = []

    def note(self, activity: Activity) -> None:
        """Remember what is being done."""
        with self.lock:
            self.activities.append(activity)
            del self.activities[:-MOST_ACTIVITIES]

    def working(self) -> int:
        """How many changes are under way."""
        with self.lock:
            return sum(target.under_way is not None for target in self.targets.values())
