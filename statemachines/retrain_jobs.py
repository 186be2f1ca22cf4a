"""The jobs of the retrain machine: each function makes one state, or a Parallel of branches."""

from typing import Any

from statemachines import sdk
from statemachines.blocks import (
    CHAMPION,
    CLARIFY,
    JOB_TIMEOUT,
    KEY,
    OBJECT_TIMEOUT,
    WARM_START,
    as_planned,
    by_clarify,
    catch,
    either,
    failed,
    inputs,
    is_true,
    job_name,
    output_of,
    processing,
    retry,
    retry_job,
    without,
)


def check_data() -> Any:
    """Read every object of the manifest once; split, prepare and report."""
    return processing(
        "CheckData",
        "check_data",
        inputs=inputs(),
        outputs=("check", "training", "holdout", "channels"),
    )


#: What trains, and what it is given: script mode, an algorithm of AWS's or an own image. Only the
#: plan knows which, and where the channels lie.
TRAINER = {
    "AlgorithmSpecification": sdk.path("$.plan.training.algorithm"),
    "InputDataConfig": sdk.path("$.plan.training.channels"),
    "Environment": sdk.path("$.plan.training.environment"),
}


def train(state: str, network: dict[str, Any]) -> Any:
    """A training job."""
    job = sdk.TrainingStep(
        state,
        estimator=sdk.Estimator(
            image_uri="replaced below",
            role="${JobRoleArn}",
            instance_count=sdk.path("$.instances.train.count"),
            instance_type="ml.placeholder",  # the SDK wants text; replaced below
            volume_size=sdk.path("$.instances.train.volume_gb"),
            volume_kms_key=KEY,
            output_path="s3://${ArtifactBucket}/models",  # the SDK asks STS for one otherwise
            output_kms_key=KEY,
            debugger_hook_config=False,  # Debugger is closed to new accounts
            disable_profiler=True,
            sagemaker_session=sdk.offline_session(),
        ),
        job_name=job_name("train"),
        output_data_config_path=sdk.path("$.models"),
        hyperparameters=sdk.path("$.hyperparameters"),
        tags=sdk.path("$.tags"),
        parameters={
            # Only a spot job writes checkpoints; the place can be named for any.
            "CheckpointConfig": {"S3Uri": sdk.path("$.training.checkpoints")},
            "EnableManagedSpotTraining": sdk.path("$.training.spot"),
            "EnableNetworkIsolation": sdk.path("$.network.isolated"),
            "ResourceConfig": {"InstanceType": sdk.path("$.instances.train.type")},
            "StoppingCondition": sdk.path("$.training.stopping"),
            **network,
        },
        result_selector={
            "job.$": "$.TrainingJobName",
            "artifact.$": "$.ModelArtifacts.S3ModelArtifacts",
        },
        result_path="$.plan.done.train",
        timeout_seconds=JOB_TIMEOUT,
        retry=retry_job(),
    )
    # The SDK knows no placeholder for these, and merges what it is given into its own.
    job.parameters |= TRAINER
    return job


def tune(state: str, network: dict[str, Any], *, warm: bool = False) -> Any:
    """A tuning job: trials of the same training; a warm one begins with what parents found."""
    return sdk.Task(
        state,
        resource="arn:${AwsPartition}:states:::sagemaker:createHyperParameterTuningJob.sync",
        parameters={
            # 32 characters are all that such a job's name may have.
            "HyperParameterTuningJobName": sdk.fmt(
                "{}-{}", "$.training.tuning_prefix", "$$.State.RetryCount"
            ),
            "HyperParameterTuningJobConfig": sdk.path("$.training.tuning"),
            "TrainingJobDefinition": {
                "StaticHyperParameters": sdk.path("$.hyperparameters"),
                **TRAINER,
                "RoleArn": "${JobRoleArn}",
                "OutputDataConfig": {"S3OutputPath": sdk.path("$.models"), "KmsKeyId": KEY},
                "ResourceConfig": {
                    "InstanceCount": sdk.path("$.instances.train.count"),
                    "InstanceType": sdk.path("$.instances.train.type"),
                    "VolumeSizeInGB": sdk.path("$.instances.train.volume_gb"),
                    "VolumeKmsKeyId": KEY,
                },
                "StoppingCondition": sdk.path("$.training.stopping"),
                "EnableNetworkIsolation": sdk.path("$.network.isolated"),
                "EnableManagedSpotTraining": sdk.path("$.training.spot"),
                **network,
            },
            **({"WarmStartConfig": sdk.path(WARM_START)} if warm else {}),
            "Tags": sdk.path("$.tags"),
        },
        result_selector={
            "job.$": "$.HyperParameterTuningJobName",
            "best.$": "$.BestTrainingJob.TrainingJobName",
        },
        result_path="$.tuned",
        timeout_seconds=JOB_TIMEOUT,
        retry=retry_job(),
    )


def read_best() -> Any:
    """Where the model of the best trial lies."""
    return sdk.Task(
        "ReadBest",
        resource="arn:${AwsPartition}:states:::aws-sdk:sagemaker:describeTrainingJob",
        parameters={"TrainingJobName": sdk.path("$.tuned.best")},
        result_selector={
            "job.$": "$.TrainingJobName",
            "artifact.$": "$.ModelArtifacts.S3ModelArtifacts",
            "tuning_job.$": "$.TuningJobArn",
        },
        result_path="$.plan.done.train",
        timeout_seconds=OBJECT_TIMEOUT,
        retry=[
            retry(
                "SageMaker.SageMakerException",
                "SageMaker.SdkClientException",
                seconds=1,
                attempts=4,
                at_most=20,
            )
        ],
    )


def evaluate_candidate() -> Any:
    """Score the candidate on the holdout of the run's own data."""
    job = processing(
        "Evaluate",
        "evaluate",
        inputs=inputs("holdout", "check", model=sdk.path("$.plan.done.train.artifact")),
        # What a container of its own trained is completed here with what our servers need, and
        # any model with the server's code where that could not be fetched.
        outputs=("evaluation", "package"),
        output_path="$.plan.done.evaluate",
    )
    job.parameters["Environment"] = {"PERENNIAL_PACK_CODE": sdk.path("$.plan.training.packs_code")}
    return either(
        "EvaluationNeeded",
        is_true("$.plan.do.evaluate"),
        job,
        as_planned("EvaluationReused", "evaluate"),
        failed("Evaluate"),
    )


def evaluate_champion() -> Any:
    """Score the champion on the same rows, by its own code, settings and requirements."""
    job = processing(
        "EvaluateChampion",
        "evaluate_champion",
        inputs=inputs(
            "holdout",
            "check",
            code=sdk.path(f"{CHAMPION}.code"),
            settings=sdk.path(f"{CHAMPION}.settings_uri"),
            model=sdk.path(f"{CHAMPION}.artifact"),
        ),
        outputs=("evaluation:champion",),
        output_path="$.plan.done.evaluate_champion",
    )
    return either(
        "ChampionNeeded",
        is_true("$.plan.do.evaluate_champion"),
        job,
        as_planned("ChampionAsPlanned", "evaluate_champion"),
        without("ChampionNotScored"),
    )


def evaluations() -> Any:
    """Candidate and champion, side by side; without the candidate's scores the run fails."""
    state = sdk.Parallel(
        "Evaluations",
        result_selector={"evaluate.$": "$[0]", "evaluate_champion.$": "$[1]"},
        result_path="$.evaluations",
    )
    state.add_branch(evaluate_candidate())
    state.add_branch(evaluate_champion())
    return state


def compare() -> Any:
    """Candidate against champion, row by row of the holdout."""
    job = processing(
        "Compare",
        "compare",
        inputs=inputs(
            "evaluation",
            "holdout",
            champion=output_of("evaluate_champion", "champion"),
        ),
        outputs=("comparison",),
        output_path="$.plan.done.compare",
    )
    both = sdk.ChoiceRule.And(
        [
            is_true("$.plan.do.compare"),
            sdk.ChoiceRule.IsPresent("$.evaluations.evaluate_champion.job", value=True),
        ]
    )
    return either(
        "ComparisonNeeded",
        both,
        job,
        as_planned("ComparisonAsPlanned", "compare"),
        without("NotCompared"),
    )


def measure_bias() -> Any:
    """How the labels and the candidate treat the groups of each facet, by our job or Clarify's."""
    job = processing(
        "MeasureBias",
        "measure_bias",
        inputs=inputs("evaluation", "training", "holdout", "check"),
        outputs=("bias",),
        output_path="$.plan.done.measure_bias",
    )
    managed = by_clarify(
        "MeasureBiasWithClarify",
        config=sdk.path(f"{CLARIFY}.config"),
        dataset=output_of("evaluate", "evaluation/clarify"),
        output_path="$.plan.done.measure_bias",
    )
    unknown = without("BiasNotMeasured")
    decide = sdk.Choice("BiasNeeded")
    needed = is_true("$.plan.do.measure_bias")
    is_managed = sdk.ChoiceRule.IsPresent(CLARIFY, value=True)
    decide.add_choice(sdk.ChoiceRule.And([needed, is_managed]), managed)
    decide.add_choice(needed, job)
    decide.default_choice(as_planned("BiasAsPlanned", "measure_bias"))
    for each in (job, managed):
        each.add_catch(catch(unknown))
    return sdk.Chain([decide])


def explain() -> Any:
    """What each feature contributes to the candidate's scores."""
    job = processing(
        "Explain",
        "explain",
        inputs=inputs("holdout", "check", model=sdk.path("$.plan.done.train.artifact")),
        outputs=("explanations",),
        output_path="$.plan.done.explain",
    )
    return either(
        "ExplanationNeeded",
        is_true("$.plan.do.explain"),
        job,
        as_planned("ExplanationAsPlanned", "explain"),
        without("NotExplained"),
    )


def examinations() -> Any:
    """What the verdict needs besides the scores, side by side; what fails speaks for itself."""
    state = sdk.Parallel(
        "Examinations",
        result_selector={"compare.$": "$[0]", "measure_bias.$": "$[1]", "explain.$": "$[2]"},
        result_path="$.examinations",
    )
    for branch in (compare(), measure_bias(), explain()):
        state.add_branch(branch)
    return state


def baseline() -> Any:
    """What monitors will compare production with; only a winner may get there."""
    return processing(
        "Baseline",
        "baseline",
        inputs=inputs(
            "evaluation",
            "training",
            "holdout",
            "check",
            model=sdk.path("$.verdict.artifact"),
            # Beside the verdict lies what it rests on, so far as there is any.
            verdict=sdk.fmt("{}/verdict", "$.base"),
        ),
        outputs=("baselines",),
    )
