"""Numbers written with a unit, such as 24h or 48Gi, as numbers of the unit that a setting's name ends with."""

import math
import re
from typing import Final

# By the unit in a setting's name: what one of it is, in the smallest unit of its kind.
_TIMES: Final = {"seconds": 1.0, "minutes": 60.0, "hours": 3600.0, "days": 86_400.0}
_SIZES: Final = {"kib": 1024.0, "mib": 1024.0**2, "gib": 1024.0**3}
_CPUS: Final = {"millicpus": 0.001}
_SHARES: Final = {"percent": 1.0, "percents": 1.0, "points": 1.0}
# By what people write behind a number. A duration may have several: 1h30m.
_WRITTEN_TIMES: Final = {
    "ms": 0.001,
    **dict.fromkeys(("", "s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3600.0),
    **dict.fromkeys(("d", "day", "days"), 86_400.0),
    **dict.fromkeys(("w", "week", "weeks"), 604_800.0),
}
# https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
_WRITTEN_SIZES: Final = {
    **{f"{letter}i{end}": 1024.0**power for power, letter in enumerate("kmgt", 1) for end in ("", "b")},
    **{f"{letter}{end}": 1000.0**power for power, letter in enumerate("kmgt", 1) for end in ("", "b")},
}
_WRITTEN_CPUS: Final = {"m": 0.001, **dict.fromkeys(("cpu", "cpus", "vcpu", "vcpus", "core", "cores"), 1.0)}
_WRITTEN_SHARES: Final = {"%": 1.0}
_NAMES: Final = {"millicpus": "thousandths of a CPU", "kib": "KiB", "mib": "MiB", "gib": "GiB"}
_MOST_CHARACTERS: Final = 40
_FEW: Final = 100
_KINDS: Final = (
    (_TIMES, _WRITTEN_TIMES),
    (_SIZES, _WRITTEN_SIZES),
    (_CPUS, _WRITTEN_CPUS),
    (_SHARES, _WRITTEN_SHARES),
)
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z%]*)")


def unit_fix(name: str, value: object, *, whole: bool) -> str:
    """Return how to write a number with a unit as the number that a setting takes; empty when it is no such number.

    Args:
        name: the setting, such as ``keep_warm_seconds``.
        value: what was written, such as ``24h``.
        whole: whether the setting takes only whole numbers; others are rounded up.
    """
    words = reversed(name.split("_"))
    found = next(((unit, *kind) for unit in words for kind in _KINDS if unit in kind[0]), None)
    if found is None:
        return ""
    unit, units, written = found
    if unit == "millicpus" and isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < _FEW:
        # A replica with less than a tenth of a CPU could not serve: these are CPUs.
        return f"Write {value * 1000:.15g} for {value:.15g} CPUs: the unit is {_NAMES[unit]}."
    if not isinstance(value, str) or len(value) > _MOST_CHARACTERS:
        return ""
    amount = _amount(value.strip().casefold(), written)
    if amount is None:
        return ""
    number = round(amount / units[unit], 6)
    number = math.ceil(number) if whole else number
    return f"Write {number:.15g}: {value.strip()} in {_NAMES.get(unit, unit)}."


def _amount(text: str, written: dict[str, float]) -> float | None:
    """Return an amount in the smallest unit of its kind; None when the text is no amount of this kind."""
    parts = [_PART.fullmatch(part) for part in re.findall(r"\d[\d.]*\s*[a-z%]*", text)]
    if not parts or re.fullmatch(rf"(?:{_PART.pattern}\s*)+", text) is None:
        return None
    amount = 0.0
    for part in parts:
        if part is None or part[2] not in written:
            return None
        amount += float(part[1]) * written[part[2]]
    return amount
