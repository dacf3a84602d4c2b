"""The commands behind the scripts: ramp, roll back, reap, drill, keep, adopt.

Each takes the stack's lock. Ramp, rollback and reap then drive the state machine.
"""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress

from pydantic import JsonValue

from components.config.release.release import Release
from components.config.settings import ServiceSettings
from components.domain.moments import format_rfc3339
from components.domain.naming import Color, other_color
from rollout.controller import Controller, Subject
from rollout.direct_update import DirectUpdate, require_targets
from rollout.journal.replay import missing_edits, run_to_resume
from rollout.model.errors import (
    KeepWarmError,
    LostLockError,
    NotWarmError,
    RefusedError,
    RolloutError,
    StoppedError,
    UnavailableError,
    UnreconciledError,
)
from rollout.model.machine import Phase, ReapRequested, Rollout, StopRequested, advance
from rollout.model.plan import Skip, full_weight_of, make_plan
from rollout.model.records import Drilled, Keeping, Kept, Note, Record, last_start_seconds
from rollout.model.rule import Routing, share_words
from rollout.model.run import UNFINISHED, Run, begun_by
from rollout.ports import Ports
from rollout.session import Session
from rollout.steps.conditions import keep_warm_until
from rollout.steps.drift import adopted, adoption_violations, config_drift
from rollout.steps.drill import practise
from rollout.steps.keep_warm import keep_violations, kept_way_back, last_brought_up, read_until, warm_color
from rollout.steps.passed import last_passed_violations
from rollout.steps.preflight import preflight
from rollout.steps.rollback import candidate_to_undo, restore_traffic
from rollout.steps.updates import Updater, message_of
from rollout.steps.way_back import weight_back_to
from rollout.system.failures import describe_error
from rollout.system.waits import waiting

HANDOVER_POLL_SECONDS = 0.5


def ramp(session: Session, release: Release | None, *, resume: bool = False, skip: Skip | None = None) -> Rollout:
    """Roll out a release onto the idle colour, or resume an unfinished rollout.

    Args:
        session: the service.
        release: the release to roll out. None only with ``resume``.
        resume: resume the unfinished rollout if it is of this release, or if no release is given. Otherwise start one.
        skip: checks that a person chose to skip. A resumed rollout skips the checks that it skipped before.

    Raises:
        RefusedError: nothing was changed.
    """
    session.stop.listen()
    with session.lock:
        with _refusing():
            ports = session.ports()
            run = session.last_run
            found = run_to_resume(run, release) if resume else None
            if found is not None:
                _catch_up(session)
        if found is not None:
            subject = Subject(service=session.service, release=found.release)
            return _reported(session, Controller(ports, subject).resume(found, session.lock.left_mark))
        if release is None:
            raise RefusedError("--release: name the release to roll out, or continue a rollout with --resume")
        with _refusing():
            ports = _end_untouched(session, ports)
        settings = session.settings()
        plan = make_plan(
            settings.idle_color, settings.rollout, skip, settings.ladder, autoscaled=settings.autoscaling is not None
        )
        if run is not None and run.is_unfinished_rollout and not run.is_untouched:
            # Refused without a record: otherwise the refused rollout would replace the unfinished one as the last.
            unfinished = f"a rollout is unfinished: {run}. Continue it with --resume, or undo it with scripts.rollback"
            raise RefusedError("\n".join((unfinished, *preflight(ports, plan, session.service))))
        subject = Subject(service=session.service, release=release)
        return _reported(session, Controller(ports, subject).run(Rollout(plan=plan)))


def _reported(session: Session, rollout: Rollout) -> Rollout:
    session.store_report()
    return rollout


def _end_untouched(session: Session, ports: Ports) -> Ports:
    """End the last rollout if its process ended before it changed anything. Return the ports for what comes next.

    Otherwise later commands would take it for unfinished, and a rollback of it would undo the promotion before it.
    """
    run = session.last_run
    if run is None or not run.is_untouched:
        return ports
    ended = advance(run.rollout, StopRequested(reason="its process ended before it changed anything"))
    _reported(session, Controller(ports, Subject(service=session.service)).run(ended))
    return session.ports()


def _catch_up(session: Session) -> None:
    """Bring an outdated config file up to date with the edits of the rollout that the journal records.

    Raises:
        RefusedError: the file is so old that the journal does not contain all edits that it lacks.
    """
    config_serial, rule = session.settings().rollout_serial, session.load_balancer.rule()
    edits = missing_edits(session.history(), config_serial=config_serial, rule_serial=rule.rollout_serial)
    if edits:
        session.config.edit(edits)


def roll_back(
    session: Session,
    reason: str,
    moved: DirectUpdate | None = None,
    *,
    force: bool = False,
    candidate: Color | None = None,
) -> Rollout:
    """Send all traffic back to where it was before the current rollout, or before the last promotion.

    Args:
        session: the service.
        reason: the reason, for the journal.
        moved: the direct update that has already sent traffic back. None when there was none.
        force: go back even if the targets are registered but not healthy.
        candidate: the colour to take traffic from. None when the rule and the config decide.

    Raises:
        RefusedError: there is nothing to roll back; nothing was changed.
        UnreconciledError: traffic is back, but config and state could not be updated.
    """
    session.stop.listen()
    session.stop.shield()  # from here on, neither Ctrl-C nor our own stop mark may end the rollback
    outgoing, weight = (None, 0) if moved is None else (moved.to, moved.green_weight)
    try:
        settings = session.settings()
        if outgoing is None:
            with _refusing():
                rule = session.load_balancer.rule()
                if candidate is None:
                    candidate = candidate_to_undo(settings, rule, session.clock.now(), unfinished=session.unfinished)
                require_targets(session.load_balancer, other_color(candidate), force=force)
            weight = _send_back(session, other_color(candidate))
            outgoing = other_color(candidate)
        plan = make_plan(other_color(outgoing), settings.rollout, ladder=settings.ladder)
        _take_over(session, Routing(green_weight=weight, active_color=outgoing), reason)
        with session.lock:
            with suppress(RolloutError):  # if it fails, the update of the rule alone reports what remains
                _catch_up(session)
            settings = session.settings()
            if _is_kept_way_back(session, settings, outgoing):
                return _return_from_drill(session, Rollout(plan=plan, phase=Phase.ROLLED_BACK, reason=reason))
            rollout = Rollout(plan=plan, phase=Phase.ROLLING_BACK, reason=reason)
            rollout = _reported(session, Controller(session.ports(), Subject(service=session.service)).run(rollout))
        if rollout.phase is Phase.FAILED and session.load_balancer.rule().splits(plan.initial_green_weight):
            raise UnreconciledError(f"all traffic is on {outgoing}. What remains: {rollout.reason}")
    except UnreconciledError:
        raise
    except (Exception, LostLockError) as error:  # traffic is back; a person must do the rest
        if outgoing is None:
            raise
        raise unreconciled(outgoing, weight, error) from error
    return rollout


def roll_back_own(session: Session, reason: str, run_url: str, *, force: bool = False) -> Rollout | None:
    """Roll back the rollout that this CI run began, or went on with, and did not finish.

    Other rollouts, and promotions that stand, are left alone.

    Args:
        session: the service.
        reason: the reason, for the journal.
        run_url: the URL of this CI run.
        force: go back even if the targets are registered but not healthy.

    Returns:
        The rollback. None when there is no such rollout, or it had changed nothing.

    Raises:
        RefusedError: the rollout cannot be rolled back; nothing was changed.
        UnreconciledError: traffic is back, but config and state could not be updated.
    """
    run = _own_unfinished(session, run_url)
    if run is not None and run.is_untouched:
        session.stop.listen()
        _take_over(session, run.rollout.plan.initial_routing, reason)
        with session.lock, _refusing():
            _end_untouched(session, session.ports())
        run = _own_unfinished(session, run_url)
    return None if run is None else roll_back(session, reason, force=force, candidate=run.rollout.plan.candidate)


def _own_unfinished(session: Session, run_url: str) -> Run | None:
    run = session.last_run
    if run is None or not run.is_unfinished_rollout:
        return None
    # The newest records may begin after the one that says who took the lock.
    command = begun_by(session.records) or begun_by(session.history())
    return run if command is not None and command.run_url == run_url else None


def _send_back(session: Session, outgoing: Color) -> int:
    """Set the rule, and return its new green weight.

    Raises:
        RefusedError: the load balancer's API refuses the call; nothing was changed.
        RolloutError: it does not answer; it is unknown whether the rule was changed.
    """
    try:
        weight = weight_back_to(session.load_balancer, session.config, outgoing)
        session.load_balancer.set_green_weight(weight, cohorts_to=outgoing)
    except UnavailableError as error:
        raise RolloutError(f"{error}. It is unknown whether the rule changed: run scripts.rollback again") from error
    except Exception as error:
        raise RefusedError(describe_error(error)) from error
    return weight


def _is_kept_way_back(session: Session, settings: ServiceSettings, outgoing: Color) -> bool:
    """Return whether the idle colour is the way back after a promotion (an interrupted drill), not a candidate."""
    return (
        settings.active_color == outgoing
        and not session.unfinished
        and keep_warm_until(settings, session.clock.now()) is not None
    )


def _return_from_drill(session: Session, rollout: Rollout) -> Rollout:
    """Make config and state agree with the rule, and keep the idle colour warm until its window ends."""
    ports = session.ports()
    ports.journal.best_effort = True
    restore_traffic(
        ports,
        Updater(ports, session.service),
        green_weight=rollout.plan.initial_green_weight,
        active_color=rollout.plan.outgoing,
        reason=rollout.reason,
    )
    ports.journal.write(
        Note(text=f"{rollout.plan.candidate} stays warm as the way back, until its keep-warm window ends")
    )
    return rollout


def unreconciled(outgoing: Color, green_weight: int, error: BaseException) -> UnreconciledError:
    """Return the error which says how much traffic is back, and why config and state do not agree yet."""
    return UnreconciledError(
        f"{share_words(outgoing, green_weight)} on {outgoing}, but config and state do not say so yet: "
        f"{describe_error(error)}. Run scripts.rollback again once that is fixed; until then a "
        "`pulumi up` may move the weight."
    )


def reap(session: Session) -> Rollout | None:
    """Park the idle colour and release its nodes. Return None when there is nothing to reap.

    Raises:
        KeepWarmError: the colour's keep-warm window has not ended; nothing was changed.
        RefusedError: the colour must not be reaped now; nothing was changed.
    """
    session.stop.listen()
    with session.lock:
        settings = session.settings()
        active, idle = settings.active_color, settings.idle_color
        with _refusing():
            rule, ports = session.load_balancer.rule(), _end_untouched(session, session.ports())
            health = session.load_balancer.health(active)
        now = session.clock.now()
        violations = [*config_drift(settings, rule), *_unfinished_violations(session, settings)]
        if not rule.splits(full_weight_of(active)) or rule.serves(idle):
            violations.append(f"green_weight: {idle} still has {rule.share_text(idle)}")
        history, run, colored = session.history(), session.last_run, settings.color(idle)
        interrupted = run if run is not None and run.is_reap and not run.is_over else None
        if not violations and interrupted is None and not colored.serves and not settings.gives_back_nodes(idle):
            return None  # before anything is asked of the active colour: nothing is taken from it
        violations += last_passed_violations(settings, history, health)
        if violations:
            raise RefusedError("\n".join(violations))
        if interrupted is not None:
            return _reported(session, Controller(ports, Subject(service=session.service)).resume(interrupted))
        if until := keep_warm_until(settings, now):
            raise KeepWarmError(
                f"keep_until: {idle} is kept warm until {format_rfc3339(until)}; wait until then, or end the window "
                "earlier: scripts.keep --until +1m --shorten <reason>"
            )
        ports.journal.write(_keeping(session, settings, history))
        done = Rollout(plan=make_plan(active, settings.rollout), phase=Phase.DONE)
        return _reported(
            session, Controller(ports, Subject(service=session.service)).run(advance(done, ReapRequested()))
        )


def drill(session: Session) -> Drilled:
    """Practise a rollback with the idle colour while it is kept warm, and return the measurements.

    Raises:
        NotWarmError: the idle colour serves nothing, so there is nothing to practise with; nothing was changed.
        RefusedError: a drill is not possible now; nothing was changed.
        RolloutError: the drill failed; traffic is back.
    """
    session.stop.listen()
    with session.lock:
        settings = session.settings()
        active, idle = settings.active_color, settings.idle_color
        with _refusing():
            rule, ports = session.load_balancer.rule(), _end_untouched(session, session.ports())
            health = {color: session.load_balancer.health(color) for color in (active, idle)}
        violations = [*config_drift(settings, rule), *_unfinished_violations(session, settings)]
        if not rule.splits(full_weight_of(active)) or rule.serves(idle):
            violations.append(
                f"green_weight: {idle} has {rule.share_text(idle)}; a drill begins with all traffic on {active}"
            )
        warm = settings.color(idle).serves
        if not warm:
            violations.append(
                f"{idle}: serves nothing, so there is no way back to practise; run a drill after a promotion"
            )
        else:
            violations += (f"{color}: has no healthy target" for color, one in health.items() if not one.healthy)
        if violations:
            alone = not warm and len(violations) == 1
            raise (NotWarmError if alone else RefusedError)("\n".join(violations))
        return practise(ports, Updater(ports, session.service))


def keep(session: Session, until: str, shorten: str) -> None:
    """Change the end of the idle colour's keep-warm window.

    Args:
        session: the service.
        until: the new end: an RFC 3339 time, or a time from now such as ``+24h``.
        shorten: why the window may end earlier than before. Empty when it may not.

    Raises:
        RefusedError: the window cannot end then; nothing was changed.
    """
    session.stop.listen()
    with session.lock:
        settings = session.settings()
        moment = read_until(until, session.clock.now())
        with _refusing():
            rule, ports = session.load_balancer.rule(), _end_untouched(session, session.ports())
        violations = [
            *config_drift(settings, rule),
            *_unfinished_violations(session, settings),
            *keep_violations(settings, moment, shorten=shorten),
        ]
        if violations:
            raise RefusedError("\n".join(violations))
        why = f": {shorten.strip()}" if shorten.strip() else ""
        end = format_rfc3339(moment)
        message = f"{session.service}: keep {settings.idle_color} until {end}{why}"
        updater = Updater(ports, session.service)
        session.stop.shield()  # an update that was cut off would leave config and rule apart
        try:
            updater.change_rule({"keep_until": end}, green_weight=settings.green_weight, message=message_of(message))
        except RolloutError as error:
            if updater.touched:
                raise
            raise RefusedError(str(error)) from error
        ports.journal.write(
            Kept(
                color=settings.idle_color,
                former=settings.keep_until,
                until=moment,
                reason=shorten.strip(),
            )
        )
        ports.journal.write(_keeping(session, session.settings(), session.history()))


def adopt(session: Session) -> dict[str, JsonValue]:
    """Write the live rule's values into a stale config file, and return the written values by key.

    Raises:
        RefusedError: the rule's tags do not contain enough, or the file is not stale; nothing was changed.
    """
    session.stop.listen()
    with session.lock:
        settings = session.settings()
        with _refusing():
            rule = session.load_balancer.rule()
        if violations := tuple(adoption_violations(settings, rule)):
            raise RefusedError("\n".join(violations))
        edits = adopted(settings, rule)
        if edits:
            session.config.edit(edits)
        return edits


def _unfinished_violations(session: Session, settings: ServiceSettings) -> Iterator[str]:
    if session.unfinished:
        yield UNFINISHED
    elif settings.rolling_out:
        yield "rolling_out: is true: a rollout from another checkout is unfinished; run scripts.rollback first"


def _keeping(session: Session, settings: ServiceSettings, history: Sequence[Record]) -> Keeping:
    """Return the known facts about the old colour, for the journal."""
    kept = warm_color(settings, history, session.clock.now())
    brought_up = last_brought_up(history)
    return Keeping(
        kept=None if kept is None else str(kept),
        usd_per_hour=kept and kept.usd_per_hour,
        usd_so_far=kept and kept.usd_so_far,
        brought_up=None if brought_up is None else str(brought_up),
        way_back=kept_way_back(settings, last_start_seconds(history)),
    )


@contextmanager
def _refusing() -> Generator[None]:
    """Turn every failure before the first change into a refusal."""
    try:
        yield
    except (RefusedError, LostLockError):
        raise
    except (Exception, StoppedError) as error:  # nothing has been changed so far
        raise RefusedError(describe_error(error)) from error


def _take_over(session: Session, routing: Routing, reason: str) -> None:
    """Ask the owner of the lock to stop, and keep the rules in place until it has ended."""
    owner = session.lock.owner()
    if owner is None:
        return
    session.lock.ask_to_stop(reason)
    patience_seconds = session.settings().rollout.update_timeout_seconds
    deadline = session.clock.monotonic() + patience_seconds
    with waiting(f"{owner} to stop", at_most_seconds=patience_seconds):
        while session.lock.owner() is not None:
            if session.clock.monotonic() > deadline:
                raise RefusedError(f"{owner} does not stop; end it yourself")
            with suppress(UnavailableError):  # tried again shortly
                if not session.load_balancer.rule().follows(routing):
                    session.load_balancer.set_green_weight(routing.green_weight, cohorts_to=routing.active_color)
            session.clock.sleep(HANDOVER_POLL_SECONDS)
