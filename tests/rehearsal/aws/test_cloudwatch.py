"""The load balancers' metrics, read with GetMetricData as the gates read them."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from rehearsal.aws.topology import metric_dimension
from tests.rehearsal.aws.account import Service, wait_for
from tests.rehearsal.aws.farm import Farm

pytestmark = pytest.mark.slow

NewService = Callable[..., Service]


def metric(service: Service, name: str, statistic: str, color: str | None = "blue") -> list[float]:
    """Return the last minute's values, newest last. Without a colour they are the load balancer's own."""
    dimensions = [{"Name": "LoadBalancer", "Value": metric_dimension(service.load_balancer_arn)}]
    if color:
        dimensions.append({"Name": "TargetGroup", "Value": metric_dimension(service.groups[color])})
    now = datetime.now(UTC)
    answer = service.account.cloudwatch.get_metric_data(
        MetricDataQueries=[
            {
                "Id": "m",
                "MetricStat": {
                    "Metric": {"Namespace": "AWS/ApplicationELB", "MetricName": name, "Dimensions": dimensions},  # pyright: ignore
                    "Period": 60,
                    "Stat": statistic,
                },
            }
        ],
        StartTime=now - timedelta(seconds=59),
        EndTime=now + timedelta(seconds=1),
        ScanBy="TimestampAscending",
    )
    return list(answer["MetricDataResults"][0].get("Values", []))


def test_counts_and_percentiles_of_a_target_group(new_service: NewService, farm: Farm) -> None:
    service = new_service(100, 0)
    service.register("blue", farm.start("blue"))
    assert metric_dimension(service.groups["blue"]).startswith("targetgroup/")
    assert metric_dimension(service.load_balancer_arn).startswith(f"app/{service.name}/")
    for path in ["status/200"] * 8 + ["status/404", "status/500"] + ["slow/300"] * 2:
        service.http.get(f"/v1/{path}")
    service.create_candidate_rule("blue", "secret")
    service.http.get("/v1/status/200", headers={"x-candidate-route": "secret"})
    wait_for(lambda: sum(metric(service, "RequestCount", "Sum")) == 13)
    assert metric(service, "HTTPCode_Target_2XX_Count", "Sum") == [11]
    assert metric(service, "HTTPCode_Target_4XX_Count", "Sum") == [1]
    assert metric(service, "HTTPCode_Target_5XX_Count", "Sum") == [1]
    assert metric(service, "RequestCount", "Sum", color=None) == [13]
    assert metric(service, "TargetResponseTime", "SampleCount") == [13]
    (p50,), (p95,) = metric(service, "TargetResponseTime", "p50"), metric(service, "TargetResponseTime", "p95")
    assert p50 < 0.3 <= p95 < 1


def test_a_metric_without_an_event_is_absent(new_service: NewService, farm: Farm) -> None:
    service = new_service(100, 0)
    service.register("blue", farm.start("blue"))
    service.http.get("/v1/status/200")
    wait_for(lambda: metric(service, "RequestCount", "Sum"))
    for name in ("HTTPCode_Target_4XX_Count", "HTTPCode_Target_5XX_Count", "TargetConnectionErrorCount"):
        assert metric(service, name, "Sum") == []
    assert metric(service, "RequestCount", "Sum", color="green") == []


Break = Callable[[Service, Farm], None]


def refuses(service: Service, farm: Farm) -> None:
    target = farm.start("blue")
    service.register("blue", target)
    farm.stop(target)
    service.http.get("/v1/status/200")


def resets(service: Service, farm: Farm) -> None:
    service.register("blue", farm.start("blue"))
    service.http.get("/v1/reset")


def is_not_there(service: Service, farm: Farm) -> None:
    del farm
    service.http.get("/v1/status/200")


@pytest.mark.parametrize(
    ("breaks", "code", "connection_errors", "requests"),
    [(refuses, 502, [1], [1]), (resets, 502, [], [1]), (is_not_there, 503, [], [])],
)
def test_errors_of_the_load_balancer_do_not_count_as_the_targets(
    new_service: NewService, farm: Farm, breaks: Break, code: int, connection_errors: list[int], requests: list[int]
) -> None:
    service = new_service(100, 0)
    breaks(service, farm)
    wait_for(lambda: metric(service, "HTTPCode_ELB_5XX_Count", "Sum", color=None))
    assert metric(service, f"HTTPCode_ELB_{code}_Count", "Sum", color=None) == [1]
    assert metric(service, "HTTPCode_ELB_5XX_Count", "Sum") == [], "it has no dimension for the target group"
    for color in ("blue", None):
        assert metric(service, "TargetConnectionErrorCount", "Sum", color=color) == connection_errors
        assert metric(service, "RequestCount", "Sum", color=color) == requests
        assert metric(service, "HTTPCode_Target_5XX_Count", "Sum", color=color) == []


def test_host_counts_follow_health(new_service: NewService, farm: Farm) -> None:
    service = new_service(100, 0)
    good, bad = farm.start("good"), farm.start("bad")
    service.register("blue", good, bad)
    bad.health_status = 500
    wait_for(lambda: service.states("blue")[bad.address] == "unhealthy")
    time.sleep(1)
    wait_for(lambda: metric(service, "UnHealthyHostCount", "Maximum") == [1])
    assert metric(service, "HealthyHostCount", "Minimum") == [1]
    assert metric(service, "HealthyHostCount", "Maximum")[0] >= 1
    assert metric(service, "HealthyHostCount", "Maximum", color="green") == []


@pytest.mark.parametrize("counted_at", ["start", "end"])
def test_a_request_is_counted_when_it_begins_or_when_it_ends(
    new_service: NewService, farm: Farm, counted_at: str
) -> None:
    service = new_service(100, 0)
    service.register("blue", farm.start("blue"))
    service.account.admin.set_faults(request_counted_at=counted_at)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(service.http.get, "/v1/slow/4000")
        wait_for(lambda: service.counters("blue")["requests"] == 1)
        time.sleep(2.5)  # the period in which it began is over and published
        assert metric(service, "RequestCount", "Sum") == ([1] if counted_at == "start" else [])
        assert slow.result().is_success
    wait_for(lambda: metric(service, "RequestCount", "Sum") == [1])


def test_a_metric_can_be_published_later_than_another(new_service: NewService, farm: Farm) -> None:
    service = new_service(100, 0)
    service.account.admin.set_faults(publication_delay_seconds={"RequestCount": 3})
    service.register("blue", farm.start("blue"))
    service.http.get("/v1/status/200")
    began = time.monotonic()
    wait_for(lambda: metric(service, "HTTPCode_Target_2XX_Count", "Sum") == [1])
    assert metric(service, "RequestCount", "Sum") == []
    wait_for(lambda: metric(service, "RequestCount", "Sum") == [1])
    assert 3 <= time.monotonic() - began < 8
