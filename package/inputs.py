"""Which of the settings are the package's inputs, and which of these may be another resource's outputs.

What exists before the service does often comes from another resource of the same program, so its id may be known only
when that one is made. All else, and all that is nested, decides which resources there are: it must be known before.
"""

from collections.abc import Mapping
from typing import Any, Final, get_args

from pydantic.fields import FieldInfo

from components.config.forms import CERTIFICATE, EKS_NAME, SECURITY_GROUP, SUBNET, VPC, Form
from components.config.service_settings import ServiceSettings
from components.config.settings import Settings

IDENTIFIERS: Final = (CERTIFICATE, EKS_NAME, SECURITY_GROUP, SUBNET, VPC)

# The component's name is the service's, so one component takes the stack's settings and one service's.
STACK_FIELDS: Final[Mapping[str, FieldInfo]] = {
    name: field for name, field in Settings.model_fields.items() if name != "services"
}
# How a rollout behaves is read by the scripts, from the config of this project's own program, and by no resource.
SERVICE_FIELDS: Final[Mapping[str, FieldInfo]] = {
    name: field for name, field in ServiceSettings.model_fields.items() if name != "rollout"
}


def identifier(field: FieldInfo) -> Form | None:
    """Return the form of the id that a field holds, or a list of such ids; none when it holds something else."""
    return next((form for form in _forms([field.annotation, *field.metadata]) if form in IDENTIFIERS), None)


def _forms(parts: list[Any]) -> list[Form]:
    below = [part for one in parts for part in (*get_args(one), *getattr(one, "__metadata__", ()))]
    found = [one for one in parts if isinstance(one, Form)]
    return found + (_forms(below) if below else [])
