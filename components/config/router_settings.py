"""The settings of a service's way in: whose listener it is on, its access logs, and when an alarm rings."""

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Annotated, Final

from pydantic import BaseModel, Field, field_validator

from components.config.durations import MAX_SECONDS
from components.config.forms import SECURITY_GROUP, Form, matching
from components.config.model import STRICT, Items
from components.config.rollout_settings import GateSettings
from components.config.violations import Violation, wrong
from components.domain.load_balancer_arns import load_balancer_of
from components.domain.naming import COLORS, Color

# CloudWatch takes no more actions for one state of an alarm.
MAX_TOPICS: Final = 5
# What a load balancer's idle timeout may be, and a rule's priority.
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
# A rule's condition takes no more characters, and only letters after the last dot.
HOST: Final = Form(
    "a host name: lower-case letters, digits, dashes and dots, letters at its end",
    "chat.example.com",
    matching(r"(?=.{4,128}\Z)([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\.)+[a-z]{2,63}"),
)
BUCKET: Final = Form(
    "an S3 bucket's name", "example-access-logs", matching(r"(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
)
# The load balancer writes below <prefix>/AWSLogs and refuses a prefix that has that name in it.
PREFIX: Final = Form(
    "a key prefix without a slash at either end",
    "vllm/production",
    matching(r"(?!.*AWSLogs)([A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*)?"),
)


class AccessLogs(BaseModel):
    """Where the load balancer writes its access logs; the bucket's policy must let it."""

    model_config = STRICT

    bucket: Annotated[str, BUCKET, Field(description="S3 bucket in the load balancer's region.")]
    prefix: Annotated[str, PREFIX, Field(description="Key prefix in the bucket; empty: none.")] = ""


class ListenerSettings(BaseModel):
    """An existing listener that a service joins, in place of a load balancer of its own."""

    model_config = STRICT

    arn: Annotated[str, LISTENER, Field(description="The listener; only rules are added to it.")]
    security_group_id: Annotated[
        str, SECURITY_GROUP, Field(description="Security group of its load balancer, which the pods let in.")
    ]
    idle_timeout_seconds: Annotated[
        int,
        Field(
            ge=1,
            le=MAX_IDLE_TIMEOUT_SECONDS,
            description="Idle timeout of its load balancer: the pods must keep connections open for longer.",
            examples=[300],
        ),
    ]
    rule_priority: Annotated[
        int,
        Field(
            ge=len(COLORS) + 1,
            le=MAX_PRIORITY,
            description="Priority of the weighted rule; the candidate routes take the two numbers before it.",
            examples=[100],
        ),
    ]
    host: Annotated[
        str | None, HOST, Field(description="Only requests for this host; several services need one each.")
    ] = None

    @property
    def load_balancer_arn(self) -> str:
        """The load balancer of the listener."""
        return load_balancer_of(self.arn)

    @property
    def candidate_priorities(self) -> Mapping[Color, int]:
        """Priorities of the candidate routes, right before that of the weighted rule."""
        return {color: self.rule_priority - len(COLORS) + position for position, color in enumerate(COLORS)}


class AlarmSettings(BaseModel):
    """When an alarm rings, and who hears it."""

    model_config = STRICT

    topic_arns: Annotated[
        Items[Annotated[str, TOPIC]],
        Field(
            description="SNS topics that hear of an alarm and of its end; none: it is only shown.",
            examples=[f'["{TOPIC.example}"]'],
        ),
    ] = ()
    window_minutes: Annotated[
        int, Field(ge=1, le=60, description="An alarm rings when most of the last so many minutes are over its limit.")
    ] = 5
    error_rate_limit_percent: Annotated[
        float, Field(ge=0, le=100, description="Highest share of 5xx answers of a colour's targets.")
    ] = GateSettings().error_rate.limit_percent
    response_time_p95_limit_seconds: Annotated[
        float | None,
        Field(
            gt=0,
            le=MAX_SECONDS,
            description="Highest 95th percentile of the time until a target's answer begins. "
            "Default: half of max_stream_seconds.",
        ),
    ] = None
    load_balancer_errors_limit_per_minute: Annotated[
        int,
        Field(ge=0, le=1_000_000, description="Most 5xx answers of a load balancer of our own making."),
    ] = 0

    @field_validator("topic_arns")
    @classmethod
    def _be_few_and_different(cls, arns: tuple[str, ...]) -> tuple[str, ...]:
        if twice := [arn for arn, count in Counter(arns).items() if count > 1]:
            raise wrong(Violation((), f"must not name {', '.join(twice)} more than once", value=arns))
        if len(arns) > MAX_TOPICS:
            raise wrong(Violation((), f"must name at most {MAX_TOPICS} topics", value=arns))
        return arns

    @property
    def datapoints_to_alarm(self) -> int:
        """How many minutes of the window are most of them."""
        return self.window_minutes // 2 + 1

    def response_time_limit(self, max_stream_seconds: int) -> float:
        """Return the limit of the 95th percentile of response times, in seconds.

        A target's response time ends with its headers, so only requests that do not stream come near the longest
        stream; when one in twenty takes half as long as that, the longest are about to be cut.
        """
        given = self.response_time_p95_limit_seconds
        return max_stream_seconds / 2 if given is None else given


def clashes(listeners: Mapping[str, ListenerSettings]) -> Iterator[Violation]:
    """Find services, by name, whose rules would get in each other's way on a listener that they share."""
    for (one, theirs), (two, mine) in combinations(listeners.items(), 2):
        if mine.arn != theirs.arn:
            continue
        if abs(mine.rule_priority - theirs.rule_priority) <= len(COLORS):
            what = f"must be at least {len(COLORS) + 1} away from {theirs.rule_priority}, that of service {one}"
            fix = "Each service takes this priority and the two before it."
            yield Violation((two, "listener", "rule_priority"), what, fix, mine.rule_priority)
        what = "must be set, and different, for {} and {}: they share a listener, and one would get both's requests"
        if mine.host is None or mine.host == theirs.host:
            yield Violation((two, "listener", "host"), what.format(one, two), "", mine.host)
        elif theirs.host is None:
            yield Violation((one, "listener", "host"), what.format(one, two), "", None)
