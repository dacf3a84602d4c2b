"""Cases: releases."""

from typing import Any

from components.domain.naming import (
    COLOR_KEY,
    PROMPTS_HASH_KEY,
    RELEASE_KEY,
    SEMANTIC_CACHE_NAMESPACE_KEY,
    SERVICE_KEY,
    content_hash,
)
from tests.policies.by_hand import CONTAINER, by_hand
from tests.policies.case import Safe, Unsafe
from tests.policies.edits import GONE
from tests.policies.releases import BLUE_CACHE, BLUE_ID

_BLUE, _GREEN = "Deployment chat-blue", "Deployment chat-green"
_PROMPTS = "ConfigMap chat-blue-prompts"
_VLLM = "spec.template.spec.containers[0]"
_NAMESPACE = f'metadata.annotations["{SEMANTIC_CACHE_NAMESPACE_KEY}"]'
_NOTED = f'spec.template.metadata.annotations["{PROMPTS_HASH_KEY}"]'
_TEMPLATE = {"template.jinja": "{{ messages }}"}
_CONTENT = content_hash(_TEMPLATE)
# Blue's release in these stacks: it differs from green's only in its commit.
_BLUES_REVISION = {f"{_VLLM}.args[--revision]": "c0ffee0"}


def _template_at(path: str, volume: dict[str, Any]) -> dict[str, Any]:
    """Pods with a chat template in a separate volume."""
    return {
        f"{_VLLM}.args[16]": f"--chat-template={path}",
        f"{_VLLM}.volumeMounts[7]": {"name": "templates", "mountPath": "/templates"},
        "spec.template.spec.volumes[7]": {"name": "templates", **volume},
    }


_PINNED = (
    Unsafe(
        policy="release-image-pinned",
        why="a tag, which moves",
        base="ramp",
        edits={_GREEN: {f"{_VLLM}.image": "vllm/vllm-openai:v0.18.0"}},
        says="chat-green: the image of container vllm is vllm/vllm-openai:v0.18.0, but must be name@sha256:…",
    ),
    Unsafe(
        policy="release-image-pinned",
        why="half of a digest",
        base="ramp",
        edits={_GREEN: {f"{_VLLM}.image": f"vllm/vllm-openai@sha256:{'a' * 63}"}},
        says="the image of container vllm is vllm/",
    ),
    Unsafe(
        policy="release-image-pinned",
        why="a sidecar's tag: both colours may break at their next start",
        base="ramp",
        added=by_hand({"spec.template.spec.containers[0].image": "otel/collector:latest"}),
        says="llm: the image of container metrics is otel/collector:latest",
    ),
    Unsafe(
        policy="release-model-pinned",
        why="a branch",
        base="ramp",
        edits={_GREEN: {f"{_VLLM}.args[--revision]": "main"}},
        says="chat-green: --revision of org/model is main, but must be a commit.",
    ),
    Unsafe(
        policy="release-model-pinned",
        why="no revision, which is the branch main",
        base="ramp",
        added=by_hand({f"{CONTAINER}.args[0]": "vllm serve org/model --shutdown-timeout 60 --fingerprint-mode custom"
                       " --fingerprint-value blue-r7"}),
        says="llm: --revision of org/model is not set",
    ),
    Unsafe(
        policy="release-model-pinned",
        why="no model either: vLLM takes one of its own",
        base="ramp",
        added=by_hand({f"{CONTAINER}.args[0]": "vllm serve --shutdown-timeout 60 --fingerprint-mode custom"
                       " --fingerprint-value blue-r7"}),
        says="llm: --revision of the model is not set",
    ),
    *(
        Unsafe(policy="release-model-pinned", why=why, base="ramp", edits={_GREEN: {f"{_VLLM}.args[16]": word}},
               says=f"chat-green: {says}")
        for why, word, says in (
            ("another tokenizer, without a revision", "--tokenizer=acme/tok",
             "--tokenizer-revision of the tokenizer acme/tok is not set, but must be a commit."),
            ("the tokenizer's branch", "--tokenizer-revision=main",
             "--tokenizer-revision of the tokenizer org/model is main, but must be a commit."),
            ("the branch of the model's code", "--code-revision=main",
             "--code-revision of the model's code is main, but must be a commit."),
            ("a draft model without a revision", '--speculative-config={"model": "acme/draft"}',
             "the revision of the draft model acme/draft is not set, but must be a commit."),
            ("an adapter's repository, which vLLM cannot pin", "--lora-modules=legal=acme/legal",
             "an adapter in --lora-modules is acme/legal, but must be a path."),
        )
    ),
)  # fmt: skip

_NAMED = (
    Unsafe(
        policy="release-named",
        why="a Deployment that does not say what it serves",
        base="ramp",
        edits={_BLUE: {f'metadata.labels["{RELEASE_KEY}"]': GONE}},
        says=f"chat-blue: the label {RELEASE_KEY} is not set, but must be the id of its release",
    ),
    Unsafe(
        policy="release-named",
        why="pods with another release's label",
        base="ramp",
        edits={_BLUE: {f'spec.template.metadata.labels["{RELEASE_KEY}"]': "0a1b2c"}},
        also=("capacity-tags-tell-the-truth",),
        says=f"the label {RELEASE_KEY} on its pods is 0a1b2c, but must be {BLUE_ID}",
    ),
    Unsafe(
        policy="release-named",
        why="an annotation that scripts read, left behind by an edit",
        base="ramp",
        edits={_BLUE: {f'metadata.annotations["{RELEASE_KEY}"]': "0a1b2c"}},
        says=f"the annotation {RELEASE_KEY} is 0a1b2c, but must be {BLUE_ID}",
    ),
    Unsafe(
        policy="release-named",
        why="answers that name the other colour",
        base="ramp",
        edits={_BLUE: {f"{_VLLM}.args[--fingerprint-value]": f"green-{BLUE_ID}"}},
        says=f"--fingerprint-value is green-{BLUE_ID}, but must be blue-{BLUE_ID}",
    ),
    Unsafe(
        policy="release-named",
        why="answers with a fingerprint of vLLM's own",
        base="ramp",
        edits={_BLUE: {f"{_VLLM}.args[--fingerprint-mode]": "full"}},
        says="--fingerprint-mode is full, but must be custom",
    ),
)

_PROMPTED = (
    Unsafe(
        policy="release-prompts-immutable",
        why="a ConfigMap that may be edited under its pods",
        base="ramp",
        edits={_PROMPTS: {"immutable": GONE}},
        says="chat-blue-prompts: immutable is not set, but must be true",
    ),
    Unsafe(
        policy="release-prompts-immutable",
        why="other content under the same name: pods get it at their next start, without a release",
        base="ramp",
        edits={_PROMPTS: {"data": _TEMPLATE}},
        says=f"metadata.name is chat-blue-prompts-44136fa355, but must be one that ends in {_CONTENT}",
    ),
    Unsafe(
        policy="release-prompts-immutable",
        why="pods that note other prompts than they are given",
        base="ramp",
        edits={_BLUE: {_NOTED: "0a1b2c3d4e"}},
        says=f"chat-blue: the annotation {PROMPTS_HASH_KEY} on its pods is 0a1b2c3d4e, but must be 44136fa355",
    ),
    Unsafe(
        policy="release-prompts-immutable",
        why="somebody else's ConfigMap",
        base="ramp",
        edits={_BLUE: {"spec.template.spec.volumes[0].configMap.name": "prompts"}},
        says="chat-blue: the ConfigMap of its prompts is prompts, but must be one of the stack",
    ),
    Unsafe(
        policy="release-prompts-immutable",
        why="the ConfigMap is in another namespace, where no pod finds it",
        base="ramp",
        edits={_PROMPTS: {"metadata.namespace": "prompts"}},
        says="the ConfigMap of its prompts is chat-blue-prompts-44136fa355, but must be one of the stack",
    ),
    Unsafe(
        policy="release-prompts-immutable",
        why="prompts from a claim, which anybody may write to",
        base="ramp",
        edits={
            _BLUE: _template_at("/templates/a.jinja", {"persistentVolumeClaim": {"claimName": "templates"}}),
            # A ConfigMap that the provider will name does not match a volume that names none.
            "ConfigMap chat-blue-probe": {"metadata.name": GONE},
        },
        says="chat-blue: the ConfigMap of its prompts is not set",
    ),
)

_CACHED = (
    Unsafe(
        policy="release-cache-namespace",
        why="two revisions of a model in one namespace: green's answers in blue's name",
        base="ramp",
        edits={_GREEN: {_NAMESPACE: BLUE_CACHE}},
        says=f"the annotation {SEMANTIC_CACHE_NAMESPACE_KEY} is {BLUE_CACHE}, but must be different from that of chat-",
    ),
    Unsafe(
        policy="release-cache-namespace",
        why="no namespaces at all",
        base="ramp",
        edits={_BLUE: {_NAMESPACE: GONE}, _GREEN: {_NAMESPACE: GONE}},
        says="is not set, but must be different from",
    ),
    Unsafe(
        policy="release-cache-namespace",
        why="an argument that changes answers",
        base="ramp",
        edits={_GREEN: {**_BLUES_REVISION, _NAMESPACE: BLUE_CACHE, f"{_VLLM}.args[16]": "--max-model-len=4096"}},
        says="must be different from that of chat-",
    ),
    Unsafe(
        policy="release-cache-namespace",
        why="a variable that may change answers",
        base="ramp",
        edits={
            _GREEN: {
                **_BLUES_REVISION,
                _NAMESPACE: BLUE_CACHE,
                f"{_VLLM}.env[7]": {"name": "VLLM_BATCH_INVARIANT", "value": "1"},
            }
        },
        says="must be different from that of chat-",
    ),
    Unsafe(
        policy="release-cache-namespace",
        why="other prompts",
        base="ramp",
        edits={_GREEN: {**_BLUES_REVISION, _NAMESPACE: BLUE_CACHE, _NOTED: "0a1b2c3d4e"}},
        also=("release-prompts-immutable",),
        says="must be different from that of chat-",
    ),
    Unsafe(
        policy="release-cache-namespace",
        why="one release in two namespaces: a rollback begins with a cold cache",
        base="alike",
        edits={_GREEN: {_NAMESPACE: "0a1b2c3d4e5f"}},
        says=", which has the same release",
    ),
)

UNSAFE = (*_PINNED, *_NAMED, *_PROMPTED, *_CACHED)

SAFE = (
    Safe(
        why="an image with a tag and a digest: the digest counts",
        base="ramp",
        edits={_GREEN: {f"{_VLLM}.image": f"registry.example.com:5000/vllm:v1@sha256:{'b' * 64}"}},
    ),
    Safe(
        why="a model from a path, whatever its revision says",
        base="ramp",
        edits={_GREEN: {f"{_VLLM}.args[0]": "/models/chat", f"{_VLLM}.args[--revision]": "main"}},
    ),
    Safe(
        why="a pinned tokenizer and draft model, and an adapter from a path",
        base="ramp",
        edits={
            _GREEN: {
                f"{_VLLM}.args[16]": "--tokenizer=acme/tok",
                f"{_VLLM}.args[17]": "--tokenizer-revision=c0ffee0",
                f"{_VLLM}.args[18]": '--speculative-config={"model": "acme/draft", "revision": "c0ffee0"}',
                f"{_VLLM}.args[19]": "--lora-modules=legal=/adapters/legal",
            }
        },
    ),
    Safe(
        why="by hand: a model from a store, without a revision, by the module's own name",
        base="ramp",
        added=by_hand(
            {
                f"{CONTAINER}.command": ["python3", "-m", "vllm.entrypoints.openai.api_server"],
                f"{CONTAINER}.args": [
                    *("--model", "s3://models/chat/3", "--shutdown-timeout", "60"),
                    *("--fingerprint-mode=custom", "--fingerprint-value=blue-r7"),
                ],
            }
        ),
    ),
    Safe(why="the same release in both colours, in one namespace", base="alike"),
    Safe(
        why="another image, and arguments that are known not to matter, in one namespace",
        base="ramp",
        edits={
            _GREEN: {
                **_BLUES_REVISION,
                _NAMESPACE: BLUE_CACHE,
                f"{_VLLM}.image": f"vllm/vllm-openai@sha256:{'b' * 64}",
                f"{_VLLM}.args[16]": "--max-num-seqs=64",
                f"{_VLLM}.args[17]": "--host=0.0.0.0",
            }
        },
    ),
    Safe(
        why="colours that do not name their releases need not share a namespace",
        base="ramp",
        edits={one: {f'metadata.labels["{RELEASE_KEY}"]': GONE} for one in (_BLUE, _GREEN)},
        config={"release-named": {"exempt": ["chat"]}},
    ),
    Safe(
        why="a chat template of the image's own",
        base="ramp",
        edits={_BLUE: {f"{_VLLM}.args[16]": "--chat-template=/opt/templates/a.jinja"}},
    ),
    Safe(
        why="by hand: a chat template from an immutable ConfigMap, named by its content",
        base="first",
        edits={
            _BLUE: {
                **_template_at("/templates/template.jinja", {"configMap": {"name": f"a-{_CONTENT}"}}),
                "spec.template.spec.volumes[0]": {"name": "prompts", "configMap": {"name": f"a-{_CONTENT}"}},
                _NOTED: _CONTENT,
            },
            _PROMPTS: {
                "metadata": {
                    "name": f"a-{_CONTENT}",
                    "namespace": "chat",
                    "labels": {SERVICE_KEY: "chat", COLOR_KEY: "blue"},
                },
                "data": _TEMPLATE,
            },
        },
    ),
)
