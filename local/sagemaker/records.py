"""Lists as SageMaker answers them: filtered, sorted, paged; and what a shape lets through."""

import base64
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.model import ServiceModel, StructureShape

from local.sagemaker.errors import invalid

Record = dict[str, Any]
DEFAULT_PAGE = 10
_Compare = Callable[[float, float], bool]
_TIMES: tuple[tuple[str, str, _Compare], ...] = (
    ("CreationTimeAfter", "CreationTime", lambda found, bound: found >= bound),
    ("CreationTimeBefore", "CreationTime", lambda found, bound: found <= bound),
    ("LastModifiedTimeAfter", "LastModifiedTime", lambda found, bound: found >= bound),
    ("LastModifiedTimeBefore", "LastModifiedTime", lambda found, bound: found <= bound),
)


@dataclass(frozen=True)
class Listing:
    """How one List operation reads its parameters and its records."""

    name: str  # the member that NameContains and SortBy=Name look at
    result: str  # the output member that holds the page
    status: str = ""  # the member that StatusEquals and SortBy=Status look at
    order: str = "Ascending"  # the documented default of every list here
    sort_by: str = "CreationTime"


def members(model: ServiceModel, name: str) -> StructureShape:
    """A structure of the model by its name."""
    shape = model.shape_for(name)
    if not isinstance(shape, StructureShape):
        raise TypeError(f"{name} is a {shape.type_name}, not a structure")
    return shape


def project(shape: StructureShape, record: Mapping[str, Any]) -> Record:
    """The members of a shape that the record has."""
    return {name: record[name] for name in shape.members if record.get(name) is not None}


def listed(
    listing: Listing,
    records: Iterable[Record],
    parameters: Mapping[str, Any],
    extra: Sequence[Callable[[Record], bool]] = (),
) -> tuple[list[Record], str | None]:
    """One page of the records that the parameters ask for, and the token of the next one."""
    found = [r for r in records if _matches(listing, r, parameters) and all(f(r) for f in extra)]
    sort_by = parameters.get("SortBy", listing.sort_by)
    member = {"Name": listing.name, "Status": listing.status}.get(sort_by, sort_by)
    reverse = parameters.get("SortOrder", listing.order) == "Descending"
    found.sort(key=lambda r: (r[member], r["CreationTime"], r[listing.name]), reverse=reverse)
    return paged(found, parameters)


def paged(found: Sequence[Any], parameters: Mapping[str, Any]) -> tuple[list[Any], str | None]:
    """Cut one page out; the token names the query it belongs to and the next position."""
    query = {k: v for k, v in parameters.items() if k not in ("NextToken", "MaxResults")}
    mark = json.dumps(query, sort_keys=True, default=str)
    start = _position(parameters["NextToken"], mark) if parameters.get("NextToken") else 0
    size = parameters.get("MaxResults", DEFAULT_PAGE)
    page = list(found[start : start + size])
    token = None
    if start + size < len(found):
        token = base64.urlsafe_b64encode(json.dumps([start + size, mark]).encode()).decode()
    return page, token


def _position(token: str, mark: str) -> int:
    try:
        position, found = json.loads(base64.urlsafe_b64decode(token.encode()))
    except ValueError as error:
        raise invalid("Invalid NextToken") from error
    if found != mark or not isinstance(position, int):
        raise invalid("NextToken does not belong to a request with these parameters")
    return position


def _matches(listing: Listing, record: Record, parameters: Mapping[str, Any]) -> bool:
    part = parameters.get("NameContains")
    if part is not None and part not in record[listing.name]:
        return False
    status = parameters.get("StatusEquals")
    if status is not None and record[listing.status] != status:
        return False
    moments: Mapping[str, float] = {"LastModifiedTime": record["CreationTime"], **record}
    return all(
        compare(moments[member], parameters[name])
        for name, member, compare in _TIMES
        if name in parameters
    )
