"""The record preprocessor that SageMaker Model Monitor's container runs on each captured request.

The container knows flat rows only; our requests have several rows, by name or by place, and an
endpoint's capture may hold answers of two versions. `script` is this file with the live version's
columns and number at its end, so it keeps to the standard library and to Python 3.6.
https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-pre-and-post-processing.html
"""

import base64
import csv
import inspect
import io
import json
import sys
from typing import Any, Dict, List, Optional, Sequence  # noqa: UP035  # Python 3.6 reads it

#: The columns of a request in their order, and the version whose answers count; see `script`.
FEATURES: Sequence[str] = ()
VERSION = 0
#: Texts that stand for a missing value.
MISSING: Sequence[str] = ()
#: What the rows of a JSON request lie under.
ROWS = ("instances", "rows")


def script(features: Sequence[str], missing: Sequence[str], version: int) -> str:
    """The source of the preprocessor for a version that takes these columns."""
    source = inspect.getsource(sys.modules[__name__])
    ends = ("FEATURES", list(features)), ("MISSING", list(missing)), ("VERSION", version)
    return source + "\n\n" + "".join("{} = {!r}\n".format(*each) for each in ends)


def preprocess_handler(inference_record: Any) -> Any:
    """The rows of one captured request: one as an object, several as a list; [] leaves it out."""
    try:
        version = served_version(inference_record.endpoint_output)
        if version is not None and version != VERSION:
            return []
        rows = request_rows(inference_record.endpoint_input)
    except (ValueError, TypeError, AttributeError) as error:
        # Never to stdout: the container reads the rows from there.
        sys.stderr.write("a captured request cannot be read: {}\n".format(error))  # noqa: UP032
        return []
    known = [{name: present(value) for name, value in row.items()} for row in rows]
    return known[0] if len(known) == 1 else known


def served_version(side: Any) -> Optional[int]:  # noqa: UP045  # as above
    """The version that an answer names; None when it names none, or is no JSON."""
    try:
        answer = json.loads(text_of(side))
    except ValueError:
        return None
    found = answer.get("version") if isinstance(answer, dict) else None
    return found if isinstance(found, int) else None


def request_rows(side: Any) -> List[Dict[str, Any]]:  # noqa: UP006  # as above
    """The rows of a request by column; raises ValueError for what is none."""
    text = text_of(side)
    kind = str(getattr(side, "observedContentType", "") or "")
    if side.encoding == "JSON" or (side.encoding != "CSV" and "json" in kind):
        document = json.loads(text)
        for name in ROWS if isinstance(document, dict) else ():
            if isinstance(document.get(name), list):
                document = document[name]
                break
        is_flat = isinstance(document, list) and not isinstance((document or [0])[0], (dict, list))
        entries = document if isinstance(document, list) and not is_flat else [document]
        return [_named(entry) for entry in entries]
    lines = [line for line in csv.reader(io.StringIO(text), skipinitialspace=True) if line]
    if lines and set(lines[0]) <= set(FEATURES):
        header = lines[0]
        return [dict(zip(header, line)) for line in lines[1:]]  # noqa: B905  # as above
    return [_named(line) for line in lines]


def present(value: Any) -> Any:
    """A value, or None for one that is missing."""
    is_missing = isinstance(value, str) and (not value.strip() or value.strip() in MISSING)
    return None if is_missing else value


def text_of(side: Any) -> str:
    """What one side of an exchange said, as text; raises ValueError."""
    data = side.data
    if side.encoding == "BASE64":
        return base64.b64decode(data, validate=True).decode("utf-8")
    return data if isinstance(data, str) else json.dumps(data)


def _named(entry: Any) -> Dict[str, Any]:  # noqa: UP006  # as above
    """A row by its columns; a value beyond the last column has a name that none has."""
    if isinstance(entry, dict):
        return entry
    if not isinstance(entry, list):
        raise ValueError("a row is neither an object nor a list of values")  # noqa: TRY004
    names = [*FEATURES, *("_c{}".format(n) for n in range(len(FEATURES), len(entry)))]  # noqa: UP032
    return dict(zip(names, entry))  # noqa: B905  # as above
