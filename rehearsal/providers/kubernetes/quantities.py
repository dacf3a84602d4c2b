"""Kubernetes quantities in the API server's spelling: ``0.5`` is ``500m``, ``1024Mi`` is ``1Gi``."""

import math
import re
from decimal import Decimal
from typing import Any

_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|)")
_DECIMAL = ("E", "P", "T", "G", "M", "k", "", "m", "u", "n")
_BINARY = ("Ei", "Pi", "Ti", "Gi", "Mi", "Ki", "")
_NANOS = 10**9


def canonical(value: Any) -> Any:
    """Return the API server's spelling. Anything but a quantity, or one with an exponent, stays as it is."""
    match = _QUANTITY.fullmatch(str(value))
    if match is None or isinstance(value, bool):
        return value
    number, suffix = Decimal(match[1]), match[2]
    if suffix.endswith("i"):
        units = math.ceil(number * _binary_factor(suffix))
        if abs(units) >= 1024:
            return _spelt(units, [(name, _binary_factor(name)) for name in _BINARY])
        return str(units)
    nanos = math.ceil(number * _decimal_factor(suffix))
    return _spelt(nanos, [(name, _decimal_factor(name)) for name in _DECIMAL])


def _spelt(amount: int, suffixes: list[tuple[str, int]]) -> str:
    if amount == 0:
        return "0"
    return next(f"{amount // factor}{name}" for name, factor in suffixes if amount % factor == 0)


def _binary_factor(suffix: str) -> int:
    return 1024 ** (len(_BINARY) - 1 - _BINARY.index(suffix))


def _decimal_factor(suffix: str) -> int:
    return _NANOS * 1000**6 // 1000 ** _DECIMAL.index(suffix)
