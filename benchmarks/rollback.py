"""``python -m benchmarks.rollback``: the time from the decision to the rule and to the candidate's last request.

This builds a rehearsal world with both colours deployed, and sends live traffic. Each repetition has 25 % on the
candidate and rolls back as the controller does. Then, for each of ``--full-repetitions``, the weight goes to 25 % and
back three times: by steps of the ramp; by the same `pulumi up --target <rule>` as a plain process with the same policy
pack; and once back by preview and update of the whole plan, without a direct call. The times of rule changes are from
the account, those of requests from the load balancer's access log. Both use the same clock.

``bare_call_seconds`` is a single ModifyRule call from a warm client. The ratio compares the time from the decision to
the candidate's last request with the minimum: this call plus the load balancer's lag. ``bare_call_seconds`` and
``decision_to_rule_seconds`` end with the rule's change, ``full_up_seconds`` with the end of the update. The time from
the start of a ``scripts.rollback`` process to the rule is also shown.

``weight_step_seconds`` and ``bare_up_seconds`` take turns. Both go from the decision to the end of the run and include
the edit of the config file. ``weight_step_over_bare_up`` is their ratio; the goal is at most 1.15.

The last line is JSON: medians in seconds.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

from rich.console import Console

from rehearsal.binaries.build import binaries
from rehearsal.world.checkout import SERVICE, STACK
from rehearsal.world.releases import own_releases
from rehearsal.world.settings import RehearsalSettings
from rehearsal.world.stack import create_stack
from rehearsal.world.traffic import start_load
from rehearsal.world.world import World, world
from rollout.adapters.aws.load_balancer import Elbv2LoadBalancer
from rollout.session import Place, Session
from rollout.steps.rollback import restore_traffic
from rollout.steps.updates import Updater

CANDIDATE_WEIGHT: Final = 25
LAG_SECONDS: Final = 0.5
REQUESTS_PER_SECOND: Final = 40.0
PROCESS_REPETITIONS: Final = 3
WATCHED_SECONDS: Final = 2.0
"""How long after a decision to look for requests on the candidate; longer than the lag."""
_SETTLE_SECONDS: Final = 1.0
_UP: Final = ("pulumi", "up", "--yes", "--non-interactive", "--stack", STACK, "--policy-pack", "policies")
_BARE_UP: Final = (*_UP, "--skip-preview", "--target")


class BenchmarkError(Exception):
    """The world did not behave as the benchmark needs."""


@dataclass
class Measured:
    """The seconds of every repetition."""

    bare_call: list[float] = field(default_factory=list[float])
    rule: list[float] = field(default_factory=list[float])
    decisions: list[float] = field(default_factory=list[float])
    last_request: list[float] = field(default_factory=list[float])
    full_up: list[float] = field(default_factory=list[float])
    weight_step: list[float] = field(default_factory=list[float])
    weight_step_rule: list[float] = field(default_factory=list[float])
    bare_up: list[float] = field(default_factory=list[float])
    process: list[float] = field(default_factory=list[float])

    def result(self) -> dict[str, float]:
        """Return the medians under the names of the last line."""
        medians = {
            "bare_call_seconds": statistics.median(self.bare_call),
            "decision_to_rule_seconds": statistics.median(self.rule),
            "decision_to_last_candidate_request_seconds": statistics.median(self.last_request),
        }
        least = medians["bare_call_seconds"] + LAG_SECONDS
        medians["ratio_to_bare_call"] = medians["decision_to_last_candidate_request_seconds"] / least
        medians["full_up_seconds"] = statistics.median(self.full_up)
        medians["weight_step_seconds"] = statistics.median(self.weight_step)
        medians["bare_up_seconds"] = statistics.median(self.bare_up)
        medians["weight_step_over_bare_up"] = medians["weight_step_seconds"] / medians["bare_up_seconds"]
        return {name: round(value, 4) for name, value in medians.items()}


class Observer:
    """The world's own records: rule changes and requests, with their times."""

    def __init__(self, running: World) -> None:
        self._running = running

    def rule_changed_at(self, green_weight: int, since: float) -> float:
        """Return when the account accepted a weight, in seconds since the epoch."""
        groups = {group["arn"]: group["color"] for group in self._running.aws.state()["target_groups"]}
        for event in self._running.aws.events():
            if event["type"] == "rule_asked" and event["rule"] == "weighted" and event["at"] >= since:
                weights = {groups[arn]: weight for arn, weight in event["weights"].items()}
                if weights["green"] == green_weight:
                    return float(event["at"])
        raise BenchmarkError(f"the rule did not get green_weight {green_weight}")

    def last_candidate_requests(self, decisions: Sequence[float]) -> list[float]:
        """Return the seconds from each decision to the start of the last client request on green, 0 without one.

        A request is logged when it ends, so call this after the traffic has ended.
        """
        lines = self._running.access_log.read_text(encoding="utf-8").splitlines()
        requests = (cast(dict[str, Any], json.loads(line)) for line in lines)
        started = [one["started_at"] for one in requests if one["color"] == "green" and one["rule"] == "weighted"]
        return [
            max((at - decided for at in started if decided <= at < decided + WATCHED_SECONDS), default=0.0)
            for decided in decisions
        ]


def bare_calls(load_balancer: Elbv2LoadBalancer, observer: Observer, repetitions: int) -> list[float]:
    """Time single rule updates, up to the rule's change like all other timings."""
    load_balancer.rule()
    seconds: list[float] = []
    for number in range(repetitions + 1):
        began, green_weight = time.time(), (number + 1) % 2
        load_balancer.set_green_weight(green_weight)
        seconds.append(observer.rule_changed_at(green_weight, began) - began)
    load_balancer.set_green_weight(0)
    return seconds[1:]  # the first call connects


def timed(observer: Observer, green_weight: int, move: Callable[[], object]) -> tuple[float, float]:
    """Move the weight. Return the seconds from the decision to the rule's change and to the end."""
    decided = time.time()
    move()
    done = time.time()
    return observer.rule_changed_at(green_weight, decided) - decided, done - decided


def step(updater: Updater, observer: Observer, green_weight: int) -> tuple[float, float]:
    """Move the weight with a step of the ramp."""
    message = f"benchmark: step to green_weight {green_weight}"
    return timed(observer, green_weight, lambda: updater.change_weight(green_weight, message=message))


def full_up(updater: Updater, observer: Observer, green_weight: int) -> tuple[float, float]:
    """Move the weight with preview and update of the whole plan."""
    message = f"benchmark: green_weight {green_weight}"
    return timed(observer, green_weight, lambda: updater.change_rule({}, green_weight=green_weight, message=message))


def bare_up(running: World, session: Session, observer: Observer, rule_urn: str, green_weight: int) -> float:
    """Move the weight with an edit of the config file and the CLI. Return the seconds until the end."""

    def move() -> None:
        # Increase the serial as a step does, so that both change the same tags.
        serial = session.config.read().rollout_serial + 1
        session.config.edit({"green_weight": green_weight, "rollout_serial": serial})
        done = subprocess.run(
            [*_BARE_UP, rule_urn],
            cwd=running.checkout,
            env=dict(running.environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise BenchmarkError(f"pulumi up ended with {done.returncode}:\n{done.stdout}{done.stderr}")

    return timed(observer, green_weight, move)[1]


def known_rule_urn(updater: Updater) -> str:
    """Return the weighted rule's URN, and set it in the updater, as after a deploy."""
    rule = updater.rule_in_state()
    if rule is None:
        raise BenchmarkError("the state has no weighted rule")
    return rule.urn


def measure(running: World, repetitions: int, full_repetitions: int) -> Measured:
    """Run the repetitions in a world with both colours deployed and live traffic."""
    measured, observer = Measured(), Observer(running)
    place = Place(stack=STACK, service=SERVICE, work_dir=running.checkout)
    session = Session(place, "benchmark")
    with session.lock:
        ports = session.ports()
        updater = Updater(ports, SERVICE)
        measured.bare_call += bare_calls(session.load_balancer, observer, repetitions)
        for number in range(repetitions):
            session.load_balancer.set_green_weight(CANDIDATE_WEIGHT)
            time.sleep(_SETTLE_SECONDS + LAG_SECONDS)
            decided = time.time()
            restore_traffic(ports, updater, green_weight=0, active_color="blue", reason="benchmark")
            measured.rule.append(observer.rule_changed_at(0, decided) - decided)
            measured.decisions.append(decided)
            print(f"{number + 1:>3} rule {measured.rule[-1]:.3f} s")
            time.sleep(max(0.0, decided + WATCHED_SECONDS - time.time()))
        rule_urn = known_rule_urn(updater)
        for number in range(full_repetitions):
            there = step(updater, observer, CANDIDATE_WEIGHT)
            bare_back = bare_up(running, session, observer, rule_urn, 0)
            bare_there = bare_up(running, session, observer, rule_urn, CANDIDATE_WEIGHT)
            back = step(updater, observer, 0)
            step(updater, observer, CANDIDATE_WEIGHT)
            _, full = full_up(updater, observer, 0)
            measured.weight_step_rule += (there[0], back[0])
            measured.weight_step += (there[1], back[1])
            measured.bare_up += (bare_back, bare_there)
            measured.full_up.append(full)
            print(
                f"{number + 1:>3} weight steps {there[1]:.2f} s and {back[1]:.2f} s, bare updates {bare_back:.2f} s "
                f"and {bare_there:.2f} s, rollback by preview and update {full:.2f} s"
            )
    measured.process += [process_to_rule(running, session.load_balancer, observer) for _ in range(PROCESS_REPETITIONS)]
    return measured


def process_to_rule(running: World, load_balancer: Elbv2LoadBalancer, observer: Observer) -> float:
    """Time ``scripts.rollback`` from the start of its process to the rule."""
    load_balancer.set_green_weight(CANDIDATE_WEIGHT)
    began = time.time()
    done = subprocess.run(
        [sys.executable, "-m", "scripts.rollback", "--stack", STACK, "--service", SERVICE],
        cwd=running.checkout,
        env=dict(running.environment),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BenchmarkError(f"scripts.rollback ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return observer.rule_changed_at(0, began) - began


def run(folder: Path, repetitions: int, full_repetitions: int) -> Measured:
    """Build the world and measure in it."""
    console = Console(stderr=True)
    releases = own_releases()
    settings = RehearsalSettings(
        weight_lag_seconds=LAG_SECONDS,
        requests_per_second=REQUESTS_PER_SECOND,
        open_streams=30,
        config={"green": {"release": dict(releases["b"])}},
    )
    with world(folder, settings, binaries(console), lambda what: console.print(f"  {what}")) as running:
        create_stack(running)
        console.print("  first update: both colours")
        running.run("first-up", *_UP)
        load = start_load(running, settings)
        try:
            # The scripts find the world through the environment, and here they run in this process.
            os.environ.update(running.environment)
            time.sleep(_SETTLE_SECONDS)
            measured = measure(running, repetitions, full_repetitions)
        finally:
            load.stop()
        measured.last_request += Observer(running).last_candidate_requests(measured.decisions)
        return measured


def _spread(seconds: Sequence[float]) -> str:
    return f"{statistics.median(seconds):.3f} s (of {len(seconds)}: {min(seconds):.3f} to {max(seconds):.3f})"


def main() -> None:
    """Measure and print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=20, help="rollbacks to measure")
    parser.add_argument(
        "--full-repetitions",
        type=int,
        default=10,
        help="turns of steps, bare updates and rollbacks by preview and update",
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rollback-") as folder:
        measured = run(Path(folder) / "world", arguments.repetitions, arguments.full_repetitions)
    for name, seconds in (
        ("a bare ModifyRule call", measured.bare_call),
        ("decision to rule", measured.rule),
        ("decision to last request started on the candidate", measured.last_request),
        ("rollback by preview and update, to its end", measured.full_up),
        ("weight step, decision to rule", measured.weight_step_rule),
        ("weight step, to its end", measured.weight_step),
        ("a bare `pulumi up` of the rule, to its end", measured.bare_up),
        ("start of a scripts.rollback process to rule", measured.process),
    ):
        print(f"{name}: {_spread(seconds)}")
    print(json.dumps(measured.result()))


if __name__ == "__main__":
    main()
