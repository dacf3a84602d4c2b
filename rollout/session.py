"""A session: one service of one stack, with everything that a command needs."""

from __future__ import annotations

import atexit
import os
import uuid
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from components.config.reading import route_secret
from components.config.sections.notification_settings import NotificationTarget
from components.config.settings import ServiceSettings
from components.domain.evidence import digest_of
from rollout.adapters.config_file import ConfigFile, stack_file
from rollout.adapters.hooks import CommandHooks
from rollout.adapters.pulumi.pack import pack_version
from rollout.journal.approvals import Approvals
from rollout.journal.journal import Journal, RecordFile, RecordObjects, Records, last_seq
from rollout.journal.lock import Lock
from rollout.journal.store import FileStore, StoreError, open_store
from rollout.model.errors import LostLockError, RefusedError
from rollout.model.notification import Notification, Origin
from rollout.model.plan import CHECKS
from rollout.model.records import (
    LockTaken,
    Note,
    Record,
    checked_spans,
    drill_history,
    last_rule_change,
    last_start_seconds,
)
from rollout.model.run import Run, last_run, unended_updates
from rollout.model.stack_name import parse_stack_name
from rollout.ports import (
    Account,
    Check,
    Cluster,
    LoadBalancer,
    Metrics,
    Ports,
    Replicas,
    Route,
    Stack,
    TargetGroupMetrics,
)
from rollout.ports import Journal as JournalPort
from rollout.report.notifications import Following, follow, reap_due
from rollout.system.clock import StopSignal, SystemClock
from rollout.system.endpoint_key import endpoint_key
from rollout.system.failures import describe_error
from rollout.system.origin import find_origin
from rollout.system.waits import longest_call_seconds, name_calls

if TYPE_CHECKING:
    from botocore.config import Config

    from rollout.adapters.aws.account import AwsAccount
    from rollout.adapters.aws.cloudwatch import CloudWatchMetrics
    from rollout.adapters.aws.load_balancer import Elbv2LoadBalancer
    from rollout.adapters.candidate_route import CandidateRoute
    from rollout.adapters.kubernetes.cluster import KubernetesCluster
    from rollout.adapters.kubernetes.replicas import KubernetesReplicas
    from rollout.adapters.notifier import Notifier
    from rollout.adapters.prometheus import Prometheus
    from rollout.adapters.pulumi.stack import PulumiStack
    from rollout.report.explanation import Explanation
    from rollout.report.facts import Report

_Client = TypeVar("_Client")

RECORDS_FOLDER = ".rollout"
# A call that hangs must not delay a rollback.
AWS_CONNECT_TIMEOUT_SECONDS = 2
AWS_READ_TIMEOUT_SECONDS = 5
AWS_ATTEMPTS = 8
# Gates and attestations ask CloudWatch again at every poll. While a call hangs, no other gate is judged.
CLOUDWATCH_ATTEMPTS = 3


@dataclass(frozen=True, kw_only=True)
class Place:
    """The service, its stack, and the folder of its program. ``service`` is None for the stack's only service."""

    stack: str
    """The stack's name, alone or with its organization and project."""
    service: str | None
    work_dir: Path


class Late:
    """A port that opens at its first call. If it cannot be opened, every call raises that error."""

    def __init__(self, open_port: Callable[[], object]) -> None:
        """Open the port with this function."""
        self._open = open_port
        self._opened: object | None = None
        self._failure: Exception | None = None

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """Return a method of the port, which opens the port when it is called."""
        return lambda *arguments, **options: getattr(self._port(), name)(*arguments, **options)

    def _port(self) -> object:
        if self._failure is not None:
            raise self._failure
        if self._opened is None:
            try:
                self._opened = self._open()
            except Exception as error:
                self._failure = error
                raise
        return self._opened


def _no_journal() -> object:
    raise RefusedError("this command keeps no journal")


class Session:
    """Opens the ports of a service. Each opens when it is first needed, because some take seconds to import."""

    def __init__(
        self,
        place: Place,
        command: str,
        on_record: Callable[[Record], None] = lambda _: None,
        on_signal: Callable[[], None] = lambda: None,
    ) -> None:
        """Read the config of the stack.

        Args:
            place: the service.
            command: the running command, shown to others that find the stack locked.
            on_record: called with every record of the journal.
            on_signal: called when somebody asks this process to stop, before it does. It must return at once.

        Raises:
            RefusedError: the config cannot be read or is wrong.
        """
        self._place = place
        self._command = command
        path = stack_file(place.work_dir, place.stack)
        self._stack = parse_stack_name(place.stack)
        self.config = ConfigFile(path, place.service, place.work_dir, self._stack.qualified)
        self.service = self.config.service
        url = self._records_url()
        folder = place.work_dir / RECORDS_FOLDER / self._stack.bare
        self.store = FileStore(folder) if url is None else open_store(f"{url}/{self._stack.bare}", self._region)
        """The store of all records of the stack, including the lock."""
        self._on_record = on_record
        self._journal: Journal | None = None
        self.stop = StopSignal(lambda: self.lock.asked_to_stop(), lambda: self.lock.check(), on_signal)
        self.clock = SystemClock(self.stop.check)
        self.lock = Lock(
            self.store,
            command,
            clock=self.clock,
            expiry_seconds=self.settings().rollout.lock_expiry_seconds,
            log=self._note,
        )
        self.report: str | None = None
        """Where the report of the last run is. None when this command has written none."""
        self._kept = self._records_of(self.service)
        self._records: list[Record] | None = None
        self._notified = Following()
        self._cannot_notify = False

    @property
    def records(self) -> list[Record]:
        """The service's journal as last read. It begins at or before the start of the last rollout.

        Raises:
            RefusedError: the journal cannot be read.
        """
        if self._records is None:
            self._records = self._kept.read()
        return self._records

    def read_again(self) -> list[Record]:
        """Read the service's journal again, from the start of the last rollout or earlier.

        Raises:
            RefusedError: the journal cannot be read.
        """
        self._records = self._kept.read()
        return self._records

    def history(self) -> list[Record]:
        """Read the service's whole journal. Slow when the journal is long and remote.

        Raises:
            RefusedError: the journal cannot be read.
        """
        return self._kept.history()

    @property
    def last_run(self) -> Run | None:
        """The last rollout, rollback or reap. None when there was none."""
        return last_run(self.records)

    @property
    def unfinished(self) -> bool:
        """Whether the last rollout has changed something and has not finished."""
        run = self.last_run
        return run is not None and run.is_unfinished_rollout and not run.is_untouched

    def settings(self) -> ServiceSettings:
        """Read the service's settings again from the file."""
        return self.config.read()

    def ports(self) -> Ports:
        """Open all ports for a rollout, and take over the journal. The lock must be held."""
        # Find the rule now, so that a later rollback needs only the call that sets the weight.
        self.load_balancer.rule()
        return Ports(
            clock=self.clock,
            config=self.config,
            stack=self.pulumi,
            load_balancer=self.load_balancer,
            replicas=self.replicas,
            cluster=self._cluster(),
            account=self._account(),
            metrics=self.prometheus,
            target_group_metrics=self.cloudwatch,
            route=self.route,
            checks=self._checks(),
            journal=self._own_journal(),  # after all that may be missing: it writes the first record
            approvals=Approvals(self.store),
            hooks=CommandHooks(self._place.work_dir, self.stop.check),
            rule_changed_at=last_rule_change(self.records),
            drills=lambda: drill_history(self.history()),
            start_seconds=lambda: last_start_seconds(self.history()),
            shield=self.stop.shield,
        )

    def explanation(self, report: Report) -> Explanation:
        """Explain a run of this service, with the commands for this stack."""
        from rollout.report.explanation import explain

        return explain(report, self._place.stack, self._service_option)

    def stored_page(self, report: Report) -> str | None:
        """Return where the page of a run is stored. None when it is not, or when the store does not answer."""
        from rollout.report.files import page_key

        key = page_key(self.service, report)
        try:
            return f"{self.store}/{key}" if key in self.store.keys(key) else None
        except StoreError:
            return None

    def store_report(self) -> None:
        """Write the report of the last run to the store, and say where it is. A failure changes nothing else."""
        from rollout.report.files import store_report
        from rollout.report.read import last_report

        try:
            report = last_report(self._kept.read())
            if report is None:  # a command that was refused
                return
            self.report = store_report(self.store, self.service, report, self.explanation(report))
            text = f"report: {self.report}"
        except Exception as error:  # the rollout itself is over
            text = f"no report was written: {describe_error(error)}. scripts.explain --page FILE makes one"
        self._say(text)

    def look(self) -> Ports:
        """Return ports that only look, without the lock and without a journal. Each opens when it is first asked."""
        return Ports(
            clock=self.clock,
            journal=cast(JournalPort, Late(_no_journal)),
            config=self.config,
            stack=cast(Stack, Late(lambda: self.pulumi)),
            load_balancer=cast(LoadBalancer, Late(lambda: self.load_balancer)),
            replicas=cast(Replicas, Late(lambda: self.replicas)),
            cluster=cast(Cluster, Late(self._cluster)),
            account=cast(Account, Late(self._account)),
            metrics=cast(Metrics, Late(lambda: self.prometheus)),
            target_group_metrics=cast(TargetGroupMetrics, Late(lambda: self.cloudwatch)),
            route=cast(Route, Late(lambda: self.route)),
            checks={name: cast(Check, Late(lambda name=name: self._checks()[name])) for name in CHECKS},
            approvals=Approvals(self.store),
            hooks=CommandHooks(self._place.work_dir, self.stop.check),
            rule_changed_at=None,
            drills=lambda: drill_history(self.history()),
            start_seconds=lambda: last_start_seconds(self.history()),
            shield=self.stop.shield,
        )

    def _ended_hosts(self) -> tuple[str, ...]:
        """Return the host of the lock's former holder, if it was another host. Empty otherwise."""
        former = self.lock.taken_from
        return () if former is None or former.is_here else (former.host,)

    def _unended(self) -> tuple[str, ...]:
        """Return the messages of the updates that the lock's former holder began and did not end.

        Empty when it released the lock, so that it ended in order. Its process has ended, or its lock expired.
        """
        if self.lock.taken_from is None:
            return ()
        token = self.lock.token - 1  # each holder's is one more than the former's
        records = (self._records_of(service).read() for service in self.config.settings().services)
        return tuple(
            message for kept in records for message in unended_updates(one for one in kept if one.token == token)
        )

    def _records_of(self, service: str) -> Records:
        if isinstance(self.store, FileStore):
            return RecordFile(self.store.path(f"{service}.jsonl"))
        return RecordObjects(self.store, f"journal/{service}")

    def _note(self, text: str) -> None:
        if self._journal is None:
            self._say(text)
        else:
            self._journal.write(Note(text=text))

    def _say(self, text: str) -> None:
        """Show a line that the journal does not keep."""
        self._on_record(Record(seq=0, at=self.clock.now(), rollout="", token=0, phase=None, body=Note(text=text)))

    def notify_reap_due(self) -> None:
        """Send that the idle colour's keep-warm window ends within an hour, if it does."""
        with self._best_effort_notifications():
            settings = self.settings()
            if self._targets and settings.keep_until is not None:
                until, now = settings.keep_until, self.clock.now()
                self._send(reap_due(self._notified_origin, settings.idle_color, until, now))

    def notify(self, find: Callable[[Origin], Iterable[Notification]]) -> None:
        """Send what ``find`` returns, for events that no record of the journal is about."""
        with self._best_effort_notifications():
            if self._targets:
                for one in find(self._notified_origin):
                    self._send(one)

    def _recorded(self, record: Record) -> None:
        """Show a record, and send the notification that it gives."""
        self._on_record(record)
        with self._best_effort_notifications():
            if self._targets:
                self._notified, found = follow(self._notified, record, self._notified_origin)
                self._send(found)

    def _follow_former(self) -> None:
        """Take note of the former processes' records. They have sent their notifications themselves."""
        with self._best_effort_notifications():
            self._notified = Following()
            for record in self.records if self._targets else ():
                self._notified, _ = follow(self._notified, record, self._notified_origin)

    def _send(self, notification: Notification | None) -> None:
        if notification is not None:
            self.notifier.send(notification)

    @contextmanager
    def _best_effort_notifications(self) -> Generator[None]:
        """Let no failure, not even a bug of ours, fail the command. Say it once."""
        try:
            yield
        except Exception as error:
            if not self._cannot_notify:
                self._cannot_notify = True
                self._say(f"warning: no notifications are sent: {describe_error(error)}")

    @cached_property
    def _targets(self) -> tuple[NotificationTarget, ...]:
        """The targets of notifications, as they were when they were first needed."""
        return self.settings().rollout.notifications

    @cached_property
    def notifier(self) -> Notifier:
        """The sender of notifications. When the process ends, it gets a few seconds for what is still unsent."""
        from rollout.adapters.notifier import Notifier, open_targets

        notifier = Notifier(open_targets(self._targets, self._place.work_dir), self._say)
        atexit.register(notifier.close)
        return notifier

    @cached_property
    def _notified_origin(self) -> Origin:
        options = f"--stack {self._place.stack}{self._service_option}"
        return Origin(stack=self._place.stack, service=self.service, options=options)

    @cached_property
    def _service_option(self) -> str:
        """What a command for this service needs besides the stack: nothing when it is the only one."""
        return f" --service {self.service}" if len(self.config.settings().services) > 1 else ""

    def _own_journal(self) -> Journal:
        """Read the journal again, and stop its former writer."""
        while True:
            self._records = self._kept.read()
            run = self.last_run
            journal = Journal(
                self._kept,
                rollout_id=run.rollout_id if run is not None and not run.is_over else uuid.uuid4().hex[:12],
                token=self.lock.token,
                last_seq=last_seq(self._records),
                run=run,
                now=self.clock.now,
                on_record=self._recorded,
            )
            journal.best_effort = True  # the caller decides whether it can continue without records
            try:
                journal.write(self._lock_taken())
            except LostLockError:
                self.lock.renew()
                self.lock.check()  # still ours, so this was the former holder's last record: read again
            else:
                journal.best_effort = False
                self._journal = journal
                self._follow_former()
                return journal

    def _lock_taken(self) -> LockTaken:
        origin = find_origin(self._place.work_dir)
        return LockTaken(
            by=self._command,
            before=str(self.lock.taken_from or ""),
            user=origin.user,
            host=origin.host,
            run_url=origin.run_url,
            commit=origin.commit,
            config_sha256=digest_of(self.settings().lasting),
            pack_version=pack_version(self._place.work_dir),
        )

    def _records_url(self) -> str | None:
        urls = {name: one.rollout.records_url for name, one in self.config.settings().services.items()}
        if len(set(urls.values())) > 1:
            raise RefusedError(
                f"rollout.records_url: must be the same for all services of the stack, which share one lock; got {urls}"
            )
        url = next(iter(urls.values()))
        return None if url is None else url.rstrip("/")

    @cached_property
    def load_balancer(self) -> Elbv2LoadBalancer:
        """The load balancer."""
        from rollout.adapters.aws.elbv2_client import elbv2_client
        from rollout.adapters.aws.load_balancer import Elbv2LoadBalancer

        listener = self.settings().listener
        return Elbv2LoadBalancer(
            elbv2_client(self._region),
            stack=self._stack.bare,
            service=self.service,
            listener_arn=None if listener is None else listener.arn,
        )

    @cached_property
    def cloudwatch(self) -> CloudWatchMetrics:
        """The load balancer's metrics."""
        import boto3

        from rollout.adapters.aws.cloudwatch import CloudWatchMetrics

        return CloudWatchMetrics(
            _named(
                boto3.client("cloudwatch", region_name=self._region, config=_aws_config(CLOUDWATCH_ATTEMPTS)),
                CLOUDWATCH_ATTEMPTS,
            ),
            self.load_balancer.dimensions,
            period_seconds=self.settings().rollout.cloudwatch_period_seconds,
            now=self.clock.now,
        )

    @cached_property
    def pulumi(self) -> PulumiStack:
        """The stack."""
        from rollout.adapters.pulumi.stack import PulumiStack

        return PulumiStack(
            self._stack.qualified,
            self._place.work_dir,
            update_timeout_seconds=self.settings().rollout.update_timeout_seconds,
            check=self.stop.check,
            ended_hosts=self._ended_hosts,
            unended=self._unended,
            log=self._note,
        )

    @cached_property
    def replicas(self) -> KubernetesReplicas:
        """The pods."""
        from rollout.adapters.kubernetes.replicas import KubernetesReplicas

        return KubernetesReplicas(
            service=self.service,
            namespace=self.settings().namespace_of(self.service),
            context=self.config.raw("kubernetes:context"),
        )

    @cached_property
    def prometheus(self) -> Prometheus:
        """The pods' metrics."""
        from rollout.adapters.prometheus import Prometheus
        from rollout.adapters.prometheus_access import PrometheusAccess

        rollout = self.settings().rollout
        access = PrometheusAccess(rollout.prometheus, self._place.work_dir)
        return Prometheus(rollout.prometheus_url, self.service, access=access)

    def endpoint_url(self) -> str:
        """Return the URL by which clients reach the service."""
        if url := self.settings().endpoint_url:
            return url
        scheme = "https" if self.config.settings().certificate_arn else "http"
        return f"{scheme}://{self.load_balancer.dns_name()}"

    def api_key(self) -> str | None:
        """Return the API key for our own requests. None when none is set and the service needs none.

        Raises:
            RefusedError: the service needs a key that is not set, or that no HTTP header can contain.
        """
        return endpoint_key(os.environ, required=self.settings().pods.api_key_secret is not None)

    @property
    def _region(self) -> str | None:
        return self.config.raw("aws:region")

    @cached_property
    def _route_secret(self) -> str:
        secret = self.pulumi.secret(route_secret.KEY)
        if violation := route_secret.value_violation(secret):
            raise RefusedError(violation.line(self.config.prefix))
        return secret

    @cached_property
    def route(self) -> CandidateRoute:
        """The candidate route."""
        from rollout.adapters.candidate_route import CandidateRoute

        return CandidateRoute(
            endpoint_url=self.endpoint_url,
            route_secret=lambda: self._route_secret,
            api_key=self.api_key,
            served_model_name=self.settings().model_name(self.service),
            now=self.clock.now,
        )

    def _cluster(self) -> KubernetesCluster:
        from rollout.adapters.kubernetes.cluster import KubernetesCluster

        return KubernetesCluster(
            service=self.service,
            namespace=self.settings().namespace_of(self.service),
            context=self.config.raw("kubernetes:context"),
        )

    def _account(self) -> AwsAccount:
        import boto3

        from rollout.adapters.aws.account import AwsAccount, AwsClients

        region, config, settings = self._region, _aws_config(), self.config.settings()
        clients = AwsClients(
            ec2=_named(boto3.client("ec2", region_name=region, config=config)),
            eks=_named(boto3.client("eks", region_name=region, config=config)),
            autoscaling=_named(boto3.client("autoscaling", region_name=region, config=config)),
            kms=_named(boto3.client("kms", region_name=region, config=config)),
            service_quotas=_named(boto3.client("service-quotas", region_name=region, config=config)),
            resource_groups=_named(boto3.client("resource-groups", region_name=region, config=config)),
            iam=_named(boto3.client("iam", region_name=region, config=config)),
            sts=_named(boto3.client("sts", region_name=region, config=config)),
        )
        return AwsAccount(
            clients,
            stack=self._stack.bare,
            service=self.service,
            cluster_name=settings.cluster_name,
            node_subnet_ids=settings.node_subnet_ids,
        )

    def _checks(self) -> Mapping[str, Check]:
        from rollout.adapters.judge_model import HttpJudge
        from rollout.adapters.relay import Relay
        from rollout.checks.catalogue import CheckDependencies, make_checks

        settings = self.settings()
        timeout_seconds = settings.rollout.gates.eval.request_timeout_seconds
        dependencies = CheckDependencies(
            route=self.route,
            relay=lambda color: Relay(self.route, color, timeout_seconds=timeout_seconds),
            judge_model=lambda judge: HttpJudge(settings=judge, folder=self._place.work_dir, sleep=self.clock.sleep),
            closed_loop=lambda color, bodies, timeout_seconds: self.route.closed_loop(
                color, bodies, timeout_seconds=timeout_seconds
            ),
            replicas=lambda color: sum(pod.ready and not pod.terminating for pod in self.replicas.pods(color)),
            checked=lambda: checked_spans(self._kept.history()),
            config=self.config,
            clock=self.clock,
            metrics=self.prometheus,
            demand=self.prometheus,
            s3=self._s3,
            work_dir=self._place.work_dir,
        )
        return make_checks(dependencies, settings, settings.model_name(self.service))

    def _s3(self) -> Any:
        import boto3

        return _named(boto3.client("s3", region_name=self._region, config=_aws_config()))


def _named(client: _Client, attempts: int | None = None) -> _Client:
    """Let each call of a client be named while it lasts."""
    timeout_seconds = AWS_CONNECT_TIMEOUT_SECONDS + AWS_READ_TIMEOUT_SECONDS
    attempts = AWS_ATTEMPTS if attempts is None else attempts
    name_calls(client, at_most_seconds=longest_call_seconds(attempts=attempts, timeout_seconds=timeout_seconds))
    return client


def _aws_config(attempts: int | None = None) -> Config:
    from botocore.config import Config

    return Config(
        connect_timeout=AWS_CONNECT_TIMEOUT_SECONDS,
        read_timeout=AWS_READ_TIMEOUT_SECONDS,
        retries={"mode": "standard", "total_max_attempts": AWS_ATTEMPTS if attempts is None else attempts},
    )
