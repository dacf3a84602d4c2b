"""The provider plugins of an update: found on PATH, started ahead of need, one process for each provider resource."""

import asyncio
import shutil
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from rehearsal.engine.children import start_server
from rehearsal.engine.events import EventStream
from rehearsal.engine.provider import Provider, ProviderError
from rehearsal.engine.state import ResourceState
from rehearsal.engine.urns import package_of


class Plugins:
    """Starts provider plugins and hands out configured providers by reference."""

    def __init__(self, engine_address: str, program_directory: Path, events: EventStream) -> None:
        self._engine_address = engine_address
        self._program_directory = program_directory
        self._events = events
        self._ahead: dict[str, list[asyncio.Task[Provider]]] = defaultdict(list)
        self._started: list[Provider] = []
        self._by_reference: dict[str, asyncio.Task[Provider]] = {}

    def start_ahead(self, packages: Iterable[str]) -> None:
        """Start a plugin for each package named, while other things happen."""
        for package in packages:
            if shutil.which(f"pulumi-resource-{package}"):
                self._ahead[package].append(asyncio.create_task(self._start(package)))

    async def take(self, package: str) -> Provider:
        """A started plugin that no provider resource uses yet."""
        if self._ahead[package]:
            return await self._ahead[package].pop(0)
        return await self._start(package)

    async def _start(self, package: str) -> Provider:
        name = f"pulumi-resource-{package}"
        executable = shutil.which(name)
        if executable is None:
            raise ProviderError(f"no resource plugin '{name}' found in the workspace or on your $PATH")
        try:
            child, port = await start_server(
                [executable, self._engine_address],
                cwd=self._program_directory,
                environment={},
                on_line=lambda line: self._events.diagnostic("info#err", line),
            )
        except OSError as error:
            raise ProviderError(f"could not start the resource plugin '{name}': {error}") from error
        provider = Provider(package, child, port)
        self._started.append(provider)
        await provider.handshake(self._engine_address, str(self._program_directory))
        return provider

    def add(self, reference: str, provider: Provider) -> None:
        """Make a configured provider known under its reference."""

        async def known() -> Provider:
            return provider

        self._by_reference[reference] = asyncio.create_task(known())

    def known(self, reference: str) -> bool:
        """Tell whether a provider is registered (or recorded and loaded) under a reference."""
        return reference in self._by_reference

    async def get(self, reference: str) -> Provider:
        """The provider of a reference."""
        task = self._by_reference.get(reference)
        if task is None:
            raise ProviderError(f"unknown provider '{reference}'")
        return await task

    async def load(self, resource: ResourceState) -> Provider:
        """The provider of a recorded provider resource, configured from the record."""
        reference = f"{resource.urn}::{resource.id}"

        async def start() -> Provider:
            provider = await self.take(package_of(resource.type))
            await provider.configure(resource.urn, resource.id, resource.inputs)
            return provider

        if reference not in self._by_reference:
            self._by_reference[reference] = asyncio.create_task(start())
        return await self._by_reference[reference]

    async def cancel(self) -> None:
        """Ask all plugins to break off what they wait for."""
        await asyncio.gather(*(provider.cancel() for provider in self._started), return_exceptions=True)

    async def stop(self) -> None:
        """End all plugins."""
        waiting = [task for tasks in self._ahead.values() for task in tasks]
        await asyncio.gather(*waiting, return_exceptions=True)
        await asyncio.gather(*(provider.stop() for provider in self._started), return_exceptions=True)
