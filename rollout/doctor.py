"""What a service still lacks, for `scripts.doctor`: the conditions of preflight, one by one, read only."""

from dataclasses import dataclass
from typing import Any

from rollout.model.condition_result import ConditionResult, ConditionStatus
from rollout.model.errors import NotDeployedError
from rollout.model.plan import make_plan
from rollout.ports import Ports
from rollout.session import Session
from rollout.steps.preflight import CONDITIONS, inspect


@dataclass(frozen=True, kw_only=True)
class Examination:
    """What was found about each condition."""

    service: str
    deployed: bool
    """Whether the service was deployed before."""
    findings: tuple[ConditionResult, ...]
    later: tuple[str, ...]
    """The conditions that count only once the service is deployed."""

    def has(self, status: ConditionStatus) -> bool:
        """Return whether a condition has this status."""
        return any(finding.status is status for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """Return it as one JSON object."""
        return {
            "service": self.service,
            "deployed": self.deployed,
            "checks": [
                {
                    "name": one.condition,
                    "status": one.status.value,
                    "missing": list(one.missing),
                    "unanswered": list(one.unanswered),
                    "notes": list(one.notes),
                }
                for one in self.findings
            ],
            "later": list(self.later),
        }


def examine(session: Session) -> Examination:
    """Look at every condition of a rollout, or of the first deployment if there was none. Takes no lock.

    Raises:
        RefusedError: the config is no longer valid.
    """
    return examine_ports(session.look(), session.service)


def examine_ports(ports: Ports, service: str) -> Examination:
    """Look at every condition through these ports."""
    settings, deployed = ports.config.read(), _is_deployed(ports)
    findings = inspect(
        ports, make_plan(settings.idle_color, settings.rollout, ladder=settings.ladder), service, deployed=deployed
    )
    later = () if deployed else tuple(one.name for one in CONDITIONS if not one.counts(deployed=False))
    return Examination(service=service, deployed=deployed, findings=findings, later=later)


def _is_deployed(ports: Ports) -> bool:
    """Return whether the service has a rule. True when that is unknown: the rule's own condition then says why."""
    try:
        ports.load_balancer.rule()
    except NotDeployedError:
        return False
    except Exception:
        return True
    return True
