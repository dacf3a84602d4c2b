"""The pods' metrics, queried from Prometheus at a given time."""

import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote, urlencode

import httpx

from components.config.reading.forms import URL
from components.config.reading.violations import shown
from components.config.sections.prometheus_settings import PrometheusSettings
from components.domain.naming import COLORS, Color
from rollout.adapters.prometheus_access import SECTION, PrometheusAccess
from rollout.model import pod_metrics
from rollout.model.errors import RefusedError, RolloutError
from rollout.statistics.demand import Lengths, Rate, Throughput
from rollout.statistics.measurements import Counters, Histogram, PrefixCache, bucket_label, histogram, responses_of
from rollout.system.failures import describe_error
from rollout.system.waits import waiting

TIMEOUT_SECONDS = 5.0
# The timeout is for the connection, for what is sent and for the answer, one after the other.
# https://www.python-httpx.org/advanced/timeouts/
LONGEST_CALL_SECONDS = 3 * TIMEOUT_SECONDS

# Prometheus answers a range with at most 11,000 points.
# https://prometheus.io/docs/prometheus/latest/querying/api/#range-queries
MOST_POINTS = 5000

_GENERATING = re.compile(pod_metrics.GENERATING)
_LABELS = ("__name__", "color", "pod", "instance", "handler", "status", "finished_reason", "le")
_IN_FLIGHT = "vllm[:_]num_requests_(running|waiting)"


class Prometheus:
    """One service's counters. The scrape config adds the labels ``service`` and ``color`` to the pods' metrics."""

    def __init__(
        self,
        url: str | None,
        service: str,
        transport: httpx.BaseTransport | None = None,
        *,
        access: PrometheusAccess | None = None,
    ) -> None:
        """Query ``url``, or the URL in the environment variable PROMETHEUS_URL. Without ``access``, no credential.

        Raises:
            RefusedError: neither is set, the value is not a URL, or a secret would be sent in clear text.
        """
        base = url or os.environ.get("PROMETHEUS_URL")
        if not base:
            raise RefusedError(
                "rollout.prometheus_url: is not set, and neither is the variable PROMETHEUS_URL; set one to the URL "
                "of the Prometheus that scrapes the pods"
            )
        where = "rollout.prometheus_url" if url else "the variable PROMETHEUS_URL"
        if (hint := URL.check(base)) is not None:
            got = "" if URL.hides(base) else f" (got {shown(base)})"
            raise RefusedError(f"{where}: must be {URL.expected}{got}. {hint}".rstrip())
        self._access = access or PrometheusAccess(PrometheusSettings(), Path())
        if (found := self._access.settings.url_violation(base)) is not None:
            raise RefusedError(f"{where}: {found.what} (got {shown(base)}). {found.fix}")
        self._service = service
        self._base = base
        self._transport = transport

    @cached_property
    def _client(self) -> httpx.Client:
        # Without TLS, a proxy would read the secrets of requests to this machine.
        direct = self._base.lower().startswith("http:") and bool(self._access.settings.secrets)
        return httpx.Client(
            base_url=self._base,
            timeout=TIMEOUT_SECONDS,
            transport=self._transport,
            auth=self._access,
            verify=self._access.authorities(),
            trust_env=not direct,
            follow_redirects=False,  # the credential is for this address alone
        )

    def counters(self, at: datetime, by: Collection[str] = ()) -> Mapping[Color, Counters]:
        """Read both colours' counters at a given time, and their slices by these labels.

        Raises:
            RolloutError: Prometheus does not answer.
        """
        # One query for everything.
        labels = ", ".join(dict.fromkeys((*_LABELS, *by)))
        found = self._query(
            f'sum by ({labels}) ({{__name__=~"{pod_metrics.ALL}", service="{self._service}", {pod_metrics.TRAFFIC}}})',
            at,
        )
        return {color: _counters([one for one in found if one["metric"].get("color") == color], by) for color in COLORS}

    def running_requests(self, color: Color) -> float | None:
        """Return how many requests run or wait on a colour. None when there is no data.

        Raises:
            RolloutError: Prometheus does not answer.
        """
        selector = f'{{__name__=~"{_IN_FLIGHT}", service="{self._service}", color="{color}"}}'
        found = self._query(f"sum({selector})", datetime.now(UTC))
        return float(found[0]["value"][1]) if found else None

    def prefix_cache(self, color: Color) -> PrefixCache | None:
        """Return the counters of a colour's prefix caches. None when there is no data.

        Raises:
            RolloutError: Prometheus does not answer.
        """
        selector = f'service="{self._service}", color="{color}"'
        now = datetime.now(UTC)
        hits, queries = (
            self._query(f'sum({{__name__=~"vllm[:_]prefix_cache_{what}(_total)?", {selector}}})', now)
            for what in ("hits", "queries")
        )
        if not hits or not queries:
            return None
        return PrefixCache(hits=float(hits[0]["value"][1]), queries=float(queries[0]["value"][1]))

    def rates(self, start: datetime, end: datetime, *, rate_seconds: float) -> Sequence[Rate]:
        """Return both colours' throughput together at times of a window, each on average over ``rate_seconds``.

        Raises:
            RolloutError: Prometheus does not answer.
        """
        step_seconds = max(rate_seconds / 5, (end - start).total_seconds() / MOST_POINTS)
        requests, tokens = (
            self._rates(name, start, end, rate_seconds=rate_seconds, step_seconds=step_seconds)
            for name in (pod_metrics.FINISHED, pod_metrics.GENERATED)
        )
        return [
            Rate(
                at=datetime.fromtimestamp(moment, UTC),
                throughput=Throughput(requests_per_second=value, tokens_per_second=tokens.get(moment)),
            )
            for moment, value in requests.items()
        ]

    def _rates(
        self, name: str, start: datetime, end: datetime, *, rate_seconds: float, step_seconds: float
    ) -> dict[float, float]:
        """Return the sum of a counter's rates by the moments of a window, in seconds since the epoch."""
        found = self._answer(
            "query_range",
            query=_rate(name, f'service="{self._service}"', rate_seconds),
            start=f"{start.timestamp():.3f}",
            end=f"{end.timestamp():.3f}",
            step=f"{step_seconds:.3f}",
        )
        return {float(moment): float(value) for one in found for moment, value in one["values"]}

    def throughput(self, color: Color, at: datetime, *, rate_seconds: float) -> Throughput:
        """Return one colour's throughput at a time, on average over ``rate_seconds``.

        Raises:
            RolloutError: Prometheus does not answer.
        """
        selector = f'service="{self._service}", color="{color}"'
        requests, tokens = (
            self._query(_rate(name, selector, rate_seconds), at)
            for name in (pod_metrics.FINISHED, pod_metrics.GENERATED)
        )
        return Throughput(
            requests_per_second=float(requests[0]["value"][1]) if requests else 0.0,
            tokens_per_second=float(tokens[0]["value"][1]) if tokens else None,
        )

    def lengths(self, color: Color, start: datetime, end: datetime) -> Lengths:
        """Return the lengths of a colour's requests over a window.

        Raises:
            RolloutError: Prometheus does not answer.
        """
        window = f"{max(1, round((end - start).total_seconds()))}s"
        selector = f'service="{self._service}", color="{color}"'
        prompts, answers = (
            self._query(f'sum by (le) (increase({{__name__=~"{name}", {selector}}}[{window}]))', end)
            for name in (pod_metrics.PROMPT_LENGTHS, pod_metrics.ANSWER_LENGTHS)
        )
        return Lengths(prompts=_lengths(prompts), answers=_lengths(answers))

    def _query(self, query: str, at: datetime) -> list[dict[str, Any]]:
        return self._answer("query", query=query, time=f"{at.timestamp():.3f}")

    def _answer(self, endpoint: str, *, query: str, **times: str) -> list[dict[str, Any]]:
        # Spaces as %20: a signature is over the text as it is sent, and AWS reads a plus sign as one.
        asked = urlencode({"query": query, **times}, quote_via=quote)
        try:
            with waiting(f"Prometheus at {self._base}", at_most_seconds=LONGEST_CALL_SECONDS):
                response = self._client.get(f"/api/v1/{endpoint}?{asked}")
            self._require_success(response)
            answer = response.json()
        except httpx.HTTPError as error:
            raise RolloutError(
                f"Prometheus at {self._base} does not answer: {describe_error(error)}. {_fix(error)}"
            ) from error
        except ValueError as error:
            raise RolloutError(f"the server at {self._base} is not Prometheus: its answer is not JSON") from error
        if not isinstance(answer, dict) or "status" not in answer:
            raise RolloutError(f"the server at {self._base} is not Prometheus: its JSON has no status")
        body = cast(dict[str, Any], answer)
        if body["status"] != "success":
            raise RolloutError(f"Prometheus refuses {query!r}: {body.get('error', 'no reason given')}")
        return cast(list[dict[str, Any]], body["data"]["result"])

    def _require_success(self, response: httpx.Response) -> None:
        status = response.status_code
        if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            answer = f"{status} {response.reason_phrase}".rstrip()
            raise RolloutError(f"Prometheus at {self._base} answers {answer} {self._access.refusal(status)}")
        if response.is_redirect:
            raise RolloutError(
                f"Prometheus at {self._base} redirects to {redirect_origin(response)}, and credentials must not "
                "follow. Set rollout.prometheus_url or PROMETHEUS_URL to the address that answers"
            )
        response.raise_for_status()


def redirect_origin(response: httpx.Response) -> str:
    """Return where a redirect leads, without what may be a secret: user, path and query."""
    try:
        to = response.url.join(response.headers.get("location", ""))
    except httpx.InvalidURL:
        return "another address"
    return shown(str(to.copy_with(userinfo=b"", raw_path=b"/", fragment=None)))


def _fix(error: httpx.HTTPError) -> str:
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return f"If a private authority has issued its certificate, set {SECTION}.ca_file"
    return "Check rollout.prometheus_url or PROMETHEUS_URL, and the network"


def _rate(name: str, selector: str, seconds: float) -> str:
    return f'sum(rate({{__name__=~"{name}", {selector}}}[{round(1000 * seconds)}ms]))'


def _lengths(found: list[dict[str, Any]]) -> Histogram:
    return histogram({("", one["metric"]["le"]): float(one["value"][1]) for one in found})


def _counters(found: list[dict[str, Any]], by: Collection[str] = ()) -> Counters:
    inter_token = _buckets(found, pod_metrics.INTER_TOKEN)
    known = {pod for pod, _ in inter_token}
    formerly = _buckets(found, pod_metrics.INTER_TOKEN_FORMERLY)
    former = {key: value for key, value in formerly.items() if key[0] not in known}
    answers = [
        one
        for one in found
        if one["metric"].get("status", "").startswith(pod_metrics.ANSWERED_STATUS)
        and _GENERATING.fullmatch(one["metric"].get("handler", ""))
    ]
    return Counters(
        responses=_series(found, pod_metrics.RESPONSES, "status"),
        answered=_series(answers, pod_metrics.RESPONSES, ""),
        finished=_series(found, pod_metrics.FINISHED, "finished_reason"),
        ttft_buckets=_buckets(found, pod_metrics.TTFT),
        inter_token_buckets=inter_token | former,
        end_to_end_buckets=_buckets(found, pod_metrics.END_TO_END),
        waiting=_series(found, pod_metrics.WAITING, ""),
        output_tokens=_series(found, pod_metrics.GENERATED, ""),
        answer_tokens_buckets=_buckets(found, pod_metrics.ANSWER_LENGTHS),
        answer_tokens_sum=_series(found, pod_metrics.ANSWER_LENGTHS_SUM, ""),
        slices={label: _slices(found, label) for label in by},
    )


def _slices(found: list[dict[str, Any]], label: str) -> dict[str, Counters]:
    """Return the counters of each value of a label."""
    by_value: dict[str, list[dict[str, Any]]] = {}
    for one in found:
        if value := one["metric"].get(label):
            by_value.setdefault(value, []).append(one)
    slices = {value: _counters(own) for value, own in by_value.items()}
    if any(one.responses for one in slices.values()):
        return slices
    return {value: replace(one, responses=responses_of(one.finished)) for value, one in slices.items()}


def _series(found: list[dict[str, Any]], name: str, label: str) -> dict[tuple[str, str], float]:
    """Add up the values of one metric by pod and one label. Without a pod label, the instance identifies the pod."""
    pattern = re.compile(name)
    series: dict[tuple[str, str], float] = {}
    for metric, (_, value) in ((one["metric"], one["value"]) for one in found):
        if pattern.fullmatch(metric.get("__name__", "")):
            key = f"{metric.get('pod', '')}@{metric.get('instance', '')}", metric.get(label, "")
            series[key] = series.get(key, 0.0) + float(value)
    return series


def _buckets(found: list[dict[str, Any]], name: str) -> dict[tuple[str, str], float]:
    """Return a histogram's cumulative counts by pod and upper bound.

    A bucket that a pod has under two spellings of its bound is one counter: its larger value is the later one.
    """
    buckets: dict[tuple[str, str], float] = {}
    for (pod, bound), value in _series(found, name, "le").items():
        if (label := bucket_label(bound)) is not None:
            buckets[pod, label] = max(value, buckets.get((pod, label), 0.0))
    return buckets
