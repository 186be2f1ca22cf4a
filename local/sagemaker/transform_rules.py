"""What CreateTransformJob refuses, what it fills in, and what its event says."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from local.sagemaker.container.objects import DataError, split_uri
from local.sagemaker.errors import invalid, unsupported
from local.sagemaker.records import Record
from local.sagemaker.transform_filter import Filter, FilterError
from local.sagemaker.transform_records import FORMATS, JSON, MEGABYTE, Recipe, kind_of

MOST_MEGABYTES = 100  # MaxConcurrentTransforms times MaxPayloadInMB
PAYLOAD_MB = 6
CONCURRENT = 1
MULTI, SINGLE = "MultiRecord", "SingleRecord"
#: As the container reads and says a batch strategy.
SPELLED = {MULTI: "MULTI_RECORD", SINGLE: "SINGLE_RECORD"}
EVENT_MEMBERS = (
    *("TransformJobName", "TransformJobArn", "TransformJobStatus", "FailureReason", "ModelName"),
    *("MaxConcurrentTransforms", "MaxPayloadInMB", "BatchStrategy", "ModelClientConfig"),
    *("Environment", "TransformInput", "TransformOutput", "TransformResources"),
    *("DataProcessing", "CreationTime", "TransformStartTime", "TransformEndTime"),
)


def accepted(parameters: Record, arn: str) -> Record:
    """The record that DescribeTransformJob shows; AWS's error, or the name of what is not done."""
    record = {name: value for name, value in parameters.items() if name != "Tags"}
    for name in ("ExperimentConfig", "DataCaptureConfig"):
        if record.get(name):
            raise unsupported(f"{name} of a transform job")
    if record["TransformResources"].get("TransformAmiVersion"):
        raise unsupported("TransformAmiVersion")
    source = record["TransformInput"]
    kind = source["DataSource"]["S3DataSource"]["S3DataType"]
    if kind not in ("S3Prefix", "ManifestFile"):
        raise unsupported(f"S3DataType {kind} of a transform job")
    if source.setdefault("SplitType", "None") not in ("None", "Line"):
        raise unsupported(f"SplitType {source['SplitType']}")
    source.setdefault("CompressionType", "None")
    record["TransformOutput"].setdefault("AssembleWith", "None")
    if record.get("BatchStrategy") == MULTI and source["SplitType"] == "None":
        raise invalid("BatchStrategy MultiRecord needs a SplitType other than None.")
    _check_places(record)
    _check_sizes(record)
    _check_processing(record)
    record.update(TransformJobArn=arn, CreationTime=round(time.time(), 3))
    return record


def _check_places(record: Record) -> None:
    source = record["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"]
    for uri in (source, record["TransformOutput"]["S3OutputPath"]):
        try:
            split_uri(uri)
        except DataError as error:
            raise invalid(f"{error}.") from error


def _check_sizes(record: Record) -> None:
    total = record.get("MaxConcurrentTransforms", 0) * record.get("MaxPayloadInMB", 0)
    if total > MOST_MEGABYTES or record.get("MaxPayloadInMB", 0) > MOST_MEGABYTES:
        raise invalid(
            "The value of MaxConcurrentTransforms * MaxPayloadInMB must not exceed "
            f"{MOST_MEGABYTES} MB; it is {max(total, record['MaxPayloadInMB'])} MB."
        )


def _check_processing(record: Record) -> None:
    given = record.get("DataProcessing")
    if given is None:
        return
    given.setdefault("InputFilter", "$")
    given.setdefault("OutputFilter", "$")
    given.setdefault("JoinSource", "None")
    filters = []
    for name in ("InputFilter", "OutputFilter"):
        try:
            filters.append(Filter(given[name]))
        except FilterError as error:
            raise invalid(f"DataProcessing.{name} is no JSONPath that can be used: {error}.") from (
                error
            )
    join = given["JoinSource"] == "Input"
    if not join and all(each.is_whole for each in filters):
        return
    source, target = record["TransformInput"], record["TransformOutput"]
    kind, accept = kind_of(source.get("ContentType")), target.get("Accept")
    if not kind:
        raise invalid(
            f"DataProcessing needs a ContentType of {', '.join(FORMATS)}; it is "
            f"{source.get('ContentType')}."
        )
    if accept is not None and kind_of(accept) != kind:
        raise invalid(f"DataProcessing needs an Accept like its ContentType {kind}; not {accept}.")
    if source["SplitType"] == "None" and kind != JSON:
        raise unsupported(f"DataProcessing of {kind} without SplitType Line")
    if join and (source["SplitType"] == "Line") != (target["AssembleWith"] == "Line"):
        raise invalid("JoinSource Input needs AssembleWith and SplitType to be the same.")


def settings(record: Mapping[str, Any], told: Mapping[str, Any]) -> tuple[Recipe, int]:
    """The recipe and how many requests an instance gets at once.

    What the request leaves open, or sets to 0 requests, is what the container told by
    GET /execution-parameters, else SageMaker's default.
    """
    source, target = record["TransformInput"], record["TransformOutput"]
    split = source["SplitType"] == "Line"
    strategy = record.get("BatchStrategy") or told.get("BatchStrategy") or MULTI
    megabytes = record.get("MaxPayloadInMB", told.get("MaxPayloadInMB", PAYLOAD_MB))
    together = record.get("MaxConcurrentTransforms") or told.get("MaxConcurrentTransforms")
    given = record.get("DataProcessing", {})
    recipe = Recipe(
        split=split,
        several=split and strategy in (MULTI, SPELLED[MULTI]),
        limit=int(megabytes) * MEGABYTE,
        assemble=target["AssembleWith"] == "Line",
        kind=kind_of(source.get("ContentType")),
        input_filter=Filter(given.get("InputFilter", "$")),
        output_filter=Filter(given.get("OutputFilter", "$")),
        join=given.get("JoinSource") == "Input",
    )
    return recipe, int(together or CONCURRENT)


def environment(record: Mapping[str, Any]) -> dict[str, str]:
    """The job's variables over the model's: its own, and those that tell of a batch."""
    found = dict(record.get("Environment", {}))
    found["SAGEMAKER_BATCH"] = "true"
    if "MaxPayloadInMB" in record:
        found["SAGEMAKER_MAX_PAYLOAD_IN_MB"] = str(record["MaxPayloadInMB"])
    if "BatchStrategy" in record:
        found["SAGEMAKER_BATCH_STRATEGY"] = SPELLED[record["BatchStrategy"]]
    if record.get("MaxConcurrentTransforms"):
        found["SAGEMAKER_MAX_CONCURRENT_TRANSFORMS"] = str(record["MaxConcurrentTransforms"])
    return found


def transform_event(record: Mapping[str, Any], tags: Mapping[str, str]) -> dict[str, Any]:
    """The event's detail: Describe's members, times as texts (AWS's page of event samples)."""

    def spelled(name: str) -> Any:
        if name.endswith("Time"):
            return datetime.fromtimestamp(record[name], UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return record[name]

    detail = {name: spelled(name) for name in EVENT_MEMBERS if name in record}
    return {**detail, "Tags": dict(tags)}
