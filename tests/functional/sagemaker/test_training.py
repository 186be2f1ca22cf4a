"""Training jobs run for real: the container contract, statuses, artifacts, failures, stops."""

import io
import json
import subprocess
import tarfile
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.functional.sagemaker.conftest import IMAGE, Jobs

REPORT = """
    import json, os, sys
    seen = {
        "argv": sys.argv,
        "cwd": os.getcwd(),
        "env": dict(os.environ),
        "files": sorted(os.path.join(p, n) for p, _, f in os.walk("/opt/ml") for n in f),
        "hyper": json.load(open("/opt/ml/input/config/hyperparameters.json")),
        "channels": json.load(open("/opt/ml/input/config/inputdataconfig.json")),
        "resources": json.load(open("/opt/ml/input/config/resourceconfig.json")),
        "pid": os.getpid(),
    }
    json.dump(seen, open(os.environ["SM_MODEL_DIR"] + "/seen.json", "w"))
    open(os.environ["SM_OUTPUT_DATA_DIR"] + "/extra.txt", "w").write("extra")
    print("auc=0.5;")
    print("auc=0.91;", file=sys.stderr)
"""


def member(archive: bytes, name: str) -> bytes:
    """One file of a tar.gz."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        file = tar.extractfile(name)
        assert file is not None
        return file.read()


def test_script_mode_honours_the_container_contract(jobs: Any) -> None:
    """Files, variables, arguments, channels, metrics and artifacts are those of the toolkit."""
    jobs.put("contract/data/a.csv", "1,2\n")
    jobs.put("contract/data/deep/b.csv", "3,4\n")
    channel = {
        "ChannelName": "training",
        "ContentType": "text/csv",
        "DataSource": {
            "S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": jobs.uri("contract/data")}
        },
    }
    name = jobs.train(
        REPORT,
        {"num_leaves": 31, "step": "train", "rate": 0.1, "flag": True, "q": [1, 2]},
        InputDataConfig=[channel],
        Environment={"MINE": "yes"},
        AlgorithmSpecification={
            "TrainingImage": IMAGE,
            "TrainingInputMode": "File",
            "MetricDefinitions": [{"Name": "auc", "Regex": "auc=([0-9.]+);"}],
        },
    )
    found = jobs.wait(name)
    assert found["Status"] == "Completed", found.get("FailureReason")
    assert found["SecondaryStatus"] == "Completed"
    passed = [entry["Status"] for entry in found["SecondaryStatusTransitions"]]
    assert passed == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert found["ModelArtifacts"]["S3ModelArtifacts"] == jobs.uri(
        f"models/{name}/output/model.tar.gz"
    )
    assert [(m["MetricName"], round(m["Value"], 4)) for m in found["FinalMetricDataList"]] == [
        ("auc", 0.91)
    ]
    seen = json.loads(member(jobs.get(f"models/{name}/output/model.tar.gz"), "seen.json"))
    assert member(jobs.get(f"models/{name}/output/output.tar.gz"), "extra.txt") == b"extra"
    given = "--flag|True|--num_leaves|31|-q|[1, 2]|--rate|0.1|--step|train"
    assert seen["argv"][1:] == given.split("|")
    assert seen["cwd"] == "/opt/ml/code"
    assert seen["hyper"]["step"] == '"train"'
    assert seen["channels"] == {
        "training": {
            "ContentType": "text/csv",
            "TrainingInputMode": "File",
            "S3DistributionType": "FullyReplicated",
            "RecordWrapperType": "None",
        }
    }
    assert "/opt/ml/input/data/training/deep/b.csv" in seen["files"]
    env = seen["env"]
    assert env["SM_CHANNEL_TRAINING"] == "/opt/ml/input/data/training"
    assert env["SM_HP_NUM_LEAVES"] == "31"
    assert env["SM_HP_Q"] == "[1,2]"
    assert env["SM_USER_ENTRY_POINT"] == "train.py"
    assert env["SM_CURRENT_HOST"] == "algo-1"
    assert env["TRAINING_JOB_NAME"] == name
    assert env["MINE"] == "yes"
    assert env["OMP_NUM_THREADS"] == env["SM_NUM_CPUS"]
    assert env["OMP_WAIT_POLICY"] == "PASSIVE"
    assert env["AWS_ENDPOINT_URL"] == jobs.cloud.endpoint
    assert "PYTHONDONTWRITEBYTECODE" not in env
    assert json.loads(env["SM_TRAINING_ENV"])["hyperparameters"]["rate"] == 0.1


def test_a_job_reports_while_it_runs_and_its_failure_in_words(jobs: Any) -> None:
    """An exception becomes AlgorithmError with its last lines; no model is stored."""
    name = jobs.train("raise ValueError('the label column is empty')")
    found = jobs.wait(name)
    assert found["Status"] == "Failed"
    assert found["FailureReason"].startswith("AlgorithmError: ExecuteUserScriptError:\nExitCode 1")
    assert "ValueError: the label column is empty" in found["FailureReason"]
    assert found["FailureReason"].endswith(", exit code: 1")
    assert jobs.keys(f"models/{name}/") == []
    assert "ModelArtifacts" not in found


def test_the_failure_file_is_the_reason(jobs: Any) -> None:
    """/opt/ml/output/failure wins over the output, and the exit code is kept."""
    script = """
        import sys
        open("/opt/ml/output/failure", "w").write("only 12 good rows")
        sys.exit(42)
    """
    found = jobs.wait(jobs.train(script))
    assert found["FailureReason"] == "AlgorithmError: only 12 good rows, exit code: 42"


STUBBORN = """
    import signal, time
    def save(*_):
        open("/opt/ml/model/saved", "w").write("kept")
        raise SystemExit(0)
    signal.signal(signal.SIGTERM, save)
    print("ready", flush=True)
    time.sleep(60)
"""


def test_a_stop_lets_the_script_save_its_model(jobs: Any) -> None:
    """StopTrainingJob sends SIGTERM, keeps the artifacts, and ends as Stopped."""
    name = jobs.train(STUBBORN)
    jobs.wait_for_log(name, "ready")
    jobs.sagemaker.stop_training_job(TrainingJobName=name)
    assert jobs.describe(name)["Status"] in ("Stopping", "Stopped")
    found = jobs.wait(name)
    assert (found["Status"], found["SecondaryStatus"]) == ("Stopped", "Stopped")
    assert member(jobs.get(f"models/{name}/output/model.tar.gz"), "saved") == b"kept"
    with pytest.raises(ClientError, match="in status Stopped"):
        jobs.sagemaker.stop_training_job(TrainingJobName=name)


def test_the_time_limit_ends_a_job(jobs: Any) -> None:
    """MaxRuntimeInSeconds ends as Stopped with MaxRuntimeExceeded, artifacts kept."""
    found = jobs.wait(jobs.train(STUBBORN, StoppingCondition={"MaxRuntimeInSeconds": 1}))
    assert (found["Status"], found["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")
    assert "ModelArtifacts" in found


def test_a_job_that_ignores_the_stop_is_killed(start_cloud: Any) -> None:
    """After 120 seconds of the cloud's clock SIGKILL ends it, with all that it started."""
    jobs = Jobs(start_cloud("--clock", "240"))
    script = """
        import signal, subprocess, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        subprocess.Popen(["sleep", "4711.25"])
        print("ready", flush=True)
        time.sleep(60)
    """
    name = jobs.train(script)
    jobs.wait_for_log(name, "ready")
    jobs.sagemaker.stop_training_job(TrainingJobName=name)
    assert jobs.wait(name, seconds=10)["Status"] == "Stopped"
    assert b"4711.25" not in subprocess.run(["ps", "ax"], capture_output=True, check=True).stdout


def test_missing_data_is_a_client_error(jobs: Any) -> None:
    """A channel without objects fails the job by its name."""
    source = {"S3DataType": "S3Prefix", "S3Uri": jobs.uri("nothing/here")}
    channel = {"ChannelName": "training", "DataSource": {"S3DataSource": source}}
    found = jobs.wait(jobs.train("print(1)", InputDataConfig=[channel]))
    assert found["Status"] == "Failed"
    assert "No S3 objects found under S3 URL" in found["FailureReason"]
    assert found["FailureReason"].startswith("ClientError: ")


def test_a_manifest_file_names_the_objects(jobs: Any) -> None:
    """ManifestFile fetches exactly the named objects under their names."""
    for key in ("m/a.csv", "m/b/c.csv", "m/left-out.csv"):
        jobs.put(key, key)
    manifest = jobs.put("m.json", json.dumps([{"prefix": jobs.uri("m/")}, "a.csv", "b/c.csv"]))
    source = {"S3DataType": "ManifestFile", "S3Uri": manifest}
    name = jobs.train(
        REPORT,
        InputDataConfig=[{"ChannelName": "t", "DataSource": {"S3DataSource": source}}],
    )
    assert jobs.wait(name)["Status"] == "Completed"
    seen = json.loads(member(jobs.get(f"models/{name}/output/model.tar.gz"), "seen.json"))
    data = [file for file in seen["files"] if "/input/data/" in file]
    assert data == ["/opt/ml/input/data/t/a.csv", "/opt/ml/input/data/t/b/c.csv"]


def test_the_environment_is_the_images_and_changes_are_thrown_away(jobs: Any) -> None:
    """Only the jobs' requirements are there; what a job writes into it, no other job sees."""
    script = """
        import importlib.util, pathlib, sys
        assert importlib.util.find_spec("lightgbm") and not importlib.util.find_spec("moto")
        mark = pathlib.Path(sys.prefix) / "mark"
        print("mark", mark.exists())
        try:
            mark.write_text("x")
        except OSError as error:
            print("read-only:", error)
    """
    for _ in range(2):
        name = jobs.train(script)
        assert jobs.wait(name)["Status"] == "Completed", jobs.describe(name)
        jobs.wait_for_log(name, "mark False")


def test_an_isolated_job_has_no_network_and_no_credentials(jobs: Any) -> None:
    """EnableNetworkIsolation cuts the job off, also from this cloud."""
    script = f"""
        import os, socket
        assert "AWS_ACCESS_KEY_ID" not in os.environ
        try:
            socket.create_connection(("127.0.0.1", {jobs.cloud.endpoint.rsplit(":", 1)[1]}), 2)
        except OSError as error:
            print("cut off:", error)
        else:
            raise SystemExit("there is a network")
    """
    source = {"S3DataType": "S3Prefix", "S3Uri": jobs.code(script)}
    channel = {"ChannelName": "code", "DataSource": {"S3DataSource": source}}
    archive = f"/opt/ml/input/data/code/{source['S3Uri'].rpartition('/')[2]}"
    name = jobs.train(
        script,
        {"sagemaker_submit_directory": archive},
        InputDataConfig=[channel],
        EnableNetworkIsolation=True,
    )
    found = jobs.wait(name)
    assert found["Status"] == "Completed", found.get("FailureReason")
    assert found["EnableNetworkIsolation"] is True


@pytest.mark.parametrize(
    ("place", "words"),
    [({}, "cannot fetch its code from s3://"),
     ({"sagemaker_submit_directory": "/opt/ml/input/data/code/a.tar.gz"}, "does not have")],
)  # fmt: skip
def test_an_isolated_script_cannot_fetch_its_code(
    jobs: Any, place: dict[str, str], words: str
) -> None:
    """It has to be a channel: one that names S3, or an archive that is not there, fails."""
    found = jobs.wait(jobs.train("print(1)", place, EnableNetworkIsolation=True))
    assert found["Status"] == "Failed"
    assert words in found["FailureReason"]


def test_megabytes_of_output_neither_block_nor_bloat(jobs: Any) -> None:
    """60 MB of output pass; the log stream keeps the first part and the last lines."""
    script = """
        import sys
        line = "x" * 99 + "\\n"
        for _ in range(600):
            sys.stdout.write(line * 1000)
        print("the last line")
    """
    name = jobs.train(script)
    assert jobs.wait(name, seconds=60)["Status"] == "Completed"
    jobs.wait_for_log(name, "the last line")
    lines = jobs.logs(name)
    assert sum("lines left out here" in line for line in lines) == 1
    assert "xxx" in lines[0]


def test_names_are_unique_and_requests_validated(jobs: Any) -> None:
    """ResourceInUse for a double; AWS's validation texts; unknown images and roles by name."""
    name = jobs.train("print(1)")
    with pytest.raises(ClientError, match="already exists") as caught:
        jobs.train("print(1)", TrainingJobName=name)
    assert caught.value.response["Error"]["Code"] == "ResourceInUse"
    with pytest.raises(ClientError, match="regular expression pattern") as caught:
        jobs.train("print(1)", TrainingJobName="bad_name")
    assert caught.value.response["Error"]["Code"] == "ValidationException"
    assert "Value 'bad_name' at 'trainingJobName' failed" in str(caught.value)
    with pytest.raises(ClientError, match="enum value set"):
        jobs.process(
            ["true"],
            ProcessingResources={
                "ClusterConfig": {"InstanceType": "ml.toy", "InstanceCount": 1, "VolumeSizeInGB": 1}
            },
        )
    with pytest.raises(ClientError, match=r"does not have the image 1\.dkr/none:1"):
        jobs.train(
            "print(1)",
            AlgorithmSpecification={"TrainingImage": "1.dkr/none:1", "TrainingInputMode": "File"},
        )
    with pytest.raises(ClientError, match="Could not assume role"):
        jobs.train("print(1)", RoleArn="arn:aws:iam::123456789012:role/nobody")
    with pytest.raises(ClientError, match="Requested resource not found"):
        jobs.describe("train-missing")
    with pytest.raises(ClientError, match="does not support ListLabelingJobs yet"):
        jobs.sagemaker.list_labeling_jobs()
    with pytest.raises(ClientError, match="does not support Debugger"):
        jobs.train("print(1)", DebugHookConfig={"S3OutputPath": jobs.uri("debug")})


def test_lists_filter_sort_and_page(jobs: Any) -> None:
    """ListTrainingJobs by name part and status, in pages that do not overlap."""
    mark = jobs.name("list")
    names = [jobs.train("print(1)", TrainingJobName=f"{mark}-{i}") for i in range(3)]
    for name in names:
        jobs.wait(name)
    listing = jobs.sagemaker.list_training_jobs
    first = listing(NameContains=mark, MaxResults=2, SortBy="Name", SortOrder="Descending")
    second = listing(
        NameContains=mark,
        MaxResults=2,
        SortBy="Name",
        SortOrder="Descending",
        NextToken=first["NextToken"],
    )
    pages = first["TrainingJobSummaries"] + second["TrainingJobSummaries"]
    assert [entry["TrainingJobName"] for entry in pages] == names[::-1]
    assert "NextToken" not in second
    assert listing(NameContains=mark, StatusEquals="Failed")["TrainingJobSummaries"] == []
    default = listing(NameContains=mark)["TrainingJobSummaries"]
    assert [entry["TrainingJobName"] for entry in default] == names
    with pytest.raises(ClientError, match="NextToken"):
        listing(NameContains="other", NextToken=first["NextToken"])
    jobs.sagemaker.delete_training_job(TrainingJobName=names[0])
    with pytest.raises(ClientError):
        jobs.describe(names[0])


def test_requirements_of_the_script_are_installed_once(jobs: Any) -> None:
    """A requirements.txt beside the script is laid over the image; a bad one fails by its text."""
    name = jobs.train(
        "print('unused')", files={"requirements.txt": "no-such-package-of-perennial==1.0\n"}
    )
    found = jobs.wait(name, seconds=60)
    assert found["Status"] == "Failed"
    assert "InstallRequirementsError" in found["FailureReason"]
    assert "no-such-package-of-perennial" in found["FailureReason"]


def test_tags_can_be_added_listed_and_removed(jobs: Any) -> None:
    """Tags of a job live by its ARN."""
    name = jobs.train("print(1)", Tags=[{"Key": "a", "Value": "1"}])
    arn = jobs.describe(name)["TrainingJobArn"]
    jobs.sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "b", "Value": "2"}])
    jobs.sagemaker.delete_tags(ResourceArn=arn, TagKeys=["a"])
    assert jobs.sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "b", "Value": "2"}]
