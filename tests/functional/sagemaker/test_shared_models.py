"""Real models on one endpoint: archives as a release packs them, asked as the smoke test asks."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from perennial.domain.shared_archive import repack, server_code

from cli.datasets import synthetic_dataset
from jobs.archives import ARCHIVE, code_files, pack
from local.sagemaker.container.images import KNOWN, Images
from tests.functional.sagemaker.hosting import Hosting
from tests.jobs.conftest import ROOT
from tests.jobs.shared_models import variables, variant
from tests.jobs.test_serving import Case, make

RAISED = 1000.0


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """The smallest model, trained once."""
    place = tmp_path_factory.mktemp("salary")
    (table,) = synthetic_dataset("salary").tables
    (place / "data.csv").write_text(table.text())
    python = Images(ROOT).environment(KNOWN) / "bin" / "python"
    return make("salary", place / "data.csv", place / "kept", python)


def packed(model: Path, case: Case, place: Path) -> bytes:
    """A model's archive as its evaluation packs it."""
    pack(model, place / ARCHIVE, code_files(case.code, model))
    return (place / ARCHIVE).read_bytes()


@pytest.mark.long
def test_two_models_of_one_endpoint_answer_by_name_and_version(
    hosting: Hosting, case: Case, tmp_path: Path
) -> None:
    """Loaded from their own archives by a server that has none of their variables."""
    models = {"salary": (case.place / "model", "7")}
    models["wages"] = (variant(case.place / "model", tmp_path / "wages", "wages", RAISED), "3")
    for name, (model, version) in models.items():
        made = io.BytesIO()
        told = variables(model, case.code, name, version)
        repack(io.BytesIO(packed(model, case, tmp_path)), made, told)
        hosting.put(f"shared/{name}/{version}.tar.gz", made.getvalue())
    code = server_code(io.BytesIO(packed(case.place / "model", case, tmp_path)))
    container = hosting.container(
        SAGEMAKER_PROGRAM="serve.py",
        SAGEMAKER_SUBMIT_DIRECTORY=hosting.put("server/code.tar.gz", code),
    )
    container |= {"Mode": "MultiModel", "ModelDataUrl": hosting.uri("shared/")}
    model_name = hosting.model(container=container)
    endpoint = hosting.endpoint(hosting.config(hosting.variant(model_name)))
    body = case.line(case.rows[0])
    for name, version, more in (("salary", 7, 0.0), ("wages", 3, RAISED)):
        target = {"TargetModel": f"{name}/{version}.tar.gz", "ContentType": "text/csv"}
        said = hosting.invoke(endpoint, body, **target)
        document = json.loads(said["Body"].read())
        assert (document["model"], document["version"]) == (name, version)
        (prediction,) = document["predictions"]
        assert prediction["prediction"] == pytest.approx(case.scores[0][0] + more, rel=1e-9)
        with pytest.raises(ClientError) as caught:
            hosting.invoke(endpoint, "x", **target)
        assert caught.value.response["OriginalStatusCode"] == 400
        assert "row 1 has 1 values" in caught.value.response["OriginalMessage"]
