"""The target of a request depends on weights, rules, health, stickiness and the lag of changes."""

import time
from collections.abc import Callable

import pytest

from tests.rehearsal.aws.account import Account, Service, wait_for
from tests.rehearsal.aws.farm import Farm

pytestmark = pytest.mark.slow

NewService = Callable[..., Service]


def test_requests_split_by_weight_within_binomial_bounds(new_service: NewService, farm: Farm) -> None:
    service = new_service(75, 25)
    service.register("blue", farm.start("blue"))
    service.register("green", farm.start("green"))
    requests = 600
    green = service.names(requests)["green"]
    standard_deviation = (requests * 0.25 * 0.75) ** 0.5
    assert abs(green - requests * 0.25) < 4.5 * standard_deviation
    assert service.counters("green")["requests"] == green
    assert service.counters("blue")["requests"] == requests - green


def test_a_weight_change_is_followed_only_after_the_lag(account: Account, new_service: NewService, farm: Farm) -> None:
    service = new_service(100, 0)
    service.register("blue", farm.start("blue"))
    service.register("green", farm.start("green"))
    account.admin.set_faults(weight_lag_seconds=0.6)
    asked_at = time.time()
    service.set_weights({"blue": 0, "green": 100})
    assert service.names(5) == {"blue": 5}
    wait_for(service.rule_applied)
    assert time.time() - asked_at >= 0.6
    assert service.names(5) == {"green": 5}


def test_shortening_the_lag_applies_what_is_pending(account: Account, new_service: NewService, farm: Farm) -> None:
    service = new_service(100, 0)
    service.register("green", farm.start("green"))
    account.admin.set_faults(weight_lag_seconds=60)
    service.set_weights({"blue": 0, "green": 100})
    assert not service.rule_applied()
    account.admin.set_faults(weight_lag_seconds=0)
    wait_for(service.rule_applied)
    assert service.names(1) == {"green": 1}


def test_ignored_weight_changes_are_followed_when_the_fault_ends(
    account: Account, new_service: NewService, farm: Farm
) -> None:
    service = new_service(100, 0)
    service.register("blue", farm.start("blue"))
    service.register("green", farm.start("green"))
    account.admin.set_faults(ignore_weight_changes=True)
    service.set_weights({"blue": 0, "green": 100})
    time.sleep(0.3)
    assert not service.rule_applied()
    assert service.names(5) == {"blue": 5}
    account.admin.set_faults(ignore_weight_changes=False)
    wait_for(service.rule_applied)
    assert service.names(5) == {"green": 5}


def test_the_candidate_route_reaches_a_colour_of_weight_zero(new_service: NewService, farm: Farm) -> None:
    service = new_service(100, 0)
    service.register("blue", farm.start("blue"))
    service.register("green", farm.start("green"))
    service.create_candidate_rule("green", "green-secret")
    route = {"X-Candidate-Route": "green-secret"}
    assert service.http.post("/v1/echo", headers=route).json()["name"] == "green"
    assert service.http.post("/v1/echo", headers={"x-candidate-route": "green-wrong"}).json()["name"] == "blue"
    assert service.http.get("/metrics", headers=route).status_code == 404
    green, blue = service.counters("green"), service.counters("blue")
    assert green["requests_by_rule"] == {"candidate": 1}
    assert green["last_request_started_at"] is None
    assert blue["requests_by_rule"] == {"weighted": 1}
    assert blue["last_request_started_at"] == pytest.approx(time.time(), abs=5)


def test_a_group_without_targets_answers_503(account: Account, new_service: NewService) -> None:
    service = new_service(100, 0)
    answer = service.http.post("/v1/echo", headers={"x-request-id": f"{service.name}-empty"})
    assert answer.status_code == 503
    logged = account.logged(f"{service.name}-empty")
    assert (logged["error"], logged["color"], logged["elb_status"]) == ("no_targets", "blue", 503)


def test_weights_that_are_all_zero_answer_503(new_service: NewService, farm: Farm) -> None:
    service = new_service(0, 0)
    service.register("blue", farm.start("blue"))
    assert service.http.post("/v1/echo").status_code == 503


def test_a_path_without_a_rule_gets_the_default_action(new_service: NewService) -> None:
    answer = new_service(100, 0).http.get("/elsewhere")
    assert (answer.status_code, answer.text) == (404, "nothing here")


def test_only_healthy_targets_get_requests(new_service: NewService, farm: Farm) -> None:
    service = new_service(100, 0)
    good, bad = farm.start("good"), farm.start("bad")
    service.register("blue", good, bad)
    bad.health_status = 500
    wait_for(lambda: service.states("blue")[bad.address] == "unhealthy")
    assert service.names(10) == {"good": 10}


def test_a_group_of_unhealthy_targets_fails_open(new_service: NewService, farm: Farm) -> None:
    service = new_service(100, 0)
    targets = [farm.start("one"), farm.start("two")]
    for target in targets:
        target.health_status = 503
    service.register("blue", *targets, healthy=False)
    wait_for(lambda: set(service.states("blue").values()) == {"unhealthy"})
    assert set(service.names(10)) == {"one", "two"}


def test_least_outstanding_requests_prefers_the_idle_target(new_service: NewService, farm: Farm) -> None:
    service = new_service(100, 0)
    service.elbv2.modify_target_group_attributes(
        TargetGroupArn=service.groups["blue"],
        Attributes=[{"Key": "load_balancing.algorithm.type", "Value": "least_outstanding_requests"}],
    )
    service.register("blue", farm.start("one"), farm.start("two"))
    with service.http.stream("GET", "/v1/stream/100/50") as stream:
        chunks = stream.iter_raw()
        next(chunks)
        assert len(service.names(10)) == 1


def test_group_stickiness_outlives_the_weight(new_service: NewService, farm: Farm) -> None:
    service = new_service(100, 0)
    service.register("blue", farm.start("blue"))
    service.register("green", farm.start("green"))
    service.set_weights({"blue": 100, "green": 0}, stickiness_seconds=60)
    wait_for(lambda: "AWSALBTG" in service.http.post("/v1/echo").cookies)
    cookie = {"Cookie": f"AWSALBTG={service.http.cookies['AWSALBTG']}"}
    service.http.cookies.clear()
    service.set_weights({"blue": 0, "green": 100}, stickiness_seconds=60)
    wait_for(service.rule_applied)
    assert service.http.post("/v1/echo", headers=cookie).json()["name"] == "blue"
    service.http.cookies.clear()
    assert service.http.post("/v1/echo").json()["name"] == "green"


def test_an_unknown_host_has_no_load_balancer_when_there_are_several(new_service: NewService) -> None:
    first, _ = new_service(100, 0), new_service(100, 0)
    answer = first.http.get("/v1/echo", headers={"Host": "elsewhere.example"})
    assert answer.status_code == 503
