"""The controller: performs the actions that the state machine asks for, and returns their results as events."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from components.config.headroom import headroom_costs
from components.config.release.release import Release
from components.domain.capacity.headroom import headroom_lines
from components.domain.moments import format_rfc3339
from components.domain.naming import Color, other_color
from rollout.gates.attestation import AttestationTimeoutError, attest_routing, client_share
from rollout.gates.changes import CountedShare, RoutingChange, change_of
from rollout.gates.verdicts import GATE as APPROVAL
from rollout.gates.verdicts import combine, judge_approval
from rollout.gates.window import Gates, measure_baseline
from rollout.model import machine
from rollout.model.errors import JournalError, LostLockError, RefusedError, RolloutError, StoppedError, UnavailableError
from rollout.model.machine import (
    Action,
    Event,
    Failed,
    Judged,
    Phase,
    ResumeRequested,
    Rollout,
    StopRequested,
    Succeeded,
    TimedOut,
    action_of,
    advance,
    expected_routings,
)
from rollout.model.records import (
    OUTCOMES,
    ActionEnded,
    Baseline,
    Body,
    CheckSkipped,
    ColorReady,
    Decision,
    Finished,
    HookRan,
    NextState,
    Note,
    NowServing,
    PhaseBegun,
    Promoted,
    RuleChanged,
    Started,
    TakenUp,
    VerdictGiven,
    WeightStep,
    state_of,
)
from rollout.model.rule import Routing
from rollout.model.run import Run
from rollout.model.serving import Serving
from rollout.model.verdict import GateVerdict, Verdict
from rollout.ports import Ports
from rollout.steps.deploy import await_idle, await_ready, await_unused, deploy, require_standing
from rollout.steps.drift import config_drift, rollout_drift
from rollout.steps.floors import begin, follow_load, hand_back, settle
from rollout.steps.keep_warm import price_of
from rollout.steps.preflight import preflight
from rollout.steps.resize import grow, release_id_of, shrink
from rollout.steps.retire import park, release_nodes
from rollout.steps.updates import Updater
from rollout.steps.way_back import bring_back, weight_back
from rollout.system.failures import describe_error
from rollout.system.waits import waiting


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is rolled out: the service, and the candidate's release, which is None when no candidate is deployed."""

    service: str
    release: Release | None = None


class Controller:
    """Drives one rollout from a given state to its end."""

    def __init__(self, ports: Ports, subject: Subject) -> None:
        """Act through ``ports``."""
        self._ports = ports
        self._subject = subject
        self._updater = Updater(ports, subject.service)
        self._gates: tuple[Phase, int, Gates] | None = None
        """The current hold's phase, step and gates. Each process starts a new window, because nobody watched before."""
        self._sent_back: int | None = None
        """The green weight to which this process has sent traffic back, before the first record of a rollback."""

    def run(self, rollout: Rollout) -> Rollout:
        """Perform actions and advance until nothing is left to do. Return the last state.

        A journal that cannot be written ends a rollout like any other failure. The rollback continues without it.

        Raises:
            LostLockError: another command has taken over the stack; nothing was changed after that.
        """
        return self._run(rollout)

    def _run(self, rollout: Rollout, *, resumed: bool = False, baseline: Mapping[str, float] | None = None) -> Rollout:
        first: list[Body] = []
        if rollout.phase is not Phase.PLANNED:
            release = self._subject.release
            first.append(TakenUp(plan=rollout.plan, release=release, resumed=resumed, **state_of(rollout)))
        if baseline is not None:
            first.append(Baseline(color=rollout.plan.outgoing, p95_seconds=baseline))
        return self._follow(rollout, *first)

    def _follow(self, rollout: Rollout, *first: Body) -> Rollout:
        """Enter a phase, and go on from there to the end."""
        rollout = self._entered(rollout, *first)
        while (action := action_of(rollout)) is not None:
            before, rollout = rollout, self._moved(rollout, self._attempt(rollout, action))
            if rollout.phase is not before.phase:
                rollout = self._entered(rollout)
        if rollout.phase is not Phase.PAUSED:
            self._ports.journal.best_effort = True
            self._ports.journal.write(Finished(outcome=OUTCOMES[rollout.phase], reason=rollout.reason))
        return rollout

    def resume(self, run: Run, stop: str | None = None) -> Rollout:
        """Resume a rollout whose process has ended, from its records. Roll it back if that is safer.

        Args:
            run: the run that the records describe.
            stop: why the ended process was asked to stop. None when it was not.

        Raises:
            RolloutError: the load balancer does not answer; nothing was changed.
            LostLockError: another command has taken over the stack; nothing was changed after that.
        """
        rollout = advance(run.rollout, ResumeRequested())
        rule, expected = self._ports.load_balancer.rule(), expected_routings(rollout)
        if stop is not None:
            rollout = advance(rollout, StopRequested(reason=stop))
        elif expected and not any(rule.follows(routing) for routing in expected):
            found = f"the rule {rule}, but the rollout was at {expected[-1]}"
            rollout = advance(rollout, StopRequested(reason=f"{found}: somebody has changed the rule since"))
        self._updater.touched = True
        baseline = None if rollout.going_back else {**run.baseline_p95_seconds, **self._fresh_baseline(rollout)}
        return self._run(rollout, resumed=True, baseline=baseline)

    def _fresh_baseline(self, rollout: Rollout) -> dict[str, float]:
        """Return the outgoing colour's current latencies. Empty when it has no traffic any more."""
        minimum = self._ports.config.read().rollout.gates.minimum_requests
        try:
            return measure_baseline(self._ports, rollout.plan.outgoing, minimum)
        except RolloutError:  # without metrics, the gates do not pass either
            return {}

    @property
    def _known(self) -> Run:
        """The run that this rollout's records describe."""
        run = self._ports.journal.run
        if run is None:
            raise RolloutError("the rollout has no record of its start")
        return run

    def _entered(self, rollout: Rollout, *first: Body) -> Rollout:
        """Record a phase, after this process's ``first`` records. If that fails, the rollout fails instead."""
        try:
            self._enter(rollout, *first)
        except JournalError as error:
            self._ports.journal.best_effort = True
            rollout = advance(rollout, Failed(reason=str(error)))
            self._enter(rollout)
        return rollout

    def _moved(self, before: Rollout, event: Event) -> Rollout:
        """Advance, and record an action's result. Record nothing before a rollback, whose first call must not wait."""
        after = advance(before, event)
        if after == before or after.phase is Phase.ROLLING_BACK:
            return after
        try:
            following = NextState(phase=after.phase, **state_of(after))
            self._ports.journal.write(ActionEnded(event=type(event).__name__.lower(), next=following))
        except JournalError as error:
            self._ports.journal.best_effort = True
            return advance(before, Failed(reason=str(error)))
        return after

    def _enter(self, rollout: Rollout, *first: Body) -> None:
        journal = self._ports.journal
        journal.phase = rollout.phase
        decided_at = self._ports.clock.now()
        if rollout.phase is Phase.ROLLING_BACK:
            self._send_back(rollout)
            journal.best_effort = True  # what protects users must not wait for a disk
        for body in first:
            journal.write(body)
        if rollout.phase is Phase.ROLLING_BACK:
            weight = rollout.plan.initial_green_weight if self._sent_back is None else self._sent_back
            # The rule was changed first, so the record is later than the decision.
            journal.write(
                Decision(action="rollback", reason=rollout.reason, green_weight=weight, decided_at=decided_at)
            )
        elif rollout.phase is Phase.PROMOTING:
            weight = rollout.plan.steps[-1].green_weight
            journal.write(Decision(action="promote", reason="every step passed", green_weight=weight))
        journal.write(PhaseBegun(**state_of(rollout)))

    def _send_back(self, rollout: Rollout) -> None:
        """Send traffic back before the rollback is even recorded. A failure is retried, and reported, later."""
        try:
            weight = weight_back(self._ports, rollout.plan)
            self._ports.load_balancer.set_green_weight(weight, cohorts_to=rollout.plan.outgoing)
        except Exception:
            self._sent_back = None
        else:
            self._sent_back = weight

    def _attempt(self, rollout: Rollout, action: Action) -> Event:
        try:
            return self._perform(rollout, action)
        except LostLockError:
            raise  # the command that holds the stack now decides what happens
        except StoppedError as stop:
            return StopRequested(reason=str(stop))
        except AttestationTimeoutError as timeout:
            return TimedOut(reason=str(timeout))
        except Exception as error:  # even a bug of ours must not leave users on a candidate
            return Failed(reason=describe_error(error), nothing_changed=not self._updater.touched)

    def _perform(self, rollout: Rollout, action: Action) -> Event:
        match action:
            case machine.Begin():
                self._begin(rollout)
            case machine.CheckPreflight():
                with waiting("preflight: everything that the rollout needs"):
                    self._preflight(rollout)
            case machine.Deploy(color=color):
                self._settle(color)
                self._deploy(rollout, color)
            case machine.AwaitReady(color=color):
                self._await_ready(color)
            case machine.Verify(check=check):
                return self._verify(check, rollout.plan.candidate)
            case machine.Resize(step=step):
                self._resize(rollout, step)
            case machine.Shift(step=step, routing=routing, before=before):
                self._shift(rollout, step, routing, before)
            case machine.Attest(step=step):
                self._attest(rollout, step)
            case machine.Judge():
                return self._judge(rollout)
            case machine.Promote(color=color):
                self._promote(rollout, color)
            case machine.RestoreTraffic(active_color=color):
                reason = rollout.reason
                bring_back(self._ports, self._updater, rollout.plan, reason=reason, sent_back=self._sent_back)
                self._report_serving(color, "after_rollback")
            case machine.AwaitIdle(color=color):
                await_idle(self._ports, color)
            case machine.Retire(color=color):
                self._retire(rollout, color)
        return Succeeded()

    def _retire(self, rollout: Rollout, color: Color) -> None:
        """Park a colour and release its nodes. After a rollback users are safe, so failures are retried."""
        ports, patience_seconds = self._ports, 0.0
        if rollout.promoted:
            if found := config_drift(ports.config.read(), ports.load_balancer.rule()):
                raise RolloutError("; ".join(found))
            require_standing(ports, other_color(color))
        else:
            await_unused(ports, color, since=self._known.sent_back_at or ports.rule_changed_at or ports.clock.now())
            patience_seconds = ports.config.read().rollout.update_timeout_seconds
        # First: an unfinished move of its floor would look like somebody's change in the next preview.
        hand_back(ports, self._updater, other_color(color))
        self._settle(color)
        message = f"park {color}"
        park(ports, self._updater, color, message=message, patience_seconds=patience_seconds)
        message = f"release the nodes of {color}"
        release_nodes(ports, self._updater, color, message=message, patience_seconds=patience_seconds)

    def _settle(self, color: Color) -> None:
        """Repeat an update whose process ended in the middle. After that, config and stack agree."""
        update = self._known.unsettled
        if update is not None and update.color == color and not self._ports.load_balancer.rule().serves(color):
            self._updater.change_color(color, update.edits, message=update.message)

    @property
    def _release(self) -> Release:
        if self._subject.release is None:
            raise RefusedError("no release was given")
        return self._subject.release

    def _begin(self, rollout: Rollout) -> None:
        settings = self._ports.config.read()
        previous = settings.color(rollout.plan.outgoing).release
        journal, start_seconds = self._ports.journal, self._ports.start_seconds()
        headroom = headroom_costs(settings, start_seconds)
        journal.write(
            Started(
                plan=rollout.plan,
                release=self._release,
                **state_of(rollout),
                service=self._subject.service,
                candidate=rollout.plan.candidate,
                release_id=self._release.release_id,
                previous_release_id=None if previous is None else previous.release_id,
                green_weight=settings.green_weight,
                candidate_usd_per_hour=price_of(settings, rollout.plan.candidate),
                headroom=headroom,
            )
        )
        if (skip := rollout.plan.skip) is not None:
            for check in skip.checks:
                journal.write(CheckSkipped(check=check, because=skip.because))
        for line in headroom_lines(headroom):
            journal.write(Note(text=line))
        if settings.ladder is not None:
            for line in settings.ladder.lines(wave_seconds=settings.wave_seconds(start_seconds)):
                journal.write(Note(text=line))
        if settings.rollout.gates.recorded_prompts is None:
            text = "no shadow check and no warm-up: rollout.gates.recorded_prompts names no prompts"
            journal.write(Note(text=text))

    def _preflight(self, rollout: Rollout) -> None:
        ports, settings = self._ports, self._ports.config.read()
        violations = list(preflight(ports, rollout.plan, self._subject.service))
        minimum = settings.rollout.gates.minimum_requests
        try:
            baseline = measure_baseline(ports, rollout.plan.outgoing, minimum)
        except Exception as error:  # whatever the failure is, the gates need these metrics
            violations.append(describe_error(error))
            baseline = {}
        if violations:
            raise RefusedError("\n".join(dict.fromkeys(violations)))
        ports.journal.write(Baseline(color=rollout.plan.outgoing, p95_seconds=baseline))

    def _deploy(self, rollout: Rollout, color: Color) -> None:
        floor = begin(self._ports, self._updater, rollout.plan)
        replicas = rollout.plan.steps[0].candidate_replicas
        deploy(self._ports, self._updater, color, self._release, replicas, floor=floor)

    def _await_ready(self, color: Color) -> None:
        await_ready(self._ports, color, self._release.release_id)
        run = self._known
        if run.deploying_since is not None:
            seconds = round((self._ports.clock.now() - run.deploying_since).total_seconds(), 1)
            self._ports.journal.write(ColorReady(color=color, seconds=seconds, with_nodes=run.started_nodes))

    def _verify(self, check: str, candidate: Color) -> Event:
        with waiting(f"the check {check}"):
            verdict = self._ports.checks[check].run(candidate, self._release)
        self._record(verdict)
        passes = verdict.verdict is Verdict.PASS or verdict.dry_run
        return Succeeded() if passes else Failed(reason=f"{check}: {verdict.reason}")

    def _resize(self, rollout: Rollout, step: int) -> None:
        """Let the outgoing colour give places up, and then the candidate take them; or let floors follow the load."""
        plan, wanted, settings = rollout.plan, rollout.plan.steps[step], self._ports.config.read()
        found = rollout_drift(self._ports, self._subject.service, *expected_routings(rollout))
        # An unfinished update of the former process may have left the config ahead of the rule.
        if found and self._known.unsettled is None:
            raise RolloutError("; ".join(found))
        if wanted.outgoing_replicas is not None:
            outgoing = settings.color(plan.outgoing)
            if outgoing.wanted_replicas > wanted.outgoing_replicas:
                # The ones that stay must be able to carry their share.
                await_ready(self._ports, plan.outgoing, release_id_of(outgoing))
            shrink(self._ports, self._updater, plan.outgoing, wanted.outgoing_replicas)
        follow_load(self._ports, self._updater, plan, step)
        if wanted.candidate_replicas is not None:
            grow(self._ports, self._updater, plan.candidate, wanted.candidate_replicas)

    def _shift(self, rollout: Rollout, step: int, routing: Routing, before: Routing) -> None:
        taken = rollout.plan.steps[step]
        self._record_weight(rollout, step, "begun", self._counted(rollout, step, before))
        what = taken.name if taken.cohort else f"{taken.name} of requests"
        message = f"{self._subject.service}: {what} to {rollout.plan.candidate}"
        self._updater.change_routing(routing, message=message, before=before)
        self._ports.journal.write(RuleChanged(green_weight=routing.green_weight, how="up"))

    def _attest(self, rollout: Rollout, step: int) -> None:
        attest_routing(self._ports, self._change(rollout, step))
        self._record_weight(rollout, step, "done")

    def _change(self, rollout: Rollout, step: int) -> RoutingChange:
        known = self._known.counted.get(step)
        return change_of(
            rollout.plan,
            step,
            # After a resume, requests counted until now may be from before the change, or from our own checks.
            since=self._known.shifted_at or self._ports.clock.now(),
            counted=known and CountedShare(percent=known[0], requests=known[1]),
        )

    def _counted(self, rollout: Rollout, step: int, before: Routing) -> CountedShare | None:
        """Return the candidate's share of the requests until now, if the step needs it and is still to come."""
        ports, plan = self._ports, rollout.plan
        if plan.steps[step].cohort or not before.cohorts_on_candidate or not ports.load_balancer.rule().follows(before):
            return None
        window = timedelta(seconds=plan.steps[step - 1].hold_seconds)
        now = ports.clock.now()
        with suppress(RolloutError):
            return client_share(ports, plan.candidate, now - window, now)
        return None

    def _judge(self, rollout: Rollout) -> Event:
        settings = self._ports.config.read()
        if self._gates is None or self._gates[:2] != (rollout.phase, rollout.step):
            self._keep_baseline(rollout.plan.outgoing)
            plan = rollout.plan
            hold_seconds = (
                plan.soak_seconds if rollout.phase is Phase.SOAKING else plan.steps[rollout.step].hold_seconds
            )
            known = self._known.baseline_p95_seconds
            step = plan.steps[rollout.step]
            gates = Gates(
                self._ports,
                plan,
                settings,
                known,
                hold_seconds=hold_seconds,
                candidate_percent=step.candidate_percent,
                with_cohorts=bool(step.cohorts_on_candidate),
                opened=self._known.judged_since,
            )
            self._gates = (rollout.phase, rollout.step, gates)
        gates = self._gates[2]
        with self._watching(rollout, gates):
            self._ports.clock.sleep(settings.rollout.poll_seconds)
            verdicts = (*self._judge_drift(rollout), *gates.judge(), *self._judge_approval(rollout))
        for verdict in verdicts:
            self._record(verdict)
        combined, reason = combine(verdicts)
        return Judged(verdict=combined, reason=reason, elapsed_seconds=gates.elapsed_seconds)

    def _watching(self, rollout: Rollout, gates: Gates) -> AbstractContextManager[None]:
        """Say until when the gates watch at most. The hold lasts for many polls."""
        plan, step = rollout.plan, rollout.judged_step
        planned = plan.soak_seconds if step is None else plan.steps[step].hold_seconds
        where = "in the soak" if step is None else f"at {plan.steps[step].name}"
        return waiting(
            f"the gates' verdict {where}",
            at_most_seconds=planned + plan.extension_seconds(step),
            lasted_seconds=gates.elapsed_seconds,
        )

    def _judge_drift(self, rollout: Rollout) -> tuple[GateVerdict, ...]:
        """Check whether rule and config are still as the rollout left them. Return a verdict only if they are not."""
        try:
            found = rollout_drift(self._ports, self._subject.service, *expected_routings(rollout))
        except UnavailableError as error:
            reason = f"the rule cannot be read: {error}"
            return (GateVerdict(gate="drift", verdict=Verdict.INCONCLUSIVE, reason=reason),)
        if not found:
            return ()
        return (GateVerdict(gate="drift", verdict=Verdict.FAIL, reason="; ".join(found)),)

    def _judge_approval(self, rollout: Rollout) -> tuple[GateVerdict, ...]:
        """Return the verdict of a person's decision. Empty when the step needs no approval."""
        step = rollout.plan.steps[rollout.step]
        if rollout.judged_step is None or step.approval_timeout_seconds is None:
            return ()
        try:
            found = self._ports.approvals.find(self._ports.journal.rollout_id, step.candidate_percent)
        except Exception as error:  # whatever the failure is, nobody has approved
            reason = f"the decision cannot be read: {describe_error(error)}"
            return (GateVerdict(gate=APPROVAL, verdict=Verdict.INCONCLUSIVE, reason=reason),)
        return (judge_approval(step.candidate_percent, found),)

    def _keep_baseline(self, outgoing: Color) -> None:
        """Record the outgoing colour's latencies that preflight could not measure, once a step has enough requests."""
        if self._gates is not None:
            known, seen = self._known.baseline_p95_seconds, self._gates[2].outgoing_p95_seconds
            if seen.keys() - known.keys():
                self._ports.journal.write(Baseline(color=outgoing, p95_seconds={**seen, **known}))

    def _promote(self, rollout: Rollout, color: Color) -> None:
        ports = self._ports
        settle(ports, self._updater)
        settings = ports.config.read()
        attest_routing(ports, self._change(rollout, len(rollout.plan.steps) - 1))
        found = rollout_drift(ports, self._subject.service, *expected_routings(rollout))
        # An unfinished update of the former process may have left the config ahead of the rule.
        if found and self._known.unsettled is None:
            raise RolloutError("; ".join(found))
        kept_for = timedelta(seconds=settings.rollout.keep_warm_seconds)
        keep_until = (ports.clock.now() + kept_for).replace(microsecond=0)
        self._updater.change_rule(
            {
                "active_color": color,
                "keep_until": format_rfc3339(keep_until),
                "rolling_out": False,
                # They are on the colour that is the active one now.
                **({"cohorts_on_candidate": []} if settings.cohorts_on_candidate else {}),
            },
            green_weight=rollout.plan.steps[-1].green_weight,
            message=f"{self._subject.service}: promote {color}",
        )
        ports.journal.write(Promoted(active_color=color, keep_until=keep_until))
        self._report_serving(color, "after_promotion")
        hand_back(ports, self._updater, color)

    def _report_serving(self, color: Color, hook: Literal["after_promotion", "after_rollback"]) -> None:
        """Record which release answers users now, and run the user's hook. A failed hook does not fail a rollout."""
        ports, settings = self._ports, self._ports.config.read()
        release, previous = settings.color(color).release, settings.color(other_color(color)).release
        serving = Serving(service=self._subject.service, color=color, release=release, previous=previous)
        ports.journal.write(
            NowServing(
                color=color,
                release_id=release and release.release_id,
                cache_namespace=serving.namespace,
                previous_cache_namespace=serving.previous_namespace,
                cache_namespace_changed=serving.changed,
            )
        )
        hooks = settings.rollout.hooks
        command = getattr(hooks, hook)
        if command:
            result = ports.hooks.run(command, serving.variables(), timeout_seconds=hooks.timeout_seconds)
            ports.journal.write(HookRan(name=hook, seconds=result.seconds, error=result.error))

    def _record(self, verdict: GateVerdict) -> None:
        self._ports.journal.write(
            VerdictGiven(
                gate=verdict.gate,
                verdict=verdict.verdict,
                reason=verdict.reason,
                evidence=verdict.evidence,
                dry_run=verdict.dry_run,
                slices=verdict.slices,
            )
        )

    def _record_weight(
        self, rollout: Rollout, step: int, status: Literal["begun", "done"], counted: CountedShare | None = None
    ) -> None:
        intended = rollout.plan.steps[step]
        self._ports.journal.write(
            WeightStep(
                green_weight=intended.green_weight,
                candidate_percent=intended.candidate_percent,
                step=step,
                status=status,
                cohort=intended.cohort,
                counted_percent=counted and counted.percent,
                counted_requests=0 if counted is None else counted.requests,
            )
        )
