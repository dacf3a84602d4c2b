"""A project's own modules, imported before the first fork, for runs that would import exactly the same files."""

import importlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType

_Files = Mapping[str, tuple[int, int]]


@dataclass(frozen=True)
class Project:
    """The imported modules of a folder. They are not among `sys.modules` until they are put back."""

    folder: str
    packages: frozenset[str]
    modules: Mapping[str, ModuleType]
    files: _Files

    @classmethod
    def imported(cls, folder: str, names: Sequence[str]) -> "Project":
        """Import modules of a folder, with all modules that they import.

        Raises:
            Exception: a module cannot be imported. None of them stays imported.
        """
        folder = os.path.realpath(folder)  # As a run's working directory names it.
        packages = frozenset(name.partition(".")[0] for name in names)
        # Before the import: a file that changes meanwhile must not pass for the one that was imported.
        files = _files(folder, packages)
        sys.path.insert(0, folder)
        try:
            for name in names:
                importlib.import_module(name)
        finally:
            sys.path.remove(folder)
            own = [name for name in sys.modules if name.partition(".")[0] in packages]
            modules = {name: sys.modules.pop(name) for name in own}
        return cls(folder, packages, modules, files)

    def put_back(self) -> None:
        """Count the modules as imported again, unless a file of their packages has changed since."""
        if _files(self.folder, self.packages) == self.files:
            sys.modules.update(self.modules)


def _files(folder: str, packages: frozenset[str]) -> _Files:
    """Return the time of the last change and the size of every file in a folder's packages."""
    return dict(found for package in packages for found in _below(f"{folder}/{package}"))


def _below(folder: str) -> Iterator[tuple[str, tuple[int, int]]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                if entry.name != "__pycache__":
                    yield from _below(entry.path)
            else:
                state = entry.stat()
                yield entry.path, (state.st_mtime_ns, state.st_size)
