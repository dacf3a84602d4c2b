"""Cases: serving."""

from typing import Any

from components.domain.naming import COLOR_KEY, SERVICE_KEY
from policies.resources import TARGET_GROUP_BINDING
from tests.policies.by_hand import CONTAINER, by_hand
from tests.policies.case import Safe, Unsafe
from tests.policies.edits import GONE, Gone
from tests.policies.stacks import Declared

_BLUE, _GREEN = "Deployment chat-blue", "Deployment chat-green"
_BLUE_BUDGET = "PodDisruptionBudget chat-blue"
_VLLM = "spec.template.spec.containers[0]"
_READINESS = f"{_VLLM}.readinessProbe"
_LIVENESS = f"{_VLLM}.livenessProbe"
_GATES = "spec.template.spec.readinessGates"
_GRACE = "spec.template.spec.terminationGracePeriodSeconds"
_ROLLING = "spec.strategy.rollingUpdate"
_POD_LABELS = "spec.template.metadata.labels"
_CHATS: dict[str, Any] = {"namespace": "chat", "labels": {SERVICE_KEY: "chat", COLOR_KEY: "blue"}}
# A binding for which no colour's pods wait.
_BINDING = Declared(
    type=TARGET_GROUP_BINDING,
    name="llm",
    props={"metadata": {"name": "llm", "namespace": "ask", "labels": {SERVICE_KEY: "ask", COLOR_KEY: "blue"}}},
)


def _ready_by(*command: str) -> dict[str, Any]:
    """A readiness probe that runs this."""
    return {f"{_READINESS}.exec.command": list(command)}


def _asked_by(probe: str, **handler: Any) -> dict[str, Any]:
    """A probe of another kind than the program declares."""
    own = "exec" if probe == _READINESS else "httpGet"
    gone: dict[str, Any | Gone] = {} if own in handler else {f"{probe}.{own}": GONE}
    return {**gone, **{f"{probe}.{kind}": value for kind, value in handler.items()}}


_STARTUP = (
    Unsafe(
        policy="serving-startup-probe",
        why="no startup probe: the liveness probe restarts pods that still load",
        base="ramp",
        edits={_GREEN: {f"{_VLLM}.startupProbe": GONE}},
        says="chat-green: what the startup probe asks is not set, but must be an answer of the server.",
    ),
    Unsafe(
        policy="serving-startup-probe",
        why="a startup probe that connects: vLLM opens its port before it loads the model",
        base="ramp",
        edits={_BLUE: _asked_by(f"{_VLLM}.startupProbe", tcpSocket={"port": "http"})},
        says="chat-blue: what the startup probe asks is no more than its presence",
    ),
    Unsafe(
        policy="serving-startup-probe",
        why="by hand: several API servers give up after vLLM's 600 s, before the probe does",
        base="ramp",
        added=by_hand(
            {
                f"{CONTAINER}.args[0]": "vllm serve org/model --revision=0a1b2c3 --shutdown-timeout 60"
                " --fingerprint-mode custom --fingerprint-value blue-r7 --api-server-count=2",
                f"{CONTAINER}.startupProbe.failureThreshold": 61,
            }
        ),
        says="llm: the time after which vLLM gives up (s) is 600, but must be at least 610, the time to start.",
    ),
    Unsafe(
        policy="serving-startup-probe",
        why="vLLM's own limit is one second too short",
        base="ramp",
        edits={
            _BLUE: {
                f"{_VLLM}.args[16]": "--api-server-count=2",
                f"{_VLLM}.env[name=VLLM_ENGINE_READY_TIMEOUT_S].value": "899",
            }
        },
        says="gives up (s) is 899, but must be at least 900",
    ),
    Unsafe(
        policy="serving-startup-probe",
        why="a start may take 910 s, and the rollout is given up after 909",
        base="ramp",
        edits={_BLUE: {f"{_VLLM}.startupProbe.initialDelaySeconds": 10, "spec.progressDeadlineSeconds": 909}},
        says="spec.progressDeadlineSeconds is 909, but must be at least 910, the time to start",
    ),
    Unsafe(
        policy="serving-startup-probe",
        why="by hand: a start of 610 s beside Kubernetes' own deadline of 600",
        base="ramp",
        added=by_hand({"spec.progressDeadlineSeconds": GONE, f"{CONTAINER}.startupProbe.failureThreshold": 61}),
        says="llm: spec.progressDeadlineSeconds is 600",
    ),
    Unsafe(
        policy="serving-startup-probe",
        why="less time than the platform team knows its models to need",
        base="ramp",
        edits={_BLUE: {f"{_VLLM}.startupProbe.failureThreshold": 89}},
        config={"serving-startup-probe": {"min_startup_seconds": 891}},
        says="the time to start (s) is 890, but must be at least 891",
    ),
)

_READY = (
    Unsafe(
        policy="serving-readiness-answers",
        why="no readiness probe: a pod gets requests before it can answer",
        base="ramp",
        edits={_BLUE: {_READINESS: GONE}},
        says="chat-blue: what the readiness probe asks is not set, but must be an inference.",
    ),
    Unsafe(
        policy="serving-readiness-answers",
        why="ready by /health, which a hung GPU still answers",
        base="ramp",
        edits={_GREEN: _asked_by(_READINESS, httpGet={"path": "/health", "port": "http"})},
        says="is the engine's health, but must be an inference",
    ),
    Unsafe(
        policy="serving-readiness-answers",
        why="ready by the list of models, which runs none of them",
        base="ramp",
        edits={_GREEN: _asked_by(_READINESS, httpGet={"path": "/v1/models", "port": "http"})},
        says="is an HTTP answer, but must be an inference",
    ),
    Unsafe(
        policy="serving-readiness-answers",
        why="ready by an open port",
        base="promoted",
        edits={_GREEN: _asked_by(_READINESS, tcpSocket={"port": 8000})},
        says="is no more than its presence",
    ),
    Unsafe(
        policy="serving-readiness-answers",
        why="ready by gRPC's health service",
        base="ramp",
        edits={_GREEN: _asked_by(_READINESS, grpc={"port": 8000})},
        says="is the engine's health",
    ),
    Unsafe(
        policy="serving-readiness-answers",
        why="an exec that merely connects",
        base="ramp",
        edits={_GREEN: _ready_by("sh", "-c", "timeout 1 nc -z $POD_IP 8000")},
        says="is no more than its presence",
    ),
    Unsafe(
        policy="serving-readiness-answers",
        why="an exec that connects by the shell's own means",
        base="ramp",
        edits={_GREEN: _ready_by("timeout", "1", "bash", "-c", "</dev/tcp/127.0.0.1/8000")},
        says="is no more than its presence",
    ),
    Unsafe(
        policy="serving-readiness-answers",
        why="an exec that asks /health",
        base="ramp",
        edits={_GREEN: _ready_by("curl", "-sf", "http://127.0.0.1:8000/health")},
        says="is the engine's health",
    ),
    Unsafe(
        policy="serving-readiness-answers",
        why="an exec whose code is all in view, and only opens a connection",
        base="ramp",
        edits={_GREEN: _ready_by("python3", "-I", "-c", "import socket; socket.create_connection(('::1', 8000))")},
        says="is no more than its presence",
    ),
    Unsafe(
        policy="serving-readiness-answers",
        why="a timeout of 1 s, Kubernetes' own: every busy pod is taken out of service",
        base="ramp",
        edits={_BLUE: {f"{_READINESS}.timeoutSeconds": GONE}},
        says="readinessProbe.timeoutSeconds is 1, but must be at least 23",
    ),
    Unsafe(
        policy="serving-readiness-answers",
        why="a timeout that leaves the probe's 20 s of inference but 2 s for all else",
        base="ramp",
        edits={_BLUE: {f"{_READINESS}.timeoutSeconds": 22}},
        says="is 22, but must be at least 23",
    ),
    Unsafe(
        policy="serving-readiness-answers",
        why="by hand, with no time for an inference",
        base="ramp",
        added=by_hand({f"{CONTAINER}.readinessProbe.timeoutSeconds": 3}),
        says="llm: readinessProbe.timeoutSeconds is 3, but must be at least 4",
    ),
)

_ALIVE = (
    Unsafe(
        policy="serving-liveness-spares-the-busy",
        why="no liveness probe: a hung server stays for ever",
        base="ramp",
        edits={_BLUE: {_LIVENESS: GONE}},
        says="what the liveness probe asks is not set, but must be the engine's health",
    ),
    Unsafe(
        policy="serving-liveness-spares-the-busy",
        why="the readiness probe's program for liveness: under a full queue, every pod is restarted",
        base="ramp",
        edits={_BLUE: _asked_by(_LIVENESS, exec={"command": ["python3", "-I", "/etc/vllm-probe/readiness_probe.py"]})},
        says="is a program, but must be the engine's health",
    ),
    Unsafe(
        policy="serving-liveness-spares-the-busy",
        why="alive by an open port, which a dead engine leaves open",
        base="ramp",
        edits={_BLUE: _asked_by(_LIVENESS, tcpSocket={"port": "http"})},
        says="is no more than its presence",
    ),
    Unsafe(
        policy="serving-liveness-spares-the-busy",
        why="alive by the list of models, which clients' key guards",
        base="ramp",
        edits={_BLUE: {f"{_LIVENESS}.httpGet.path": "/v1/models"}},
        says="is an HTTP answer",
    ),
    Unsafe(
        policy="serving-liveness-spares-the-busy",
        why="a restart after 150 s of silence, which a busy engine may need",
        base="ramp",
        edits={_BLUE: {f"{_LIVENESS}.failureThreshold": 5}},
        says="the silence before a restart (s) is 150, but must be at least 180",
    ),
    Unsafe(
        policy="serving-liveness-spares-the-busy",
        why="Kubernetes' own patience of 30 s",
        base="ramp",
        edits={
            _BLUE: {f"{_LIVENESS}.{field}": GONE for field in ("failureThreshold", "periodSeconds", "timeoutSeconds")}
        },
        says="is 30, but must be at least 180",
    ),
    Unsafe(
        policy="serving-liveness-spares-the-busy",
        why="by hand: 179 s, by the interval",
        base="ramp",
        added=by_hand(
            {f"{CONTAINER}.livenessProbe.periodSeconds": 179, f"{CONTAINER}.livenessProbe.failureThreshold": 1}
        ),
        says="llm: the silence before a restart (s) is 179",
    ),
    Unsafe(
        policy="serving-liveness-spares-the-busy",
        why="less patience than the platform team asks for",
        base="ramp",
        config={"serving-liveness-spares-the-busy": {"min_silence_seconds": 181}},
        says="is 180, but must be at least 181",
    ),
)

_GATED = (
    Unsafe(
        policy="serving-readiness-gate",
        why="no readiness gate: a Deployment goes on before the load balancer has seen its new pod",
        base="ramp",
        edits={_BLUE: {_GATES: GONE}},
        also=("serving-readiness-gate-of-its-binding",),
        says="chat-blue: readinessGates is empty, but must be at least target-health.elbv2.k8s.aws/",
    ),
    Unsafe(
        policy="serving-readiness-gate",
        why="by hand, with a gate of something else",
        base="ramp",
        added=by_hand({f"{_GATES}[0].conditionType": "example.com/warmed-up"}),
        says="llm: readinessGates is example.com/warmed-up",
    ),
    Unsafe(
        policy="serving-readiness-gate-of-its-binding",
        why="the other colour's gate: no green pod ever becomes ready",
        base="ramp",
        edits={_GREEN: {f"{_GATES}[0].conditionType": "target-health.elbv2.k8s.aws/chat-blue"}},
        says="chat-blue, but must be target-health.elbv2.k8s.aws/chat-green among others",
    ),
    Unsafe(
        policy="serving-readiness-gate-of-its-binding",
        why="a binding of another name than its pods wait for",
        base="promoted",
        edits={"TargetGroupBinding chat-green": {"metadata.name": "chat"}},
        says="must be target-health.elbv2.k8s.aws/chat among others",
    ),
)

_DRAINED = (
    Unsafe(
        policy="serving-drain-chain",
        why="no preStop: the server ends while requests still arrive",
        base="ramp",
        edits={_BLUE: {f"{_VLLM}.lifecycle": GONE}},
        says="chat-blue: lifecycle.preStop (s) is not set, but must be a sleep of at least 1",
    ),
    Unsafe(
        policy="serving-drain-chain",
        why="a preStop hook whose duration is unknown",
        base="ramp",
        added=by_hand({f"{CONTAINER}.lifecycle.preStop.exec.command": ["/opt/drain.sh"]}),
        says="llm: lifecycle.preStop (s) is not set",
    ),
    Unsafe(
        policy="serving-drain-chain",
        why="a shorter preStop than the platform team's load balancers need",
        base="ramp",
        config={"serving-drain-chain": {"min_pre_stop_seconds": 31}},
        says="lifecycle.preStop (s) is 30, but must be a sleep of at least 31",
    ),
    Unsafe(
        policy="serving-drain-chain",
        why="no shutdown timeout: vLLM aborts what runs",
        base="ramp",
        edits={_BLUE: {f"{_VLLM}.args": ["org/model", "--revision=c0ffee0", "--fingerprint-mode=custom"]}},
        also=("release-named",),
        says="--shutdown-timeout is not set, but must be the duration of the longest request in seconds",
    ),
    Unsafe(
        policy="serving-drain-chain",
        why="a shutdown timeout of 0, which aborts as well",
        base="ramp",
        edits={_BLUE: {f"{_VLLM}.args[--shutdown-timeout]": "0"}},
        says="--shutdown-timeout is 0",
    ),
    Unsafe(
        policy="serving-drain-chain",
        why="a grace period 1 s short of its links",
        base="ramp",
        edits={_BLUE: {_GRACE: 159}},
        says="terminationGracePeriodSeconds is 159, but must be from 160 (preStop + --shutdown-timeout + 10) to 899",
    ),
    Unsafe(
        policy="serving-drain-chain",
        why="by hand, with Kubernetes' own grace period of 30 s",
        base="ramp",
        added=by_hand({_GRACE: GONE}),
        says="llm: terminationGracePeriodSeconds is 30, but must be from 85",
    ),
    Unsafe(
        policy="serving-drain-chain",
        why="a grace period that EKS does not wait for",
        base="ramp",
        edits={_BLUE: {_GRACE: 900}},
        says="terminationGracePeriodSeconds is 900",
    ),
    Unsafe(
        policy="serving-drain-chain",
        why="by hand, with vLLM's own keep-alive of 5 s",
        base="ramp",
        added=by_hand({f"{CONTAINER}.env[1]": GONE}),
        also=("traffic-keep-alive-outlasts-idle-timeout",),
        says="llm: VLLM_HTTP_TIMEOUT_KEEP_ALIVE is not set, but must be more than vLLM's default of 5 s",
    ),
    Unsafe(
        policy="serving-drain-chain",
        why="by hand, with that keep-alive written out",
        base="ramp",
        added=by_hand({f"{CONTAINER}.env[1].value": "5"}),
        also=("traffic-keep-alive-outlasts-idle-timeout",),
        says="VLLM_HTTP_TIMEOUT_KEEP_ALIVE is 5",
    ),
)

_UPDATED = (
    Unsafe(
        policy="serving-no-surge",
        why="a strategy left to Kubernetes: a quarter more pods, for which there is no GPU",
        base="ramp",
        edits={_BLUE: {"spec.strategy": GONE}},
        says="chat-blue: spec.strategy.rollingUpdate.maxSurge is 25%, but must be at most 0 of 4 pods",
    ),
    Unsafe(
        policy="serving-no-surge",
        why="one pod more than there are GPUs for",
        base="ramp",
        edits={_BLUE: {f"{_ROLLING}.maxSurge": 1}},
        says="maxSurge is 1",
    ),
    Unsafe(
        policy="serving-no-surge",
        why="a surge of 1 %, which Kubernetes rounds up to a pod",
        base="ramp",
        edits={_BLUE: {f"{_ROLLING}.maxSurge": "1%"}},
        says="maxSurge is 1%",
    ),
    Unsafe(
        policy="serving-no-surge",
        why="two pods out of service at once",
        base="ramp",
        edits={_BLUE: {f"{_ROLLING}.maxUnavailable": "50%"}},
        says="maxUnavailable is 50%, but must be at most 1 of 4 pods",
    ),
    Unsafe(
        policy="serving-no-surge",
        why="what is no number of pods",
        base="ramp",
        edits={_BLUE: {f"{_ROLLING}.maxUnavailable": "one"}},
        says="maxUnavailable is one",
    ),
    Unsafe(
        policy="serving-no-surge",
        why="Recreate ends every pod before the first new one starts",
        base="promoted",
        edits={_GREEN: {"spec.strategy": {"type": "Recreate"}}},
        says="chat-green: spec.strategy.type is Recreate, but must be RollingUpdate while replicas run",
    ),
)

_DISRUPTED = (
    Unsafe(
        policy="serving-disruption-budget",
        why="no budget: an upgrade of nodes takes the colour away at once",
        base="ramp",
        edits={_BLUE_BUDGET: GONE},
        says="chat-blue: its PodDisruptionBudgets is empty, but must be one.",
    ),
    Unsafe(
        policy="serving-disruption-budget",
        why="a budget in another namespace protects no pod of this one",
        base="ramp",
        edits={_BLUE_BUDGET: {"metadata.namespace": "search"}},
        says="its PodDisruptionBudgets is empty",
    ),
    Unsafe(
        policy="serving-disruption-budget",
        why="a budget without a selector selects nothing",
        base="ramp",
        edits={_BLUE_BUDGET: {"spec.selector": GONE}},
        says="its PodDisruptionBudgets is empty",
    ),
    Unsafe(
        policy="serving-disruption-budget",
        why="two budgets for the same pods: Kubernetes evicts none of them any more",
        base="ramp",
        added=by_hand(budget={"metadata": _CHATS, "spec.selector.matchLabels": _CHATS["labels"]})[1:2],
        says="chat-blue: its PodDisruptionBudgets is chat-blue, llm, but must be one",
    ),
    Unsafe(
        policy="serving-disruption-budget",
        why="one budget over both colours: one may go entirely for the other",
        base="ramp",
        edits={
            _BLUE_BUDGET: {"spec.selector.matchLabels": {SERVICE_KEY: "chat"}},
            "PodDisruptionBudget chat-green": GONE,
        },
        says="chat-blue: spec.selector is chat-blue, chat-green, but must be for one colour's pods",
    ),
    Unsafe(
        policy="serving-disruption-budget",
        why="two pods at once",
        base="ramp",
        edits={_BLUE_BUDGET: {"spec.maxUnavailable": 2}},
        says="the number of pods that may be evicted at once is 2, but must be at most 1 of 4",
    ),
    Unsafe(
        policy="serving-disruption-budget",
        why="26 % of four, which Kubernetes rounds up",
        base="ramp",
        edits={_BLUE_BUDGET: {"spec.maxUnavailable": "26%"}},
        says="at once is 2",
    ),
    Unsafe(
        policy="serving-disruption-budget",
        why="a budget that says nothing lets all go",
        base="ramp",
        edits={_BLUE_BUDGET: {"spec.maxUnavailable": GONE}},
        says="at once is 4",
    ),
    Unsafe(
        policy="serving-disruption-budget",
        why="two of four must stay",
        base="ramp",
        edits={_BLUE_BUDGET: {"spec.maxUnavailable": GONE, "spec.minAvailable": 2}},
        says="at once is 2",
    ),
    Unsafe(
        policy="serving-disruption-budget",
        why="what is no number of pods",
        base="ramp",
        edits={_BLUE_BUDGET: {"spec.maxUnavailable": "one"}},
        says="at once is not set",
    ),
    Unsafe(
        policy="serving-disruption-budget",
        why="by hand: a single replica, which no other pod can replace",
        base="ramp",
        added=by_hand({"spec.replicas": 1}, budget={"spec.minAvailable": GONE, "spec.maxUnavailable": 1}),
        says="at once is 1, but must be at most 0 of 1. Set maxUnavailable to 0",
    ),
)

_NAMED = (
    Unsafe(
        policy="serving-colors-named",
        why="vLLM on GPUs without any name: no policy for services sees it",
        base="ramp",
        added=by_hand({"metadata.labels": GONE, f'{_POD_LABELS}["{COLOR_KEY}"]': GONE}),
        says="llm: metadata.labels is no service, no colour, but must be",
    ),
    Unsafe(
        policy="serving-colors-named",
        why="pods that are named blue, of a Deployment that is not",
        base="ramp",
        added=(*by_hand({f'metadata.labels["{COLOR_KEY}"]': GONE}), _BINDING),
        says="metadata.labels is ask, no colour",
    ),
    Unsafe(
        policy="serving-colors-named",
        why="a colour that there is not",
        base="ramp",
        added=by_hand({f'metadata.labels["{COLOR_KEY}"]': "red"}),
        says="metadata.labels is ask, red",
    ),
    Unsafe(
        policy="serving-colors-named",
        why="no service",
        base="ramp",
        added=by_hand({f'metadata.labels["{SERVICE_KEY}"]': GONE}),
        says="metadata.labels is no service, blue",
    ),
    Unsafe(
        policy="serving-colors-named",
        why="blue's Deployment makes pods that get green's requests",
        base="ramp",
        added=by_hand({f'{_POD_LABELS}["{COLOR_KEY}"]': "green"}),
        says="service and colour on its pods is ask, green, but must be ask, blue, as on the Deployment",
    ),
    Unsafe(
        policy="serving-colors-named",
        why="a selector without the colour adopts the other's pods",
        base="ramp",
        added=by_hand({"spec.selector.matchExpressions[1]": GONE}),
        says=f"must be on {SERVICE_KEY} and {COLOR_KEY}",
    ),
    Unsafe(
        policy="serving-colors-named",
        why="a selector without the service adopts other services' pods",
        base="ramp",
        added=by_hand({"spec.selector": {"matchLabels": {COLOR_KEY: "blue", "app": "llm"}}}),
        says=f"spec.selector is {COLOR_KEY}, app, but must be",
    ),
)

UNSAFE = (*_STARTUP, *_READY, *_ALIVE, *_GATED, *_DRAINED, *_UPDATED, *_DISRUPTED, *_NAMED)

SAFE = (
    Safe(why="by hand: other names, a shell, a sidecar, defaults that will do", base="ramp", added=by_hand()),
    Safe(
        why="by hand: half of three, rounded as Kubernetes does: down for updates, up for evictions",
        base="ramp",
        added=by_hand({"spec.replicas": 3}),
    ),
    Safe(
        why="a start of 900 s, and a deadline of exactly that",
        base="ramp",
        edits={_BLUE: {"spec.progressDeadlineSeconds": 900}},
        config={"serving-startup-probe": {"min_startup_seconds": 900}},
    ),
    Safe(
        why="several API servers that wait as long as the probe",
        base="ramp",
        edits={_BLUE: {f"{_VLLM}.args[16]": "--api-server-count=2"}},
    ),
    Safe(
        why="a single API server has no limit of its own",
        base="ramp",
        edits={
            _BLUE: {
                f"{_VLLM}.args[16]": "--api-server-count=1",
                f"{_VLLM}.env[name=VLLM_ENGINE_READY_TIMEOUT_S]": GONE,
            }
        },
    ),
    Safe(
        why="a startup probe that is a program of its own",
        base="ramp",
        edits={_BLUE: _asked_by(f"{_VLLM}.startupProbe", exec={"command": ["/opt/started", "--wait"]})},
    ),
    Safe(
        why="ready by an inference that a shell asks for",
        base="ramp",
        edits={
            _GREEN: _ready_by("bash", "-ec", "curl -sfd @/opt/ask.json localhost:8000/v1/chat/completions | grep -q .")
        },
    ),
    Safe(
        why="ready by a script of its own, after a look at the port",
        base="ramp",
        edits={_GREEN: _ready_by("sh", "-c", "nc -z $POD_IP 8000 && exec timeout 20 /opt/ready.sh")},
    ),
    Safe(
        why="ready by somebody that asks the server, on a path of its own below /v1/",
        base="ramp",
        edits={_GREEN: _asked_by(_READINESS, httpGet={"path": "/v1/ready", "port": 9000})},
    ),
    Safe(
        why="by hand, with just enough time for an inference of 1 s",
        base="ramp",
        added=by_hand({f"{CONTAINER}.readinessProbe.timeoutSeconds": 4}),
    ),
    Safe(
        why="alive by gRPC's health service, and 180 s of patience by the interval",
        base="ramp",
        edits={
            _BLUE: {
                **_asked_by(_LIVENESS, grpc={"port": 8000}),
                f"{_LIVENESS}.timeoutSeconds": GONE,
                f"{_LIVENESS}.failureThreshold": 18,
            }
        },
    ),
    Safe(
        why="alive by a shell that asks /health, and a team that is content with less patience",
        base="ramp",
        edits={
            _BLUE: {
                **_asked_by(_LIVENESS, exec={"command": ["sh", "-c", "curl -sf localhost:8000/health"]}),
                f"{_LIVENESS}.failureThreshold": 2,
            }
        },
        config={"serving-liveness-spares-the-busy": {"min_silence_seconds": 60}},
    ),
    Safe(
        why="a second gate beside the binding's",
        base="ramp",
        edits={_BLUE: {f"{_GATES}[1]": {"conditionType": "example.com/warmed-up"}}},
    ),
    Safe(
        why="a binding that names neither itself nor its colour",
        base="ramp",
        edits={"TargetGroupBinding chat-green": {"metadata.name": GONE}},
    ),
    Safe(why="the longest grace period that EKS waits for", base="ramp", edits={_BLUE: {_GRACE: 899}}),
    Safe(
        why="a chain whose links are as short as can be",
        base="ramp",
        added=by_hand(
            {
                f"{CONTAINER}.lifecycle.preStop": {"sleep": {"seconds": 1}},
                f"{CONTAINER}.env[1].value": "71",
                _GRACE: 71,
            }
        ),
    ),
    Safe(
        why="as long a preStop as the platform team asks for",
        base="ramp",
        config={"serving-drain-chain": {"min_pre_stop_seconds": 30}},
    ),
    Safe(
        why="parked: no pod is there that Recreate could end, nor a budget to keep it",
        base="reaped",
        edits={_BLUE: {"spec.strategy": {"type": "Recreate"}}, _BLUE_BUDGET: GONE},
    ),
    Safe(
        why="a spare place for a surge, and a team that permits it",
        base="ramp",
        edits={_BLUE: {_ROLLING: {"maxSurge": 1, "maxUnavailable": 2}}},
        config={"serving-no-surge": {"max_surge_pods": 1, "max_unavailable_pods": 2}},
    ),
    Safe(why="25 % of four pods out of service: one", base="ramp", edits={_BLUE: {_ROLLING: {"maxSurge": 0}}}),
    Safe(
        why="three of four must stay",
        base="ramp",
        edits={_BLUE_BUDGET: {"spec.maxUnavailable": GONE, "spec.minAvailable": "75%"}},
    ),
    Safe(
        why="two pods at once, which the platform team permits",
        base="ramp",
        edits={_BLUE_BUDGET: {"spec.maxUnavailable": 2}},
        config={"serving-disruption-budget": {"max_evicted_pods": 2}},
    ),
    Safe(
        why="by hand: a single replica that no eviction may take",
        base="ramp",
        added=by_hand({"spec.replicas": GONE}, budget={"spec.minAvailable": 1}),
    ),
    Safe(
        why="vLLM that is no part of a blue/green service, and says so in the pack's config",
        base="ramp",
        added=by_hand({"metadata.labels": GONE, f'{_POD_LABELS}["{COLOR_KEY}"]': GONE}, budget=GONE, policy=GONE),
        config={"serving-colors-named": {"exempt": ["llm"]}},
    ),
)
