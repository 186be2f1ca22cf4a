"""Start an A/B test: a second version of a model on its live endpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from perennial.advance_ab import AbAdvance, advance_ab
from perennial.approve_version import find_version
from perennial.aws import alarms, objects, registry, variants
from perennial.commit_change import commit_change
from perennial.describe_model import known_model, read_settings_of
from perennial.domain import ab_plan, naming
from perennial.domain.compatibility import incompatibilities
from perennial.domain.errors import NotAllowed, NotFound, Rejected
from perennial.domain.ledger.ab_rows import AbTest
from perennial.domain.ledger.ab_tests import open_test
from perennial.domain.ledger.rows import Live, ModelRow, run_key
from perennial.domain.ledger.single_flight import refuse_during_release
from perennial.domain.ledger.store import Transaction, read_run
from perennial.domain.release_plan import Subject
from perennial.domain.step_keys import place_of
from perennial.plan_release import servable_container
from perennial.record_champion import run_of_version
from perennial.try_challenger import check_trial, try_challenger

if TYPE_CHECKING:
    from perennial.wiring import Ports


def start_test(  # noqa: PLR0913  # each is a choice of its own
    ports: Ports,
    model: str,
    number: int,
    permille: int,
    *,
    because: str,
    by: str,
    instances: int | None = None,
    patience_s: float = 0,
    tell: Callable[[str], None] = lambda _words: None,
) -> AbAdvance:
    """Let version `number` join the live one, and get `permille` thousandths of the traffic.

    Repeatable: it goes on where an earlier call was cut off. Raises `NotFound`, and `NotAllowed`
    when a release or another test is open, nothing is live, the version cannot take requests
    that main takes, or it can neither be tried nor has passed a smoke test. `instances` of the
    challenger: by default as many as main's configuration.
    """
    row = known_model(ports.ledger, model)
    version = find_version(ports, model, number)
    if version.status == registry.REJECTED:
        raise NotAllowed(
            f"{model} {number} is {version.status}: {version.approval_words}; nobody's requests "
            f"are tried on it. To overrule that: perennial approve {model} {number}"
        )
    wanted = replace(_wanted(ports, row, version), permille=permille, because=because, by=by)
    if row.ab is None:
        refuse_during_release(row)
        _check_configs(row)
        _check_schemas(ports, row, wanted)
        open_test(row, wanted)  # what the ledger refuses is told first
        check_trial(ports, row, wanted)

    def decide() -> Transaction:
        return open_test(known_model(ports.ledger, model), wanted)

    commit_change(ports, decide)

    def make(now: ModelRow, test: AbTest) -> None:
        make_challenger(ports, now, test, instances)

    def trial(now: ModelRow, test: AbTest) -> str:
        return try_challenger(ports, now, test)

    return advance_ab(ports, model, make=make, trial=trial, patience_s=patience_s, tell=tell)


def _live(row: ModelRow) -> Live:
    if row.live is None:
        raise NotAllowed(
            f"nothing of {row.model} is live, so there is nothing to test against; `perennial "
            f"release {row.model} --version <n>` brings a version into production"
        )
    return row.live


def _wanted(ports: Ports, row: ModelRow, version: registry.Version) -> AbTest:
    live = _live(row)
    run = run_of_version(ports, row.model, version.arn)
    if run is None:
        raise NotAllowed(
            f"no run of {row.model} registered version {version.number}, so it could never be "
            f"released if it won; train it here: perennial retrain {row.model}"
        )
    number = row.last_ab + 1
    return AbTest(
        number=number,
        challenger=version.number,
        arn=version.arn,
        main=live.version,
        endpoint=live.endpoint,
        main_config=live.config,
        config=naming.ab_config(ports.deployment.stack, row.model, number),
        opened_ms=ports.clock(),
        run=run.number,
        settings=run.settings,
        digest=version.metadata.get("perennial:artifact_digest", ""),
    )


def _check_configs(row: ModelRow) -> None:
    """Raise `NotAllowed` unless the endpoint serves what is live, alone and on instances."""
    live = _live(row)
    if live.kind == "multi-model":
        raise NotAllowed(
            f"{row.model} is served by {live.endpoint}, which several models share, and such an "
            "endpoint takes one variant; to test on machines of its own: kind: instances in "
            f"model.yaml, push, then perennial release {row.model}"
        )
    seen = variants.see_fleet(live.endpoint)
    if seen is None or seen.endpoint.config != live.config:
        serves = "is not there" if seen is None else f"serves {seen.endpoint.config}"
        raise NotAllowed(
            f"{live.endpoint} {serves}, and not what the ledger says is live; first `perennial "
            f"endpoint {row.model}`"
        )
    ab_plan.main_variant(_config(live.config), live.config)


def _config(name: str) -> Mapping[str, Any]:
    found = variants.find_config(name)
    if found is None:
        raise NotFound(f"the endpoint config {name} is gone; release again to have a new one")
    return found


def _check_schemas(ports: Ports, row: ModelRow, wanted: AbTest) -> None:
    """Raise `NotAllowed` when the challenger does not take every request that main takes."""
    live = _live(row)
    if not live.run:
        return  # adopted from elsewhere: nobody knows what it takes
    main = _schema(ports, row.model, live.run)
    lost = incompatibilities(main, _schema(ports, row.model, wanted.run))
    if lost:
        raise NotAllowed(
            f"{row.model} {wanted.challenger} does not take every request that version "
            f"{live.version} takes, so it cannot stand beside it: {'; '.join(lost)}"
        )


def _schema(ports: Ports, model: str, run: int) -> Mapping[str, Any]:
    base = f"s3://{ports.deployment.artifact_bucket}/{naming.run_base(model, run)}"
    place = place_of(read_run(ports.ledger, run_key(model, run)), "check_data", base)
    found: Mapping[str, Any] = objects.get_json(f"{place}/check/schema.json")
    return found


def make_challenger(ports: Ports, row: ModelRow, test: AbTest, instances: int | None) -> None:
    """Make the challenger's Model, alarms and configuration, each unless it is there.

    Raises `Rejected` when its artifact is not the one that was judged.
    """
    settings = read_settings_of(ports.ledger, row)
    subject = Subject(
        stack=ports.deployment.stack,
        model=row.model,
        release=test.number,
        version=test.challenger,
        config=test.config,
        bucket=ports.deployment.artifact_bucket,
        tags=settings.tags,
    )
    main_config = _config(test.main_config)
    main = ab_plan.main_variant(main_config, test.main_config)
    model = variants.find_model(main["ModelName"])
    if model is None:
        raise NotFound(f"the Model {main['ModelName']} of main is gone; release again first")
    version = registry.describe_version(test.arn)
    containers = version.raw.get("InferenceSpecification", {}).get("Containers", [])
    if len(containers) != 1:
        raise Rejected(
            f"{row.model} {test.challenger} has {len(containers)} containers; only a version of "
            "one container can be served"
        )
    isolated = bool(model.get("EnableNetworkIsolation"))
    container = servable_container(subject, containers[0], isolated=isolated)
    for request in ab_plan.alarms(subject, settings.release.guard):
        alarms.put_alarm(request)
    variants.make_model(ab_plan.model_request(subject, model, container))
    variants.make_config(ab_plan.config_request(subject, main_config, test.main_config, instances))
