"""Batches of predictions: names, requests as botocore knows them, headers, manifests."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator
from hypothesis import given
from hypothesis import strategies as st
from perennial.domain import batch, naming
from perennial.domain.batch import CSV, LINES, BadInput, Content, Order, Pair
from perennial.domain.run_input import Network
from perennial.domain.schema import Column
from perennial.domain.signals import ObjectVersion

from local.sagemaker.container.objects import relative_name
from tests.unit.domain.test_naming import LONGEST, STACK, fits

FEATURES = (
    Column("age", "int"),
    Column("job", "category", levels=("nurse",)),
    Column("note", "string", required=False),
)
MARK = naming.batch_mark(datetime(2026, 11, 21, 8, 5, 9, tzinfo=UTC), "0a1b")


def order(**changed: Any) -> Order:
    """What a batch asks for."""
    facts: dict[str, Any] = {
        "name": naming.batch_name("perennial", "census", MARK),
        "role": "arn:aws:iam::123456789012:role/batch",
        "source": "s3://bucket-a/rows/",
        "target": "s3://bucket-b/out",
        "content": Content(CSV, gzip=False),
        "instance": "ml.m5.large",
        "container": {"Image": "i", "ModelDataUrl": "s3://b/m.tar.gz", "Environment": {"A": "b"}},
        "network": Network(),
        "tags": [{"Key": "perennial:model", "Value": "census"}],
    }
    return Order(**facts | changed)


def check(operation: str, request: dict[str, Any]) -> None:
    """A request has what botocore's description asks for, and nothing else."""
    model: Any = botocore.session.get_session().get_service_model("sagemaker")
    shape = model.operation_model(operation).input_shape
    report = ParamValidator().validate(request, shape)
    assert not report.has_errors(), report.generate_report()
    assert request.keys() <= shape.members.keys()


@pytest.mark.parametrize("stack", [STACK, "p"])
@pytest.mark.parametrize("model", [LONGEST, "m"])
def test_the_longest_name_fits_models_and_jobs(stack: str, model: str) -> None:
    """Both names are one, and tell whose they are."""
    name = naming.batch_name(stack, model, MARK)
    assert fits(name, "sagemaker", "CreateModel", "ModelName")
    assert fits(name, "sagemaker", "CreateTransformJob", "TransformJobName")
    assert naming.is_batch_of(stack, model, name)
    assert not naming.is_batch_of(stack, "other", name)
    assert naming.release_of_name(stack, model, name) is None
    assert not naming.is_job_of(naming.run_prefix(stack, model, 1), name)


def test_names_say_what_they_are() -> None:
    """Stack, model, second and salt; and where the objects of the batch lie."""
    assert order().name == "perennial-census-b20261121-080509-0a1b"
    assert naming.batch_base("census", MARK) == "batch/census/b20261121-080509-0a1b"
    assert not naming.is_batch_of("perennial", "census", "perennial-census-r3")
    assert not naming.is_batch_of("perennial", "census", "perennial-census-bb20261121-080509-0a1b")


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"join": True, "content": Content(LINES, gzip=True)},
        {"kms_key": "arn:aws:kms:eu-west-1:123456789012:key/a"},
        {"network": Network(("subnet-1",), ("sg-1",))},
        {"network": Network(isolated=True)},
    ],
)
def test_both_requests_are_as_botocore_describes_them(changed: dict[str, Any]) -> None:
    """Compressed or not, joined or not, with the stack's key and network where it has them."""
    asked = order(**changed)
    made, job = batch.model_request(asked), batch.job_request(asked)
    check("CreateModel", made)
    check("CreateTransformJob", job)
    assert job["ModelName"] == made["ModelName"] == job["TransformJobName"]
    assert job["TransformInput"]["ContentType"] == job["TransformOutput"]["Accept"]
    assert job["TransformInput"]["CompressionType"] == ("Gzip" if asked.content.gzip else "None")
    assert ("DataProcessing" in job) == asked.join
    assert job["TransformOutput"].get("KmsKeyId", "") == asked.kms_key
    assert ("VpcConfig" in made) == bool(asked.network.subnets)
    assert made["EnableNetworkIsolation"] is asked.network.isolated


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", Content(CSV, gzip=False)),
        ("x/A.CSV.gz", Content(CSV, gzip=True)),
        ("a.jsonl", Content(LINES, gzip=False)),
        ("a.ndjson.gz", Content(LINES, gzip=True)),
    ],
)
def test_the_end_of_a_name_says_what_it_holds(name: str, content: Content) -> None:
    """In any case, compressed or not."""
    assert batch.content_of(name) == content


@pytest.mark.parametrize("name", ["a.parquet", "a", "a.gz", "a.json"])
def test_other_names_are_refused(name: str) -> None:
    """Nothing is guessed of content."""
    with pytest.raises(BadInput, match="name it by what it holds"):
        batch.content_of(name)


def test_objects_of_two_kinds_are_refused_by_name() -> None:
    """One job reads one kind."""
    with pytest.raises(BadInput, match=r"a\.csv and b\.csv\.gz are of different kinds"):
        batch.content_of_all(["a.csv", "c.csv", "b.csv.gz"])


@pytest.mark.parametrize(
    ("cells", "positions"),
    [
        (["age", "job", "note"], (0, 1, 2)),
        (["\ufeffjob ", "extra", "age"], (2, 0, -1)),
        (["39", "nurse", ""], None),
        (["39", "nurse", "note"], None),
    ],
)
def test_a_header_is_told_from_a_row(cells: list[str], positions: tuple[int, ...] | None) -> None:
    """By half of the names; an optional column may be missing, others are read by name."""
    found = batch.header_of(FEATURES, cells)
    assert (None if found is None else found.positions) == positions


def test_a_header_without_a_required_column_is_refused() -> None:
    """The column that is missing is named."""
    with pytest.raises(BadInput, match="job"):
        batch.header_of(FEATURES, ["age", "jobb", "note"])


KEY = st.text(st.sampled_from("ab/."), min_size=1, max_size=12)


@given(KEY, KEY)
def test_outputs_are_named_as_sagemaker_names_them(prefix: str, rest: str) -> None:
    """For every prefix and key the name is that of the local cloud's transform jobs."""
    assert batch.relative_name(prefix, prefix + rest) == relative_name(prefix, prefix + rest)
    assert batch.output_key("out/x", "a/b.csv") == "out/x/a/b.csv.out"
    assert batch.output_key("", "b.csv") == "b.csv.out"


def version(key: str) -> ObjectVersion:
    """An object."""
    return ObjectVersion("b", key, "v1", "e", 10, 0)


def test_the_manifest_holds_rows_and_names_what_does_not_match() -> None:
    """A missing output and a wrong count are problems; whole ones are not."""
    pairs = [
        Pair(version("a.csv"), version("o/a.csv.out"), 2, 2),
        Pair(version("b.csv"), version("o/b.csv.out"), 3, 2),
        Pair(version("c.csv"), None, 4, None),
    ]
    found = batch.objects_of(pairs)
    assert (found["rows_in"], found["rows_out"]) == (9, 4)
    assert [entry["of"] for entry in found["outputs"]] == ["s3://b/a.csv", "s3://b/b.csv"]
    assert found["inputs"][0] == {
        "uri": "s3://b/a.csv", "version_id": "v1", "etag": "e", "bytes": 10, "rows": 2,
    }  # fmt: skip
    assert batch.mismatches(pairs) == [
        "s3://b/b.csv has 3 rows and 2 predictions",
        "s3://b/c.csv has no predictions",
    ]
