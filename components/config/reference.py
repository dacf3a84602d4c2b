"""``python -m components.config.reference``: the config reference as Markdown, made from the typed settings.

It is docs/config.md; ``make config`` writes it.
"""

import types
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from components.config.reading.explain import range_of
from components.config.reading.forms import Form
from components.config.release.release import Release
from components.config.release.sampling import Sampling
from components.config.sections.autoscaling_settings import AuthenticationSettings, AutoscalingSettings
from components.config.sections.check_settings import (
    EvalSettings,
    JudgeSettings,
    LoadSettings,
    ManualSettings,
    ShadowSettings,
    SmokeSettings,
    WarmUpSettings,
)
from components.config.sections.cohort_settings import CohortSettings
from components.config.sections.existing_nodes import ExistingNodes, KarpenterNodePool, TolerationSettings
from components.config.sections.gate_settings import (
    AbandonedSettings,
    CostSettings,
    EndToEndSettings,
    ErrorRateSettings,
    InterTokenSettings,
    PodErrorRateSettings,
    ProbeSettings,
    QueueDepthSettings,
    TargetGroupLatencySettings,
    TtftSettings,
)
from components.config.sections.hook_settings import HookSettings
from components.config.sections.node_settings import NodeSettings
from components.config.sections.notification_settings import (
    NotificationTarget,
    SlackSettings,
    SnsSettings,
    WebhookSettings,
)
from components.config.sections.pod_settings import PodSettings, PodVolume, SecretReference
from components.config.sections.prometheus_settings import (
    BasicAuthSettings,
    PrometheusSettings,
    SecretSource,
    SigV4Settings,
)
from components.config.sections.reservation import Reservation
from components.config.sections.rollout_settings import (
    AttestationSettings,
    GateSettings,
    RampStep,
    RolloutSettings,
    WatchSettings,
)
from components.config.sections.router_settings import AccessLogs, AlarmSettings, ListenerSettings
from components.config.settings import DEFAULT_SERVICE_NAME, ColorSettings, ServiceSettings, Settings
from components.domain.naming import PROJECT

_INTRODUCTION = f"""# Config

This page is written by `make config` from the settings (`components/config/`): change them, not the page.

Every key is `{PROJECT}:<key>` in `Pulumi.<stack>.yaml`. [`Pulumi.dev.yaml`](../Pulumi.dev.yaml) is an example with one
service. Two keys are in no table:

- `candidate_route_secret` is required and is a Pulumi secret: 16 to 100 letters, digits, `-` or `_`. A request that
  carries it in a header reaches a colour whatever its weight; the checks use that. Set it with
  `pulumi config set --secret candidate_route_secret "$(openssl rand -hex 16)"`.
- `service_name` names the stack's only service. Default: `{DEFAULT_SERVICE_NAME}`.

The program and the scripts check the whole config first and list everything that is wrong, one line each: the key, what
it must be, the value, the fix. (`scripts.rollback` changes the rule first, and reads the config then.)

Numbers, `true` and `false` may be texts (`"2.5"`), as `pulumi config set` writes them. A text that looks like a number,
such as a commit of digits only, must be in quotes.

Keys may also come from `Pulumi.yaml` (`config`, with `default` or `value`) or, with Pulumi Cloud, from the stack's
`environment`. The scripts read them there, but write to the stack's file alone: the keys that they write must be in
that file, and not in the environment. With `stackConfigDir` in `Pulumi.yaml`, the stacks' files are in that folder.

## Several services in one stack

Put each service under `services`. The flat keys are then the defaults for all services. All services of a stack share
one lock, so `rollout.records_url` must be the same for all of them.

```yaml
config:
  {PROJECT}:instance_type: g6e.2xlarge      # for both services
  {PROJECT}:services:
    chat:
      blue: {{replicas: 2}}
    code:
      instance_type: g6e.12xlarge                   # for this one
      gpus_per_replica: 4
```

Two services cannot share a load balancer that the stack makes; to share one, join an existing listener
([shared-listener.md](shared-listener.md)).

## Keys

`green_weight`, `active_color`, `rollout_serial`, `keep_until`, `rolling_out`, `cohorts_on_candidate`, `release`,
`parked`, `provisioned`, `running_replicas` and `floor_replicas` are also written by the scripts. During a rollout
nobody else may edit the file.
"""

_SECTIONS: tuple[tuple[str, type[BaseModel]], ...] = (
    ("The stack", Settings),
    ("`access_logs`", AccessLogs),
    ("The service", ServiceSettings),
    ("`blue` and `green`", ColorSettings),
    ("`autoscaling`", AutoscalingSettings),
    ("`autoscaling.authentication`", AuthenticationSettings),
    ("`reservation`", Reservation),
    ("`release`", Release),
    ("`release.sampling`", Sampling),
    ("`nodes`", NodeSettings),
    ("`existing_nodes`", ExistingNodes),
    ("`existing_nodes.tolerations[]`", TolerationSettings),
    ("`existing_nodes.karpenter_node_pool`", KarpenterNodePool),
    ("`listener`", ListenerSettings),
    ("`alarms`", AlarmSettings),
    ("`pods`", PodSettings),
    ("`pods.api_key_secret` and `pods.hub_token_secret`", SecretReference),
    ("`pods.volumes[]`", PodVolume),
    ("`rollout`", RolloutSettings),
    ("`rollout.steps[]`", RampStep),
    ("`rollout.cohorts[]`", CohortSettings),
    ("`rollout.prometheus`", PrometheusSettings),
    (
        "`rollout.prometheus.bearer_token_from`, `….password_from` and `….headers_from.<header>`; "
        "`….url_from` and `….signing_secret_from` of notifications; `….api_key_from` of a judge",
        SecretSource,
    ),
    ("`rollout.prometheus.basic_auth`", BasicAuthSettings),
    ("`rollout.prometheus.sigv4`", SigV4Settings),
    ("`rollout.attestation`", AttestationSettings),
    ("`rollout.watch`", WatchSettings),
    ("`rollout.gates`", GateSettings),
    ("`rollout.gates.error_rate`", PodErrorRateSettings),
    ("`rollout.gates.abandoned`", AbandonedSettings),
    ("`rollout.gates.ttft_p95`", TtftSettings),
    ("`rollout.gates.inter_token_p95`", InterTokenSettings),
    ("`rollout.gates.end_to_end_p95`", EndToEndSettings),
    ("`rollout.gates.queue_depth`", QueueDepthSettings),
    ("`rollout.gates.target_group_errors`", ErrorRateSettings),
    ("`rollout.gates.target_group_latency`", TargetGroupLatencySettings),
    ("`rollout.gates.cost`", CostSettings),
    ("`rollout.gates.probes`", ProbeSettings),
    ("`rollout.gates.smoke`", SmokeSettings),
    ("`rollout.gates.eval`", EvalSettings),
    ("`rollout.gates.eval.judge`", JudgeSettings),
    ("`rollout.gates.warm_up`", WarmUpSettings),
    ("`rollout.gates.shadow`", ShadowSettings),
    ("`rollout.gates.load`", LoadSettings),
    ("`rollout.gates.manual`", ManualSettings),
    ("`rollout.hooks`", HookSettings),
    ("`rollout.notifications[]`", NotificationTarget),
    ("`rollout.notifications[].webhook`", WebhookSettings),
    ("`rollout.notifications[].slack`", SlackSettings),
    ("`rollout.notifications[].sns`", SnsSettings),
)


def reference() -> str:
    """Return every key with its type, default and meaning."""
    return "\n".join(_lines())


def page() -> str:
    """Return the whole page."""
    return f"{_INTRODUCTION}\n{reference()}".rstrip("\n") + "\n"


def _lines() -> Iterator[str]:
    for title, model in _SECTIONS:
        yield f"### {title}\n"
        yield "| key | type | default | meaning |"
        yield "| --- | --- | --- | --- |"
        for name, field in model.model_fields.items():
            if name == "services":
                continue  # the introduction describes it
            cells = (_type_name(field.annotation, field.metadata), _default(field), field.description or "")
            yield f"| `{name}` | {' | '.join(cells)} |".replace("<", "&lt;")  # Markdown takes <x> for HTML
        yield ""


def _type_name(annotation: Any, metadata: Sequence[Any] = ()) -> str:
    """Return the type, with the range of a number and the format of a text."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        below = [part for one in arguments[1:] for part in (one.metadata if isinstance(one, FieldInfo) else [one])]
        return _type_name(arguments[0], (*metadata, *below))
    if form := next((one for one in metadata if isinstance(one, Form)), None):
        return form.what
    if origin in (Union, types.UnionType):
        return " or ".join(_type_name(part, metadata) for part in arguments if part is not type(None))
    if origin is Literal:
        return " \\| ".join(str(value) for value in arguments)
    if origin is tuple:
        return f"list{range_of(metadata)} (items: {_type_name(arguments[0])})"
    if origin is dict or (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        return "object"
    if annotation in (int, float):
        return f"{'integer' if annotation is int else 'number'}{range_of(metadata)}"
    if annotation is bool:
        return "boolean"
    lengths = range_of(metadata)
    return "text, not empty" if lengths == " of at least 1" else f"text{lengths} characters" if lengths else "text"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    match field.default:
        case None | "" | () | {}:
            return "–"
        case bool() as value:
            return f"`{str(value).lower()}`"
        case BaseModel():
            return "see below"
        case (RampStep(), *_) as steps:
            return ", ".join(map(str, steps))
        case tuple() as values:
            return ", ".join(f"`{value}`" for value in values)
        case value:
            return f"`{value}`"


if __name__ == "__main__":
    print(page(), end="")
