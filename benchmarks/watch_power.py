"""How long it takes after a promotion to see a release that was well for two hours and then is not.

The promoted colour has all traffic, 60 requests a minute, and a job looks every ten minutes for the 24 hours of the
keep-warm window. A release that is well has half of the share that its limit allows: of failed requests (limit 1 %), or
of requests above a latency limit (5 %). Four kinds of watches see the same counts:

- *ours*: the watch's bets, one for each look that a rise may begin at (``rollout/statistics/onset.py``);
- *no_onset*: one bet on the whole time since the promotion, as in a hold (``evidence_above``);
- *threshold*: the share of each look against a fixed number;
- *cusum*: Page's sum, reset at 0, which is optimal for a rise to a share that is known beforehand. It knows the share.

The first two keep their stated false-alarm rate over all 24 hours for a release that is exactly at its limit. The other
two get the cut-off with which they raise as many alarms as ours on that traffic, which is unknown in practice.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rollout.statistics.onset import log_bets
from rollout.statistics.sequential import alarm_threshold, evidence_above_each

Floats = NDArray[np.float64]

FALSE_ALARM_RATE: Final = 0.05
LOOK_MINUTES: Final = 10
LOOK_REQUESTS: Final = 60 * LOOK_MINUTES
LOOKS: Final = 24 * 60 // LOOK_MINUTES
GOOD_LOOKS: Final = 2 * 60 // LOOK_MINUTES
RISE_LOOKS: Final = 8 * 60 // LOOK_MINUTES
"""How many looks a run with a rise has."""
CASES: Final = {
    "errors to 1.5 %": (0.01, 0.015),
    "errors to 2 %": (0.01, 0.02),
    "errors to 5 %": (0.01, 0.05),
    "slow requests to 8 %": (0.05, 0.08),
    "slow requests to 20 %": (0.05, 0.20),
}
"""By name: the limit of the share, and the share after two hours. Limits are the defaults of the gates."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """A watch's performance."""

    false_alarms: float
    """Share of the runs at the limit that raised an alarm within the window."""
    median_minutes: float
    """From the rise to the alarm."""
    detected: float
    """Share of the runs with a rise that raised the alarm after it."""


Watch = Callable[[Floats], Floats]
"""Returns from the hits of each look (axes: runs, looks) a statistic after each look."""


def watches(limit: float, share: float) -> dict[str, Watch]:
    """Return the watches over a share with this limit. The last one knows the share after the rise."""
    up, down = math.log(share / limit), math.log((1 - share) / (1 - limit))

    def ours(hits: Floats) -> Floats:
        trials = np.full_like(hits, LOOK_REQUESTS)
        seen = range(1, hits.shape[-1] + 1)
        return np.stack(
            [np.logaddexp.reduce(log_bets(hits[:, :n], trials[:, :n], limit), axis=-1) for n in seen], axis=-1
        )

    def no_onset(hits: Floats) -> Floats:
        return evidence_above_each(hits.cumsum(axis=-1), np.full_like(hits, LOOK_REQUESTS).cumsum(axis=-1), limit)

    def cusum(hits: Floats) -> Floats:
        sums = np.zeros((len(hits), hits.shape[-1] + 1))
        for look, gain in enumerate((hits * up + (LOOK_REQUESTS - hits) * down).T):
            sums[:, look + 1] = np.maximum(0, sums[:, look] + gain)
        return sums[:, 1:]

    return {"ours": ours, "no_onset": no_onset, "threshold": lambda hits: hits / LOOK_REQUESTS, "cusum": cusum}


def cut_off(statistic: Floats, rate: float) -> float:
    """Return the lowest cut-off that at most this share of the runs reaches within the window."""
    highest = np.sort(statistic.max(axis=-1))[::-1]
    return float(np.nextafter(highest[math.floor(rate * len(highest))], np.inf))


def drawn(generator: np.random.Generator, shares: Floats, runs: int) -> Floats:
    """Draw the hits of each look; axes: runs, looks."""
    return generator.binomial(LOOK_REQUESTS, shares, (runs, len(shares))).astype(np.float64)


def compare(limit: float, share: float, at_limit: Floats, ours_at_limit: Floats, rises: Floats) -> dict[str, Found]:
    """Return each watch's performance.

    Args:
        limit: the limit of the share.
        share: the share after the rise.
        at_limit: the hits of runs that are at the limit.
        ours_at_limit: what our watch says of them.
        rises: the hits of runs with a rise.
    """
    stated = alarm_threshold(FALSE_ALARM_RATE, 1)
    results: dict[str, Found] = {}
    for name, watch in watches(limit, share).items():
        null = ours_at_limit if name == "ours" else watch(at_limit)
        needed = stated if name in ("ours", "no_onset") else cut_off(null, results["ours"].false_alarms)
        beyond = watch(rises) >= needed
        first = np.where(beyond.any(axis=-1), beyond.argmax(axis=-1) + 1, np.inf)
        after = first[first > GOOD_LOOKS] - GOOD_LOOKS
        results[name] = Found(
            false_alarms=float((null >= needed).any(axis=-1).mean()),
            median_minutes=LOOK_MINUTES * float(np.median(after)) if len(after) else math.inf,
            detected=float((np.isfinite(first) & (first > GOOD_LOOKS)).mean()),
        )
    return results


def run(runs: int, seed: int) -> dict[str, dict[str, Found]]:
    """Simulate all cases."""
    generator = np.random.default_rng(seed)
    nulls: dict[float, tuple[Floats, Floats]] = {}
    results: dict[str, dict[str, Found]] = {}
    for case, (limit, share) in CASES.items():
        if limit not in nulls:
            hits = drawn(generator, np.full(LOOKS, limit), runs)
            nulls[limit] = hits, watches(limit, share)["ours"](hits)  # the slowest part
        rises = drawn(generator, np.where(np.arange(RISE_LOOKS) < GOOD_LOOKS, limit / 2, share), runs)
        results[case] = compare(limit, share, *nulls[limit], rises)
    return results


def summary(cases: Mapping[str, Mapping[str, Found]]) -> Mapping[str, Mapping[str, int | None]]:
    """Return the median minutes by case and watch. null means never."""
    return {
        case: {
            name: int(one.median_minutes) if math.isfinite(one.median_minutes) else None for name, one in found.items()
        }
        for case, found in cases.items()
    }
