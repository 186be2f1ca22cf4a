"""A stack whose containers have no network: training, release and predictions, end to end."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from typing import Any

import pytest
from perennial.aws.transforms import describe_transform
from perennial.domain.file_digests import CODE_LISTING
from perennial.start_batch import Asked, start_batch
from perennial.wiring import connect

from tests.functional.stack import release_story as story
from tests.functional.stack.conftest import Checkout, make_checkout
from tests.functional.stack.release_story import MODEL, Stack, kind, stack  # noqa: F401  # fixtures

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A hurried stack with NetworkIsolation=yes."""
    folder, state = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("cloud") / "state"
    made = make_checkout(folder, state, "--clock", str(story.CLOCK))
    made.sam("deploy", "--parameter-overrides", "NetworkIsolation=yes")
    yield made
    made.cloud.stop()


def served(stack: Stack, config: str) -> dict[str, Any]:  # noqa: F811
    """The SageMaker Model behind a production configuration."""
    found: dict[str, Any] = stack.checkout.cloud.client("sagemaker").describe_model(
        ModelName=config
    )
    return found


def test_a_version_goes_live_without_any_network(stack: Stack) -> None:  # noqa: F811
    """Its archive holds the code that was judged; endpoint and batch predict from it alone."""
    story.an_approval_goes_live(stack)
    live = stack.live
    assert live is not None
    model = served(stack, live.config)
    assert model["EnableNetworkIsolation"]
    container = model["PrimaryContainer"]
    assert container["Environment"]["SAGEMAKER_SUBMIT_DIRECTORY"] == "/opt/ml/model/code"
    bucket, _, key = container["ModelDataUrl"].removeprefix("s3://").partition("/")
    body = stack.checkout.cloud.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        assert {"schema.json", f"code/{CODE_LISTING}"} <= set(archive.getnames())
    closed = connect({**stack.ports.deployment.values, "NETWORK_ISOLATION": "yes"})
    rows = stack.folder / "rows.csv"
    rows.write_text(",".join(stack.row) + "\n" + ",".join(map(str, stack.row.values())) + "\n")
    batch = start_batch(closed, Asked(MODEL, rows))
    story.until("the batch", lambda: describe_transform(batch.order.name).is_over)
    assert describe_transform(batch.order.name).status == "Completed"
