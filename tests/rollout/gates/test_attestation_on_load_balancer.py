"""Attestation, the gate on errors and the direct rule update on the stand-in load balancer, through the AWS API.

Nothing here is a fake but the parts that none of them asks: lags, ignored changes, resets and throttling are the
account's faults.
"""

import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn, cast

import boto3
import pytest

from components.config.settings import ServiceSettings
from components.domain.naming import (
    ACTIVE_COLOR_KEY,
    KEEP_UNTIL_KEY,
    ROLE_KEY,
    SERVICE_KEY,
    STACK_KEY,
    Color,
)
from rollout.adapters.aws.cloudwatch import SILENT_PERIODS, CloudWatchMetrics
from rollout.adapters.aws.elbv2_client import elbv2_client
from rollout.adapters.aws.load_balancer import Elbv2LoadBalancer
from rollout.direct_update import send_back_by
from rollout.gates.attestation import (
    CLIENTS_SEEN,
    AttestationTimeoutError,
    attest_idle,
    attest_routing,
)
from rollout.gates.changes import Proof, RoutingChange
from rollout.gates.window import TARGET_GROUP_ERRORS, Gates
from rollout.model.errors import RefusedError, UnavailableError
from rollout.model.machine import Phase
from rollout.model.plan import make_plan
from rollout.model.records import Attested, Body, Note
from rollout.model.rule import Routing
from rollout.model.verdict import GateVerdict, Verdict
from rollout.ports import Ports
from tests.rehearsal.aws.account import REGION, Account, Service, running_account, wait_for
from tests.rehearsal.aws.farm import Farm, Target
from tests.rollout.fakes import BASE, NEW

pytestmark = pytest.mark.slow

STACK = "prod"
# The account's periods are of one second, and published one after their end.
PUBLISHED_WITHIN_SECONDS = 6.0


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Generator[Account]:
    with running_account(tmp_path_factory.mktemp("aws")) as running:
        yield running


class SystemTime:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


@dataclass
class Notes:
    phase: Phase | None = None
    best_effort: bool = False
    records: list[Body] = field(default_factory=list[Body])

    def write(self, body: Body) -> None:
        self.records.append(body)

    def noted(self, words: str) -> bool:
        return any(words in body.text for body in self.records if isinstance(body, Note))


class Nobody:
    def sent(self, *_: object) -> int:
        return 0


class NoPods:
    def counters(self, at: datetime) -> NoReturn:
        raise ConnectionError(f"no pods at {at}")


@dataclass
class Site:
    """A service with traffic, and the ports to attest and judge it."""

    account: Account
    service: Service
    load_balancer: Elbv2LoadBalancer
    ports: Ports
    journal: Notes
    farm: Farm
    green: Target

    def shift(self, before: int, after: int) -> RoutingChange:
        self.load_balancer.set_green_weight(after)
        return RoutingChange(
            candidate="green",
            previous_percent=before,
            intended_percent=after,
            name=f"{after} %",
            routing=Routing(green_weight=after, active_color="blue"),
            proof=Proof.SPLIT,
            since=datetime.now(UTC),
        )

    def attest(self, before: int, after: int) -> float:
        change, began = self.shift(before, after), time.monotonic()
        attest_routing(self.ports, change)
        return time.monotonic() - began


@dataclass
class Settings:
    timeout_seconds: float = 90
    max_stream_seconds: int = 3

    def read(self) -> ServiceSettings:
        rollout = {
            **BASE["rollout"],
            "settle_seconds": 0,
            "poll_seconds": 0.5,
            "cloudwatch_period_seconds": 1,
            "attestation": {"error_percent": 1, "timeout_seconds": self.timeout_seconds},
        }
        green = {"replicas": 1, "release": NEW.model_dump(mode="json")}
        drain = {"max_stream_seconds": self.max_stream_seconds, "deregistration_propagation_seconds": 1}
        return ServiceSettings.model_validate({**BASE, **drain, "green": green, "rollout": rollout})


@pytest.fixture
def settings() -> Settings:
    return Settings()


@pytest.fixture(scope="module")
def session() -> boto3.Session:
    """Used by all tests instead of one each, which would read the descriptions of AWS's APIs again."""
    return boto3.Session(aws_access_key_id="test", aws_secret_access_key="test")


@pytest.fixture
def still(
    account: Account, session: boto3.Session, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Generator[Site]:
    """A service without traffic."""
    for name, value in (
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_ENDPOINT_URL", account.endpoint_url),
    ):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("boto3.DEFAULT_SESSION", session)
    before = account.admin.faults()
    farm, service = Farm(), Service(account, {"blue": 75, "green": 25})
    try:
        service.register("blue", farm.start("blue"))
        green = farm.start("green")
        service.register("green", green)
        _tag(service)
        client = elbv2_client(REGION)
        load_balancer = Elbv2LoadBalancer(client, stack=STACK, service=service.name)
        load_balancer.rule()
        journal = Notes()
        counts = CloudWatchMetrics(
            boto3.client("cloudwatch", region_name=REGION), load_balancer.dimensions, period_seconds=1
        )
        # Attestation and the gate ask for these alone; a use of any other port fails.
        ports = cast(
            Ports,
            _Ports(
                clock=SystemTime(),
                journal=journal,
                config=settings,
                load_balancer=load_balancer,
                target_group_metrics=counts,
                route=Nobody(),
                metrics=NoPods(),
            ),
        )
        yield Site(account, service, load_balancer, ports, journal, farm, green)
    finally:
        account.admin.set_faults(**before)
        service.delete()
        farm.close()


@pytest.fixture
def site(still: Site) -> Generator[Site]:
    with _traffic(still.service):
        yield still


@dataclass
class _Ports:
    clock: SystemTime
    journal: Notes
    config: Settings
    load_balancer: Elbv2LoadBalancer
    target_group_metrics: CloudWatchMetrics
    route: Nobody
    metrics: NoPods


class _traffic:  # noqa: N801 - a context manager
    """Clients that each send one request after the other. By default one client, about thirty requests a second."""

    def __init__(self, service: Service, *, clients: int = 1, path: str = "/v1/echo") -> None:
        self._service = service
        self._path = path
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._send, daemon=True) for _ in range(clients)]

    def __enter__(self) -> None:
        for thread in self._threads:
            thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _send(self) -> None:
        while not self._ended.wait(0.03):
            self._service.http.post(self._path)


def _tag(service: Service, active: Color = "blue", keep_until: str = "") -> None:
    ours = {STACK_KEY: STACK, SERVICE_KEY: service.name}
    of_rule = {ROLE_KEY: "weighted-rule", ACTIVE_COLOR_KEY: active, KEEP_UNTIL_KEY: keep_until}
    for arn, more in ((service.load_balancer_arn, {ROLE_KEY: "load-balancer"}), (service.rule_arn, of_rule)):
        tags = [{"Key": key, "Value": value} for key, value in {**ours, **more}.items()]
        service.elbv2.add_tags(ResourceArns=[arn], Tags=cast(Any, tags))


@pytest.mark.parametrize("lag_seconds", [0, 12])  # at once, and later than counts are published
def test_a_weight_is_attested_once_requests_follow_it(site: Site, lag_seconds: float) -> None:
    site.account.admin.set_faults(weight_lag_seconds=lag_seconds)
    took = site.attest(25, 75)
    assert lag_seconds <= took <= lag_seconds + PUBLISHED_WITHIN_SECONDS + 4
    assert site.journal.noted("does not apply it yet") == (lag_seconds > 0)
    attested = site.journal.records[-1]
    assert isinstance(attested, Attested)
    assert attested.candidate_percent is not None
    assert 55 < attested.candidate_percent < 95


def test_a_data_plane_that_ignores_the_change_is_never_attested(site: Site, settings: Settings) -> None:
    settings.timeout_seconds = 8
    site.account.admin.set_faults(ignore_weight_changes=True)
    with pytest.raises(AttestationTimeoutError, match=r"as before the change \(25 %\)"):
        site.attest(25, 75)
    assert site.load_balancer.rule().splits(75)  # the API says what was asked for, as ever


# What AWS does not document, or does not promise: when it counts a request, and which metric it publishes first.
LATE_REQUESTS, LATE_HOSTS = {"RequestCount": 3.5}, {"HealthyHostCount": 3.5}
COUNTING = [
    pytest.param("start", LATE_REQUESTS, id="start-late-requests"),
    pytest.param("start", LATE_HOSTS, id="start-late-hosts"),
    pytest.param("end", {}, id="end"),
    pytest.param("end", LATE_REQUESTS, id="end-late-requests"),
]


def count(site: Site, counted_at: str, delays: dict[str, float]) -> None:
    site.account.admin.set_faults(request_counted_at=counted_at, publication_delay_seconds=delays)


@pytest.mark.parametrize(("counted_at", "delays"), COUNTING)
def test_long_requests_do_not_make_a_weight_attested_early(
    still: Site, counted_at: str, delays: dict[str, float]
) -> None:
    count(still, counted_at, delays)
    still.account.admin.set_faults(weight_lag_seconds=4)
    with _traffic(still.service, clients=30, path="/v1/slow/1500"):
        time.sleep(2)
        took = still.attest(25, 75)
    attested = still.journal.records[-1]
    assert isinstance(attested, Attested)
    assert attested.candidate_percent is not None
    assert 55 < attested.candidate_percent < 95
    assert 4 <= took <= 4 + 1.5 + 3.5 + PUBLISHED_WITHIN_SECONDS + 6


# Here the share is the same whenever a request is counted, so each late metric is tried once.
@pytest.mark.parametrize(("counted_at", "delays"), [COUNTING[1], COUNTING[3]])
def test_a_weight_that_long_requests_do_not_follow_is_never_attested(
    still: Site, settings: Settings, counted_at: str, delays: dict[str, float]
) -> None:
    settings.timeout_seconds = 9
    count(still, counted_at, delays)
    still.account.admin.set_faults(ignore_weight_changes=True)
    with (
        _traffic(still.service, clients=30, path="/v1/slow/1500"),
        pytest.raises(AttestationTimeoutError, match=r"as before the change \(25 %\)|too few requests"),
    ):
        still.attest(25, 75)


@pytest.mark.parametrize(("counted_at", "delays"), COUNTING)
def test_a_colour_with_a_long_request_now_and_then_is_not_idle_until_the_last_one_has_ended(
    still: Site, settings: Settings, counted_at: str, delays: dict[str, float]
) -> None:
    still.load_balancer.set_green_weight(100)
    wait_for(still.service.rule_applied)
    count(still, counted_at, delays)
    settings.timeout_seconds = 1  # and as long as the last requests may take
    quiet_seconds = settings.max_stream_seconds = 6
    # Each request takes longer than a period, so there are periods in which none begins, and some in which none ends.
    with _traffic(still.service, path="/v1/slow/2500"):
        time.sleep(3)
        still.account.admin.set_faults(ignore_weight_changes=True)
        still.load_balancer.set_green_weight(0)
        changed = datetime.now(UTC)
        with pytest.raises(AttestationTimeoutError) as waited:
            attest_idle(still.ports, "green", since=changed, quiet_seconds=quiet_seconds)
        assert waited.value.cause in (CLIENTS_SEEN, "few counts")
        settings.timeout_seconds = 60
        still.account.admin.set_faults(ignore_weight_changes=False)
        wait_for(still.service.rule_applied)
        attest_idle(still.ports, "green", since=changed, quiet_seconds=quiet_seconds)
        last = still.service.counters("green")["last_request_started_at"]
        assert time.time() - last >= quiet_seconds
        time.sleep(1)
        assert still.service.counters("green")["last_request_started_at"] == last


@pytest.mark.parametrize("delays", [LATE_REQUESTS, LATE_HOSTS], ids=str)
def test_without_any_traffic_a_colour_is_idle_once_counts_would_have_been_published(
    still: Site, delays: dict[str, float]
) -> None:
    still.load_balancer.set_green_weight(0)
    count(still, "start", delays)
    began = time.monotonic()
    attest_idle(still.ports, "green", since=datetime.now(UTC), quiet_seconds=0)
    assert SILENT_PERIODS <= time.monotonic() - began <= SILENT_PERIODS + 3.5 + 5


def judged(site: Site, decided: Callable[[GateVerdict], bool]) -> GateVerdict:
    """Judge the candidate's errors until there is such a verdict, and return it."""
    settings = site.ports.config.read()
    plan = make_plan("green", settings.rollout, None)
    gates = Gates(site.ports, plan, settings, {}, hold_seconds=10, candidate_percent=25)
    found: list[GateVerdict] = []

    def judge() -> bool:
        found[:] = [one for one in gates.judge() if one.gate == TARGET_GROUP_ERRORS]
        time.sleep(0.4)
        return decided(found[0])

    wait_for(judge)
    return found[0]


def test_a_candidate_that_resets_connections_fails(site: Site) -> None:
    wait_for(lambda: judged(site, lambda one: one.verdict is Verdict.PASS))  # and the usual share is known
    site.account.admin.set_faults(target_error_fraction=1.0, target_error_colors=["green"])
    failed = judged(site, lambda one: one.verdict is Verdict.FAIL)
    assert failed.evidence["failed"] == 0, "its target group counts no error"
    assert failed.reason.startswith("the load balancer itself answered ")
    assert "above the limit, chance is ruled out" in failed.reason


def test_a_candidate_that_refuses_connections_fails(site: Site) -> None:
    site.farm.stop(site.green)
    failed = judged(site, lambda one: one.verdict is Verdict.FAIL)
    assert isinstance(failed.evidence["failed"], int)
    assert failed.evidence["failed"] > 0
    assert failed.reason.endswith("above the limit, chance is ruled out")


def test_the_direct_update_passes_through_throttling_within_seconds(site: Site) -> None:
    site.account.admin.set_faults(api_throttle_fraction=0.5, api_services=["elbv2"])
    for _ in range(5):
        began = time.monotonic()
        assert send_back_by(site.load_balancer, datetime.now(UTC), force=False) is not None
        assert time.monotonic() - began < 5
        site.load_balancer.set_green_weight(25)


def test_what_aws_refuses_for_long_is_distinguished_from_what_it_refuses_for_good(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rollout.adapters.aws.elbv2_client.BUDGET_SECONDS", 0.5)
    site.account.admin.set_faults(api_throttle_fraction=1.0, api_services=["elbv2"])
    began = time.monotonic()
    with pytest.raises(UnavailableError, match="Throttling"):
        site.load_balancer.set_green_weight(0)
    assert 0.5 <= time.monotonic() - began < 3


def test_traffic_goes_back_by_the_tags_of_the_rule_alone(site: Site) -> None:
    moved = send_back_by(Elbv2LoadBalancer(elbv2_client(REGION), stack=STACK, service=None), _now(), force=False)
    assert moved is not None
    assert (moved.to, moved.green_weight) == ("blue", 0)
    assert send_back_by(site.load_balancer, _now(), force=False) is None


def test_after_a_promotion_traffic_goes_back_for_as_long_as_it_is_kept_warm(site: Site) -> None:
    site.load_balancer.set_green_weight(100)
    _tag(site.service, "green", "2020-01-01T00:00:00Z")
    assert send_back_by(site.load_balancer, _now(), force=False) is None
    _tag(site.service, "green", "2099-01-01T00:00:00Z")
    moved = send_back_by(site.load_balancer, _now(), force=False)
    assert moved is not None
    assert moved.to == "blue"


def test_nobody_is_sent_to_targets_that_do_not_answer_unless_forced(site: Site) -> None:
    farm = Farm()
    sick: Target = farm.start("sick")
    try:
        site.service.register("blue", sick)
        sick.health_status = 500
        for address in site.service.states("blue"):
            if address != sick.address:
                site.service.elbv2.deregister_targets(
                    TargetGroupArn=site.service.groups["blue"], Targets=[{"Id": address, "Port": 8000}]
                )
        wait_for(_only(site, sick, "unhealthy"))
        with pytest.raises(RefusedError, match="use --force"):
            send_back_by(site.load_balancer, _now(), force=False)
        assert site.load_balancer.rule().splits(25)
        assert send_back_by(site.load_balancer, _now(), force=True) is not None
    finally:
        farm.close()


def test_no_force_sends_traffic_where_no_target_is(site: Site) -> None:
    for address in site.service.states("blue"):
        site.service.elbv2.deregister_targets(
            TargetGroupArn=site.service.groups["blue"], Targets=[{"Id": address, "Port": 8000}]
        )
    wait_for(lambda: not site.load_balancer.health("blue").total)
    with pytest.raises(RefusedError, match="no targets at all"):
        send_back_by(site.load_balancer, _now(), force=True)


def _only(site: Site, target: Target, state: str) -> Callable[[], bool]:
    return lambda: (
        site.service.states("blue").get(target.address) == state and site.load_balancer.health("blue").total == 1
    )


def _now() -> datetime:
    return datetime.now(UTC)


def test_the_region_may_be_the_projects(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rollout.direct_update import send_back

    for variable in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(variable, raising=False)
    (tmp_path / "Pulumi.yaml").write_text(f"name: vllm-blue-green\nconfig: {{aws:region: {{value: {REGION}}}}}\n")
    site.load_balancer.set_green_weight(25)
    assert send_back(STACK, site.service.name, tmp_path, force=False) is not None
    assert site.load_balancer.rule().splits(0)


def test_the_config_file_is_not_needed_nor_the_stack_s_organization(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rollout.direct_update import send_back

    monkeypatch.setenv("AWS_REGION", REGION)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    for content in (None, "this: [is no", f"config:\n  aws:region: {REGION}\n"):
        site.load_balancer.set_green_weight(25)
        path = tmp_path / f"Pulumi.{STACK}.yaml"
        if content is not None:
            path.write_text(content)
        assert send_back(f"acme/{STACK}", site.service.name, tmp_path, force=False) is not None
        assert site.load_balancer.rule().splits(0)
