"""What Amazon's training toolkit does between the container's start and the user's script.

Taken from sagemaker-training 5.1.4: the names and values of the `SM_*` variables, how
hyperparameters become arguments, which names are reserved.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

ML = "/opt/ml"
CODE = f"{ML}/code"
RESERVED = frozenset(
    {
        "sagemaker_program",
        "sagemaker_submit_directory",
        "sagemaker_region",
        "sagemaker_container_log_level",
        "sagemaker_job_name",
        "sagemaker_enable_cloudwatch_metrics",
        "sagemaker_s3_output",
        "_tuning_objective_metric",
    }
)


@dataclass(frozen=True)
class Script:
    """A training script: its file in the code folder, and where the code comes from."""

    program: str
    submit_directory: str


def decode_hyperparameters(raw: Mapping[str, str]) -> dict[str, Any]:
    """Every value JSON-decoded where it is JSON, as the toolkit reads them."""
    decoded: dict[str, Any] = {}
    for name, text in raw.items():
        try:
            decoded[name] = json.loads(text)
        except ValueError:
            decoded[name] = text
    return decoded


def find_script(hyperparameters: Mapping[str, Any], environment: Mapping[str, str]) -> Script:
    """The script that the job names, by hyperparameter or environment; ValueError if none."""
    program = hyperparameters.get("sagemaker_program") or environment.get("SAGEMAKER_PROGRAM")
    source = hyperparameters.get("sagemaker_submit_directory") or environment.get(
        "SAGEMAKER_SUBMIT_DIRECTORY", CODE
    )
    if not program:
        raise ValueError(
            "the image runs in script mode, and neither the hyperparameter sagemaker_program "
            "nor the variable SAGEMAKER_PROGRAM names a script"
        )
    return Script(str(program), str(source))


def user_hyperparameters(decoded: Mapping[str, Any]) -> dict[str, Any]:
    """Those meant for the script."""
    return {
        name: value
        for name, value in decoded.items()
        if name not in RESERVED and not name.startswith("sagemaker_")
    }


def arguments(hyperparameters: Mapping[str, Any]) -> list[str]:
    """`--name value` for each, sorted by name; `-n value` for names of one letter."""
    found: list[str] = []
    for name in sorted(hyperparameters):
        value = hyperparameters[name]
        if isinstance(value, Mapping):
            text = ",".join(f"{key}={value[key]}" for key in sorted(value))
        else:
            text = "" if value is None else str(value)
        found += [f"--{name}" if len(name) > 1 else f"-{name}", text]
    return found


@dataclass(frozen=True)
class Facts:
    """What the toolkit's variables rest on."""

    job_name: str
    script: Script
    decoded: Mapping[str, Any]
    channels: Mapping[str, Mapping[str, Any]]
    resources: Mapping[str, Any]
    cpus: int

    @property
    def framework(self) -> dict[str, Any]:
        """Hyperparameters meant for the image's framework."""
        return {
            name: value
            for name, value in self.decoded.items()
            if name.startswith("sagemaker_") and name not in RESERVED
        }


def _values(facts: Facts) -> dict[str, Any]:
    """Each becomes a variable `SM_<NAME>`."""
    resources = facts.resources
    groups = resources["instance_groups"]
    return {
        "hosts": resources["hosts"],
        "network_interface_name": resources["network_interface_name"],
        "hps": user_hyperparameters(facts.decoded),
        "user_entry_point": facts.script.program,
        "framework_params": facts.framework,
        "resource_config": resources,
        "input_data_config": facts.channels,
        "output_data_dir": f"{ML}/output/data",
        "channels": sorted(facts.channels),
        "current_host": resources["current_host"],
        "current_instance_type": resources["current_instance_type"],
        "current_instance_group": resources["current_group_name"],
        "current_instance_group_hosts": resources["hosts"],
        "instance_groups": [group["instance_group_name"] for group in groups],
        "instance_groups_dict": {group["instance_group_name"]: group for group in groups},
        "distribution_instance_groups": [],
        "is_hetero": len(groups) > 1,
        "module_name": PurePosixPath(facts.script.program).stem,
        "log_level": int(facts.decoded.get("sagemaker_container_log_level", 20)),
        "framework_module": "sagemaker_sklearn_container.training:main",
        "input_dir": f"{ML}/input",
        "input_config_dir": f"{ML}/input/config",
        "output_dir": f"{ML}/output",
        "num_cpus": facts.cpus,
        "num_gpus": 0,
        "num_neurons": 0,
        "model_dir": f"{ML}/model",
        "module_dir": facts.script.submit_directory,
        "output_intermediate_dir": f"{ML}/output/intermediate",
    }


def sm_environment(facts: Facts) -> dict[str, str]:
    """The `SM_*` variables of script mode."""
    values = _values(facts)
    user = user_hyperparameters(facts.decoded)
    environment = {f"SM_{name.upper()}": _text(value) for name, value in values.items()}
    environment["SM_TRAINING_ENV"] = _text(
        {
            **values,
            "additional_framework_parameters": facts.framework,
            "channel_input_dirs": {name: f"{ML}/input/data/{name}" for name in facts.channels},
            "hyperparameters": user,
            "is_master": True,
            "job_name": facts.job_name,
            "master_hostname": facts.resources["hosts"][0],
        }
    )
    environment["SM_USER_ARGS"] = _text(arguments(user))
    for name in facts.channels:
        environment[f"SM_CHANNEL_{name.upper()}"] = f"{ML}/input/data/{name}"
    for name, value in user.items():
        environment[f"SM_HP_{name.upper()}"] = _text(value)
    environment["PYTHONPATH"] = CODE
    return environment


def script_command(script: Script, args: Sequence[str]) -> list[str]:
    """The command line of the script: Python or, for a `.sh` file, the shell."""
    if script.program.endswith(".sh"):
        return ["/bin/sh", "-c", f"exec ./{script.program} " + " ".join(args)]
    return ["python3", script.program, *args]


def _text(value: Any) -> str:
    """The toolkit's spelling: text as it is, all else as compact JSON with sorted keys."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
