"""``python -m benchmarks.gate_power``: how many requests it takes to see that a candidate is worse.

Three kinds of gates watch the same requests until the hold is over. A quarter of the requests goes to the candidate
(the 25 % step). A gate evaluates whenever it has new data:

- *ours*: the rollout's comparison (``rollout/statistics/sequential.py``) on Prometheus' buckets, at its stated
  false-alarm rate, not tuned to the traffic;
- *threshold*, as in Argo Rollouts: one measurement per interval (the candidate's p95, or its error rate) against a
  fixed number; it fails when more than ``failureLimit`` measurements are beyond that number;
- *mann_whitney*, as in Kayenta: one measurement of both colours per interval, and a Mann-Whitney test over the growing
  window since the start. The same test on raw latencies, which neither Kayenta nor Prometheus has, is shown only
  for comparison.

All gates have the same false-alarm rate over the whole hold, with all its evaluations: the rate of ours when candidate
and active colour are alike. For this, the other two get the cut-off with exactly that rate on the same traffic, which
is unknown in practice. They also get the best of several intervals and failure limits for each case.

Latencies are either simulated or recorded. The simulation is a mixture of lognormals: 70 % short or cached prompts
(median 0.12 s, sigma 0.35), 25 % long prompts (0.45 s, 0.45), 5 % queued requests (1.4 s, 0.6). The recording has 5,000
times to first token from a rehearsal, in their order (``recorded_ttft.txt``). Each run starts at another point of it
and assigns the requests to the colours at random, as a load balancer does, including slow spells. A regression of 20 %
makes every request of the candidate take 1.2 times as long; a tail regression affects only those above the 80th
percentile. Errors rise from 0.5 % to 1.5 %.

Requests are the candidate's requests. The median is over all runs; a run without detection counts as never. In the mean
it counts as the whole hold. For errors there are two more figures. *elsewhere* is the share of false alarms with the
same cut-off where both colours fail 5 % of their requests: only ours keeps its rate there. And no test that keeps its
rate at every share of failures has a mean below ``least_mean_requests``.

At the end is the watch after a promotion (``benchmarks/watch_power.py``). The last line is JSON.
"""

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks import watch_power
from rollout.statistics.sequential import Comparison, alarm_threshold

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], tuple[Floats, Floats]]

FALSE_ALARM_RATE: Final = 0.05
"""The rate for ours. A simulation cannot distinguish much rarer false alarms."""
BLOCK_CANDIDATE: Final = 20
BLOCK_ACTIVE: Final = 60
BLOCKS: Final = 200
REGRESSION: Final = 1.2
ERROR_RATE: Final = 0.005
ERROR_RISE: Final = 0.01
ERROR_RATE_ELSEWHERE: Final = 0.05

# For the others: blocks per interval, and how many measurements beyond the threshold are allowed.
INTERVALS: Final = (2, 5, 10, 20, 40)
FAILURE_LIMITS: Final = (0, 1, 2)
MINIMUM_POINTS: Final = 4

RECORDED: Final = Path(__file__).parent / "recorded_ttft.txt"
# vLLM's buckets.
# fmt: off
TTFT_BUCKETS: Final = np.array(
    (.001, .005, .01, .02, .04, .06, .08, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640, 2560)
)
# fmt: on


def simulated(generator: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Draw times to first token from the mixture."""
    kind = generator.random(shape)
    medians = np.select([kind < 0.7, kind < 0.95], [0.12, 0.45], 1.4)
    sigmas = np.select([kind < 0.7, kind < 0.95], [0.35, 0.45], 0.6)
    return medians * np.exp(sigmas * generator.standard_normal(shape))


def recorded() -> Floats:
    """Read the recorded times to first token, in seconds."""
    lines = [line for line in RECORDED.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return np.array(" ".join(lines).split(), dtype=np.float64) / 1e4


def draw_simulated(generator: np.random.Generator, runs: int) -> tuple[Floats, Floats]:
    """Draw latencies of both colours; axes: runs, blocks, requests."""
    return (
        simulated(generator, (runs, BLOCKS, BLOCK_CANDIDATE)),
        simulated(generator, (runs, BLOCKS, BLOCK_ACTIVE)),
    )


def draw_recorded(generator: np.random.Generator, runs: int) -> tuple[Floats, Floats]:
    """Take the recorded latencies in order from a random point, and split each block between the colours at random."""
    values = recorded()
    size = BLOCK_CANDIDATE + BLOCK_ACTIVE
    starts = generator.integers(0, len(values), (runs, 1, 1))
    order = starts + np.arange(BLOCKS * size).reshape(1, BLOCKS, size)
    shuffled = generator.permuted(values[order % len(values)], axis=-1)
    return shuffled[..., :BLOCK_CANDIDATE], shuffled[..., BLOCK_CANDIDATE:]


def slower(latencies: Floats) -> Floats:
    """Return latencies where every request takes longer."""
    return latencies * REGRESSION


def slower_tail(latencies: Floats) -> Floats:
    """Return latencies where the slowest fifth takes longer."""
    return np.where(latencies > np.quantile(latencies, 0.8), latencies * REGRESSION, latencies)


@dataclass(frozen=True)
class Traffic:
    """Both colours' requests by block: counts by category and, for latencies, the raw values in fine bins."""

    candidate: Floats
    """Axes: runs, blocks, categories. The second of two categories is failures."""
    active: Floats
    raw: tuple[Floats, Floats] | None = None

    @property
    def runs(self) -> int:
        """The number of simulated runs."""
        return len(self.candidate)


def latencies(draw: Draw, change: Callable[[Floats], Floats], seed: int, runs: int, bins: Floats) -> Traffic:
    """Draw traffic with changed latencies of the candidate."""
    candidate, active = draw(np.random.default_rng(seed), runs)
    candidate = change(candidate)
    return Traffic(
        counted(candidate, TTFT_BUCKETS),
        counted(active, TTFT_BUCKETS),
        (counted(candidate, bins), counted(active, bins)),
    )


def failures(candidate_rate: float, seed: int, runs: int, *, active_rate: float = ERROR_RATE) -> Traffic:
    """Draw traffic with failed requests."""
    generator = np.random.default_rng(seed)

    def outcomes(requests: int, rate: float) -> Floats:
        failed = generator.binomial(requests, rate, (runs, BLOCKS)).astype(np.float64)
        return np.stack([requests - failed, failed], axis=-1)

    return Traffic(outcomes(BLOCK_CANDIDATE, candidate_rate), outcomes(BLOCK_ACTIVE, active_rate))


def counted(values: Floats, bounds: Floats) -> Floats:
    """Count the values along the last axis by bucket."""
    buckets = np.searchsorted(bounds, values)
    size = len(bounds) + 1
    cells = np.arange(math.prod(values.shape[:-1])).reshape((*values.shape[:-1], 1)) * size + buckets
    counts = np.bincount(cells.ravel(), minlength=math.prod(values.shape[:-1]) * size)
    return counts.reshape((*values.shape[:-1], size)).astype(np.float64)


def p95(histograms: Floats) -> Floats:
    """Estimate the 95th percentile as Prometheus' histogram_quantile does."""
    cumulated = np.cumsum(histograms, axis=-1)
    rank = 0.95 * cumulated[..., -1:]
    bucket = (cumulated >= rank).argmax(axis=-1)
    below = np.where(bucket > 0, np.take_along_axis(cumulated, np.maximum(bucket - 1, 0)[..., None], -1)[..., 0], 0)
    inside = np.take_along_axis(histograms, bucket[..., None], -1)[..., 0]
    edges = np.concatenate([[0.0], TTFT_BUCKETS, [TTFT_BUCKETS[-1]]])
    share = (rank[..., 0] - below) / np.maximum(inside, 1e-9)
    return edges[bucket] + (edges[bucket + 1] - edges[bucket]) * share


def measured(counts: Floats, interval: int) -> Floats:
    """Measure each interval: its p95, or its error rate; axes: runs, intervals."""
    whole = counts[:, : counts.shape[1] // interval * interval]
    sums = whole.reshape(len(whole), -1, interval, counts.shape[-1]).sum(axis=2)
    return sums[..., 1] / sums.sum(axis=-1) if counts.shape[-1] == 2 else p95(sums)


# A gate returns a statistic for each run and look, which fails the candidate when it reaches the gate's cut-off, and
# the number of blocks at each look.
Statistic = tuple[Floats, NDArray[np.int64]]


def ours(traffic: Traffic) -> Statistic:
    """Return the log evidence after every block."""
    comparison = Comparison()
    looks: list[Floats] = []
    for block in range(BLOCKS):
        comparison.add(traffic.candidate[:, block], traffic.active[:, block])
        looks.append(np.broadcast_to(comparison.log_evidence, (traffic.runs,)))
    return np.stack(looks, axis=1), np.arange(1, BLOCKS + 1)


def thresholds() -> Iterator[Callable[[Traffic], Statistic]]:
    """Yield gates on the candidate's measurements. With failure limit n, the (n + 1)th highest decides."""
    for interval in INTERVALS:
        for limit in FAILURE_LIMITS:
            yield lambda traffic, interval=interval, limit=limit: _threshold(traffic, interval, limit)


def _threshold(traffic: Traffic, interval: int, limit: int) -> Statistic:
    values = measured(traffic.candidate, interval)
    highest = np.full((traffic.runs, limit + 1), -np.inf)
    looks: list[Floats] = []
    for look in range(values.shape[1]):
        highest = np.sort(np.concatenate([highest, values[:, look : look + 1]], axis=1), axis=1)[:, 1:]
        looks.append(highest[:, 0])
    return np.stack(looks, axis=1), interval * np.arange(1, values.shape[1] + 1)


def mann_whitneys() -> Iterator[Callable[[Traffic], Statistic]]:
    """Yield gates with Mann-Whitney tests over both colours' measurements."""
    for interval in INTERVALS:
        yield lambda traffic, interval=interval: _mann_whitney(traffic, interval)


def _mann_whitney(traffic: Traffic, interval: int) -> Statistic:
    mine, other = measured(traffic.candidate, interval), measured(traffic.active, interval)
    wins = (mine[:, :, None] > other[:, None, :]) + 0.5 * (mine[:, :, None] == other[:, None, :])
    points = np.arange(1, mine.shape[1] + 1)
    won = np.diagonal(wins.cumsum(axis=1).cumsum(axis=2), axis1=1, axis2=2)
    scores = _normal(won, points, points)
    scores[:, : MINIMUM_POINTS - 1] = -np.inf
    return scores, interval * points


def raw_mann_whitneys() -> Iterator[Callable[[Traffic], Statistic]]:
    """Yield the gate with the Mann-Whitney test over all requests so far, every five blocks."""
    yield _raw_mann_whitney


def _raw_mann_whitney(traffic: Traffic) -> Statistic:
    candidate, active = traffic.raw or (traffic.candidate, traffic.active)
    looks: list[Floats] = []
    blocks = np.arange(5, BLOCKS + 1, 5)
    mine, other = np.zeros_like(candidate[:, 0]), np.zeros_like(active[:, 0])
    for last in blocks:
        mine = mine + candidate[:, last - 5 : last].sum(axis=1)
        other = other + active[:, last - 5 : last].sum(axis=1)
        below = np.cumsum(other, axis=-1) - other / 2
        looks.append(_normal((mine * below).sum(axis=-1), mine.sum(axis=-1), other.sum(axis=-1)))
    return np.stack(looks, axis=1), blocks


def _normal(won: Floats, mine: Floats | NDArray[np.int64], other: Floats | NDArray[np.int64]) -> Floats:
    return (won - mine * other / 2) / np.sqrt(mine * other * (mine + other + 1) / 12)


@dataclass(frozen=True)
class Power:
    """A gate's performance."""

    false_alarms: float
    """Share of runs without a difference in which it failed the candidate."""
    median_requests: float
    mean_requests: float
    detected: float
    """Share of runs with a difference that it detected within the hold."""
    elsewhere: float | None
    """Its share of false alarms on other traffic without a difference. None when there is no other."""


def power(
    gate: Callable[[Traffic], Statistic], null: Statistic, worse: Traffic, cut_off: float, other: Traffic | None
) -> Power:
    """Return a gate's performance with this cut-off."""
    statistic, blocks = gate(worse)
    beyond = statistic >= cut_off
    found = beyond.any(axis=1)
    requests = np.where(found, blocks[beyond.argmax(axis=1)] * BLOCK_CANDIDATE, np.inf)
    return Power(
        false_alarms=float((null[0].max(axis=1) >= cut_off).mean()),
        median_requests=float(np.median(requests)),
        mean_requests=float(np.minimum(requests, BLOCKS * BLOCK_CANDIDATE).mean()),
        detected=float(found.mean()),
        elsewhere=None if other is None else float((gate(other)[0].max(axis=1) >= cut_off).mean()),
    )


def least_mean_requests(rate: float, detected: float) -> float:
    """Return the least mean of any test of errors that keeps its false-alarm rate whatever share of requests fails.

    Such a test keeps it where both colours fail as often as both together do here. What it learns from a request, on
    average, is the divergence from that; what it must learn for its rates is that of its answers (Wald; for a hold of
    any length by the data-processing inequality).
    """
    worse = ERROR_RATE + ERROR_RISE
    alike = (BLOCK_CANDIDATE * worse + BLOCK_ACTIVE * ERROR_RATE) / (BLOCK_CANDIDATE + BLOCK_ACTIVE)
    learnt = BLOCK_CANDIDATE * _divergence(worse, alike) + BLOCK_ACTIVE * _divergence(ERROR_RATE, alike)
    return BLOCK_CANDIDATE * _divergence(detected, rate) / learnt


def _divergence(one: float, other: float) -> float:
    """Return the Kullback-Leibler divergence of two coins."""
    return sum(mine * math.log(mine / its) for mine, its in ((one, other), (1 - one, 1 - other)) if mine)


def calibrated(null: Statistic, rate: float) -> float:
    """Return the lowest cut-off with at most this false-alarm rate over the hold."""
    highest = np.sort(null[0].max(axis=1))[::-1]
    allowed = math.floor(rate * len(highest))
    return float(np.nextafter(highest[min(allowed, len(highest) - 1)], np.inf))


OTHERS: Final = {
    "threshold": thresholds,
    "mann_whitney": mann_whitneys,
    "mann_whitney_raw": raw_mann_whitneys,
}


def compare(null: Traffic, worse: dict[str, Traffic], elsewhere: Traffic | None = None) -> dict[str, dict[str, Power]]:
    """Return each gate's performance in each case. ``null`` and ``elsewhere`` are traffic without a difference."""
    mine = ours(null)
    stated = alarm_threshold(FALSE_ALARM_RATE, 1)
    results = {case: {"ours": power(ours, mine, traffic, stated, elsewhere)} for case, traffic in worse.items()}
    rate = float((mine[0].max(axis=1) >= stated).mean())
    for name, gates in OTHERS.items():
        for gate in gates():
            other = gate(null)
            cut_off = calibrated(other, rate)
            for case, traffic in worse.items():
                new = power(gate, other, traffic, cut_off, elsewhere)
                best = results[case].get(name)
                if best is None or (new.median_requests, -new.detected) < (best.median_requests, -best.detected):
                    results[case][name] = new
    return results


def run(runs: int, seed: int) -> dict[str, dict[str, Power]]:
    """Simulate all cases."""
    cases: dict[str, dict[str, Power]] = {}
    for source, draw, values in (
        ("simulated", draw_simulated, simulated(np.random.default_rng(seed), (100_000,))),
        ("recorded", draw_recorded, recorded()),
    ):
        bins = np.unique(np.quantile(values, np.linspace(0.005, 0.995, 199)))
        alike = latencies(draw, lambda same: same, seed + 1, runs, bins)
        changes = {"p95_regression_20": slower, "p95_regression_20_tail": slower_tail}
        worse = {case: latencies(draw, change, seed + 2, runs // 2, bins) for case, change in changes.items()}
        cases |= {f"{case} ({source})": found for case, found in compare(alike, worse).items()}
    rise = {"error_rise_1pt": failures(ERROR_RATE + ERROR_RISE, seed + 2, runs // 2)}
    elsewhere = failures(ERROR_RATE_ELSEWHERE, seed + 3, runs, active_rate=ERROR_RATE_ELSEWHERE)
    return cases | compare(failures(ERROR_RATE, seed + 1, runs), rise, elsewhere)


def shown(requests: float) -> str:
    """Format a number of requests."""
    return f"{requests:.0f}" if math.isfinite(requests) else f"over {BLOCKS * BLOCK_CANDIDATE}"


def main() -> None:
    """Read the command line, run, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gate_power", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--runs", type=int, default=600, help="runs without a difference; half as many with one (600)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the simulation (1)")
    options = parser.parse_args()
    began = time.monotonic()
    cases = run(options.runs, options.seed)
    print(
        f"{'case':<36}{'gate':<18}{'false alarms':>13}{'elsewhere':>11}{'median requests':>17}"
        f"{'mean':>6}{'detected':>10}"
    )
    for case, gates in cases.items():
        for name, found in gates.items():
            other = "" if found.elsewhere is None else f"{found.elsewhere:.1%}"
            print(
                f"{case:<36}{name:<18}{found.false_alarms:>13.1%}{other:>11}{shown(found.median_requests):>17}"
                f"{found.mean_requests:>6.0f}{found.detected:>10.0%}"
            )
    print(
        f"{options.runs} runs of {BLOCKS * BLOCK_CANDIDATE} candidate requests and {BLOCKS * BLOCK_ACTIVE} of the "
        f"active colour, {time.monotonic() - began:.0f} s; ours is set to {FALSE_ALARM_RATE:.0%} over the hold"
    )
    for case, gates in cases.items():
        fewer = [
            name
            for name, found in gates.items()
            if name != "ours" and found.median_requests <= gates["ours"].median_requests
        ]
        if fewer:
            print(f"{case}: {' and '.join(fewer)} needed no more requests than ours")
    least = least_mean_requests(FALSE_ALARM_RATE, cases["error_rise_1pt"]["ours"].detected)
    print(f"error_rise_1pt: no test with this rate at every share of failures has a mean below {least:.0f}")
    after = watch_power.run(options.runs // 3, options.seed)
    print(f"\n{'after a promotion':<36}{'watch':<18}{'false alarms':>13}{'median minutes':>17}{'detected':>10}")
    for case, watches in after.items():
        for name, seen in watches.items():
            print(f"{case:<36}{name:<18}{seen.false_alarms:>13.1%}{seen.median_minutes:>17.0f}{seen.detected:>10.0%}")
    print(
        f"{options.runs // 3} runs of {watch_power.LOOKS} looks at their limit, and of {watch_power.RISE_LOOKS} looks "
        f"with a rise after {watch_power.GOOD_LOOKS}; {time.monotonic() - began:.0f} s in all"
    )
    print(json.dumps({**summary(cases), "least_mean_requests": round(least), "watch": watch_power.summary(after)}))


def summary(cases: dict[str, dict[str, Power]]) -> Mapping[str, Mapping[str, object]]:
    """Return the last line's content. null means never."""

    def medians(gates: dict[str, Power]) -> dict[str, int | None]:
        return {
            name: int(found.median_requests) if math.isfinite(found.median_requests) else None
            for name, found in gates.items()
        }

    simulated_case = cases["p95_regression_20 (simulated)"]
    named = {"p95_regression_20": simulated_case, "error_rise_1pt": cases["error_rise_1pt"]}
    for case in (
        "p95_regression_20 (recorded)",
        "p95_regression_20_tail (simulated)",
        "p95_regression_20_tail (recorded)",
    ):
        named[case.replace(" (", "_").removesuffix(")")] = cases[case]
    rates = {
        "stated": FALSE_ALARM_RATE,
        **{
            name: {gate: round(found.false_alarms, 4) for gate, found in gates.items()} for name, gates in named.items()
        },
    }
    return {
        "false_alarm_rate": rates,
        "median_requests_to_detect": {name: medians(gates) for name, gates in named.items()},
        "mean_requests_to_detect": {
            name: {gate: round(found.mean_requests) for gate, found in gates.items()} for name, gates in named.items()
        },
        "false_alarm_rate_where_5_percent_fail": {
            gate: found.elsewhere for gate, found in cases["error_rise_1pt"].items()
        },
    }


if __name__ == "__main__":
    main()
