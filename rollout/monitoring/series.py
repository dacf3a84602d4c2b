"""The recorded series: what the gates judge, as PromQL, for each service and colour.

The gates add up counters over a hold; these series do the same with rates over a window. Names follow
https://prometheus.io/docs/practices/rules/
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from components.domain.naming import COLORS
from rollout.model import pod_metrics
from rollout.monitoring.subject import Monitored

_COLORS: Final = "|".join(COLORS)
_BY: Final = "service, color"
_POD: Final = "service, color, pod, instance"
_QUANTILE: Final = 0.95
_KNOWN_FOR: Final = "1d"
"""How long a service is known after its last data, when no service is named."""


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """One recorded series."""

    name: str
    expression: str


class SeriesNames:
    """The names of the recorded series."""

    def __init__(self, window_minutes: int) -> None:
        """Name the series of a window."""
        rate, window = f"rate{window_minutes}m", f"{window_minutes}m"
        self.requests: Final = f"service_color:vllm_requests:{rate}"
        self.server_errors: Final = f"service_color:vllm_server_errors:{rate}"
        self.engine_errors: Final = f"service_color:vllm_engine_errors:{rate}"
        self.aborts: Final = f"service_color:vllm_aborts:{rate}"
        self.completed: Final = f"service_color:vllm_completed:{rate}"
        self.abandoned: Final = f"service_color:vllm_abandoned:{rate}"
        self.failed_share: Final = f"service_color:vllm_failed_per_requests:ratio_{rate}"
        self.abandoned_share: Final = f"service_color:vllm_abandoned_per_requests:ratio_{rate}"
        self.ttft_p95: Final = f"service_color:vllm_time_to_first_token_seconds:p95_{window}"
        self.inter_token_p95: Final = f"service_color:vllm_inter_token_latency_seconds:p95_{window}"
        self.end_to_end_p95: Final = f"service_color:vllm_e2e_request_latency_seconds:p95_{window}"
        self.waiting: Final = "service_color:vllm_requests_waiting_per_replica:avg"
        self.replicas_declared: Final = "service_color:vllm_replicas_declared:sum"
        self.replicas_ready: Final = "service_color:vllm_replicas_ready:sum"


def recorded_series(subject: Monitored) -> Iterator[Recorded]:
    """Return the series in an order in which each needs only those before it."""
    names = SeriesNames(subject.window_minutes)

    def selector(name: str, *matchers: str) -> str:
        both = (f'__name__=~"{name}"', subject.matcher, f'color=~"{_COLORS}"', *matchers)
        return f"{{{', '.join(both)}}}"

    def each_rate(name: str, *matchers: str) -> str:
        return f"rate({selector(name, *matchers)}[{subject.window_minutes}m])"

    def rate(name: str, *matchers: str) -> str:
        return f"sum by ({_BY}) ({each_rate(name, *matchers)})"

    def or_zero(expression: str) -> str:
        # A counter with this label appears when it first counts.
        return f"{expression} or 0 * {known(names.requests)}"

    def known(name: str) -> str:
        return f"{name}{{{subject.matcher}}}"

    def p95(buckets: str) -> str:
        return f"histogram_quantile({_QUANTILE}, sum by ({_BY}, le) ({buckets}))"

    responses, finished, traffic = pod_metrics.RESPONSES, pod_metrics.FINISHED, pod_metrics.TRAFFIC
    yield Recorded(name=names.requests, expression=rate(responses, traffic))
    server_errors = rate(responses, traffic, f'status=~"{pod_metrics.SERVER_ERROR_STATUS}.*"')
    yield Recorded(name=names.server_errors, expression=or_zero(server_errors))
    engine_errors = rate(finished, f'finished_reason="{pod_metrics.ENGINE_ERROR}"')
    yield Recorded(name=names.engine_errors, expression=or_zero(engine_errors))
    yield Recorded(name=names.aborts, expression=or_zero(rate(finished, f'finished_reason="{pod_metrics.ABORTED}"')))
    # An engine error may or may not be a 5xx, so the larger count is used for both; an abort never is one.
    larger = _larger(known(names.server_errors), known(names.engine_errors))
    failed = f"({known(names.aborts)} + {larger})"
    yield Recorded(name=names.failed_share, expression=f"clamp_max({failed} / ({known(names.requests)} > 0), 1)")
    yield Recorded(
        name=names.completed,
        expression=(
            f"{rate(finished)} - {known(names.aborts)} - {known(names.engine_errors)}"
            f" + clamp_min({known(names.engine_errors)} - {known(names.server_errors)}, 0)"
        ),
    )
    answered = rate(
        responses,
        traffic,
        f'status=~"{pod_metrics.ANSWERED_STATUS}.*"',
        f'handler=~"{pod_metrics.GENERATING}"',
    )
    yield Recorded(name=names.abandoned, expression=f"clamp_min({answered} - {known(names.completed)}, 0)")
    begun = _larger(rate(pod_metrics.TTFT, 'le="+Inf"'), known(names.completed))
    yield Recorded(
        name=names.abandoned_share,
        expression=f"{known(names.abandoned)} / (({begun} + {known(names.abandoned)}) > 0)",
    )
    yield Recorded(name=names.ttft_p95, expression=p95(each_rate(pod_metrics.TTFT)))
    inter_token = each_rate(pod_metrics.INTER_TOKEN)
    formerly = each_rate(pod_metrics.INTER_TOKEN_FORMERLY)
    yield Recorded(name=names.inter_token_p95, expression=p95(f"{inter_token} or on ({_POD}) {formerly}"))
    yield Recorded(name=names.end_to_end_p95, expression=p95(each_rate(pod_metrics.END_TO_END)))
    waiting = f"sum by ({_POD}) ({selector(pod_metrics.WAITING)})"
    yield Recorded(name=names.waiting, expression=f"avg by ({_BY}) ({waiting})")
    for name, metric in (
        (names.replicas_declared, "kube_deployment_spec_replicas"),
        (names.replicas_ready, "kube_deployment_status_replicas_ready"),
    ):
        yield Recorded(name=name, expression=_replicas(metric, names, subject))


def _larger(one: str, other: str) -> str:
    """Return the larger of two values, or the other one where the first has none."""
    return f"({one} > {other} or {other})"


def _replicas(metric: str, names: SeriesNames, subject: Monitored) -> str:
    """Return a figure of the colours' Deployments, whose names are those of ``color_name``.

    https://github.com/kubernetes/kube-state-metrics/blob/main/docs/metrics/workload/deployment-metrics.md
    """
    pattern = f"({subject.name_pattern})-({_COLORS})"
    labelled = f'{metric}{{deployment=~"{pattern}"}}'
    for place, label in enumerate(_BY.split(", "), start=1):
        labelled = f'label_replace({labelled}, "{label}", "${place}", "deployment", "{pattern}")'
    added = f"sum by ({_BY}) ({labelled})"
    if subject.service is not None:
        return added
    # Other programs may name their Deployments alike.
    return f"{added} and on (service) count by (service) (count_over_time({names.requests}[{_KNOWN_FOR}]))"
