"""Which release is never reaped: the last that passed."""

from components.config.settings import ServiceSettings
from rollout.model.machine import Rollout
from rollout.model.plan import make_plan
from rollout.model.records import Decision, Promoted, Record, Started, state_of
from rollout.model.verdict import TargetHealth
from rollout.steps.passed import last_passed_violations, refused_releases
from tests.components.example import release, service_settings
from tests.rollout.fakes import START, record

WELL = TargetHealth(healthy=2, total=2)


def started(rollout: str, release_id: str, previous: str | None) -> Record:
    plan = make_plan("green", service_settings().rollout)
    body = Started(
        plan=plan,
        release=None,
        **state_of(Rollout(plan=plan)),
        service="chat",
        candidate="green",
        release_id=release_id,
        previous_release_id=previous,
        green_weight=0,
    )
    return record(body, rollout=rollout)


def promoted(rollout: str) -> Record:
    return record(Promoted(active_color="green", keep_until=START), rollout=rollout)


def back(rollout: str) -> Record:
    return record(Decision(action="rollback", reason="slow", green_weight=0), rollout=rollout)


def test_a_release_that_was_rolled_back_has_not_passed() -> None:
    assert refused_releases([]) == set()
    assert refused_releases([started("1", "b", "a"), promoted("1")]) == set()
    assert refused_releases([started("1", "b", "a"), back("1")]) == {"b"}


def test_a_promotion_undone_counts_against_the_release() -> None:
    in_the_soak = [started("1", "b", "a"), promoted("1"), back("1")]
    by_hand = [started("1", "b", "a"), promoted("1"), back("2")]
    assert refused_releases(in_the_soak) == refused_releases(by_hand) == {"b"}


def test_a_second_try_that_passes_counts() -> None:
    assert refused_releases([started("1", "b", "a"), back("1"), started("2", "b", "a"), promoted("2")]) == set()


def test_what_somebody_put_into_service_and_rolled_on_from_has_passed() -> None:
    assert refused_releases([started("1", "b", "a"), back("1"), started("2", "c", "b")]) == set()


def settings() -> ServiceSettings:
    return service_settings(green={"replicas": 2, "release": release(model_revision="a1b2c3d")})


def test_the_colour_beside_one_that_never_passed_stays() -> None:
    serving = settings().blue.release
    assert serving is not None
    assert list(last_passed_violations(settings(), [], WELL)) == []
    records = [started("1", serving.release_id, "x"), back("1")]
    (fault,) = last_passed_violations(settings(), records, WELL)
    assert f"blue.release: {serving.release_id} serves but was rolled back" in fault
    assert "so green has the last release that passed" in fault


def test_the_colour_beside_one_that_is_ill_stays() -> None:
    (fault,) = last_passed_violations(settings(), [], TargetHealth(healthy=1, total=2, states={"unhealthy": 1}))
    assert fault.startswith("blue: has 1 healthy targets of 2 (unhealthy 1)")
