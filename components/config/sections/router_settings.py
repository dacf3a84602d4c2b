"""Settings of a service's entry point: an existing listener to join, access logs and alarms."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Annotated, Final

from pydantic import BaseModel, Field, field_validator

from components.config.reading.durations import MAX_SECONDS
from components.config.reading.forms import SECURITY_GROUP, Form, all_different, matching
from components.config.reading.model import STRICT, Items
from components.config.reading.violations import Violation, wrong
from components.config.sections.cohort_settings import CohortSettings
from components.config.sections.rollout_settings import GateSettings
from components.domain.balancer.listener_rules import MAX_RULES, RulePriorities
from components.domain.balancer.load_balancer_arns import load_balancer_of
from components.domain.naming import COLORS, Color

# CloudWatch allows at most this many actions for each state of an alarm.
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
MAX_TOPICS: Final = 5
# The longest idle timeout of a load balancer, and the highest priority of a rule.
# https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_LoadBalancerAttribute.html
# https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_CreateRule.html
MAX_IDLE_TIMEOUT_SECONDS: Final = 4000
MAX_PRIORITY: Final = 50_000

_ARN: Final = r"arn:aws(-[a-z]+)*"
_REGION: Final = r"[a-z]+(-[a-z]+)+-[0-9]+:[0-9]{12}"
LISTENER: Final = Form(
    "the ARN of an Application Load Balancer's listener",
    "arn:aws:elasticloadbalancing:us-east-1:123456789012:listener/app/shared/50dc6c495c0c9188/f2f7dc8efc522ab2",
    matching(
        rf"{_ARN}:elasticloadbalancing:{_REGION}:listener/app/[A-Za-z0-9-]{{1,32}}/[0-9a-f]{{1,32}}/[0-9a-f]{{1,32}}"
    ),
)
TOPIC: Final = Form(
    "the ARN of an SNS topic",
    "arn:aws:sns:us-east-1:123456789012:on-call",
    matching(rf"{_ARN}:sns:{_REGION}:[A-Za-z0-9_-]{{1,256}}"),
)
# A rule's host condition has at most 128 characters, and only letters after the last dot.
HOST: Final = Form(
    "a host name: lower-case letters, digits, dashes and dots, ending in letters",
    "chat.example.com",
    matching(r"(?=.{4,128}\Z)([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\.)+[a-z]{2,63}"),
)
BUCKET: Final = Form(
    "an S3 bucket's name", "example-access-logs", matching(r"(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
)
# The load balancer writes under <prefix>/AWSLogs and refuses a prefix that contains AWSLogs.
# https://docs.aws.amazon.com/elasticloadbalancing/latest/application/enable-access-logging.html
PREFIX: Final = Form(
    "a key prefix without a slash at either end",
    "vllm/production",
    matching(r"(?!.*AWSLogs)([A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*)?"),
)


class AccessLogs(BaseModel):
    """Where the load balancer writes its access logs. The bucket's policy must allow it."""

    model_config = STRICT

    bucket: Annotated[str, BUCKET, Field(description="S3 bucket in the load balancer's region.")]
    prefix: Annotated[str, PREFIX, Field(description="Key prefix in the bucket; empty: no prefix.")] = ""


class ListenerSettings(BaseModel):
    """An existing listener that a service joins instead of having its own load balancer."""

    model_config = STRICT

    arn: Annotated[str, LISTENER, Field(description="ARN of the listener. The stack only adds rules to it.")]
    security_group_id: Annotated[
        str,
        SECURITY_GROUP,
        Field(description="Security group of the listener's load balancer, which may connect to the pods."),
    ]
    idle_timeout_seconds: Annotated[
        int,
        Field(
            ge=1,
            le=MAX_IDLE_TIMEOUT_SECONDS,
            description="Idle timeout of the listener's load balancer; the pods keep connections open for longer.",
            examples=[300],
        ),
    ]
    rule_priority: Annotated[
        int,
        Field(
            ge=len(COLORS) + 1,
            le=MAX_PRIORITY,
            description="Priority of the weighted rule; the candidate routes get the two numbers before it.",
            examples=[100],
        ),
    ]
    host: Annotated[
        str | None,
        HOST,
        Field(description="Host whose requests the rules take. Services that share a listener need different hosts."),
    ] = None

    @property
    def load_balancer_arn(self) -> str:
        """ARN of the listener's load balancer."""
        return load_balancer_of(self.arn)

    @property
    def priorities(self) -> RulePriorities:
        """The priorities of the rules: the candidate routes come directly before the weighted rule."""
        before: dict[Color, int] = {
            color: self.rule_priority - len(COLORS) + position for position, color in enumerate(COLORS)
        }
        return RulePriorities(weighted=self.rule_priority, candidate=before)


class AlarmSettings(BaseModel):
    """Limits of the alarms, and whom they notify."""

    model_config = STRICT

    topic_arns: Annotated[
        Items[Annotated[str, TOPIC]],
        Field(
            description="SNS topics to notify when an alarm starts and ends. Default: CloudWatch only shows it.",
        ),
    ] = ()
    window_minutes: Annotated[
        int,
        Field(
            ge=1,
            le=60,
            description="Length of the window. An alarm fires when most of its minutes are over the limit.",
        ),
    ] = 5
    error_rate_limit_percent: Annotated[
        float, Field(ge=0, le=100, description="Highest share of 5xx answers of a colour's targets.")
    ] = GateSettings().error_rate.limit_percent
    response_time_p95_limit_seconds: Annotated[
        float | None,
        Field(
            gt=0,
            le=MAX_SECONDS,
            description="Highest 95th percentile of the time until a target begins its answer. "
            "Default: half of max_stream_seconds.",
        ),
    ] = None
    load_balancer_errors_limit_per_minute: Annotated[
        int,
        Field(ge=0, le=1_000_000, description="Most 5xx answers per minute of the service's own load balancer."),
    ] = 0

    @field_validator("topic_arns")
    @classmethod
    def _be_few_and_different(cls, arns: tuple[str, ...]) -> tuple[str, ...]:
        all_different(arns)
        if len(arns) > MAX_TOPICS:
            raise wrong(Violation((), f"must name at most {MAX_TOPICS} topics", value=arns))
        return arns

    @property
    def datapoints_to_alarm(self) -> int:
        """How many minutes of the window must be over the limit: more than half."""
        return self.window_minutes // 2 + 1

    def response_time_limit(self, max_stream_seconds: int) -> float:
        """Return the limit for the 95th percentile of response times, in seconds.

        A target's response time ends with its headers, so only non-streaming requests come near max_stream_seconds.
        When one in twenty takes half of that, the longest requests are close to being cut off.
        """
        given = self.response_time_p95_limit_seconds
        return max_stream_seconds / 2 if given is None else given


def clashes(
    listeners: Mapping[str, ListenerSettings], cohorts: Mapping[str, Sequence[CohortSettings]]
) -> Iterator[Violation]:
    """Find services whose rules conflict on a shared listener; listeners and cohorts are given by service name."""
    for arn in dict.fromkeys(one.arn for one in listeners.values()):
        rules = {name: 1 + len(COLORS) + len(cohorts[name]) for name, one in listeners.items() if one.arn == arn}
        if (total := sum(rules.values())) > MAX_RULES:
            what = f"must have at most {MAX_RULES} rules of all services together: a load balancer has no more"
            yield Violation((next(reversed(rules)), "listener", "arn"), what, "Use a second listener.", total)
    for (one, theirs), (two, mine) in combinations(listeners.items(), 2):
        if mine.arn != theirs.arn:
            continue
        for name, other in ((two, one), (one, two)):
            taken = {*listeners[other].priorities.candidates, listeners[other].priorities.weighted}
            # Of two cohorts with the same priority, the later one is named.
            taken |= {cohort.priority for cohort in cohorts[other]} if name == two else set[int]()
            for place, cohort in enumerate(cohorts[name]):
                if cohort.priority in taken:
                    what = f"must not be that of a rule of service {other} on the same listener"
                    yield Violation((name, "rollout", "cohorts", place, "priority"), what, "", cohort.priority)
        if abs(mine.rule_priority - theirs.rule_priority) <= len(COLORS):
            what = f"must be at least {len(COLORS) + 1} away from {theirs.rule_priority}, the priority of service {one}"
            fix = "Each service uses its priority and the two before it."
            yield Violation((two, "listener", "rule_priority"), what, fix, mine.rule_priority)
        what = "must be set, and different, for {} and {}: on one listener, one would get the requests for both"
        if mine.host is None or mine.host == theirs.host:
            yield Violation((two, "listener", "host"), what.format(one, two), "", mine.host)
        elif theirs.host is None:
            yield Violation((one, "listener", "host"), what.format(one, two), "", None)
