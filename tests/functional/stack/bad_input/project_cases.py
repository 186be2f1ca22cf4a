"""Projects that cannot be pushed: each kind of mistake, and what the command must say of it.

A row changes the census project, which is right, in one place. `says` are the words that a person
needs to mend it: the key or line, what was found, what was expected.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from cli.local_cloud import ROOT

FAILED, USAGE, NOT_FOUND = 1, 2, 4


@dataclass(frozen=True)
class Mistake:
    """One wrong project: in `file`, `old` becomes `new` (all of it, if `old` is empty)."""

    name: str
    old: str
    new: str
    says: tuple[str, ...]
    file: str = "model.yaml"
    code: int = FAILED
    sets: tuple[str, ...] = ()
    folder: str = "typo"

    def write(self, place: Path) -> Path:
        """The project with its mistake, below a folder."""
        project = place / self.folder
        shutil.copytree(
            ROOT / "models" / "census", project, ignore=shutil.ignore_patterns("__pycache__")
        )
        path = project / self.file
        if self.old:
            text = path.read_text("utf-8")
            assert text.count(self.old) == 1, f"{self.old!r} stands {text.count(self.old)} times"
            path.write_bytes(_bytes(text.replace(self.old, self.new)))
        elif self.new or not self.sets:
            path.write_bytes(_bytes(self.new))
        return project


def _bytes(text: str) -> bytes:
    """Text as a file; a character U+DCxx stands for the one byte xx, which is then no UTF-8."""
    return text.encode("utf-8", "surrogateescape")


DEEP = "a: " + "[" * 1_000
# Nine times ten times ten …: a few lines that stand for a thousand million texts.
LAUGHS = "l0: &l0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]\n" for n in range(1, 9)
)

YAML = [
    # The file itself.
    Mistake(
        "empty", "", "", ("problem: found nothing; expected binary, multiclass or regression",)
    ),
    Mistake("a list", "", "- problem: binary\n", ("the file: found", "expected keys with values")),
    Mistake(
        "a tab",
        "  format: csv",
        "\tformat: csv",
        ("is no YAML: line 12", "'\\t' that cannot start any token"),
    ),
    Mistake("open bracket", "[30, 45, 60]", "[30, 45, 60", ("is no YAML: line",)),
    Mistake("key twice", "label: income", "label: income\nlabel: age", ("'label' stands twice",)),
    Mistake("not UTF-8", "label: income", "label: caf\udce9", ("is not UTF-8", "line 3")),
    Mistake(
        "list as key",
        "label: income",
        "? [a, b]\n: income",
        ("is no YAML: line 3", "a list or mapping is no key"),
    ),
    Mistake(
        "contains itself",
        "label: income",
        "label: &a [*a]",
        ("line 3, column 8: a value contains itself",),
    ),
    Mistake("nested without end", "", DEEP, ("is no YAML", "nested")),
    Mistake(
        "aliases of aliases", "label: income", LAUGHS + "label: *l8", ("more than 100,000 values",)
    ),
    Mistake("python object", "label: income", "label: !!python/name:os.system", ("line 3",)),
    Mistake("folded text", '">50K"\n\n# The', ">50K\n\n# The", ("is no YAML: line 4",)),
    # Keys that are not known, or are missing.
    Mistake("unknown key", "label: income", "lable: income", ("lable: found an unknown key",)),
    Mistake("no label", "label: income\n", "", ("label: found nothing",)),
    Mistake("unknown inner key", "  min_rows: 2000", "  minrows: 1", ("data.minrows", "min_rows?")),
    Mistake(
        "unknown monitor", "triggers:", "monitor: {kind: data}\ntriggers:", ("monitor.kind", "bias")
    ),
    # Problem, label and positive.
    Mistake("problem", "problem: binary", "problem: binry", ("did you mean binary?",)),
    Mistake(
        "label no column", "label: income", "label: wage", ('label: found "wage"', "age, workclass")
    ),
    Mistake("label a number", "label: income", "label: 5", ("label: found 5",)),
    Mistake("no positive", 'positive: ">50K"', "", ("positive: found nothing", "<=50K, >50K")),
    Mistake("positive no level", 'positive: ">50K"', "positive: rich", ('positive: found "rich"',)),
    Mistake(
        "regression of a level",
        "problem: binary",
        "problem: regression",
        ("data.columns.income.type: found category",),
    ),
    # Columns.
    Mistake(
        "type",
        "age: {type: int",
        "age: {type: integer",
        ("data.columns.age.type", 'found "integer"', "did you mean int?"),
    ),
    Mistake(
        "bounds",
        "min: 0, max: 130",
        "min: 131, max: 130",
        ("data.columns.age.min: found 131", "at most max, which is 130"),
    ),
    Mistake(
        "levels of a number",
        "age: {type: int",
        "age: {levels: [a], type: int",
        ("data.columns.age.levels", "only category columns"),
    ),
    Mistake(
        "category without levels",
        "education: {type: category, open: true}",
        "education: category",
        ("data.columns.education.levels", "open: true"),
    ),
    Mistake(
        "yes and no",
        "[Female, Male]",
        "[yes, no]",
        ("data.columns.sex.levels: found [true, false]", "quote"),
    ),
    Mistake(
        "alias",
        '"<=50K.": "<=50K"',
        '"<=50K.": "<50K"',
        ("data.columns.income.aliases.<=50K.", "did you mean <=50K?"),
    ),
    Mistake(
        "min as text",
        "min: 0, max: 168",
        'min: "0", max: 168',
        ('data.columns.hours_per_week.min: found "0"; expected a number',),
    ),
    # Data.
    Mistake(
        "delimiter",
        "format: csv",
        'format: csv\n  delimiter: ";;"',
        ("data.delimiter", "one character"),
    ),
    Mistake("format", "format: csv", "format: xlsx", ("data.format", "csv, jsonlines or parquet")),
    Mistake(
        "select",
        '["*.csv", "*.csv.gz"]',
        '["incoming/census/*.csv"]',
        ("data.select", "below incoming/<model>/"),
    ),
    Mistake(
        "bad rows",
        "max_bad_rows: 0",
        "max_bad_rows: -1",
        ("data.max_bad_rows: found -1", "from 0 to"),
    ),
    Mistake(
        "rows as text",
        "min_rows: 2000",
        "min_rows: many",
        ('data.min_rows: found "many"; expected a whole number',),
    ),
    Mistake("holdout", "holdout: 0.2", "holdout: 20", ("data.holdout: found 20", "0.01 to 0.9")),
    Mistake(
        "identity",
        "holdout: 0.2",
        "identity: [id]\n  holdout: 0.2",
        ('data.identity: found "id"; expected names of columns',),
    ),
    # Facets and gates.
    Mistake("facet", "sex: {}", "gender: {}", ('facets.gender: found "gender"', "feature column")),
    Mistake("edges missing", "{edges: [30, 45, 60]}", "{}", ("facets.age.edges", "like [25, 45]")),
    Mistake(
        "edges falling", "[30, 45, 60]", "[30, 60, 45]", ("facets.age.edges: found [30, 60, 45]",)
    ),
    Mistake(
        "gate",
        "auc: {min: 0.90}",
        "acu: {min: 0.90}",
        ("gates.acu: found no figure of this problem; expected auc?",),
    ),
    Mistake(
        "gate of no group",
        "auc: {min: 0.90}",
        '"auc:race=White": {min: 0.9}',
        ("gates.auc:race=White: found a group of no facet",),
    ),
    Mistake("gate without bound", "auc: {min: 0.90}", "auc: {}", ("gates.auc", "min or max")),
    Mistake("gate as number", "auc: {min: 0.90}", "auc: 0.9", ("gates.auc: found 0.9",)),
    Mistake(
        "gate no number",
        "auc: {min: 0.90}",
        "auc: {min: .nan}",
        ("gates.auc.min: found NaN; expected a number",),
    ),
    # Training, jobs, release, triggers, tags.
    Mistake(
        "instance",
        "jobs:\n  check_data: {instance: ml.m5.large",
        "jobs:\n  check_data: {instance: m5.large",
        ("jobs.check_data.instance", "like ml.m5.large"),
    ),
    Mistake(
        "no time", "max_seconds: 1h", "max_seconds: 0", ("train.max_seconds: found 0", "from 1 to")
    ),
    Mistake(
        "validation",
        "validation: 0.1",
        "validation: 0.9",
        ("train.validation: found 0.9; expected a share, 0 to 0.5",),
    ),
    Mistake(
        "hyperparameter",
        "num_leaves: 31",
        "num_leaves: {a: 31}",
        ("train.hyperparameters.num_leaves",),
    ),
    Mistake(
        "approval", "approval: person", "approval: nobody", ("release.approval", "person or policy")
    ),
    Mistake(
        "duration",
        "quiet_period: 5m",
        "quiet_period: 5 minutes",
        ('triggers.quiet_period: found "5 minutes"', "like 30s, 5m or 1h"),
    ),
    Mistake(
        "waits",
        "max_wait: 1h",
        "max_wait: 1m",
        ("triggers.max_wait", "at least quiet_period, which is 300s"),
    ),
    Mistake(
        "cron",
        "cron(0 3 ? * MON *)",
        "0 3 * * 1",
        ("triggers.schedules.weekly", "cron of six fields"),
    ),
    Mistake(
        "tag",
        "triggers:",
        "tags: {'aws:cost': x}\ntriggers:",
        ("tags.aws:cost", "aws: and perennial: are taken"),
    ),
    Mistake(
        "several",
        'problem: binary\nlabel: income\npositive: ">50K"',
        "problem: guess\nlabel: wage\npositive: rich",
        ("has 2 mistakes", "problem:", "label:"),
    ),
    # Where the project lies, and `--set`.
    Mistake(
        "folder's name",
        "label: income",
        "label: income",
        ("the project's folder", 'found "Typo_1"'),
        folder="Typo_1",
    ),
    Mistake(
        "set unknown",
        "",
        "",
        ("train.hyperparameter", "hyperparameters?"),
        sets=("train.hyperparameter.eta=1",),
    ),
    Mistake("set no pair", "", "", ("no key=value",), sets=("gates",), code=USAGE),
    Mistake(
        "set twice",
        "",
        "",
        ("'data.min_rows' twice",),
        sets=("data.min_rows=1", "data.min_rows=2"),
        code=USAGE,
    ),
]

CODE = [
    Mistake(
        "syntax",
        "return prepared",
        "return prepared)",
        ("model.py line ", "unmatched"),
        file="model.py",
    ),
    Mistake(
        "no train",
        "def train(",
        "def fit(",
        ("has no function train(train, validation",),
        file="model.py",
    ),
    Mistake(
        "arguments",
        "def predict(model: lgb.Booster, frame",
        "def predict(frame",
        ("predict must be callable as predict(model, frame)",),
        file="model.py",
    ),
    Mistake(
        "save alone",
        "def predict(",
        "def save(model, folder): ...\n\n\ndef predict(",
        ("only one of save and load",),
        file="model.py",
    ),
    Mistake(
        "unpinned",
        "",
        "xgboost>=2\n",
        ("'xgboost>=2' pins no version; write name==version",),
        file="requirements.txt",
    ),
    Mistake(
        "other version",
        "",
        "numpy==1.0\n",
        ("numpy==1.0 is refused", "the jobs run with numpy=="),
        file="requirements.txt",
    ),
]
