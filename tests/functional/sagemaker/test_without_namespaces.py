"""Where unprivileged users get no namespaces, jobs still run, by their paths alone."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.functional.conftest import REPOSITORY, LocalCloud, free_port
from tests.functional.sagemaker.conftest import Jobs
from tests.functional.sagemaker.hosting import Hosting
from tests.functional.sagemaker.test_processing import OUTPUT, target

FORBID = "echo 0 > /proc/sys/user/max_user_namespaces && exec "


@pytest.fixture
def poor_cloud(tmp_path: Path) -> Any:
    """A cloud in a place where no further user namespace may be made."""
    state = tmp_path / "state"
    command = f"{sys.executable} -m local --port {free_port()} --state {state}"
    process = subprocess.Popen(
        ["unshare", "-Ur", "sh", "-c", FORBID + command],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    while line and not line.startswith("{"):
        line = process.stdout.readline()
    token = json.loads((state / "cloud.json").read_text())["token"]
    cloud = LocalCloud(process, json.loads(line)["endpoint"], token, state, 0.0)
    yield cloud
    cloud.stop()


def test_jobs_run_by_their_paths_alone(poor_cloud: LocalCloud) -> None:
    """Arguments and variables are rewritten, results are the same, isolation is refused by name."""
    jobs = Jobs(poor_cloud)
    outputs = {"Outputs": [target("o", jobs.uri("out"))]}
    name = jobs.process(
        ["bash", "-c", f"test -d $SAGEMAKER_BASE_DIR && echo fine > {OUTPUT}/o/x.txt"],
        ProcessingOutputConfig=outputs,
    )
    assert jobs.wait(name)["Status"] == "Completed", jobs.logs(name)
    assert jobs.get("out/x.txt") == b"fine\n"
    script = """
        import os
        open(os.path.join(os.environ["SM_MODEL_DIR"], "m"), "w").write(os.getcwd())
    """
    trained = jobs.train(script)
    assert jobs.wait(trained)["Status"] == "Completed", jobs.logs(trained)
    with pytest.raises(ClientError, match="cannot isolate a job's network on this machine"):
        jobs.train(script, EnableNetworkIsolation=True)
    assert "no private /opt/ml" in (poor_cloud.state / "cloud.log").read_text()


def test_servers_run_by_their_paths_alone(poor_cloud: LocalCloud) -> None:
    """An endpoint's instances find model and code, answer, and end with the endpoint."""
    hosting = Hosting(poor_cloud)
    name = hosting.serve("plain", count=2)
    assert json.loads(hosting.invoke(name, "1,2")["Body"].read())["word"] == "plain"
    hosting.remove(name)
    assert not hosting.processes(name)
