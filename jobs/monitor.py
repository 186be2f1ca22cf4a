"""One window of one monitor: captured requests in, AWS's files and report.json out.

`config/monitor.json` says which monitor, which window and where the requests are
(docs/monitors.md); `settings/settings.json` are the settings of the version that is monitored.
"""

from __future__ import annotations

import importlib
from typing import Any

from perennial.domain.settings import Settings

from jobs.check_data import write_json
from jobs.contract import Project, project_folder
from jobs.monitor_config import ATTRIBUTION, BIAS, DATA_QUALITY, MODEL_QUALITY, MonitorConfig
from jobs.paths import Paths

MODULES = {
    DATA_QUALITY: "jobs.data_quality",
    MODEL_QUALITY: "jobs.window_quality",
    BIAS: "jobs.window_bias",
    ATTRIBUTION: "jobs.window_attribution",
}


def run(paths: Paths, settings: Settings) -> str:
    """The job: a window's report, or a failure by name, which is an alarm of its own."""
    config = MonitorConfig.read(paths)
    hook = preprocessor(settings, config)
    report = importlib.import_module(MODULES[config.kind]).monitor(paths, settings, config, hook)
    write_json(paths.output("monitor") / "report.json", report.to_json())
    for note in report.notes[:10]:
        print(f"note: {note}")
    return str(report.message)


def preprocessor(settings: Settings, config: MonitorConfig) -> Any:
    """The project's `preprocess_record`, if the monitor's settings ask for it; else None."""
    if not config.settings.get("preprocess"):
        return None
    return Project.of(settings, project_folder()).record_hook()
