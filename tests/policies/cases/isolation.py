"""Cases: isolation."""

from components.domain.naming import SERVICE_KEY
from tests.policies.by_hand import CONTAINER, by_hand
from tests.policies.case import Safe, Unsafe
from tests.policies.edits import GONE

_BLUE, _GREEN = "Deployment chat-blue", "Deployment chat-green"
_POLICY = "NetworkPolicy chat-blue"
_POD = "spec.template.spec"
_VLLM = "spec.template.spec.containers[0]"
_FROM = "spec.ingress[0].from"
# Made up, and put together here so that it is not mistaken for a real one.
TOKEN = "hf_" + "A1b2C3d4" * 4

_CLOSED = (
    Unsafe(
        policy="isolation-network-policy",
        why="no policy: every pod of the cluster reaches vLLM past its key",
        base="ramp",
        edits={_POLICY: GONE},
        says="chat-blue: its NetworkPolicies for ingress is empty, but must be at least one",
    ),
    Unsafe(
        policy="isolation-network-policy",
        why="a policy for what leaves the pods alone",
        base="ramp",
        edits={_POLICY: {"spec.policyTypes": ["Egress"]}},
        says="its NetworkPolicies for ingress is empty",
    ),
    Unsafe(
        policy="isolation-network-policy",
        why="a policy for pods that there are none of",
        base="ramp",
        edits={_POLICY: {"spec.podSelector.matchLabels": {SERVICE_KEY: "chats"}}},
        says="its NetworkPolicies for ingress is empty",
    ),
    Unsafe(
        policy="isolation-network-policy",
        why="a policy in another namespace",
        base="ramp",
        edits={_POLICY: {"metadata.namespace": "default"}},
        says="its NetworkPolicies for ingress is empty",
    ),
    Unsafe(
        policy="isolation-network-policy",
        why="a rule without a source is open to all",
        base="ramp",
        edits={_POLICY: {_FROM: GONE}},
        says="chat-blue: spec.ingress.from is not set, which allows everything, but must be named networks",
    ),
    Unsafe(
        policy="isolation-network-policy",
        why="the whole internet among the networks",
        base="ramp",
        edits={_POLICY: {f"{_FROM}[3].ipBlock.cidr": "0.0.0.0/0"}},
        says="spec.ingress.from is the whole internet",
    ),
    Unsafe(
        policy="isolation-network-policy",
        why="the whole internet in two halves, of IPv6",
        base="ramp",
        edits={_POLICY: {f"{_FROM}[2].ipBlock.cidr": "::/1", f"{_FROM}[3].ipBlock.cidr": "8000::/1"}},
        says="spec.ingress.from is the whole internet",
    ),
    Unsafe(
        policy="isolation-network-policy",
        why="the whole internet, by a slip of the prefix",
        base="ramp",
        edits={_POLICY: {f"{_FROM}[0].ipBlock.cidr": "10.0.0.0/0"}},
        says="spec.ingress.from is the whole internet",
    ),
    Unsafe(
        policy="isolation-network-policy",
        why="every namespace in place of Prometheus's",
        base="ramp",
        edits={_POLICY: {f"{_FROM}[4].namespaceSelector": {}}},
        says="spec.ingress.from is every namespace",
    ),
    Unsafe(
        policy="isolation-network-policy",
        why="by hand: every pod of every namespace, said twice",
        base="ramp",
        added=by_hand(policy={f"{_FROM}[1].namespaceSelector": {}}),
        says="llm: spec.ingress.from is every namespace",
    ),
)

_SECRETS = (
    Unsafe(
        policy="isolation-no-plain-secrets",
        why="the hub's token in plain text",
        base="ramp",
        edits={_BLUE: {f"{_VLLM}.env[7]": {"name": "HF_TOKEN", "value": "secret"}}},
        says="chat-blue: HF_TOKEN of container vllm is plain text, but must be a reference to a Secret",
    ),
    Unsafe(
        policy="isolation-no-plain-secrets",
        why="a token under a name that says nothing",
        base="ramp",
        edits={_BLUE: {f"{_VLLM}.env[7]": {"name": "HUB", "value": TOKEN}}},
        says="HUB of container vllm is a Hugging Face token",
    ),
    Unsafe(
        policy="isolation-no-plain-secrets",
        why="a sidecar's password",
        base="ramp",
        added=by_hand({"spec.template.spec.containers[0].env": [{"name": "DBPASSWORD", "value": "x"}]}),
        says="llm: DBPASSWORD of container metrics is plain text",
    ),
    Unsafe(
        policy="isolation-no-plain-secrets",
        why="an init container's key, from a ConfigMap",
        base="ramp",
        edits={
            _BLUE: {
                f"{_POD}.initContainers": [
                    {
                        "name": "fetch",
                        "image": f"fetch@sha256:{'d' * 64}",
                        "env": [{"name": "AWS_SECRET_ACCESS_KEY", "valueFrom": {"configMapKeyRef": {"name": "keys"}}}],
                        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                    }
                ]
            }
        },
        says="AWS_SECRET_ACCESS_KEY of container fetch is in a ConfigMap",
    ),
    Unsafe(
        policy="isolation-no-plain-secrets",
        why="vLLM's key as an argument",
        base="ramp",
        edits={_BLUE: {f"{_VLLM}.args[16]": "--api-key=open-sesame"}},
        says="chat-blue: --api-key is plain text, but must be left out",
    ),
    Unsafe(
        policy="isolation-no-plain-secrets",
        why="a key and its option in one word, which vLLM does not even recognise",
        base="ramp",
        edits={_BLUE: {f"{_VLLM}.args[16]": "--api-key open-sesame"}},
        says="chat-blue: --api-key is plain text, but must be left out",
    ),
    Unsafe(
        policy="isolation-no-plain-secrets",
        why="a token within an argument",
        base="ramp",
        edits={_BLUE: {f"{_VLLM}.args[16]": f"--kv-transfer-config={{'token': '{TOKEN}'}}"}},
        says="args of container vllm is a Hugging Face token",
    ),
    Unsafe(
        policy="isolation-no-plain-secrets",
        why="a token in a shell's script",
        base="ramp",
        added=by_hand({f"{CONTAINER}.command[2]": f"export HUB={TOKEN}; exec vllm serve"}),
        also=("release-model-pinned", "release-named", "serving-drain-chain"),
        says="command of container server is a Hugging Face token",
    ),
)

_RESTRICTED = (
    *(
        Unsafe(
            policy="isolation-restricted",
            why=why,
            base="ramp",
            edits={_GREEN: {f"{_POD}.{field}": value}},
            says=f"chat-green: {says}",
        )
        for why, field, value, says in (
            (
                "Kubernetes' own choice: every pod carries a token of its service account",
                "automountServiceAccountToken",
                GONE,
                "automountServiceAccountToken is not set, but must be false",
            ),
            ("the node's network", "hostNetwork", True, "hostNetwork is true"),
            ("the node's processes", "hostPID", True, "hostPID is true"),
            ("the node's shared memory", "hostIPC", True, "hostIPC is true"),
            (
                "a folder of the node",
                "volumes[2]",
                {"name": "model-cache", "hostPath": {"path": "/models"}},
                "volume model-cache is a hostPath",
            ),
            (
                "whatever user the image names, root maybe",
                "securityContext.runAsNonRoot",
                GONE,
                "securityContext.runAsNonRoot of container vllm is not set, but must be true",
            ),
            ("root", "securityContext.runAsUser", 0.0, "securityContext.runAsUser of container vllm is 0"),
            (
                "every system call",
                "securityContext.seccompProfile.type",
                "Unconfined",
                "securityContext.seccompProfile.type of container vllm is Unconfined",
            ),
            (
                "no word about system calls",
                "securityContext.seccompProfile",
                GONE,
                "securityContext.seccompProfile.type of container vllm is not set",
            ),
            (
                "a container that takes back what the pod says",
                "containers[0].securityContext.runAsNonRoot",
                False,
                "securityContext.runAsNonRoot of container vllm is false",
            ),
            (
                "more rights than it starts with",
                "containers[0].securityContext.allowPrivilegeEscalation",
                GONE,
                "securityContext.allowPrivilegeEscalation of container vllm is not set, but must be false",
            ),
            (
                "all rights",
                "containers[0].securityContext.privileged",
                True,
                "securityContext.privileged of container vllm is true",
            ),
            (
                "the rights that containers have by default",
                "containers[0].securityContext.capabilities.drop",
                ["NET_RAW"],
                "securityContext.capabilities.drop of container vllm is NET_RAW, but must be ALL",
            ),
            (
                "a right that lets it look into other processes",
                "containers[0].securityContext.capabilities.add",
                ["NET_BIND_SERVICE", "SYS_PTRACE"],
                "securityContext.capabilities.add of container vllm is NET_BIND_SERVICE, SYS_PTRACE",
            ),
        )
    ),
    Unsafe(
        policy="isolation-restricted",
        why="a sidecar without a security context",
        base="ramp",
        added=by_hand({"spec.template.spec.containers[0].securityContext": GONE}),
        says="llm: securityContext.allowPrivilegeEscalation of container metrics is not set",
    ),
)

UNSAFE = (*_CLOSED, *_SECRETS, *_RESTRICTED)

SAFE = (
    Safe(
        why="half of the internet, and a network that is none: Kubernetes will say so",
        base="ramp",
        edits={_POLICY: {f"{_FROM}[2].ipBlock.cidr": "0.0.0.0/1", f"{_FROM}[3].ipBlock.cidr": "example.com"}},
    ),
    Safe(
        why="the pods of one app, wherever they are",
        base="ramp",
        edits={
            _POLICY: {
                f"{_FROM}[4].namespaceSelector": {},
                f"{_FROM}[4].podSelector": {"matchExpressions": [{"key": "app", "operator": "Exists"}]},
            }
        },
    ),
    Safe(why="a policy that allows no source", base="ramp", edits={_POLICY: {"spec.ingress": []}}),
    Safe(why="parked: there are no pods to reach", base="reaped", edits={_POLICY: GONE}),
    Safe(
        why="names that are no secrets', and a secret that is not there",
        base="ramp",
        edits={
            _BLUE: {
                f"{_VLLM}.env[7]": {"name": "MAX_TOKENS", "value": "1024"},
                f"{_VLLM}.env[8]": {"name": "HF_TOKEN_PATH", "value": "/run/secrets/hub"},
                f"{_VLLM}.env[9]": {"name": "TOKENIZERS_PARALLELISM", "value": "false"},
                f"{_VLLM}.env[10]": {"name": "HF_TOKEN", "value": ""},
                f"{_VLLM}.args[16]": "--hf-token",
            }
        },
    ),
    Safe(
        why="a key that vLLM is given by a variable, which a Secret fills",
        base="ramp",
        edits={
            _BLUE: {
                f"{_VLLM}.env[7]": {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "chat", "key": "key"}}},
                f"{_VLLM}.env[8]": {"name": "OTHER_KEY", "value": "$(KEY)"},
                f"{_VLLM}.args[16]": "--api-key=$(KEY)",
            }
        },
    ),
    Safe(
        why="what the pod leaves open, each of its containers closes",
        base="ramp",
        edits={
            _BLUE: {
                f"{_POD}.securityContext": GONE,
                f"{_VLLM}.securityContext.runAsNonRoot": True,
                f"{_VLLM}.securityContext.seccompProfile": {"type": "Localhost", "localhostProfile": "vllm.json"},
                f"{_VLLM}.securityContext.capabilities.add": ["NET_BIND_SERVICE"],
                f"{_VLLM}.securityContext.privileged": False,
                f"{_POD}.hostNetwork": False,
            }
        },
    ),
)
