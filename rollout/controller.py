"""The controller: performs what the state machine asks for, and tells it what came of it."""

from dataclasses import dataclass
from datetime import timedelta

from components.naming import Color
from components.release import Release
from rollout import machine
from rollout.deploy import await_idle, await_ready, deploy
from rollout.errors import JournalError, RefusedError, RolloutError, StoppedError
from rollout.failures import plain
from rollout.gates import Gates, measure_baseline
from rollout.machine import (
    Action,
    Event,
    Failed,
    Judged,
    Phase,
    Rollout,
    StopRequested,
    Succeeded,
    action_of,
    advance,
)
from rollout.ports import Ports
from rollout.preflight import preflight_faults, unreachable
from rollout.retire import park, release_nodes
from rollout.rollback import restore_traffic
from rollout.updates import Updater
from rollout.verdicts import GateVerdict, Verdict, combine, judge_targets

# A change of a rule is there at once or within seconds; what does not show by then was undone by somebody.
ATTEST_TIMEOUT_SECONDS = 60.0
READS = 2

_OUTCOMES = {
    Phase.DONE: "promoted",
    Phase.ROLLED_BACK: "rolled_back",
    Phase.FAILED: "failed",
    Phase.REFUSED: "failed",
    Phase.REAPED: "reaped",
}


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Whose rollout: the service, and the release that the candidate gets; none when no candidate is deployed."""

    service: str
    release: Release | None = None


class Controller:
    """Drives one rollout from the state it is given to an end."""

    def __init__(self, ports: Ports, subject: Subject) -> None:
        """Act through ``ports``."""
        self._ports = ports
        self._subject = subject
        self._updater = Updater(ports, subject.service)
        self._gates: tuple[Phase, int, Gates] | None = None
        self._baseline_p95_seconds: dict[str, float] = {}
        """The outgoing colour's p95 by gate, for windows in which it has too little traffic."""

    def run(self, rollout: Rollout) -> Rollout:
        """Perform and advance until there is nothing left to do; returns the last state.

        A journal that cannot be written ends a rollout like any other failure; the way back goes on without it.
        """
        rollout = self._entered(rollout)
        while (action := action_of(rollout)) is not None:
            before, rollout = rollout, advance(rollout, self._attempt(rollout, action))
            if rollout.phase is not before.phase:
                rollout = self._entered(rollout)
        self._ports.journal.dispensable = True
        self._ports.journal.write("finished", outcome=_OUTCOMES[rollout.phase], reason=rollout.reason)
        return rollout

    def _entered(self, rollout: Rollout) -> Rollout:
        """Record a phase; a phase that cannot be recorded is not begun."""
        try:
            self._enter(rollout)
        except JournalError as error:
            self._ports.journal.dispensable = True
            rollout = advance(rollout, Failed(reason=str(error)))
            self._enter(rollout)
        return rollout

    def _enter(self, rollout: Rollout) -> None:
        journal = self._ports.journal
        journal.phase = rollout.phase
        if rollout.phase is Phase.ROLLING_BACK:
            journal.dispensable = True  # what protects the users does not wait for a disk
        if rollout.phase is Phase.ROLLING_BACK:
            weight = rollout.plan.initial_green_weight
            journal.write("decision", action="rollback", reason=rollout.reason, green_weight=weight)
        elif rollout.phase is Phase.PROMOTING:
            weight = rollout.plan.steps[-1].green_weight
            journal.write("decision", action="promote", reason="every step passed", green_weight=weight)
        journal.write("phase", step=rollout.step)

    def _attempt(self, rollout: Rollout, action: Action) -> Event:
        try:
            return self._perform(rollout, action)
        except StoppedError as stop:
            return StopRequested(reason=str(stop))
        except Exception as error:  # a fault of our own must not leave users on a candidate either
            return Failed(reason=plain(error), nothing_changed=not self._updater.touched)

    def _perform(self, rollout: Rollout, action: Action) -> Event:
        match action:
            case machine.Begin():
                self._begin(rollout)
            case machine.CheckPreflight():
                self._preflight(rollout)
            case machine.Deploy(color=color):
                deploy(self._ports, self._updater, color, self._release)
            case machine.AwaitReady(color=color):
                await_ready(self._ports, color, self._release.release_id)
            case machine.Verify(check=check):
                return self._verify(check, rollout.plan.candidate)
            case machine.Shift(step=step, green_weight=green_weight):
                self._shift(rollout, step, green_weight)
            case machine.Attest(step=step, green_weight=green_weight):
                self._attest(rollout, step, green_weight)
            case machine.Judge():
                return self._judge(rollout)
            case machine.Promote(color=color):
                self._promote(rollout, color)
            case machine.RestoreTraffic(green_weight=green_weight, active_color=color):
                restore_traffic(
                    self._ports, self._updater, green_weight=green_weight, active_color=color, reason=rollout.reason
                )
            case machine.AwaitIdle(color=color):
                await_idle(self._ports, color)
            case machine.Retire(color=color):
                park(self._ports, self._updater, color, message=f"park {color}")
                release_nodes(self._ports, self._updater, color, message=f"give the nodes of {color} back")
        return Succeeded()

    @property
    def _release(self) -> Release:
        if self._subject.release is None:
            raise RefusedError("no release was given")
        return self._subject.release

    def _begin(self, rollout: Rollout) -> None:
        settings = self._ports.config.read()
        previous = settings.color(rollout.plan.outgoing).release
        self._ports.journal.write(
            "started",
            service=self._subject.service,
            candidate=rollout.plan.candidate,
            release_id=self._release.release_id,
            previous_release_id=None if previous is None else previous.release_id,
            green_weight=settings.green_weight,
        )

    def _preflight(self, rollout: Rollout) -> None:
        ports, settings = self._ports, self._ports.config.read()
        faults = list(
            preflight_faults(
                plan=rollout.plan,
                settings=settings,
                rule=ports.load_balancer.rule(),
                outgoing=ports.load_balancer.health(rollout.plan.outgoing),
                idle_timeout_seconds=ports.load_balancer.idle_timeout_seconds(),
                now=ports.clock.now(),
            )
        )
        minimum = settings.rollout.gates.minimum_requests
        try:
            self._baseline_p95_seconds = measure_baseline(ports, rollout.plan.outgoing, minimum)
        except Exception as error:  # whatever a source fails with, a rollout could not go on without it
            faults.append(plain(error))
        faults += unreachable(ports, rollout.plan.outgoing)
        if faults:
            raise RefusedError("\n".join(faults))
        ports.journal.write("baseline", color=rollout.plan.outgoing, p95_seconds={**self._baseline_p95_seconds})

    def _verify(self, check: str, candidate: Color) -> Event:
        verdict = self._ports.checks[check].run(candidate, self._release)
        self._record(verdict)
        return Succeeded() if verdict.verdict is Verdict.PASS else Failed(reason=f"{check}: {verdict.reason}")

    def _shift(self, rollout: Rollout, step: int, green_weight: int) -> None:
        percent = rollout.plan.steps[step].candidate_percent
        self._record_weight(rollout, step, "begun")
        message = f"{self._subject.service}: {percent} % of requests to {rollout.plan.candidate}"
        self._updater.change_rule({}, green_weight=green_weight, message=message)
        self._ports.journal.write("rule", green_weight=green_weight, how="up")

    def _attest(self, rollout: Rollout, step: int, green_weight: int) -> None:
        ports, settings, candidate = self._ports, self._ports.config.read(), rollout.plan.candidate
        replicas = settings.color(candidate).replicas
        deadline = ports.clock.monotonic() + ATTEST_TIMEOUT_SECONDS
        pause_seconds = min(settings.rollout.poll_seconds, 1.0)
        reads = 0
        while reads < READS:
            rule = ports.load_balancer.rule()
            targets = judge_targets(ports.load_balancer.health(candidate), replicas)
            reads = reads + 1 if rule.splits(green_weight) and targets.verdict is Verdict.PASS else 0
            if ports.clock.monotonic() > deadline:
                raise RolloutError(
                    f"green_weight {green_weight} could not be attested within {ATTEST_TIMEOUT_SECONDS:.0f} s: the "
                    f"rule splits {dict(rule.weights)}, {targets.reason} in the candidate's target group"
                )
            if reads < READS:
                ports.clock.sleep(pause_seconds)
        ports.clock.sleep(settings.rollout.settle_seconds)
        self._record_weight(rollout, step, "done")

    def _judge(self, rollout: Rollout) -> Event:
        settings = self._ports.config.read()
        if self._gates is None or self._gates[:2] != (rollout.phase, rollout.step):
            self._keep_baseline()
            plan = rollout.plan
            hold_seconds = (
                plan.soak_seconds if rollout.phase is Phase.SOAKING else plan.steps[rollout.step].hold_seconds
            )
            gates = Gates(self._ports, plan, settings, self._baseline_p95_seconds, hold_seconds=hold_seconds)
            self._gates = (rollout.phase, rollout.step, gates)
        gates = self._gates[2]
        self._ports.clock.sleep(settings.rollout.poll_seconds)
        verdicts = gates.judge()
        for verdict in verdicts:
            self._record(verdict)
        combined, reason = combine(verdicts)
        return Judged(verdict=combined, reason=reason, elapsed_seconds=gates.elapsed_seconds)

    def _keep_baseline(self) -> None:
        """What preflight could not say of the outgoing colour, the first step that saw enough of it does."""
        if self._gates is not None:
            self._baseline_p95_seconds = self._gates[2].outgoing_p95_seconds | self._baseline_p95_seconds

    def _promote(self, rollout: Rollout, color: Color) -> None:
        ports, settings = self._ports, self._ports.config.read()
        until = ports.clock.now() + timedelta(seconds=settings.rollout.keep_warm_seconds)
        keep_until = until.isoformat(timespec="seconds").replace("+00:00", "Z")
        self._updater.change_rule(
            {"active_color": color, "keep_until": keep_until, "rolling_out": False},
            green_weight=rollout.plan.steps[-1].green_weight,
            message=f"{self._subject.service}: promote {color}",
        )
        ports.journal.write("promoted", active_color=color, keep_until=keep_until)

    def _record(self, verdict: GateVerdict) -> None:
        self._ports.journal.write(
            "verdict",
            gate=verdict.gate,
            verdict=verdict.verdict,
            reason=verdict.reason,
            evidence=dict(verdict.evidence),
            dry_run=verdict.dry_run,
        )

    def _record_weight(self, rollout: Rollout, step: int, status: str) -> None:
        asked = rollout.plan.steps[step]
        self._ports.journal.write(
            "weight",
            green_weight=asked.green_weight,
            candidate_percent=asked.candidate_percent,
            step=step,
            status=status,
        )
