"""One resource as a policy sees it, whether it comes from these components, another program or an import."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, cast

from components.domain.naming import COLOR_KEY, COLORS, ROLE_KEY, SERVICE_KEY, Color

LISTENER_RULE: Final = "aws:lb/listenerRule:ListenerRule"
TARGET_GROUP: Final = "aws:lb/targetGroup:TargetGroup"
LOAD_BALANCER: Final = "aws:lb/loadBalancer:LoadBalancer"
LISTENER: Final = "aws:lb/listener:Listener"
NODE_GROUP: Final = "aws:eks/nodeGroup:NodeGroup"
LAUNCH_TEMPLATE: Final = "aws:ec2/launchTemplate:LaunchTemplate"
SECURITY_GROUP: Final = "aws:ec2/securityGroup:SecurityGroup"
DEFAULT_SECURITY_GROUP: Final = "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup"
SECURITY_GROUP_RULE: Final = "aws:ec2/securityGroupRule:SecurityGroupRule"
INGRESS_RULE: Final = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
KUBERNETES_SERVICE: Final = "kubernetes:core/v1:Service"
DEPLOYMENT: Final = "kubernetes:apps/v1:Deployment"
DISRUPTION_BUDGET: Final = "kubernetes:policy/v1:PodDisruptionBudget"
NETWORK_POLICY: Final = "kubernetes:networking.k8s.io/v1:NetworkPolicy"
NAMESPACE: Final = "kubernetes:core/v1:Namespace"
SCALED_OBJECT: Final = "kubernetes:keda.sh/v1alpha1:ScaledObject"
CONFIG_MAP: Final = "kubernetes:core/v1:ConfigMap"
NODE_POOL: Final = "kubernetes:karpenter.sh/v1:NodePool"
TARGET_GROUP_BINDING: Final = "kubernetes:elbv2.k8s.aws/v1beta1:TargetGroupBinding"

OTHER_TOKENS: Final[Mapping[str, str]] = {
    # pulumi_aws has the resources of `lb` in `alb` too, and keeps older names of both as aliases.
    # https://www.pulumi.com/registry/packages/aws/api-docs/alb/listener/
    **{
        type_.replace("aws:lb/", f"aws:{module}/"): type_
        for module in ("alb", "applicationloadbalancing", "elasticloadbalancingv2")
        for type_ in (LISTENER_RULE, TARGET_GROUP, LOAD_BALANCER, LISTENER)
    },
    # https://kubernetes.io/docs/reference/using-api/deprecation-guide/
    "kubernetes:apps/v1beta1:Deployment": DEPLOYMENT,
    "kubernetes:apps/v1beta2:Deployment": DEPLOYMENT,
    "kubernetes:extensions/v1beta1:Deployment": DEPLOYMENT,
    "kubernetes:policy/v1beta1:PodDisruptionBudget": DISRUPTION_BUDGET,
    "kubernetes:extensions/v1beta1:NetworkPolicy": NETWORK_POLICY,
    # https://github.com/kubernetes-sigs/aws-load-balancer-controller/tree/main/apis/elbv2
    "kubernetes:elbv2.k8s.aws/v1alpha1:TargetGroupBinding": TARGET_GROUP_BINDING,
}
"""The names above, by every other name that the same type has."""


def type_of(token: str) -> str:
    """Return the one name under which policies know a resource's type, whichever of its names a program uses."""
    return OTHER_TOKENS.get(token, token)


@dataclass(frozen=True, kw_only=True)
class Resource:
    """A resource's inputs before its change, or its outputs in a stack policy.

    Reading an unknown value raises pulumi_policy's UnknownValueError. Policies do not catch it, so the policy counts
    as not evaluated, and never as passed.
    """

    type: str
    name: str
    urn: str
    props: Mapping[str, Any]
    protect: bool = False
    ignore_changes: Sequence[str] = field(default_factory=tuple)

    def get(self, path: str) -> Any:
        """Return the value at a path such as ``spec.template.spec``; None when a part of the path is missing."""
        return at(self.props, path)

    @cached_property
    def marks(self) -> Mapping[str, Any]:
        """The tags of an AWS resource, the labels of a Kubernetes one."""
        return table(self.get("metadata.labels" if self.type.startswith("kubernetes:") else "tags"))

    @cached_property
    def service(self) -> str | None:
        """The service in the resource's tag or label."""
        return text(self.marks.get(SERVICE_KEY))

    @cached_property
    def color(self) -> Color | None:
        """The colour in the resource's tag or label."""
        marked = self.marks.get(COLOR_KEY)
        return next((color for color in COLORS if color == marked), None)

    @cached_property
    def role(self) -> str | None:
        """The role in the resource's tag or label."""
        return text(self.marks.get(ROLE_KEY))


def at(value: Any, path: str) -> Any:
    """Return the value at a path of keys with dots between them; None when a part of the path is missing."""
    for key in path.split("."):
        value = table(value).get(key)
    return value


def table(value: Any) -> Mapping[str, Any]:
    """Return a mapping as it is, and an empty one for anything else."""
    return cast(Mapping[str, Any], value) if isinstance(value, Mapping) else {}


def text(value: Any) -> str | None:
    """Return a text as it is, and None for anything else."""
    return value if isinstance(value, str) else None


def items(value: Any) -> Sequence[Any]:
    """Return a list as it is, and an empty one for anything else, including texts."""
    return cast(Sequence[Any], value) if isinstance(value, Sequence) and not isinstance(value, str) else ()


def tables(value: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the mappings of a list."""
    return (table(item) for item in items(value))


def is_on(value: Any, *, by_default: bool = False) -> bool:
    """Return whether a switch, given as a boolean or a text, is on; ``by_default`` is AWS's default for None."""
    return by_default if value is None else str(value).lower() == "true"


def whole(value: Any) -> int | None:
    """Return a whole number; None for anything else. A text of digits counts too: AWS accepts both."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        return int(value) if value.isascii() and value.isdecimal() else None
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    return value if isinstance(value, int) else None
