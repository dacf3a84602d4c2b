"""Read probes: what they ask a server, and how long they wait."""

import re
from typing import Any, Final, Literal

from policies.commands import is_inline_code, programs
from policies.resources import at, items, table, whole

Asks = Literal["an inference", "the engine's health", "an HTTP answer", "no more than its presence", "a program", None]
"""What a probe asks: ``a program`` is the user's own program, whose requests are not visible in the probe."""

# Paths on which vLLM runs the model. A request for /v1/models does not.
_INFERENCE: Final = re.compile(r"/v[12]/(?!models(?![\w-]))[a-z]|/invocations\b|/inference/v1/")
_HEALTH_PATH: Final = re.compile(r"/(health|ping)/?(\?.*)?")
# In a command: a separate word, or the path of a URL.
_HEALTH: Final = re.compile(r"(^|[\s'\"]|:[^\s'\"]*)/(health|ping)(?![\w./-])")
_HTTP: Final = re.compile(r"https?://|\b(curl|wget|urlopen|HTTPConnection|requests|httpx)\b")
# Programs that ask only what their arguments say.
_KNOWN: Final = frozenset(
    {
        *("curl", "wget", "http", "https", "nc", "ncat", "netcat", "telnet", "socat", "ss", "netstat"),
        *("test", "[", "[[", "true", ":", "echo", "printf", "cat", "head", "ls", "stat", "find", "grep", "sleep"),
        *("pgrep", "pidof", "ps", "kill", "nvidia-smi", "exit", "set", "fi", "done"),
    }
)


class Probe:
    """One probe of a container, with Kubernetes' defaults for missing values."""

    def __init__(self, probe: Any) -> None:
        """Read the probe; None is a probe that asks nothing."""
        self._probe = table(probe)

    @property
    def period_seconds(self) -> int:
        """The interval of the probe."""
        return self._number("periodSeconds", 10)

    @property
    def timeout_seconds(self) -> int:
        """How long the probe waits for an answer."""
        return self._number("timeoutSeconds", 1)

    @property
    def failures(self) -> int:
        """How many consecutive failures make the probe fail."""
        return self._number("failureThreshold", 3)

    @property
    def silence_seconds(self) -> int:
        """The shortest time without an answer that makes the probe fail: probes run one after the other."""
        return self.failures * max(self.period_seconds, self.timeout_seconds)

    @property
    def startup_seconds(self) -> int:
        """The shortest time that the probe gives a container to start."""
        return self._number("initialDelaySeconds", 0) + self.failures * self.period_seconds

    @property
    def threshold_seconds(self) -> int:
        """How long the inference of VllmStack's probe may take, from the probe's command; 1 for other probes."""
        text = " ".join(str(word) for word in items(at(self._probe, "exec.command")))
        found = re.search(r"--threshold-seconds[ =]([0-9]+)", text)
        return int(found[1]) if found else 1

    @property
    def asks(self) -> Asks:
        """What the probe asks."""
        if self._probe.get("exec") is not None:
            return _asked_by(at(self._probe, "exec.command"))
        if self._probe.get("httpGet") is not None:
            return _asked_at(at(self._probe, "httpGet.path"))
        if self._probe.get("grpc") is not None:
            return "the engine's health"
        return None if self._probe.get("tcpSocket") is None else "no more than its presence"

    def _number(self, name: str, default: int) -> int:
        # Kubernetes treats a zero as a missing value.
        return whole(self._probe.get(name)) or default


def _asked_at(path: Any) -> Asks:
    if _HEALTH_PATH.fullmatch(str(path)):
        return "the engine's health"
    return "an inference" if _INFERENCE.match(str(path)) else "an HTTP answer"


def _asked_by(command: Any) -> Asks:
    text = " ".join(str(word) for word in items(command))
    if _INFERENCE.search(text):
        return "an inference"
    if _HEALTH.search(text) or programs(command) == {"grpc_health_probe"}:
        return "the engine's health"
    if "/dev/tcp/" not in text and not is_inline_code(command) and programs(command) - _KNOWN:
        return "a program"
    return "an HTTP answer" if _HTTP.search(text) else "no more than its presence"
