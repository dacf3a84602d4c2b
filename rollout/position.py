"""Where a rollout stands, by rule and config: as it left them, or moved by somebody else."""

from rollout.ports import LiveRule, Ports


def position_faults(ports: Ports, service: str, green_weight: int) -> tuple[str, ...]:
    """Return in what rule and config are other than the rollout left them, and by whom as far as known.

    Args:
        ports: the world.
        service: whose rule.
        green_weight: the weight that the rollout set last.

    Raises:
        UnavailableError: the load balancer does not answer now.
    """
    rule, settings = ports.load_balancer.rule(), ports.config.read()
    found: list[str] = []
    if not rule.splits(green_weight):
        mover = _mover(ports, service, rule)
        found.append(f"the rule splits {dict(rule.weights)} instead of green_weight {green_weight}: {mover}")
    if settings.green_weight != green_weight:
        found.append(
            f"green_weight: the config file says {settings.green_weight}, the rollout wrote {green_weight}: an older "
            "file was put back, or somebody edited it"
        )
    if settings.rollout_serial < rule.rollout_serial:
        found.append(
            f"rollout_serial: the config file says {settings.rollout_serial}, the live rule {rule.rollout_serial}: the "
            "file is stale, an older one was put back or somebody else's rollout is newer"
        )
    elif settings.rollout_serial > rule.rollout_serial:
        found.append(
            f"rollout_serial: the config file says {settings.rollout_serial}, the live rule {rule.rollout_serial}: "
            "somebody's update has set the rule from an older file"
        )
    if rule.active_color is not None and rule.active_color != settings.active_color:
        found.append(f"active_color: the config file says {settings.active_color}, the live rule {rule.active_color}")
    return tuple(found)


def _mover(ports: Ports, service: str, rule: LiveRule) -> str:
    """Say how the weights got there; an update leaves them in Pulumi's state, a change by hand does not."""
    try:
        state = ports.stack.rule_in_state(service)
    except Exception:  # the state cannot be read now, and it is only for the words
        state = None
    if state is None:
        return "somebody has changed it"
    if state.weights == {rule.target_groups[color]: weight for color, weight in rule.weights.items()}:
        return "somebody's `pulumi up` has changed it"
    return "somebody has changed it outside of Pulumi"
