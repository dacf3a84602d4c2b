"""Finds the binaries of a world on this machine, or builds them once into a cache from pinned Go modules."""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from rehearsal.system.processes import die_with
from rehearsal.world.executables import find_real

_MODULES = Path(__file__).parent
_INTERRUPT_SECONDS = 5.0
_KUBERNETES_VERSION = "1.36.3"  # As pinned in kubernetes/go.mod.
_PULUMI_VERSION = "3.274.1"  # As pinned in pulumi/go.mod.


class BuildError(Exception):
    """A binary is missing and cannot be built. The message is one line with the fix."""


@dataclass(frozen=True, kw_only=True)
class Component:
    """One binary and the Go package that it is built from."""

    name: str
    module: str
    """Folder next to this file that contains the go.mod."""
    package: str
    tags: str = ""
    variables: Mapping[str, str] = field(default_factory=dict[str, str])
    """Go variables that the linker sets, by import path and name."""
    disk_gib: float
    """Free space for a first build, including Go's caches."""
    minutes: float
    """Duration of a first build on two idle cores, after the components before it."""

    @property
    def folder(self) -> Path:
        return _MODULES / self.module

    @property
    def build_flags(self) -> list[str]:
        # Without symbol tables the binaries are half as large.
        linker_flags = ["-s", "-w", *(f"-X={name}={value}" for name, value in self.variables.items())]
        return ["-trimpath", "-ldflags", " ".join(linker_flags), *(["-tags", self.tags] if self.tags else [])]

    @property
    def cached(self) -> Path:
        """The built binary's path. A new pin or flag makes a new path."""
        digest = hashlib.sha256()
        for part in ((self.folder / "go.mod").read_bytes(), (self.folder / "go.sum").read_bytes()):
            digest.update(part)
        digest.update(" ".join(self.build_flags).encode())
        return cache_folder() / digest.hexdigest()[:16] / "bin" / self.name


def _kubernetes(name: str, *, minutes: float) -> Component:
    # A build outside Kubernetes' own tree has no version, but clients ask the API server for it.
    major, minor, _ = _KUBERNETES_VERSION.split(".")
    return Component(
        name=name,
        module="kubernetes",
        package=f"k8s.io/kubernetes/cmd/{name}",
        variables={
            "k8s.io/component-base/version.gitVersion": f"v{_KUBERNETES_VERSION}",
            "k8s.io/component-base/version.gitMajor": major,
            "k8s.io/component-base/version.gitMinor": minor,
        },
        disk_gib=4.0,
        minutes=minutes,
    )


COMPONENTS = (
    Component(name="etcd", module="etcd", package="go.etcd.io/etcd/server/v3", disk_gib=1.0, minutes=1),
    _kubernetes("kube-apiserver", minutes=4),
    _kubernetes("kube-controller-manager", minutes=1),
    _kubernetes("kube-scheduler", minutes=0.2),
    Component(
        name="prometheus",
        module="prometheus",
        package="github.com/prometheus/prometheus/cmd/prometheus",
        tags="remove_all_sd,netgo",  # Leaves out twenty clouds' clients; keeps file discovery.
        disk_gib=2.0,
        minutes=2.5,
    ),
    Component(
        name="pulumi",
        module="pulumi",
        package="github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
        # A build outside Pulumi's own tree has no version either, but the automation API asks for it.
        variables={"github.com/pulumi/pulumi/sdk/v3/go/common/version.Version": f"v{_PULUMI_VERSION}"},
        disk_gib=3.0,
        minutes=4,
    ),
)


def cache_folder() -> Path:
    """Return the folder for built binaries: REHEARSAL_CACHE_DIR, by default a folder in the user's cache."""
    return Path(os.environ.get("REHEARSAL_CACHE_DIR") or Path.home() / ".cache" / "vllm-blue-green")


def find(component: Component) -> Path | None:
    """Return the binary from KUBEBUILDER_ASSETS, PATH or the cache, in this order; None when it must be built."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    candidates = [Path(assets) / component.name] if assets else []
    if on_path := find_real(component.name):
        candidates.append(Path(on_path))
    candidates.append(component.cached)
    return next((path for path in candidates if os.access(path, os.X_OK) and path.is_file()), None)


def binaries(console: Console | None = None) -> dict[str, Path]:
    """Return every component's binary by name. Builds what is missing and reports that to the console.

    Raises:
        BuildError: a binary is missing and cannot be built.
    """
    found = {component.name: find(component) for component in COMPONENTS}
    missing = [component for component in COMPONENTS if found[component.name] is None]
    if missing:
        _check_tools(missing)
        with _only_builder(console):
            if console:
                minutes = sum(component.minutes for component in missing)
                console.print(f"building {len(missing)} binaries, once: about {minutes:.0f} minutes on two cores")
            for number, component in enumerate(missing, 1):
                found[component.name] = find(component) or _build(component, f"{number} of {len(missing)}", console)
    return {name: path for name, path in found.items() if path is not None}


def can_build() -> bool:
    """Return whether this machine can build the missing binaries."""
    return shutil.which("go") is not None


def _check_tools(missing: Iterable[Component]) -> None:
    names = ", ".join(component.name for component in missing)
    if not can_build():
        raise BuildError(
            f"{names} must be built, but there is no Go: install Go {_needed_go()} or newer, or put {names} on PATH"
        )
    answer = subprocess.run(
        ["go", "env", "GOVERSION", "GOCACHE", "GOMODCACHE"],
        capture_output=True,
        text=True,
        env=os.environ | {"GOTOOLCHAIN": "local"},
        cwd="/",
        check=False,
    )
    if answer.returncode:
        raise BuildError(f"`go env` fails: {answer.stderr.strip()}")
    version, *folders = answer.stdout.splitlines()
    if _version(version) < _version(_needed_go()):
        raise BuildError(f"found {version}, but building {names} needs Go {_needed_go()} or newer")
    needed_gib = sum({component.module: component.disk_gib for component in missing}.values())
    for folder in (*folders, str(cache_folder())):
        free_gib = shutil.disk_usage(_existing(Path(folder))).free / 2**30
        if free_gib < needed_gib:
            raise BuildError(f"building {names} needs {needed_gib:g} GiB in {folder}; {free_gib:.1f} GiB are free")


def _needed_go() -> str:
    """Return the highest ``go`` directive of our modules."""
    texts = [(component.folder / "go.mod").read_text() for component in COMPONENTS]
    found = [match[1] for text in texts if (match := re.search(r"^go (\S+)$", text, re.MULTILINE))]
    return max(found, key=_version)


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", text)[:3])


def _existing(path: Path) -> Path:
    return path if path.exists() else _existing(path.parent)


@contextmanager
def _only_builder(console: Console | None) -> Generator[None]:
    """Hold the cache's lock, so that concurrent processes build once."""
    cache_folder().mkdir(parents=True, exist_ok=True)
    with (cache_folder() / "build.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if console:
                console.print("waiting for another build of the binaries")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(component: Component, place: str, console: Console | None) -> Path:
    started = time.monotonic()
    target = component.cached
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    # Low priority keeps the machine usable; our own module makes the build independent of its Go workspace.
    command = ["nice", "go", "build", "-mod=readonly", *component.build_flags, "-o", unfinished, component.package]
    environment = os.environ | {"CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": "-buildvcs=false"}
    duration = f"about {component.minutes:g} min" if component.minutes >= 1 else "seconds"
    message = f"building {component.name} ({place}, {duration})"
    try:
        if console:
            console.print(message)
            with console.status(message):
                _run(component.name, command, component.folder, environment)
        else:
            _run(component.name, command, component.folder, environment)
        unfinished.rename(target)
    finally:
        unfinished.unlink(missing_ok=True)
    if console:
        console.print(f"built {component.name} in {time.monotonic() - started:.0f} s")
    return target


def _run(name: str, command: list[str | Path], folder: Path, environment: dict[str, str]) -> None:
    """Run Go to its end. Pass an interrupt on to Go and all its children. Raises BuildError."""
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=die_with(os.getpid()),
    ) as go:
        try:
            _, messages = go.communicate()
        except BaseException:
            os.killpg(go.pid, signal.SIGINT)  # Lets it remove its work folder.
            with contextlib.suppress(subprocess.TimeoutExpired):
                go.wait(_INTERRUPT_SECONDS)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(go.pid, signal.SIGKILL)
            raise
    if go.returncode:
        reason = [line for line in messages.splitlines() if not line.startswith("go: downloading")]
        raise BuildError(f"building {name} failed: {' | '.join(reason[-3:]) or 'no message'}")
