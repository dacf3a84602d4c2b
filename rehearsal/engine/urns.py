"""Uniform resource names: how they are built and taken apart."""

STACK_TYPE = "pulumi:pulumi:Stack"
PROVIDER_PREFIX = "pulumi:providers:"


def make_urn(stack: str, project: str, parent_urn: str, resource_type: str, name: str) -> str:
    """Build the name of a resource below a parent (empty: none)."""
    qualified = resource_type
    if parent_urn:
        parent_type = qualified_type(parent_urn)
        if parent_type != STACK_TYPE:
            qualified = f"{parent_type}${resource_type}"
    return f"urn:pulumi:{stack}::{project}::{qualified}::{name}"


def qualified_type(urn: str) -> str:
    """The types of all ancestors but the stack and of the resource, joined by `$`."""
    return urn.split("::", 3)[2]


def type_of(urn: str) -> str:
    """The resource's own type token."""
    return qualified_type(urn).rsplit("$", 1)[-1]


def name_of(urn: str) -> str:
    """The resource's name."""
    return urn.split("::", 3)[3]


def is_provider(resource_type: str) -> bool:
    """Tell whether a type is that of a provider."""
    return resource_type.startswith(PROVIDER_PREFIX)


def package_of(resource_type: str) -> str:
    """The package (plugin) that a type belongs to."""
    if is_provider(resource_type):
        return resource_type.removeprefix(PROVIDER_PREFIX)
    return resource_type.split(":", 1)[0]
