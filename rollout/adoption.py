"""A stale config file brought up to date by what the weighted rule says; the rule says it all but the releases.

Pure.
"""

from collections.abc import Iterator

from pydantic import JsonValue

from components.naming import COLORS, Color
from components.settings import ServiceSettings
from components.traffic import ColorState
from rollout.ports import LiveRule


def adoption_faults(settings: ServiceSettings, rule: LiveRule) -> Iterator[str]:
    """Yield why the live values cannot be written into this file."""
    if settings.rollout_serial > rule.rollout_serial:
        yield (
            f"rollout_serial: the file says {settings.rollout_serial}, the live rule {rule.rollout_serial}: the file "
            "is not stale, its last update did not come to its end. Run `pulumi up`, or scripts.rollback"
        )
    if rule.active_color is None:
        yield "active_color: the live rule does not say it; run `pulumi up` to restore its tags"
    if sum(rule.weights.values()) != 100:
        yield f"green_weight: the live rule splits {dict(rule.weights)}, which is no percentage; run scripts.rollback"
    for color in COLORS:
        state = rule.colors.get(color)
        ours = settings.color(color).as_tagged.release_id
        if state is not None and state.release_id != ours:
            yield (
                f"{color}.release: the file has {ours or 'none'}, live is {state.release_id or 'none'}: a release "
                "cannot be written from its id. Pull the newest file from where the last rollout committed it"
            )


def adopted(settings: ServiceSettings, rule: LiveRule) -> dict[str, JsonValue]:
    """Return the keys to write, with their live values: only those that differ."""
    live: dict[str, JsonValue] = {
        "green_weight": rule.weights["green"],
        "active_color": rule.active_color,
        "keep_until": rule.keep_until,
        "rolling_out": rule.rolling_out,
        "rollout_serial": rule.rollout_serial,
    }
    edits = {key: value for key, value in live.items() if getattr(settings, key) != value}
    for color, state in rule.colors.items():
        edits |= dict(_color_edits(settings, color, state))
    return edits


def _color_edits(settings: ServiceSettings, color: Color, state: ColorState) -> Iterator[tuple[str, JsonValue]]:
    ours = settings.color(color)
    if state.release_id is None or state == ours.as_tagged:
        return
    if ours.parked != (not state.replicas):
        yield f"{color}.parked", not state.replicas
    if state.replicas and state.replicas != ours.replicas:
        yield f"{color}.replicas", state.replicas
    if state.replicas and not ours.nodes_wanted:
        yield f"{color}.provisioned", True
