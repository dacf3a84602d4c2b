"""What a journal's records add up to."""

from dataclasses import replace

from components.config.sections.rollout_settings import RolloutSettings
from rollout.model.machine import UNTOUCHED, Phase, Rollout
from rollout.model.plan import make_plan
from rollout.model.records import Body, LockTaken, Note, Record, TakenUp, state_of
from rollout.model.run import Run, after, begun_by
from tests.rollout.fakes import START, record

ROLLOUT = Rollout(plan=make_plan("green", RolloutSettings()), phase=Phase.HOLDING)
LOCK = LockTaken(by="ramp", before="")
RESUMED = TakenUp(plan=ROLLOUT.plan, release=None, resumed=True, **state_of(ROLLOUT))


def under(token: int, body: Body) -> Record:
    return replace(record(body), token=token)


def test_a_run_is_untouched_before_its_first_change_only() -> None:
    runs = {phase: Run(rollout_id="r1", rollout=replace(ROLLOUT, phase=phase)) for phase in Phase}
    assert {phase for phase, run in runs.items() if run.is_untouched} == UNTOUCHED
    assert not replace(runs[Phase.PREFLIGHT], finished=True).is_untouched


def test_the_last_command_that_went_on_with_a_run_has_begun_it() -> None:
    first, second = (replace_url(url) for url in ("first", "second"))
    records = [under(1, first), under(1, RESUMED), under(2, second)]
    assert begun_by(records) == first, "the second has only taken the lock"
    assert begun_by([*records, under(2, RESUMED), under(2, Note(text="goes on"))]) == second


def test_nobody_knows_who_began_a_run_without_the_record_of_its_lock() -> None:
    assert begun_by([under(1, RESUMED), under(2, LOCK)]) is None
    assert begun_by([under(1, LOCK)]) is None
    assert begun_by([]) is None


def test_the_first_hold_counts_from_the_change_of_the_rule_unless_another_process_made_it() -> None:
    run = Run(rollout_id="r1", rollout=ROLLOUT, shifted_at=START)
    assert run.judged_since == START
    assert replace(run, rollout=replace(ROLLOUT, step=1)).judged_since is None
    assert replace(run, rollout=replace(ROLLOUT, phase=Phase.SOAKING)).judged_since is None
    resumed = after(run, under(2, RESUMED))
    assert resumed is not None
    assert resumed.judged_since is None


def replace_url(url: str) -> LockTaken:
    return LOCK.model_copy(update={"run_url": url})
