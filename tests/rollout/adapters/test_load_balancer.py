"""The load balancer and its metrics through moto's AWS API."""

from collections.abc import Generator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError
from moto import mock_aws

from components.domain.balancer.traffic import ColorState
from components.domain.naming import (
    ACTIVE_COLOR_KEY,
    COHORT_KEY,
    COHORTS_KEY,
    COLORS,
    KEEP_UNTIL_KEY,
    ROLLING_OUT_KEY,
    ROLLOUT_SERIAL_KEY,
    Color,
    aws_tags,
    color_state_key,
)
from rollout.adapters.aws.cloudwatch import CloudWatchMetrics
from rollout.adapters.aws.load_balancer import Elbv2LoadBalancer
from rollout.direct_update import target_of
from rollout.model.errors import NotDeployedError, RolloutError, UnavailableError
from rollout.model.rule import Routing
from rollout.model.verdict import TargetGroupCounts

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_elbv2 import ElasticLoadBalancingv2Client

pytestmark = pytest.mark.slow

STACK, SERVICE, REGION = "prod", "chat", "us-east-1"


def tags(*arguments: Any, **more: str) -> Any:
    return [{"Key": key, "Value": value} for key, value in {**aws_tags(STACK, SERVICE, *arguments), **more}.items()]


@dataclass
class Account:
    client: "ElasticLoadBalancingv2Client"
    listener: str
    rule: str
    groups: dict[Color, str]

    def load_balancer(self) -> Elbv2LoadBalancer:
        return Elbv2LoadBalancer(self.client, stack=STACK, service=SERVICE)

    def forward(self) -> Any:
        return self.client.describe_rules(RuleArns=[self.rule])["Rules"][0].get("Actions", [])[0].get("ForwardConfig")


@pytest.fixture(scope="module")
def session() -> Generator[None]:
    """One default session for all tests: a new one reads the models of its services again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("boto3.DEFAULT_SESSION", boto3.Session())
        yield


@pytest.fixture
def account(session: None, monkeypatch: pytest.MonkeyPatch) -> Generator[Account]:
    del session
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws(config={"core": {"reset_boto3_session": False}}):
        yield make_account()


def make_account() -> Account:
    ec2, client = boto3.client("ec2", region_name=REGION), boto3.client("elbv2", region_name=REGION)
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"].get("VpcId", "")
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{zone}.0/24", AvailabilityZone=f"{REGION}{'ab'[zone]}")["Subnet"]
        for zone in range(2)
    ]
    ids = [subnet.get("SubnetId", "") for subnet in subnets]
    client.create_load_balancer(Name="other", Subnets=ids)
    balancer = client.create_load_balancer(Name="chat-1", Subnets=ids, Tags=tags("load-balancer"))["LoadBalancers"][0]
    groups: dict[Color, str] = {}
    for color in COLORS:
        group = client.create_target_group(
            Name=f"chat-{color}",
            Protocol="HTTP",
            Port=8000,
            VpcId=vpc,
            TargetType="ip",
            Tags=tags("target-group", color),
        )
        groups[color] = group["TargetGroups"][0].get("TargetGroupArn", "")
    not_found: Any = [{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}]
    listener = client.create_listener(
        LoadBalancerArn=balancer.get("LoadBalancerArn", ""), Protocol="HTTP", Port=80, DefaultActions=not_found
    )["Listeners"][0].get("ListenerArn", "")
    client.create_rule(
        ListenerArn=listener,
        Priority=10,
        Conditions=[{"Field": "path-pattern", "Values": ["/v1/*"]}],
        Actions=[{"Type": "forward", "TargetGroupArn": groups["blue"]}],
        Tags=tags("candidate-rule", "blue"),
    )
    weighted = client.create_rule(
        ListenerArn=listener,
        Priority=100,
        Conditions=[{"Field": "path-pattern", "Values": ["/v1/*"]}],
        Actions=[
            {
                "Type": "forward",
                "ForwardConfig": {
                    "TargetGroups": [
                        {"TargetGroupArn": groups["blue"], "Weight": 75},
                        {"TargetGroupArn": groups["green"], "Weight": 25},
                    ],
                    "TargetGroupStickinessConfig": {"Enabled": False, "DurationSeconds": 3600},
                },
            }
        ],
        Tags=tags(
            "weighted-rule",
            **{ACTIVE_COLOR_KEY: "blue", KEEP_UNTIL_KEY: "2026-11-22T08:00:00Z", ROLLOUT_SERIAL_KEY: "7"},
        ),
    )
    return Account(client, listener, weighted["Rules"][0].get("RuleArn", ""), groups)


def test_the_rule_is_found_by_its_tags_alone(account: Account) -> None:
    rule = account.load_balancer().rule()
    assert rule.arn == account.rule
    assert rule.weights == {"blue": 75, "green": 25}
    assert rule.splits(25)
    assert not rule.splits(75)
    assert rule.target_groups == account.groups
    assert (rule.active_color, rule.rollout_serial) == ("blue", 7)
    assert (rule.keep_until, rule.unreadable_keep_until) == (datetime(2026, 11, 22, 8, tzinfo=UTC), "")


@pytest.mark.parametrize("text", ["never", "2026-11-22T08:00:00"])
def test_a_rule_whose_window_cannot_be_read_keeps_nothing_warm(account: Account, text: str) -> None:
    account.client.add_tags(ResourceArns=[account.rule], Tags=[{"Key": KEEP_UNTIL_KEY, "Value": text}])
    account.load_balancer().set_green_weight(0)
    rule = account.load_balancer().rule()
    assert (rule.keep_until, rule.unreadable_keep_until) == (None, text)
    assert target_of(rule, datetime(2026, 11, 21, tzinfo=UTC)) is None


def test_the_rule_says_what_the_colours_are(account: Account) -> None:
    states = {"blue": ColorState(release_id="0a1b2c3d4e5f", replicas=4), "green": ColorState()}
    said = {color_state_key(color): str(states[color]) for color in COLORS} | {ROLLING_OUT_KEY: "true"}
    assert account.load_balancer().rule().colors == {}
    account.client.add_tags(ResourceArns=[account.rule], Tags=[{"Key": key, "Value": said[key]} for key in said])
    rule = account.load_balancer().rule()
    assert rule.colors == states
    assert rule.rolling_out


def test_setting_the_weight_keeps_everything_else_of_the_action(account: Account) -> None:
    account.load_balancer().set_green_weight(0)
    forward = account.forward()
    assert forward["TargetGroups"] == [
        {"TargetGroupArn": account.groups["blue"], "Weight": 100},
        {"TargetGroupArn": account.groups["green"], "Weight": 0},
    ]
    assert forward["TargetGroupStickinessConfig"]["Enabled"] is False
    assert account.load_balancer().rule().rollout_serial == 7


def test_once_the_rule_has_been_read_setting_it_is_one_call(account: Account) -> None:
    load_balancer = account.load_balancer()
    load_balancer.rule()
    calls: list[str] = []

    def note(model: Any, **_: Any) -> None:
        calls.append(model.name)

    account.client.meta.events.register("before-call.*", note)
    load_balancer.set_green_weight(0)
    assert calls == ["ModifyRule"]


def test_without_our_tags_nothing_is_found(account: Account) -> None:
    with pytest.raises(RolloutError, match="no load balancer rule carries the tags of service 'search'"):
        Elbv2LoadBalancer(account.client, stack=STACK, service="search").rule()


def test_two_rules_with_our_tags_are_refused(account: Account) -> None:
    account.client.create_rule(
        ListenerArn=account.listener,
        Priority=101,
        Conditions=[{"Field": "path-pattern", "Values": ["/v2/*"]}],
        Actions=[{"Type": "forward", "TargetGroupArn": account.groups["blue"]}],
        Tags=tags("weighted-rule"),
    )
    with pytest.raises(RolloutError, match="several rules"):
        account.load_balancer().rule()


@dataclass
class Shared:
    """Somebody else's load balancer, without our tags, with two of our services on its listener."""

    account: Account
    load_balancer_arn: str
    listener: str

    def of(self, service: str) -> Elbv2LoadBalancer:
        return Elbv2LoadBalancer(self.account.client, stack=STACK, service=service, listener_arn=self.listener)


@pytest.fixture
def shared(account: Account) -> Shared:
    client = account.client
    (balancer,) = client.describe_load_balancers(Names=["other"])["LoadBalancers"]
    not_found: Any = [{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}]
    listener = client.create_listener(
        LoadBalancerArn=balancer.get("LoadBalancerArn", ""), Protocol="HTTP", Port=80, DefaultActions=not_found
    )["Listeners"][0].get("ListenerArn", "")
    for position, (service, weight) in enumerate({"search": 1, "code": 25}.items()):
        groups: list[dict[str, Any]] = []
        for color in COLORS:
            name = f"{service}-{color}"
            marks = [{"Key": key, "Value": one} for key, one in aws_tags(STACK, service, "target-group", color).items()]
            made = client.create_target_group(
                Name=name,
                Protocol="HTTP",
                Port=8000,
                VpcId=balancer.get("VpcId", ""),
                TargetType="ip",
                Tags=marks,  # pyright: ignore[reportArgumentType]
            )
            share = weight if color == "green" else 100 - weight
            groups.append({"TargetGroupArn": made["TargetGroups"][0].get("TargetGroupArn", ""), "Weight": share})
        marks = [{"Key": key, "Value": one} for key, one in aws_tags(STACK, service, "weighted-rule").items()]
        client.create_rule(
            ListenerArn=listener,
            Priority=100 + 10 * position,
            Conditions=[{"Field": "host-header", "Values": [f"{service}.example.com"]}],
            Actions=[{"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}],  # pyright: ignore[reportArgumentType]
            Tags=marks,  # pyright: ignore[reportArgumentType]
        )
    return Shared(account, balancer.get("LoadBalancerArn", ""), listener)


def test_on_a_listener_that_was_joined_each_service_finds_its_own_rule(shared: Shared) -> None:
    search, code = shared.of("search"), shared.of("code")
    assert search.rule().weights == {"blue": 99, "green": 1}
    assert code.rule().weights == {"blue": 75, "green": 25}
    search.set_green_weight(75)
    assert search.rule().weights == {"blue": 25, "green": 75}
    assert code.rule().weights == {"blue": 75, "green": 25}


def test_its_zones_are_those_of_its_subnets(account: Account) -> None:
    zones = account.load_balancer().zones()
    assert zones
    assert all(zone.startswith(REGION) for zone in zones)


def test_metrics_name_and_idle_timeout_are_those_of_the_joined_listeners_load_balancer(shared: Shared) -> None:
    search = shared.of("search")
    assert search.dimensions("green")["LoadBalancer"] == shared.load_balancer_arn.split(":loadbalancer/")[1]
    assert search.dimensions("green")["TargetGroup"].startswith("targetgroup/search-green/")
    assert search.dns_name().startswith("other-")
    shared.account.client.modify_load_balancer_attributes(
        LoadBalancerArn=shared.load_balancer_arn, Attributes=[{"Key": "idle_timeout.timeout_seconds", "Value": "300"}]
    )
    assert search.idle_timeout_seconds() == 300
    assert shared.account.load_balancer().idle_timeout_seconds() == 60


def test_a_service_that_is_not_on_the_listener_is_reported_with_the_listener(shared: Shared) -> None:
    with pytest.raises(RolloutError, match=f"no load balancer rule .* 'chat' .* on listener {shared.listener}"):
        shared.of("chat").rule()


def test_targets_are_counted_by_health(account: Account) -> None:
    targets: Any = [{"Id": "10.0.0.5", "Port": 8000}, {"Id": "10.0.0.6", "Port": 8000}]
    account.client.register_targets(TargetGroupArn=account.groups["green"], Targets=targets)
    health = account.load_balancer().health("green")
    assert (health.healthy, health.total) == (2, 2)
    assert account.load_balancer().health("blue").total == 0


NOON = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=30)


def put(client: "CloudWatchClient", metric: str, dimensions: dict[str, str], seconds: int, value: float) -> None:
    client.put_metric_data(
        Namespace="AWS/ApplicationELB",
        MetricData=[
            {
                "MetricName": metric,
                "Dimensions": [{"Name": name, "Value": text} for name, text in dimensions.items()],
                "Timestamp": NOON + timedelta(seconds=seconds),
                "Value": value,
            }
        ],
    )


@pytest.fixture
def cloudwatch(account: Account) -> Any:
    client = boto3.client("cloudwatch", region_name=REGION)
    return client, CloudWatchMetrics(client, account.load_balancer().dimensions, period_seconds=60)


def count(counts: CloudWatchMetrics, start: int, end: int) -> TargetGroupCounts | None:
    return counts.counts("green", NOON + timedelta(seconds=start), NOON + timedelta(seconds=end))


def test_the_dimensions_are_those_of_the_load_balancers_metrics(account: Account) -> None:
    dimensions = account.load_balancer().dimensions("green")
    assert dimensions["TargetGroup"].startswith("targetgroup/chat-green/")
    assert dimensions["LoadBalancer"].startswith("app/chat-1/")


def test_requests_without_errors_mean_no_errors(account: Account, cloudwatch: Any) -> None:
    client, counts = cloudwatch
    dimensions = account.load_balancer().dimensions("green")
    put(client, "RequestCount", dimensions, 60, 40)
    put(client, "RequestCount", dimensions, 120, 2)
    assert count(counts, 0, 300) == TargetGroupCounts(requests=42, server_errors=0)
    put(client, "HTTPCode_Target_5XX_Count", dimensions, 120, 3)
    assert count(counts, 0, 300) == TargetGroupCounts(requests=42, server_errors=3)


def test_no_requests_are_no_data(account: Account, cloudwatch: Any) -> None:
    client, counts = cloudwatch
    assert count(counts, 0, 300) is None
    put(client, "RequestCount", account.load_balancer().dimensions("blue"), 60, 40)
    assert count(counts, 0, 300) is None


def test_nothing_from_before_the_window_counts(account: Account, cloudwatch: Any) -> None:
    client, counts = cloudwatch
    put(client, "RequestCount", account.load_balancer().dimensions("green"), 0, 40)
    assert count(counts, 10, 300) is None


def test_a_window_without_a_whole_period_is_no_data(cloudwatch: Any) -> None:
    assert count(cloudwatch[1], 10, 50) is None


def test_both_colours_are_reported_by_the_same_periods(account: Account, cloudwatch: Any) -> None:
    client, counts = cloudwatch
    green, blue = (account.load_balancer().dimensions(color) for color in ("green", "blue"))
    put(client, "RequestCount", green, 60, 40)
    put(client, "RequestCount", blue, 60, 400)
    put(client, "RequestCount", blue, 180, 300)
    put(client, "HTTPCode_Target_5XX_Count", blue, 180, 3)
    periods = counts.periods(NOON, NOON + timedelta(seconds=300))
    assert [period.requests for period in periods["green"]] == [40, 0]
    assert [(period.requests, period.server_errors) for period in periods["blue"]] == [(400, 0), (300, 3)]
    assert counts.periods(NOON + timedelta(seconds=10), NOON + timedelta(seconds=50)) == {"blue": (), "green": ()}


def test_failed_connections_and_the_load_balancers_own_errors_are_reported_apart(
    account: Account, cloudwatch: Any
) -> None:
    client, counts = cloudwatch
    green, blue = (account.load_balancer().dimensions(color) for color in ("green", "blue"))
    put(client, "RequestCount", green, 60, 40)
    put(client, "RequestCount", blue, 60, 400)
    put(client, "HTTPCode_Target_5XX_Count", green, 60, 1)
    put(client, "TargetConnectionErrorCount", green, 60, 2)
    put(client, "HTTPCode_ELB_5XX_Count", {"LoadBalancer": green["LoadBalancer"]}, 60, 7)
    put(client, "HTTPCode_ELB_5XX_Count", {"LoadBalancer": "app/another/1"}, 60, 100)
    periods = counts.periods(NOON, NOON + timedelta(seconds=300))
    (mine,), (other,) = periods["green"], periods["blue"]
    assert (mine.requests, mine.server_errors, mine.connection_errors, mine.failed) == (40, 1, 2, 3)
    assert (other.requests, other.server_errors, other.connection_errors) == (400, 0, 0)
    assert mine.balancer_errors == other.balancer_errors == 7


HOSTS, ASKED = "HealthyHostCount", "RequestCount"


@pytest.mark.parametrize(
    ("published", "now", "complete"),
    [
        # Periods of 60 s; each metric with the start of its period. The period in question is from 60 to 120 s.
        ([(ASKED, "blue", 60)], 239, False),
        ([(ASKED, "blue", 60)], 240, True),
        ([(ASKED, "green", 60)], 240, True),
        ([(HOSTS, "blue", 60)], 240, False),  # requests may still be published
        ([(HOSTS, "blue", 60)], 419, False),
        ([(HOSTS, "blue", 60)], 420, True),  # there were none
        ([(HOSTS, "blue", 60), (ASKED, "blue", 0)], 240, False),
        ([(HOSTS, "blue", 60), (ASKED, "blue", 120)], 240, True),  # requests are published up to here, on any colour
        ([(HOSTS, "blue", 60), (ASKED, "green", 180)], 240, True),
        ([], 1000, False),
        ([(ASKED, "blue", 120)], 1000, False),
    ],
)
def test_only_complete_periods_are_reported(
    account: Account, published: list[tuple[str, Color, int]], now: int, complete: bool
) -> None:
    client, dimensions = boto3.client("cloudwatch", region_name=REGION), account.load_balancer().dimensions
    at = NOON + timedelta(seconds=now)
    counts = CloudWatchMetrics(client, dimensions, period_seconds=60, now=lambda: at)
    for metric, color, seconds in published:
        put(client, metric, dimensions(color), seconds, 7)
    end = NOON + timedelta(seconds=200)
    first = next(iter(counts.by_period(NOON + timedelta(seconds=60), end)), None)
    found = first is not None and first.start == NOON + timedelta(seconds=60)
    assert found is complete
    if first is not None and found:
        asked = {color for metric, color, seconds in published if (metric, seconds) == (ASKED, 60)}
        assert first.requests == {color: 7 if color in asked else 0 for color in COLORS}
        assert (first.end - first.start).total_seconds() == 60
    of_periods = counts.periods(NOON + timedelta(seconds=60), end)
    assert (
        len(of_periods["green"]) == len(of_periods["blue"]) == len(counts.by_period(NOON + timedelta(seconds=60), end))
    )


def test_a_period_that_becomes_complete_while_the_answer_is_on_its_way_is_not_taken_for_complete(
    account: Account, cloudwatch: Any
) -> None:
    client, _ = cloudwatch
    dimensions = account.load_balancer().dimensions
    put(client, ASKED, dimensions("blue"), 60, 7)
    times = iter([NOON + timedelta(seconds=239), NOON + timedelta(seconds=300)])
    counts = CloudWatchMetrics(client, dimensions, period_seconds=60, now=lambda: next(times))
    assert list(counts.by_period(NOON, NOON + timedelta(seconds=239))) == []
    assert len(counts.by_period(NOON, NOON + timedelta(seconds=300))) == 1


def _refuses(code: str, status: int) -> ClientError:
    answer: Any = {"Error": {"Code": code, "Message": "refused"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "AnyCall")


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (_refuses("Throttling", 400), True),
        (_refuses("InternalFailure", 500), True),
        (ReadTimeoutError(endpoint_url="https://elb"), True),
        (EndpointConnectionError(endpoint_url="https://elb"), True),
        (_refuses("AccessDenied", 403), False),
        (_refuses("RuleNotFound", 400), False),
    ],
    ids=str,
)
@pytest.mark.parametrize("call", ["rule", "health", "set_green_weight"])
def test_only_what_may_pass_is_reported_as_such(
    account: Account, monkeypatch: pytest.MonkeyPatch, call: str, error: Exception, passes: bool
) -> None:
    load_balancer = account.load_balancer()
    load_balancer.rule()

    def fail(*_: object) -> NoReturn:
        raise error

    monkeypatch.setattr(account.client, "_make_api_call", fail)
    arguments = {"rule": (), "health": ("green",), "set_green_weight": (10,)}[call]
    with pytest.raises(UnavailableError if passes else type(error), match=r"refused|https://elb") as raised:
        getattr(load_balancer, call)(*arguments)
    assert isinstance(raised.value, UnavailableError) == passes


def test_rules_that_ask_for_a_login_are_known_by_priority_if_they_come_first(account: Account) -> None:
    login: Any = {
        "Type": "authenticate-oidc",
        "Order": 1,
        "AuthenticateOidcConfig": {
            "Issuer": "https://login.example.com",
            "AuthorizationEndpoint": "https://login.example.com/authorize",
            "TokenEndpoint": "https://login.example.com/token",
            "UserInfoEndpoint": "https://login.example.com/user",
            "ClientId": "1",
            "ClientSecret": "s",
        },
    }
    forward: Any = {"Type": "forward", "Order": 2, "TargetGroupArn": account.groups["blue"]}
    first: Any = {**forward, "Order": 1}
    for priority, actions in ((5, [login, forward]), (6, [first]), (50, [login, forward])):
        account.client.create_rule(
            ListenerArn=account.listener,
            Priority=priority,
            Conditions=[{"Field": "path-pattern", "Values": [f"/{priority}"]}],
            Actions=actions,
        )
    assert account.load_balancer().login_rules() == ["5"]


def test_a_listener_s_zones_are_known_before_the_service_is_deployed(account: Account) -> None:
    client, listener = account.client, account.listener
    joining = Elbv2LoadBalancer(client, stack=STACK, service="new", listener_arn=listener)
    assert joining.zones() == {f"{REGION}a", f"{REGION}b"}
    with pytest.raises(NotDeployedError):
        joining.rule()
    with pytest.raises(NotDeployedError):
        Elbv2LoadBalancer(client, stack=STACK, service="new").zones()


def add_cohort(account: Account, name: str, priority: int, *, on: Color) -> str:
    weights = [{"TargetGroupArn": arn, "Weight": 100 if color == on else 0} for color, arn in account.groups.items()]
    header: Any = {"HttpHeaderName": "x-tenant", "Values": [name]}
    rule = account.client.create_rule(
        ListenerArn=account.listener,
        Priority=priority,
        Conditions=[{"Field": "http-header", "HttpHeaderConfig": header}],
        Actions=[{"Type": "forward", "ForwardConfig": {"TargetGroups": weights}}],  # pyright: ignore[reportArgumentType]
        Tags=tags("cohort-rule", **{COHORT_KEY: name}),
    )
    return rule["Rules"][0].get("RuleArn", "")


def test_the_cohorts_rules_are_found_by_their_tags_and_read_with_the_weighted_one(account: Account) -> None:
    add_cohort(account, "friends", 20, on="green")
    add_cohort(account, "partners", 21, on="blue")
    account.client.add_tags(ResourceArns=[account.rule], Tags=[{"Key": COHORTS_KEY, "Value": "friends:green"}])
    load_balancer = account.load_balancer()
    for _ in range(2):  # the first reading is the search
        rule = load_balancer.rule()
        assert rule.cohorts == {"friends": 100, "partners": 0}
        assert rule.tagged_cohorts == {"friends": "green"}
        assert rule.cohorts_on("green") == ("friends",)


def test_cohorts_are_sent_back_before_the_weight(account: Account) -> None:
    friends, partners = (add_cohort(account, name, 20 + len(name), on="green") for name in ("friends", "partners"))
    load_balancer = account.load_balancer()
    load_balancer.rule()
    set_: list[str] = []

    def note(params: Any, **_: Any) -> None:
        set_.append(params["body"]["RuleArn"])

    account.client.meta.events.register("before-call.elastic-load-balancing-v2.ModifyRule", note)
    load_balancer.set_green_weight(0, cohorts_to="blue")
    assert set_ == [friends, partners, account.rule]
    assert load_balancer.rule().follows(Routing(green_weight=0, active_color="blue"))


def test_a_cohorts_rule_that_somebody_has_deleted_holds_nothing_up(account: Account) -> None:
    friends = add_cohort(account, "friends", 20, on="green")
    load_balancer = account.load_balancer()
    assert load_balancer.rule().cohorts == {"friends": 100}
    account.client.delete_rule(RuleArn=friends)
    load_balancer.set_green_weight(0, cohorts_to="blue")
    rule = load_balancer.rule()
    assert rule.splits(0)
    assert rule.cohorts == {}


def test_a_cohorts_rule_that_may_not_be_changed_does_not_keep_the_others_on_the_candidate(account: Account) -> None:
    friends = add_cohort(account, "friends", 20, on="green")
    load_balancer = account.load_balancer()
    load_balancer.rule()

    def refuse(params: Any, **_: Any) -> None:
        if params["body"]["RuleArn"] == friends:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "ModifyRule")

    account.client.meta.events.register("before-call.elastic-load-balancing-v2.ModifyRule", refuse)
    with pytest.raises(ClientError, match="AccessDenied"):
        load_balancer.set_green_weight(0, cohorts_to="blue")
    assert load_balancer.rule().splits(0)


def test_the_rules_of_a_listener_are_counted_with_those_of_the_whole_load_balancer(account: Account) -> None:
    found = account.load_balancer().listener_rules()
    assert found.priorities == {10, 100}
    assert found.on_load_balancer == 2
    add_cohort(account, "friends", 20, on="blue")
    joined = Elbv2LoadBalancer(account.client, stack=STACK, service="search", listener_arn=account.listener)
    assert joined.listener_rules().priorities == {10, 20, 100}
