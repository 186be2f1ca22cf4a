"""Plan a release: whether its version may still go out, and everything that is asked of AWS.

Repeatable: it writes one small file, the same each time, and else only reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from perennial.aws import objects, registry
from perennial.describe_model import known_model, read_settings, read_settings_of
from perennial.domain import naming, release_plan, run_input
from perennial.domain.errors import NotFound, Rejected, Stale, Withdrawn
from perennial.domain.ledger.rows import Champion, ReleaseRow, run_key
from perennial.domain.ledger.store import read_run
from perennial.domain.settings import Endpoint, JobSettings, Release, Settings
from perennial.domain.step_keys import place_of
from perennial.own_release import own_release
from perennial.plan_run import Opponent, find_opponent
from perennial.write_manifest import network_of

if TYPE_CHECKING:
    from perennial.wiring import Ports

#: What a step of the version's run has written, by the step; see docs/storage.md.
READ_STEPS = ("check_data", "evaluate")
#: Whose machine each job of a release gets: they do the same work, or less.
MACHINES = {
    "evaluate_champion": "evaluate_champion",
    "compare": "compare",
    "smoke_test": "compare",
}


@dataclass(frozen=True)
class Basis:
    """What a plan rests on: the release, its version, the settings that count, those of its run.

    `code` is the newest pushed archive, whose jobs do the smoke test.
    """

    row: ReleaseRow
    version: registry.Version
    now: Settings
    then: Settings
    code: str
    root: str

    @property
    def release(self) -> Release:
        """The settings' section that counts."""
        return self.now.release

    @property
    def registered(self) -> Mapping[str, Any]:
        """The one container of the version's package."""
        containers = self.version.raw.get("InferenceSpecification", {}).get("Containers", [])
        if len(containers) != 1:
            raise Rejected(
                f"{self.row.model} {self.row.version} has {len(containers)} containers; only a "
                "version of one container can be released"
            )
        found: Mapping[str, Any] = containers[0]
        return found

    @property
    def run_base(self) -> str:
        """Where the version's own run wrote."""
        return f"{self.root}/{naming.run_base(self.row.model, self.row.run)}"

    @property
    def base(self) -> str:
        """Where the release writes."""
        return f"{self.root}/{naming.release_base(self.row.model, self.row.number)}"


def plan_release(ports: Ports, model: str, release: int, execution: str) -> dict[str, Any]:
    """The plan, as the release machine carries it.

    Raises `NotClaimed` and `Withdrawn` as `own_release` does, `Stale` when the version cannot be
    held against the present champion, `Rejected` when the settings, the stack or the version do
    not let it be released; the words say what to do.
    """
    row = own_release(ports, model, release, execution)
    version = approved_version(row)
    basis = _basis(ports, row, version)
    endpoint = _endpoint(ports, basis)
    opponent = _judged_again(ports, basis)
    subject = subject_of(ports, basis)
    is_deployed_before = row.kind == "rollback"
    places = dict.fromkeys(MACHINES, basis.base) | _places(ports, basis)
    return {
        "version": row.version,
        "is_deployed_before": is_deployed_before,
        "judge_again": opponent is not None,
        "waits_for_person": basis.release.production == "person" and not is_deployed_before,
        "names": release_plan.names(subject),
        "container": _container(subject, basis, isolated=network_of(ports.deployment).isolated),
        "staging_variants": release_plan.variants(subject.config, endpoint, count=1),
        "variants": release_plan.variants(subject.config, endpoint, count=endpoint.count),
        # SageMaker captures nothing of endpoints of other kinds, and refuses to be asked.
        "captures": endpoint.kind == "instances",
        "capture": release_plan.capture(subject, endpoint.capture),
        "moves": row.moves,
        "shared": subject.is_shared,
        "traffic": {"step": 0, "looks": 0},
        "deployment": {} if row.moves else _deployment(subject, _way(basis)),
        "tags": release_plan.tags(subject),
        "network": run_input.network_parts(network_of(ports.deployment)),
        "instances": {step: _machine(basis.then.job(of)) for step, of in MACHINES.items()},
        "code": basis.registered["Environment"]["PERENNIAL_CODE"],
        "candidate": {"settings_uri": f"{basis.run_base}/settings.json"},
        "champion": {} if opponent is None else opponent.to_json(),
        "places": places,
        "done": {},
        "smoke_test": _smoke_test(ports, subject, basis),
    }


def approved_version(row: ReleaseRow) -> registry.Version:
    """The release's version as the registry has it; raises `Withdrawn` unless it is approved."""
    name = f"{row.model} {row.version}"
    try:
        version = registry.describe_version(row.arn)
    except NotFound as error:
        raise Withdrawn(f"{name} is not in the registry any more: {error}") from error
    if version.status != registry.APPROVED:
        words = version.approval_words or "no reason was given"
        raise Withdrawn(f"{name} is {version.status}, not {registry.APPROVED}: {words}")
    return version


def _basis(ports: Ports, row: ReleaseRow, version: registry.Version) -> Basis:
    model = known_model(ports.ledger, row.model)
    return Basis(
        row=row,
        version=version,
        now=read_settings_of(ports.ledger, model, row.settings),
        then=read_settings_of(ports.ledger, model, row.trained or row.settings),
        code=read_settings(ports.ledger, model, row.settings).code,
        root=f"s3://{ports.deployment.artifact_bucket}",
    )


def _endpoint(ports: Ports, basis: Basis) -> Endpoint:
    """The endpoint that the settings ask for; raises `Rejected` when it cannot be."""
    model, endpoint = basis.row.model, basis.release.endpoint
    if endpoint is None:
        raise Rejected(
            f"settings {basis.row.settings} of {model} have no release.endpoint, so there is "
            "nothing to release to; add the section to model.yaml, push, and release again"
        )
    if endpoint.kind == "serverless" and basis.row.kind != "rollback":
        _check_serverless(ports, model)
    if basis.row.endpoint_kind == "multi-model":
        _check_shared(ports, basis)
    return endpoint


def _check_shared(ports: Ports, basis: Basis) -> None:
    """Raise `Rejected` where nothing is shared, and for an archive that is not whole enough."""
    row = basis.row
    if network_of(ports.deployment).isolated:
        raise Rejected(
            f"release.endpoint of {row.model} is multi-model, and this stack isolates its "
            "containers from the network: such a server fetches its code as it starts. Write "
            "kind: instances in model.yaml, push, and release again"
        )
    if not release_plan.has_code(basis.registered):
        raise Rejected(
            f"release.endpoint of {row.model} is multi-model, and version {row.version} was "
            "trained before it was: its archive lacks the server's code, which models that share "
            f"an endpoint bring along. Train a version that has it: perennial retrain {row.model}"
        )


def _check_serverless(ports: Ports, model: str) -> None:
    """Raise `Rejected` where SageMaker knows no serverless endpoint."""
    network = network_of(ports.deployment)
    what = "isolates its containers from the network" if network.isolated else ""
    what = what or ("runs its containers in a VPC" if network.subnets else "")
    if what:
        raise Rejected(
            f"release.endpoint of {model} is serverless, and this stack {what}, which SageMaker "
            "does for endpoints of instances alone; write kind: instances in model.yaml, push, and "
            "release again"
        )


def subject_of(ports: Ports, basis: Basis) -> release_plan.Subject:
    """What is released, and as what."""
    return release_plan.Subject(
        stack=ports.deployment.stack,
        model=basis.row.model,
        release=basis.row.number,
        version=basis.row.version,
        config=basis.row.config,
        bucket=ports.deployment.artifact_bucket,
        key=ports.deployment.optional("KMS_KEY_ARN"),
        tags=basis.now.tags,
        place=basis.row.endpoint,
        moves=basis.row.moves,
        is_shared=basis.row.endpoint_kind == "multi-model",
    )


def _container(subject: release_plan.Subject, basis: Basis, *, isolated: bool) -> dict[str, Any]:
    """The container to serve; that of a rollback has served before."""
    look = basis.row.kind != "rollback"
    return servable_container(subject, basis.registered, isolated=isolated, look=look)


def servable_container(
    subject: release_plan.Subject,
    registered: Mapping[str, Any],
    *,
    isolated: bool,
    look: bool = True,
) -> dict[str, Any]:
    """The container to serve, after its model was held against the digest that was judged.

    An isolated one cannot fetch its code: a version without it in its archive is `Rejected` too.
    """
    try:
        found = release_plan.container(subject, registered)
        digest = registered["Environment"]["PERENNIAL_MODEL_SHA256"]
    except KeyError as error:
        raise Rejected(
            f"{subject.model} {subject.version} was registered without {error.args[0]}, so it "
            "cannot be served; train and register it again: perennial retrain " + subject.model
        ) from error
    if isolated and not release_plan.has_code(registered):
        raise Rejected(
            f"the stack isolates its containers from the network, and {subject.model} "
            f"{subject.version} was trained before it did: its archive lacks the server's code, "
            "which the server would fetch from S3. Train a version that has it: perennial "
            f"retrain {subject.model}; or deploy the stack with NetworkIsolation=no"
        )
    if look and objects.stream_digest(registered["ModelDataUrl"]) != digest:
        raise Rejected(
            f"{registered['ModelDataUrl']} changed after {subject.model} {subject.version} was "
            "registered; nothing is released. Find out who wrote it, and train again: perennial "
            f"retrain {subject.model}"
        )
    return found


def _way(basis: Basis) -> Release:
    """The section that says how traffic moves: a rollback goes at once, for what is live harms."""
    if basis.row.kind == "rollback":
        return replace(basis.release, strategy="all-at-once")
    return basis.release


def _deployment(subject: release_plan.Subject, release: Release) -> dict[str, Any]:
    try:
        return release_plan.deployment(subject, release)
    except ValueError as error:
        raise Rejected(str(error)) from error


def _judged_again(ports: Ports, basis: Basis) -> Opponent | None:
    """The champion to judge the version against once more; None when its verdict still holds.

    A person who asks for a version by name, or for a rollback, has decided; a verdict alone says
    nothing of a champion that it never saw. Raises `Stale` when the two cannot be compared.
    """
    row = basis.row
    champion = known_model(ports.ledger, row.model).champion
    if row.kind != "approval" or champion is None or champion.arn == row.arn:
        return None
    if basis.then.comparison is None or _met(basis) == champion.arn:
        return None
    opponent = find_opponent(ports, row.model, basis.then)
    if not opponent.comparable:
        raise Stale(_never_met(row, champion, opponent.words))
    return opponent


def _met(basis: Basis) -> str:
    """The ARN of the champion that the version's verdict compared it with; empty without one."""
    verdict = objects.get_json(f"{basis.run_base}/verdict/verdict.json")
    return str((verdict.get("champion") or {}).get("arn", ""))


def _never_met(row: ReleaseRow, champion: Champion, why: str) -> str:
    return (
        f"the verdict on {row.model} {row.version} is not about the present champion, version "
        f"{champion.version}, and the two cannot be compared: {why}. To release it all the same: "
        f"perennial release {row.model} --version {row.version}"
    )


def _places(ports: Ports, basis: Basis) -> dict[str, str]:
    """Where the version's own run has its outputs, or the run that it took them from."""
    run = read_run(ports.ledger, run_key(basis.row.model, basis.row.run))
    return {step: place_of(run, step, basis.run_base) for step in READ_STEPS}


def _machine(job: JobSettings) -> dict[str, Any]:
    return {
        "type": job.instance,
        "count": job.count,
        "volume_gb": job.volume_gb,
        "max_seconds": job.max_seconds,
    }


def _smoke_test(ports: Ports, subject: release_plan.Subject, basis: Basis) -> dict[str, str]:
    """What the smoke test is given; target.json is written here."""
    bounds = basis.release.smoke_test
    live = basis.row.before
    base = naming.release_base(subject.model, subject.release)
    target = {
        "endpoint": subject.tested_on,
        "target_model": subject.target,
        "variant": release_plan.MAIN,
        "model": subject.model,
        "version": subject.version,
        "rows": bounds.rows,
        "requests": bounds.requests,
        "latency_p99": bounds.latency_p99,
        "memory": bounds.memory,
        "capture_bucket": subject.bucket,
        "capture_prefix": ""
        if live is None
        else f"capture/{subject.model}/{live.endpoint}/{release_plan.MAIN}",
    }
    uri = objects.put_json(subject.bucket, f"{base}/target/target.json", target)
    return {
        "code": basis.code,
        "settings": f"{basis.run_base}/settings.json",
        # A job's input is a folder.
        "target": uri.rpartition("/")[0],
        "result_key": f"{base}/smoke-test/smoke_test.json",
    }
