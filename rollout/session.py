"""One service of one stack, with everything that a command needs to act on it."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from components import route_secret
from components.naming import PROJECT
from components.settings import ServiceSettings
from rollout.clock import StopSignal, SystemClock
from rollout.config_file import ConfigFile, stack_file
from rollout.endpoint_key import endpoint_key
from rollout.errors import RefusedError
from rollout.hooks import CommandHooks
from rollout.journal import FileJournal, Record, is_unfinished, last_rule_change, read_journal
from rollout.lock import Lock
from rollout.ports import Ports

if TYPE_CHECKING:
    from botocore.config import Config

    from rollout.aws_account import AwsAccount
    from rollout.candidate_route import CandidateRoute
    from rollout.cloudwatch import CloudWatchCounts
    from rollout.cluster import KubernetesCluster
    from rollout.load_balancer import Elbv2LoadBalancer
    from rollout.prometheus import Prometheus
    from rollout.replicas import KubernetesReplicas
    from rollout.smoke import Smoke
    from rollout.stack import PulumiStack

RECORDS_FOLDER = ".rollout"
# A call that hangs must not hold a rollback up.
AWS_CONNECT_TIMEOUT_SECONDS = 2
AWS_READ_TIMEOUT_SECONDS = 5
AWS_ATTEMPTS = 8


@dataclass(frozen=True, kw_only=True)
class Place:
    """Which service of which stack, and where its program is."""

    stack: str
    service: str | None
    work_dir: Path


class Session:
    """Opens the ports of a service, each when it is first needed: some take seconds to import."""

    def __init__(self, place: Place, command: str, on_record: Callable[[Record], None] = lambda _: None) -> None:
        """Read the config of the stack.

        Args:
            place: the service.
            command: what runs, for whoever finds the stack locked.
            on_record: sees every record of the journal.

        Raises:
            RefusedError: the config cannot be read or is wrong.
        """
        self._place = place
        self.config = ConfigFile(stack_file(place.work_dir, place.stack), place.service)
        self.service = self.config.service
        self._folder = place.work_dir / RECORDS_FOLDER / place.stack
        self.lock = Lock(self._folder, command)
        self.stop = StopSignal(self.lock.asked_to_stop)
        self.clock = SystemClock(self.stop.check)
        self.records = read_journal(self.journal_path)
        self._on_record = on_record

    @property
    def journal_path(self) -> Path:
        """Where the service's journal is."""
        return self._folder / f"{self.service}.jsonl"

    @property
    def unfinished(self) -> bool:
        """Whether the last rollout was begun and never brought to an end."""
        return is_unfinished(self.records)

    def settings(self) -> ServiceSettings:
        """Read the service's settings anew."""
        return self.config.read()

    def ports(self) -> Ports:
        """Open everything, for a rollout."""
        # Found now, so that a rollback later begins with the one call that matters.
        self.load_balancer.rule()
        return Ports(
            clock=self.clock,
            journal=FileJournal(self.journal_path, uuid.uuid4().hex[:12], self.clock.now, self._on_record),
            config=self.config,
            stack=self.pulumi,
            load_balancer=self.load_balancer,
            replicas=self.replicas,
            cluster=self._cluster(),
            account=self._account(),
            metrics=self.prometheus,
            target_group_metrics=self.cloudwatch,
            route=self.route,
            checks={"smoke": self._smoke()},
            hooks=CommandHooks(self._place.work_dir, self.stop.check),
            rule_changed_at=last_rule_change(self.records),
            shield=self.stop.shield,
        )

    @cached_property
    def load_balancer(self) -> Elbv2LoadBalancer:
        """The load balancer."""
        import boto3

        from rollout.load_balancer import Elbv2LoadBalancer

        client = boto3.client("elbv2", region_name=self._region, config=_aws_config())
        listener = self.settings().listener
        return Elbv2LoadBalancer(
            client,
            stack=self._place.stack,
            service=self.service,
            listener_arn=None if listener is None else listener.arn,
        )

    @cached_property
    def cloudwatch(self) -> CloudWatchCounts:
        """The load balancer's metrics."""
        import boto3

        from rollout.cloudwatch import CloudWatchCounts

        return CloudWatchCounts(
            boto3.client("cloudwatch", region_name=self._region, config=_aws_config()),
            self.load_balancer.dimensions,
            period_seconds=self.settings().rollout.cloudwatch_period_seconds,
        )

    @cached_property
    def pulumi(self) -> PulumiStack:
        """The stack."""
        from rollout.stack import PulumiStack

        return PulumiStack(
            self._place.stack,
            self._place.work_dir,
            update_timeout_seconds=self.settings().rollout.update_timeout_seconds,
            check=self.stop.check,
        )

    @cached_property
    def replicas(self) -> KubernetesReplicas:
        """The pods."""
        from rollout.replicas import KubernetesReplicas

        return KubernetesReplicas(
            service=self.service,
            namespace=self.settings().namespace_of(self.service),
            context=self.config.raw("kubernetes:context"),
        )

    @cached_property
    def prometheus(self) -> Prometheus:
        """The pods' metrics."""
        from rollout.prometheus import Prometheus

        return Prometheus(self.settings().rollout.prometheus_url, self.service)

    def endpoint_url(self) -> str:
        """Return how clients reach the service."""
        if url := self.settings().endpoint_url:
            return url
        scheme = "https" if self.config.settings().certificate_arn else "http"
        return f"{scheme}://{self.load_balancer.dns_name()}"

    def api_key(self) -> str | None:
        """Return the key for requests of our own; none when there is none and the service asks for none.

        Raises:
            RefusedError: the service asks for a key that is not there, or that no header can carry.
        """
        return endpoint_key(os.environ, required=self.settings().pods.api_key_secret is not None)

    @property
    def _region(self) -> str | None:
        return self.config.raw("aws:region")

    @cached_property
    def _route_secret(self) -> str:
        secret = self.pulumi.secret(route_secret.KEY)
        if fault := route_secret.value_fault(secret):
            raise RefusedError(fault.line(f"{PROJECT}:"))
        return secret

    @cached_property
    def route(self) -> CandidateRoute:
        """The candidate route."""
        from rollout.candidate_route import CandidateRoute

        return CandidateRoute(
            endpoint_url=self.endpoint_url,
            route_secret=lambda: self._route_secret,
            api_key=self.api_key,
            served_model_name=self.settings().model_name(self.service),
            now=self.clock.now,
        )

    def _cluster(self) -> KubernetesCluster:
        from rollout.cluster import KubernetesCluster

        return KubernetesCluster(
            namespace=self.settings().namespace_of(self.service), context=self.config.raw("kubernetes:context")
        )

    def _account(self) -> AwsAccount:
        import boto3

        from rollout.aws_account import AwsAccount

        region, config = self._region, _aws_config()
        return AwsAccount(
            boto3.client("ec2", region_name=region, config=config),
            boto3.client("service-quotas", region_name=region, config=config),
            boto3.client("resource-groups", region_name=region, config=config),
            node_subnet_ids=self.config.settings().node_subnet_ids,
        )

    def _smoke(self) -> Smoke:
        from rollout.smoke import Smoke

        settings = self.settings()
        return Smoke(
            route=self.route,
            served_model_name=settings.model_name(self.service),
            settings=settings.rollout.gates.smoke,
        )


def _aws_config() -> Config:
    from botocore.config import Config

    return Config(
        connect_timeout=AWS_CONNECT_TIMEOUT_SECONDS,
        read_timeout=AWS_READ_TIMEOUT_SECONDS,
        retries={"mode": "standard", "total_max_attempts": AWS_ATTEMPTS},
    )
