"""A load balancer for one service: its security group, the load balancer and its listeners."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_aws import ec2, lb, vpc

from components.config.sections.router_settings import AccessLogs
from components.domain.naming import PORT, Role, aws_tags

HTTP_PORT = 80
HTTPS_PORT = 443
# Only TLS 1.3 and 1.2 with forward secrecy, and a post-quantum key exchange for clients that support it. AWS recommends
# this policy, and its console uses it by default; the API's default still allows TLS 1.0.
# https://docs.aws.amazon.com/elasticloadbalancing/latest/application/describe-ssl-policies.html
TLS_POLICY = "ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09"


@dataclass(frozen=True, kw_only=True)
class OwnLoadBalancerArgs:
    """The load balancer's network, its clients, and how long a connection may be idle."""

    service: str
    vpc_id: pulumi.Input[str]
    subnet_ids: pulumi.Input[Sequence[pulumi.Input[str]]]
    pod_security_group_id: pulumi.Input[str]
    client_cidrs: Sequence[str]
    internet_facing: bool
    certificate_arn: pulumi.Input[str] | None
    access_logs: AccessLogs | None
    idle_timeout_seconds: int
    protect: bool


class OwnLoadBalancer:
    """The load balancer's resources, all children of ``parent``, including the listener for the rules."""

    security_group: ec2.SecurityGroup
    load_balancer: lb.LoadBalancer
    listener: lb.Listener
    endpoint: pulumi.Output[str]

    def __init__(self, name: str, args: OwnLoadBalancerArgs, parent: pulumi.Resource) -> None:
        """Declare the resources; with a certificate, also a listener that redirects HTTP to HTTPS."""
        self._name = name
        self._args = args
        self._child = pulumi.ResourceOptions(parent=parent)
        self._guarded_child = pulumi.ResourceOptions(parent=parent, protect=args.protect)
        self.security_group = self._create_security_group()
        clients = self._let_clients_in("clients", "Clients to the listener", self._port)
        self._let_requests_out()
        self.load_balancer = self._create_load_balancer()
        self.listener = self._create_listener()
        if self._encrypted:
            self._redirect_to_https(clients)
        scheme = "https" if self._encrypted else "http"
        self.endpoint = pulumi.Output.concat(scheme, "://", self.load_balancer.dns_name)

    @property
    def _encrypted(self) -> bool:
        return self._args.certificate_arn is not None

    @property
    def _port(self) -> int:
        return HTTPS_PORT if self._encrypted else HTTP_PORT

    def _tags(self, role: Role) -> dict[str, str]:
        return aws_tags(pulumi.get_stack(), self._args.service, role)

    def _create_security_group(self) -> ec2.SecurityGroup:
        """Create the group without inline rules: the separate rule resources are its only rules, in both directions."""
        return ec2.SecurityGroup(
            self._name,
            description=f"Load balancer of {self._args.service}",
            vpc_id=self._args.vpc_id,
            tags=self._tags("security-group"),
            opts=self._child,
        )

    def _let_clients_in(
        self, purpose: str, description: str, port: int, after: Sequence[pulumi.Resource] = ()
    ) -> list[vpc.SecurityGroupIngressRule]:
        return [
            vpc.SecurityGroupIngressRule(
                f"{self._name}-{purpose}-{position}",
                security_group_id=self.security_group.id,
                description=description,
                ip_protocol="tcp",
                from_port=port,
                to_port=port,
                cidr_ipv4=None if ":" in cidr else cidr,
                cidr_ipv6=cidr if ":" in cidr else None,
                tags=self._tags("security-group-rule"),
                opts=pulumi.ResourceOptions.merge(self._child, pulumi.ResourceOptions(depends_on=[*after])),
            )
            for position, cidr in enumerate(self._args.client_cidrs)
        ]

    def _let_requests_out(self) -> None:
        vpc.SecurityGroupEgressRule(
            f"{self._name}-pods",
            security_group_id=self.security_group.id,
            description="Requests and health checks to the pods",
            ip_protocol="tcp",
            from_port=PORT,
            to_port=PORT,
            referenced_security_group_id=self._args.pod_security_group_id,
            tags=self._tags("security-group-rule"),
            opts=self._child,
        )

    def _create_load_balancer(self) -> lb.LoadBalancer:
        logs = self._args.access_logs
        return lb.LoadBalancer(
            self._name,
            load_balancer_type="application",
            internal=not self._args.internet_facing,
            subnets=self._args.subnet_ids,
            security_groups=[self.security_group.id],
            idle_timeout=self._args.idle_timeout_seconds,
            drop_invalid_header_fields=True,
            # Risky requests that two servers could parse differently are blocked.
            # https://docs.aws.amazon.com/elasticloadbalancing/latest/application/edit-load-balancer-attributes.html
            desync_mitigation_mode="defensive",
            access_logs=None
            if logs is None
            else lb.LoadBalancerAccessLogsArgs(bucket=logs.bucket, prefix=logs.prefix or None, enabled=True),
            enable_deletion_protection=self._args.protect,
            tags=self._tags("load-balancer"),
            opts=self._guarded_child,
        )

    def _create_listener(self) -> lb.Listener:
        return lb.Listener(
            self._name,
            load_balancer_arn=self.load_balancer.arn,
            port=self._port,
            protocol="HTTPS" if self._encrypted else "HTTP",
            certificate_arn=self._args.certificate_arn,
            ssl_policy=TLS_POLICY if self._encrypted else None,
            default_actions=[
                lb.ListenerDefaultActionArgs(
                    type="fixed-response",
                    fixed_response=lb.ListenerDefaultActionFixedResponseArgs(
                        status_code="404", content_type="text/plain", message_body="No such path"
                    ),
                )
            ],
            tags=self._tags("listener"),
            opts=self._guarded_child,
        )

    def _redirect_to_https(self, clients: Sequence[pulumi.Resource]) -> None:
        """Redirect the HTTP port to HTTPS, after the HTTP listener from before the certificate has freed the port."""
        self._let_clients_in("redirect", "Clients to the redirect", HTTP_PORT, after=clients)
        lb.Listener(
            f"{self._name}-redirect",
            load_balancer_arn=self.load_balancer.arn,
            port=HTTP_PORT,
            protocol="HTTP",
            default_actions=[
                lb.ListenerDefaultActionArgs(
                    type="redirect",
                    redirect=lb.ListenerDefaultActionRedirectArgs(
                        protocol="HTTPS", port=str(HTTPS_PORT), status_code="HTTP_301"
                    ),
                )
            ],
            tags=self._tags("redirect-listener"),
            opts=pulumi.ResourceOptions.merge(self._child, pulumi.ResourceOptions(depends_on=[self.listener])),
        )
