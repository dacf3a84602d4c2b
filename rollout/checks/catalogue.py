"""The checks of a rollout, by their names in the plan."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from components.config.sections.check_settings import JudgeSettings
from components.config.sections.rollout_settings import GateSettings
from components.config.settings import ServiceSettings
from components.domain.naming import Color
from rollout.checks.evals.evaluation import Evaluation
from rollout.checks.evals.judge import PreferenceJudge
from rollout.checks.load.load import Load
from rollout.checks.recorded_prompts import RecordedPrompts, RequestLog
from rollout.checks.shadow import Shadow
from rollout.checks.smoke import Smoke
from rollout.checks.warm_up import WarmUp
from rollout.ports import Check, Clock, ClosedLoop, Config, Demand, JudgeModel, Metrics, Relay, Route
from rollout.statistics.demand import Span


@dataclass(frozen=True, kw_only=True)
class CheckDependencies:
    """The dependencies of all checks."""

    route: Route
    relay: Callable[[Color], AbstractContextManager[Relay]]
    """Opens a base URL that leads to a colour."""
    judge_model: Callable[[JudgeSettings], JudgeModel]
    """Returns the user's judge."""
    closed_loop: Callable[[Color, Iterator[Mapping[str, Any]], float], AbstractContextManager[ClosedLoop]]
    """Opens a loop of requests to a colour, with the longest time that one may be silent, in seconds."""
    replicas: Callable[[Color], int]
    """Counts a colour's ready replicas."""
    checked: Callable[[], Sequence[Span]]
    """Returns when our own checks sent requests."""
    config: Config
    clock: Clock
    metrics: Metrics
    demand: Demand
    s3: Callable[[], Any]
    """Returns an S3 client."""
    work_dir: Path
    """The folder that paths in the config are relative to."""


def make_checks(
    dependencies: CheckDependencies, settings: ServiceSettings, served_model_name: str
) -> Mapping[str, Check]:
    """Create every check that the settings allow. The plan decides which of them run."""
    gates = settings.rollout.gates
    route, config, clock = dependencies.route, dependencies.config, dependencies.clock
    judge = None
    if gates.eval.judge is not None:
        judge = PreferenceJudge(
            model=dependencies.judge_model(gates.eval.judge),
            route=route,
            clock=clock,
            settings=gates.eval,
            judge=gates.eval.judge,
            work_dir=dependencies.work_dir,
        )
    checks: dict[str, Check] = {
        "smoke": Smoke(route=route, served_model_name=served_model_name, settings=gates.smoke),
        "eval": Evaluation(
            route=route,
            relay=dependencies.relay,
            config=config,
            clock=clock,
            settings=gates.eval,
            served_model_name=served_model_name,
            work_dir=dependencies.work_dir,
            judge=judge,
        ),
    }
    if gates.recorded_prompts is None:
        return {**checks, **_load(dependencies, gates, None)}
    source = RecordedPrompts(source=gates.recorded_prompts, work_dir=dependencies.work_dir, s3=dependencies.s3)

    @cache  # all checks get the same prompts
    def recorded() -> RequestLog:
        return source.read()

    return {
        **checks,
        "warm_up": WarmUp(
            route=route,
            metrics=dependencies.metrics,
            clock=clock,
            settings=gates.warm_up,
            poll_seconds=settings.rollout.poll_seconds,
            recorded=recorded,
        ),
        "shadow": Shadow(route=route, config=config, clock=clock, settings=gates.shadow, recorded=recorded),
        **_load(dependencies, gates, recorded),
    }


def _load(
    dependencies: CheckDependencies, gates: GateSettings, recorded: Callable[[], RequestLog] | None
) -> Mapping[str, Check]:
    """Create the load check, if the settings have it."""
    if gates.load is None:
        return {}
    check = Load(
        closed_loop=dependencies.closed_loop,
        demand=dependencies.demand,
        replicas=dependencies.replicas,
        config=dependencies.config,
        clock=dependencies.clock,
        settings=gates.load,
        gates=gates,
        recorded=recorded,
        checked=dependencies.checked,
    )
    return {"load": check}
