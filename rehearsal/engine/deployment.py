"""One deployment: what each registration of the program means for the recorded state."""

import asyncio
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rehearsal.engine.analyzer import Analyzers
from rehearsal.engine.deletions import Deletions
from rehearsal.engine.errors import CommandError
from rehearsal.engine.events import EventStream
from rehearsal.engine.goal import Goal, alias_urns
from rehearsal.engine.paths import begins_with, keep_old
from rehearsal.engine.provider import (
    ENGINE_KEYS,
    CheckFailure,
    Diff,
    Provider,
    ProviderError,
    without_engine_keys,
)
from rehearsal.engine.registry import Plugins
from rehearsal.engine.state import ResourceState, Snapshot
from rehearsal.engine.steps import Step, Steps, StoppedError
from rehearsal.engine.targets import Targets
from rehearsal.engine.urns import PROVIDER_PREFIX, is_provider, make_urn, name_of, package_of
from rehearsal.engine.values import UNKNOWN, Properties, Value, has_unknowns


@dataclass
class Registered:
    """The answer to a registration; `unknown` when its outputs cannot be known in this run."""

    state: ResourceState
    unknown: bool = False


class Deployment:
    """Compares what the program wants with what is recorded and takes the steps between them."""

    def __init__(
        self,
        *,
        project: str,
        stack: str,
        base: Snapshot,
        config: dict[str, Value],
        plugins: Plugins,
        steps: Steps,
        analyzers: Analyzers,
        targets: Targets,
        dry_run: bool,
    ) -> None:
        self._project = project
        self._stack = stack
        self._config = config
        self._plugins = plugins
        self._steps = steps
        self._events: EventStream = steps.events
        self._analyzers = analyzers
        self._targets = targets
        self._dry_run = dry_run
        self._olds = {resource.urn: resource for resource in base.resources if not resource.delete}
        self._news: dict[str, ResourceState] = {}
        self._urns: set[str] = set()
        self._aliased: dict[str, str] = {}
        self._aliases_of: dict[str, str] = {}
        self._replaced: set[str] = set()
        self._skipped: set[str] = set()
        self._default_providers: dict[tuple[str, str], asyncio.Task[str]] = {}
        self.deletions = Deletions(base, plugins, steps, self.provider_of, self._diff_resource)

    # -- what the program asks for

    async def register(self, goal: Goal) -> Registered:
        """Bring one resource to the wanted state; raises StoppedError when the update cannot go on."""
        try:
            return await self._register(goal)
        except ProviderError as error:
            raise self._refuse("", str(error)) from error

    async def _register(self, goal: Goal) -> Registered:
        if self._steps.failed.is_set():
            raise StoppedError
        urn = make_urn(self._stack, self._project, goal.parent, goal.type, goal.name)
        if urn in self._urns:
            raise self._refuse(urn, f"Duplicate resource URN '{urn}'; try giving it a unique name")
        self._urns.add(urn)
        old = self._find_old(urn, goal)
        if goal.custom and not is_provider(goal.type) and not goal.provider:
            goal.provider = await self._default_provider(package_of(goal.type), goal.version)
        new = self._new_state(urn, goal)
        self._news[urn] = new
        if is_provider(goal.type):
            return await self._register_provider(goal, old, new)
        provider = await self.provider_of(new)
        old_inputs = old.inputs if old is not None else {}
        new.inputs = keep_old(goal.inputs, old_inputs, goal.ignore_changes) if old is not None else goal.inputs
        if provider is not None:
            olds = {} if old is None or self.deletions.is_condemned(old) else old_inputs
            checked, failures = await provider.check(urn, goal.name, olds, new.inputs)
            self._report_failures(new, failures)
            new.inputs = checked
        if not await self._analyzers.analyze(new, goal, self._provider_state(new)):
            raise self._stop()
        included = self._targets.include(new)
        if old is None or old.external:
            return await self._create(provider, old, new, included=included)
        if self.deletions.is_condemned(old):
            return await self._recreate(provider, old, new)
        if not included:
            await self._keep_untouched(old)
            return Registered(self._news[urn])
        diff = await self._diff(provider, old, new, goal)
        if not diff.changed and not old.pending_replacement:
            await self._steps.same(old, new)
        elif diff.replaces or old.pending_replacement:
            await self._replace(provider, old, new, diff, goal)
        else:
            await self._steps.update(provider, old, new, diff)
        return Registered(new)

    async def read(self, goal: Goal, identity: str) -> ResourceState:
        """Read a resource that this stack does not own (`.get`)."""
        urn = make_urn(self._stack, self._project, goal.parent, goal.type, goal.name)
        if urn in self._urns:
            raise self._refuse(urn, f"Duplicate resource URN '{urn}'; try giving it a unique name")
        self._urns.add(urn)
        old = self._olds.get(urn)
        if not goal.provider:
            goal.provider = await self._default_provider(package_of(goal.type), goal.version)
        new = self._new_state(urn, goal)
        new.external = True
        new.id = identity
        self._news[urn] = new
        if identity == UNKNOWN:
            return new
        provider = await self.provider_of(new)
        assert provider is not None
        await self._steps.read(provider, old, new)
        return new

    async def invoke(
        self, token: str, arguments: Properties, reference: str, version: str
    ) -> tuple[Properties, list[CheckFailure]]:
        """Call a provider's function."""
        if not reference:
            reference = await self._default_provider(package_of(token), version)
        provider = await self._plugins.get(reference)
        return await provider.invoke(token, arguments, preview=self._dry_run)

    def register_outputs(self, urn: str, outputs: Properties) -> None:
        """Record the outputs of a component or of the stack."""
        new = self._news.get(urn)
        if new is None:
            raise CommandError(f"cannot complete a resource '{urn}' whose registration isn't in progress")
        new.outputs = outputs
        self._steps.outputs_registered(new)

    async def finish(self) -> None:
        """After the program's end: delete what it no longer declares, then let the policies see the whole stack."""
        await self.deletions.run(self._handled(), self._targets)
        deleted = self.deletions.deleted
        resources = [state for urn, state in self._news.items() if urn not in deleted and urn not in self._skipped]
        if not await self._analyzers.analyze_stack(resources, self._provider_state):
            raise self._stop()

    def _handled(self) -> set[str]:
        return self._urns | set(self._aliased)

    # -- providers

    async def provider_of(self, resource: ResourceState) -> Provider | None:
        """The provider of a custom resource, loaded from the record when the program has not registered it."""
        if not resource.provider:
            return None
        if not self._plugins.known(resource.provider):
            urn, _, identity = resource.provider.rpartition("::")
            recorded = self._olds.get(urn)
            if recorded is None or recorded.id != identity:
                raise ProviderError(f"unknown provider '{resource.provider}' for resource '{resource.urn}'")
            return await self._plugins.load(recorded)
        return await self._plugins.get(resource.provider)

    def _provider_state(self, resource: ResourceState) -> ResourceState | None:
        urn = resource.provider.rpartition("::")[0]
        return self._news.get(urn) or self._olds.get(urn)

    async def _default_provider(self, package: str, version: str) -> str:
        """The reference of the package's default provider, registered on first use."""
        key = (package, version)
        if key not in self._default_providers:
            self._default_providers[key] = asyncio.create_task(self._register_default(package, version))
        return await asyncio.shield(self._default_providers[key])

    async def _register_default(self, package: str, version: str) -> str:
        prefix = f"{package}:"
        inputs: Properties = {
            key.removeprefix(prefix): value for key, value in self._config.items() if key.startswith(prefix)
        }
        if version:
            inputs["version"] = version
        suffix = f"_{version}" if version else ""
        name = "default" + "".join(c if c.isalnum() or c == "-" else "_" for c in suffix)
        goal = Goal(PROVIDER_PREFIX + package, name, custom=True, inputs=inputs)
        state = (await self._register(goal)).state
        return f"{state.urn}::{state.id}"

    async def _register_provider(self, goal: Goal, old: ResourceState | None, new: ResourceState) -> Registered:
        package = package_of(goal.type)
        try:
            provider = await self._plugins.take(package)
        except ProviderError as error:
            raise self._refuse(new.urn, str(error)) from error
        if goal.version:
            new.inputs.setdefault("version", goal.version)
        # What the engine itself keeps about a provider is not the plugin's business.
        own: Properties = {key: new.inputs.pop(key) for key in ENGINE_KEYS if key in new.inputs}
        if own:
            own.setdefault("__internal", {})
        old_inputs = old.inputs if old is not None else {}
        new.inputs, failures = await provider.check_config(new.urn, without_engine_keys(old_inputs), new.inputs)
        self._report_failures(new, failures)
        new.inputs.update(own)
        if not await self._analyzers.analyze(new, goal, None):
            raise self._stop()
        self._targets.include(new)
        step = Step("create", None, new)
        diff = Diff()
        if old is not None:
            news = without_engine_keys(new.inputs)
            diff = await provider.diff_config(
                new.urn, old.id, without_engine_keys(old.inputs), without_engine_keys(old.outputs), news
            )
            diff = self._settle(diff, old, new, goal)
            step = Step("update" if diff.changed else "same", old, new, diff)
        if old is not None and not diff.replaces:
            new.created, new.modified = old.created, old.modified
            await self._steps.configure(provider, old, new, old.id, step=step)
        else:
            identity = UNKNOWN if self._dry_run else str(uuid.uuid4())
            if old is not None:
                # Resources of the replaced provider are replaced too; the old one goes at the end.
                self._replaced.add(new.urn)
                step = Step("create-replacement", old, new, diff, logical=False)
                self.deletions.condemn_later(old)
            await self._steps.configure(provider, None, new, identity, step=step)
            if old is not None:
                self._steps.announce(Step("replace", old, new, diff))
        self._plugins.add(f"{new.urn}::{new.id}", provider)
        return Registered(new)

    # -- decisions

    def _find_old(self, urn: str, goal: Goal) -> ResourceState | None:
        if urn in self._olds:
            return self._olds[urn]
        parent_alias = self._aliases_of.get(goal.parent, "")
        for alias in alias_urns(goal, self._stack, self._project, parent_alias):
            if alias in self._olds and alias not in self._aliased:
                self._aliased[alias] = urn
                self._aliases_of[urn] = alias
                return self._olds[alias]
        return None

    def _new_state(self, urn: str, goal: Goal) -> ResourceState:
        parent = self._news.get(goal.parent)
        protect = goal.protect if goal.protect is not None else bool(parent and parent.protect)
        return ResourceState(
            urn=urn,
            type=goal.type,
            custom=goal.custom,
            inputs=dict(goal.inputs),
            parent=goal.parent,
            protect=protect,
            dependencies=goal.dependencies,
            provider=goal.provider,
            property_dependencies=goal.property_dependencies,
            additional_secret_outputs=goal.additional_secret_outputs,
            custom_timeouts=goal.custom_timeouts,
            retain_on_delete=goal.retain_on_delete,
            deleted_with=goal.deleted_with,
            source_position=goal.source_position,
            ignore_changes=goal.ignore_changes,
            replace_on_changes=goal.replace_on_changes,
            resource_hooks=goal.hooks,
        )

    async def _diff(self, provider: Provider | None, old: ResourceState, new: ResourceState, goal: Goal) -> Diff:
        if new.deleted_with in self._replaced:
            return Diff(changed=True, replace_keys=["deletedWith"])
        if old.provider != new.provider and await self._provider_differs(old, new):
            return Diff(changed=True, replace_keys=["provider"])
        if provider is None:
            return Diff(changed=old.inputs != new.inputs)
        return await self._diff_resource(provider, old, new.inputs, new.ignore_changes, goal)

    async def _diff_resource(
        self,
        provider: Provider,
        old: ResourceState,
        inputs: Properties,
        ignore_changes: Sequence[str],
        goal: Goal | None = None,
    ) -> Diff:
        diff = await provider.diff(old.urn, old.id, old.inputs, old.outputs, inputs, ignore_changes)
        probe = old.copy()
        probe.inputs = inputs
        return self._settle(diff, old, probe, goal)

    def _settle(self, diff: Diff, old: ResourceState, new: ResourceState, goal: Goal | None) -> Diff:
        """Fill in what the plugin left open and apply what the program says about replacement."""
        diff = diff.settled(old.inputs, new.inputs)
        wanted = goal.replace_on_changes if goal is not None else old.replace_on_changes
        if diff.changed and wanted:
            touched = diff.detailed or dict.fromkeys(diff.changed_keys, "update")
            for path, kind in touched.items():
                if any(begins_with(path, prefix) for prefix in wanted) and not kind.endswith("-replace"):
                    diff.detailed[path] = f"{kind}-replace"
                    diff.replace_keys.append(path)
        if old.init_errors:
            diff.changed = True
        return diff

    async def _provider_differs(self, old: ResourceState, new: ResourceState) -> bool:
        if not old.provider or not new.provider:
            return True
        old_urn, new_urn = old.provider.rpartition("::")[0], new.provider.rpartition("::")[0]
        if self._aliased.get(old_urn) == new_urn:
            return False
        if new_urn in self._replaced:
            return True
        recorded, registered = self._olds.get(old_urn), self._news.get(new_urn)
        if recorded is None or registered is None:
            return True
        provider = await self._plugins.get(new.provider)
        diff = await provider.diff_config(
            new_urn,
            recorded.id,
            without_engine_keys(recorded.inputs),
            without_engine_keys(recorded.outputs),
            without_engine_keys(registered.inputs),
        )
        return diff.replaces

    # -- steps

    async def _create(
        self, provider: Provider | None, external: ResourceState | None, new: ResourceState, *, included: bool
    ) -> Registered:
        if not included:
            self._skipped.add(new.urn)
            nothing = new.copy()
            nothing.inputs = {}
            self._steps.announce(Step("same", nothing, nothing))
            return Registered(new, unknown=True)
        skipped = sorted(new.all_dependencies() & self._skipped)
        if skipped:
            raise self._refuse(
                new.urn,
                f"Resource '{new.urn}' depends on '{skipped[0]}' which was was not specified in --target list.",
            )
        await self._steps.create(provider, new, step=Step("create", external, new), replaced=None)
        return Registered(new)

    async def _recreate(self, provider: Provider | None, old: ResourceState, new: ResourceState) -> Registered:
        self._replaced.add(new.urn)
        self.deletions.deleted.discard(new.urn)
        self._steps.announce(Step("replace", old, new))
        diff = Diff(replace_keys=self.deletions.reasons(old))
        step = Step("create-replacement", old, new, diff, logical=False)
        await self._steps.create(provider, new, step=step)
        return Registered(new)

    async def _replace(
        self, provider: Provider | None, old: ResourceState, new: ResourceState, diff: Diff, goal: Goal
    ) -> None:
        if new.protect and old.protect:
            message = (
                f'unable to replace resource "{new.urn}"\nas it is currently marked for protection. To unprotect '
                "the resource, remove the `protect` flag from the resource in your Pulumi program and run `pulumi up`"
            )
            if not self._dry_run:
                raise self._refuse(new.urn, message)
            # A preview goes on, to show what would happen.
            self._events.diagnostic("error", message, new.urn)
        self._replaced.add(new.urn)
        if provider is not None:
            new.inputs, failures = await provider.check(new.urn, name_of(new.urn), {}, goal.inputs)
            self._report_failures(new, failures)
        delete_first = diff.delete_before_replace
        if goal.delete_before_replace is not None:
            delete_first = goal.delete_before_replace
        replacement = Step("create-replacement", old, new, diff, logical=False)
        if delete_first or old.pending_replacement:
            if not old.pending_replacement:
                await self.deletions.delete_before_replace(old, self._handled_news())
            self.deletions.deleted.discard(new.urn)
            self._steps.announce(Step("replace", old, new, diff))
            await self._steps.create(provider, new, step=replacement)
        else:
            await self._steps.create(provider, new, step=replacement, replaced=old)
            self.deletions.condemn_later(old)
            self._steps.announce(Step("replace", old, new, diff))

    def _handled_news(self) -> set[str]:
        return set(self._news)

    async def _keep_untouched(self, old: ResourceState) -> None:
        """A resource that is not targeted stays as recorded, and before it all that it depends on."""
        for urn in sorted(old.all_dependencies()):
            dependency = self._olds.get(urn)
            if dependency is not None and urn not in self._news and urn not in self._aliased:
                await self._keep_untouched(dependency)
        self._news[old.urn] = await self._steps.keep(old)

    # -- refusals

    def _report_failures(self, new: ResourceState, failures: Iterable[CheckFailure]) -> None:
        failures = list(failures)
        for failure in failures:
            place = f"{new.type} resource '{name_of(new.urn)}'"
            if failure.property:
                value = _shown(new, failure.property)
                text = f"{place}: property {failure.property} value {{{value}}} has a problem: {failure.reason}"
            else:
                text = f"{place} has a problem: {failure.reason}"
            self._events.diagnostic("error", text, new.urn)
        if failures:
            raise self._stop()

    def _refuse(self, urn: str, message: str) -> StoppedError:
        self._events.diagnostic("error", message, urn)
        return self._stop()

    def _stop(self) -> StoppedError:
        self._steps.stop()
        return StoppedError()


def _shown(state: ResourceState, key: str) -> str:
    value = state.inputs.get(key)
    return "<unknown>" if has_unknowns(value) else str(value)
