"""Which settings are the package's inputs, and which inputs may be outputs of other resources.

Existing infrastructure often comes from another resource of the same program, so its id may be unknown until that
resource is created. All other inputs, and all nested ones, determine which resources there are, so they must be known.
"""

from collections.abc import Mapping
from typing import Any, Final, get_args

from pydantic.fields import FieldInfo

from components.config.reading.forms import CERTIFICATE, EKS_NAME, SECURITY_GROUP, SUBNET, VPC, Form
from components.config.service_settings import ServiceSettings
from components.config.settings import Settings

SETTINGS: Final = "settings"
"""The input with the object of settings that the scripts write."""

IDENTIFIERS: Final = (CERTIFICATE, EKS_NAME, SECURITY_GROUP, SUBNET, VPC)

# The component's name is the service's, so one component takes the stack's settings and one service's.
STACK_FIELDS: Final[Mapping[str, FieldInfo]] = {
    name: field for name, field in Settings.model_fields.items() if name != "services"
}
# Only the scripts read the rollout settings, from the program's config; no resource needs them.
SERVICE_FIELDS: Final[Mapping[str, FieldInfo]] = {
    name: field for name, field in ServiceSettings.model_fields.items() if name != "rollout"
}


def identifier(field: FieldInfo) -> Form | None:
    """Return the form of a field's id, or of the ids in its list; None when the field has no ids."""
    return next((form for form in _forms([field.annotation, *field.metadata]) if form in IDENTIFIERS), None)


def _forms(parts: list[Any]) -> list[Form]:
    below = [part for one in parts for part in (*get_args(one), *getattr(one, "__metadata__", ()))]
    found = [one for one in parts if isinstance(one, Form)]
    return found + (_forms(below) if below else [])
