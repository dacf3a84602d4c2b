"""Attestation and the direct rule update on the stand-in load balancer, under traffic, through the AWS API.

Nothing here is a fake but the parts that neither asks: lags, ignored changes and throttling are the account's faults.
"""

import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

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
from rollout.adapters.aws.cloudwatch import CloudWatchMetrics
from rollout.adapters.aws.elbv2_client import elbv2_client
from rollout.adapters.aws.load_balancer import Elbv2LoadBalancer
from rollout.direct_update import send_back_by
from rollout.gates.attestation import AttestationTimeoutError, WeightChange, attest_weight
from rollout.model.errors import RefusedError, UnavailableError
from rollout.model.machine import Phase
from rollout.model.records import Attested, Body, Note
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


@dataclass
class Site:
    """A service with traffic, and the ports to attest it."""

    account: Account
    service: Service
    load_balancer: Elbv2LoadBalancer
    ports: Ports
    journal: Notes

    def shift(self, before: int, after: int) -> WeightChange:
        self.load_balancer.set_green_weight(after)
        return WeightChange(
            candidate="green",
            previous_percent=before,
            intended_percent=after,
            green_weight=after,
            since=datetime.now(UTC),
        )

    def attest(self, before: int, after: int) -> float:
        change, began = self.shift(before, after), time.monotonic()
        attest_weight(self.ports, change)
        return time.monotonic() - began


@dataclass
class Settings:
    timeout_seconds: float = 90

    def read(self) -> ServiceSettings:
        rollout = {
            **BASE["rollout"],
            "settle_seconds": 0,
            "poll_seconds": 0.25,
            "attestation": {"error_percent": 1, "timeout_seconds": self.timeout_seconds},
        }
        green = {"replicas": 1, "release": NEW.model_dump(mode="json")}
        return ServiceSettings.model_validate({**BASE, "green": green, "rollout": rollout})


@pytest.fixture
def settings() -> Settings:
    return Settings()


@pytest.fixture
def site(account: Account, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Generator[Site]:
    for name, value in (
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_ENDPOINT_URL", account.endpoint_url),
    ):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)
    before = account.admin.faults()
    farm, service = Farm(), Service(account, {"blue": 75, "green": 25})
    try:
        service.register("blue", farm.start("blue"))
        service.register("green", farm.start("green"))
        _tag(service)
        client = elbv2_client(REGION)
        load_balancer = Elbv2LoadBalancer(client, stack=STACK, service=service.name)
        load_balancer.rule()
        journal = Notes()
        counts = CloudWatchMetrics(
            boto3.client("cloudwatch", region_name=REGION), load_balancer.dimensions, period_seconds=1
        )
        # Attestation asks for these alone; a use of any other port fails.
        ports = cast(
            Ports,
            _Ports(
                clock=SystemTime(),
                journal=journal,
                config=settings,
                load_balancer=load_balancer,
                target_group_metrics=counts,
                route=Nobody(),
            ),
        )
        with _traffic(service):
            yield Site(account, service, load_balancer, ports, journal)
    finally:
        account.admin.set_faults(**before)
        service.delete()
        farm.close()


@dataclass
class _Ports:
    clock: SystemTime
    journal: Notes
    config: Settings
    load_balancer: Elbv2LoadBalancer
    target_group_metrics: CloudWatchMetrics
    route: Nobody


class _traffic:  # noqa: N801 - a context manager
    """About fifty requests a second."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._send, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _send(self) -> None:
        while not self._ended.wait(0.02):
            self._service.http.post("/v1/echo")


def _tag(service: Service, active: Color = "blue", keep_until: str = "") -> None:
    ours = {STACK_KEY: STACK, SERVICE_KEY: service.name}
    of_rule = {ROLE_KEY: "weighted-rule", ACTIVE_COLOR_KEY: active, KEEP_UNTIL_KEY: keep_until}
    for arn, more in ((service.load_balancer_arn, {ROLE_KEY: "load-balancer"}), (service.rule_arn, of_rule)):
        tags = [{"Key": key, "Value": value} for key, value in {**ours, **more}.items()]
        service.elbv2.add_tags(ResourceArns=[arn], Tags=cast(Any, tags))


@pytest.mark.parametrize("lag_seconds", [0, 5, 30])
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
