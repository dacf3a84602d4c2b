"""The checks of a rollout, by the names that its plan has them under."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from components.settings import ServiceSettings
from rollout.candidate_route import CandidateRoute
from rollout.evals.evaluation import Evaluation
from rollout.evals.relay import Relay
from rollout.ports import Check, Clock, Config, Metrics
from rollout.prompt_records import Recorded
from rollout.recorded_prompts import RecordedPrompts
from rollout.shadow import Shadow
from rollout.smoke import Smoke
from rollout.warm_up import WarmUp


@dataclass(frozen=True, kw_only=True)
class Workshop:
    """What checks are made of."""

    route: CandidateRoute
    config: Config
    clock: Clock
    metrics: Metrics
    s3: Callable[[], Any]
    """Makes a client of S3."""
    work_dir: Path
    """The folder that paths in the config are relative to."""


def make_checks(shop: Workshop, settings: ServiceSettings, served_model_name: str) -> Mapping[str, Check]:
    """Make every check that the settings allow for; which of them run is the plan's business."""
    gates = settings.rollout.gates
    route, config, clock = shop.route, shop.config, shop.clock
    checks: dict[str, Check] = {
        "smoke": Smoke(route=route, served_model_name=served_model_name, settings=gates.smoke),
        "eval": Evaluation(
            route=route,
            relay=lambda color: Relay(route, color, timeout_seconds=gates.eval.request_timeout_seconds),
            config=config,
            clock=clock,
            settings=gates.eval,
            served_model_name=served_model_name,
            work_dir=shop.work_dir,
        ),
    }
    if gates.recorded_prompts is None:
        return checks
    source = RecordedPrompts(source=gates.recorded_prompts, work_dir=shop.work_dir, s3=shop.s3)

    @cache  # both checks see the same prompts
    def recorded() -> list[Recorded]:
        return source.read()

    return {
        **checks,
        "warm_up": WarmUp(
            route=route,
            metrics=shop.metrics,
            clock=clock,
            settings=gates.warm_up,
            poll_seconds=settings.rollout.poll_seconds,
            recorded=recorded,
        ),
        "shadow": Shadow(route=route, config=config, clock=clock, settings=gates.shadow, recorded=recorded),
    }
