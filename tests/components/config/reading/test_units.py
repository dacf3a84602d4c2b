"""Numbers with a unit become numbers of the setting's own unit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.config.reading.units import unit_fix


@pytest.mark.parametrize(
    ("name", "value", "number"),
    [
        ("keep_warm_seconds", "24h", "86400"),
        ("hold_seconds", "1h30m", "5400"),
        ("hold_seconds", " 10 min ", "600"),
        ("limit_seconds", "200ms", "0.2"),
        ("window_minutes", "90s", "2"),
        ("drill_max_age_days", "2 weeks", "14"),
        ("replica_memory_mib", "48Gi", "49152"),
        ("replica_memory_mib", "48G", "45777"),
        ("shared_memory_gib", "8192MiB", "8"),
        ("weights_gib", "15.5 GiB", "15.5"),
        ("kv_cache_kib_per_token", "128KiB", "128"),
        ("replica_millicpus", "500m", "500"),
        ("replica_millicpus", "4 cores", "4000"),
        ("limit_percent", "2.5%", "2.5"),
    ],
)
def test_a_number_with_a_unit_is_converted(name: str, value: str, number: str) -> None:
    whole = name in ("window_minutes", "replica_memory_mib", "shared_memory_gib", "replica_millicpus")
    assert unit_fix(name, value, whole=whole).startswith(f"Write {number}: {value.strip()} in ")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("replicas", "3x"),
        ("replicas", "24h"),
        ("hold_seconds", "48Gi"),
        ("hold_seconds", "soon"),
        ("hold_seconds", "1..2s"),
        ("hold_seconds", "3s s"),
        ("hold_seconds", ""),
        ("hold_seconds", True),
        ("hold_seconds", ["24h"]),
        ("limit_percent", "200ms"),
        ("hold_seconds", "1h" * 30),
    ],
)
def test_anything_else_gets_no_hint(name: str, value: object) -> None:
    assert unit_fix(name, value, whole=False) == ""


@given(st.text(max_size=60), st.sampled_from(["hold_seconds", "replica_memory_mib", "replica_millicpus"]))
def test_any_text_is_a_number_or_none(value: str, name: str) -> None:
    fix = unit_fix(name, value, whole=True)
    assert fix == "" or fix.startswith("Write ")
