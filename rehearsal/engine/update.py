"""One preview, update, refresh or destroy: everything that has to run is started, and ends in order."""

import asyncio
import math
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import grpc.aio

from rehearsal.engine import refresh
from rehearsal.engine.analyzer import Analyzers
from rehearsal.engine.backend import StackFiles
from rehearsal.engine.children import Child
from rehearsal.engine.config import StackConfig, has_secure
from rehearsal.engine.deployment import Deployment
from rehearsal.engine.errors import CommandError, Status
from rehearsal.engine.events import EventStream
from rehearsal.engine.hooks import Hooks
from rehearsal.engine.journal import Journal
from rehearsal.engine.language import start_program
from rehearsal.engine.monitor import EngineService, MonitorService
from rehearsal.engine.policy_config import PackConfigError
from rehearsal.engine.preconditions import pending_warning, refuse_delete_hooks
from rehearsal.engine.program import FAILED_AND_SAID_SO
from rehearsal.engine.project import as_text
from rehearsal.engine.protocol import CHANNEL_OPTIONS, engine_pb2_grpc, resource_pb2_grpc
from rehearsal.engine.registry import Plugins
from rehearsal.engine.state import Snapshot, deserialize, serialize
from rehearsal.engine.steps import Steps, StoppedError
from rehearsal.engine.targets import Targets
from rehearsal.engine.urns import is_provider, package_of
from rehearsal.engine.values import Value, make_secret
from rehearsal.engine.version import ENGINE_VERSION


@dataclass(frozen=True)
class UpdateOptions:
    """What a command asks of an update. `kind` is update, refresh or destroy."""

    kind: str
    dry_run: bool
    message: str = ""
    parallel: int = 16
    targets: list[str] = field(default_factory=list)
    target_dependents: bool = False
    policy_packs: list[Path] = field(default_factory=list)
    policy_pack_configs: list[Path] = field(default_factory=list)
    expect_no_changes: bool = False
    refresh_first: bool = False
    clear_pending: bool = False
    exec_kind: str = ""


class Update:
    """Runs one operation on one stack."""

    def __init__(self, config: StackConfig, files: StackFiles, options: UpdateOptions, events: EventStream) -> None:
        self._project = config.project
        self._files = files
        self._options = options
        self._events = events
        self._config = config
        merged = config.merged()
        self._plain = {key: config.plain(raw) for key, raw in merged.items()}
        self._texts = {key: as_text(value) for key, value in self._plain.items()}
        self._secret_keys = sorted(key for key, raw in merged.items() if has_secure(raw))
        self._raw = merged
        self._secrets = config.secrets()
        self._secrets.require()
        self._plugins: Plugins | None = None
        self._cancelling: asyncio.Future[None] | None = None
        config.save()

    def run(self) -> bool:
        """Do it; returns whether it succeeded. Raises CommandError when it could not begin."""
        if self._options.dry_run:
            return asyncio.run(self._run())
        with self._files.locked():
            return asyncio.run(self._run())

    async def _run(self) -> bool:
        begun = time.time()
        base = deserialize(self._files.read(), self._secrets.decrypt)
        if self._options.kind == "destroy":
            refuse_delete_hooks(base)
        refreshes = self._options.kind == "refresh" or self._options.refresh_first
        if base.pending and not self._options.dry_run and not refreshes:
            self._events.diagnostic("warning", pending_warning(base))
        self._events.emit(
            "preludeEvent",
            {"config": {key: "[secret]" if key in self._secret_keys else self._texts[key] for key in self._texts}},
        )
        journal = Journal(base, self._write)
        if self._options.clear_pending:
            journal.forget_pending()
        hooks = Hooks(self._events, dry_run=self._options.dry_run)
        steps = Steps(journal, self._events, hooks, dry_run=self._options.dry_run, parallel=self._options.parallel)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._interrupt, steps)
        analyzers = Analyzers(self._events, dry_run=self._options.dry_run)
        try:
            await self._serve(base, steps, analyzers)
        except StoppedError:
            await steps.idle()
        except PackConfigError:
            if not self._options.dry_run:
                journal.commit()
                self._record(begun, {}, succeeded=False)
            raise
        if steps.step_failed or (self._events.has_errors and not steps.failed.is_set()):
            self._events.diagnostic("error", f"{'preview' if self._options.dry_run else 'update'} failed")
        changes = dict(sorted(steps.counts.items()))
        succeeded = not (self._events.has_errors or steps.failed.is_set())
        if not self._options.dry_run:
            try:
                journal.commit()
                self._record(begun, changes, succeeded=succeeded)
            except (CommandError, OSError) as error:
                succeeded = False
                self._events.diagnostic("error", str(error))
        summary = {
            "maybeCorrupt": steps.maybe_corrupt,
            "durationSeconds": math.floor(time.time() - begun + 0.5),
            "resourceChanges": changes,
            "PolicyPacks": analyzers.versions,
            "isPreview": self._options.dry_run,
            "result": "succeeded" if succeeded else "failed",
        }
        self._events.emit("summaryEvent", summary)
        self._events.emit("cancelEvent", {})
        if succeeded and self._options.expect_no_changes and any(op != "same" for op in changes):
            planned = "for preview but changes were proposed" if self._options.dry_run else "but changes occurred"
            raise CommandError(f"no changes were expected {planned}", Status.CHANGES)
        return succeeded

    def _interrupt(self, steps: Steps) -> None:
        print("^C received; waiting for running operations to end", file=sys.stderr, flush=True)
        self._events.diagnostic("error", "update cancelled")
        steps.stop()
        if self._plugins is not None:
            self._cancelling = asyncio.ensure_future(self._plugins.cancel())

    # -- the parts

    async def _serve(self, base: Snapshot, steps: Steps, analyzers: Analyzers) -> None:
        options = self._options
        monitor = MonitorService(
            steps.hooks,
            root=self._project.root,
            project=self._project.name,
            stack=self._config.stack,
            config=self._texts,
            secret_keys=self._secret_keys,
            dry_run=options.dry_run,
            parallel=options.parallel,
        )
        server = grpc.aio.server(options=CHANNEL_OPTIONS)
        resource_pb2_grpc.add_ResourceMonitorServicer_to_server(monitor, server)
        engine_pb2_grpc.add_EngineServicer_to_server(EngineService(self._events), server)
        address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        await server.start()
        self._plugins = plugins = Plugins(address, self._project.root, self._events)
        plugins.start_ahead(_packages(base))
        targets = Targets(options.targets, base, dependents=options.target_dependents)
        deployment = Deployment(
            project=self._project.name,
            stack=self._config.stack,
            base=base,
            config={key: self._value(key) for key in self._texts},
            plugins=plugins,
            steps=steps,
            analyzers=analyzers,
            targets=targets,
            dry_run=options.dry_run,
        )
        monitor.deployment = deployment
        program: Child | None = None
        try:
            if options.kind == "refresh" or options.refresh_first:
                if self._report_missing(targets):
                    raise StoppedError
                await refresh.run(base, plugins, steps, targets, reported=options.kind == "refresh")
            if options.kind == "update":
                program = await self._start_program(address)
                # Packs start while the program does; registrations wait for them.
                await self._start_packs(analyzers, address)
                await self._until_declared(program, monitor, steps)
            if options.kind != "refresh":
                self._report_missing(targets)
                await deployment.finish()
        except BaseException:
            steps.stop()
            raise
        finally:
            await steps.idle()
            monitor.may_end.set()
            if program is not None:
                await program.stop() if steps.failed.is_set() else await program.wait()
            await asyncio.gather(plugins.stop(), analyzers.stop(), steps.hooks.close())
            await server.stop(None)

    def _report_missing(self, targets: Targets) -> bool:
        """Report the targets that do not exist; the update fails by it."""
        missing = targets.missing()
        for urn in missing:
            hint = "" if "$" in urn else " Did you forget to escape $ in your shell?"
            self._events.diagnostic("error", f"Target '{urn}' could not be found in the stack.{hint}")
        return bool(missing)

    async def _start_packs(self, analyzers: Analyzers, address: str) -> None:
        configs: list[Path | None] = [*self._options.policy_pack_configs]
        packs = self._options.policy_packs
        if configs and len(configs) != len(packs):
            raise CommandError(
                'the number of "--policy-pack-config" flags must match the number of "--policy-pack" flags'
            )
        for pack, config in zip(packs, configs or [None] * len(packs), strict=True):
            await analyzers.start(
                pack,
                config,
                engine_address=address,
                project=self._project.name,
                stack=self._config.stack,
                stack_config=self._texts,
                secret_keys=self._secret_keys,
            )
        analyzers.ready.set()

    async def _start_program(self, address: str) -> Child:
        return await start_program(
            self._project,
            stack=self._config.stack,
            address=address,
            dry_run=self._options.dry_run,
            parallel=self._options.parallel,
            config=self._texts,
            secret_keys=self._secret_keys,
            on_stdout=lambda line: self._events.diagnostic("info", line),
            on_stderr=lambda line: self._events.diagnostic("info#err", line),
        )

    async def _until_declared(self, program: Child, monitor: MonitorService, steps: Steps) -> None:
        """Wait until the program has declared everything, failed, or a step has failed."""
        ended = asyncio.ensure_future(program.wait())
        declared = asyncio.ensure_future(monitor.program_done.wait())
        failed = asyncio.ensure_future(steps.failed.wait())
        await asyncio.wait({ended, declared, failed}, return_when=asyncio.FIRST_COMPLETED)
        for waiter in (declared, failed):
            waiter.cancel()
        if steps.failed.is_set():
            raise StoppedError
        if ended.done() and ended.result() != 0:
            status = ended.result()
            if status != FAILED_AND_SAID_SO:
                self._events.diagnostic(
                    "error", f"an unhandled error occurred: program exited with non-zero exit code: {status}"
                )
            steps.stop()
            raise StoppedError

    def _value(self, key: str) -> Value:
        text = self._texts[key]
        return make_secret(text) if key in self._secret_keys else text

    # -- records

    def _write(self, snapshot: Snapshot) -> None:
        if not self._options.dry_run:
            self._files.write(serialize(snapshot, self._secrets.document(), self._secrets.encrypt))

    def _record(self, begun: float, changes: dict[str, int], *, succeeded: bool) -> None:
        environment = {"pulumi.version": ENGINE_VERSION, "pulumi.os": sys.platform}
        if self._options.exec_kind:
            environment["exec.kind"] = self._options.exec_kind
        self._files.add_history(
            {
                "kind": self._options.kind,
                "startTime": int(begun),
                "message": self._options.message,
                "environment": environment,
                "config": {
                    key: raw if isinstance(raw, dict | list) else as_text(raw) for key, raw in self._raw.items()
                },
                "version": 0,
                "result": "succeeded" if succeeded else "failed",
                "endTime": int(time.time()),
                "resourceChanges": changes or None,
            }
        )


def _packages(base: Snapshot) -> list[str]:
    """One package name for each recorded provider."""
    return [package_of(resource.type) for resource in base.resources if is_provider(resource.type)]
