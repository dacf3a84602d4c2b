"""Releases: everything that determines a colour's answers is pinned and named, so a rollback restores it exactly."""

import re
from collections.abc import Iterator
from itertools import combinations
from typing import Any, Final

from pulumi_policy import Severity

from components.config.release.answer_arguments import answer_arguments
from components.config.release.environment import DERIVED_VARIABLES
from components.config.release.pins import commit_fix, is_pinned, unpinned
from components.domain.naming import (
    PROMPTS_HASH_KEY,
    RELEASE_KEY,
    SEMANTIC_CACHE_NAMESPACE_KEY,
    content_hash,
    fingerprint,
)
from components.domain.pods.pod_paths import PROMPTS_PATH
from policies.pods import Pods, is_vllm, share_namespace, vllm_deployments
from policies.policy import Finding, Options, resource_policy, service_policy, wrong
from policies.resources import CONFIG_MAP, DEPLOYMENT, Resource, at, table
from policies.service import Service

_DIGEST: Final = re.compile(r"[^\s@]+@sha256:[0-9a-f]{64}")
# These options set who answers and where, but not the answers.
_NAMES: Final = ("--port", "--host", "--served-model-name", "--shutdown-timeout", "--fingerprint-value")


@resource_policy(
    "release-image-pinned",
    DEPLOYMENT,
    description="Every image of a vLLM pod must be pinned by its digest.",
    fix="Write name@sha256:… for each image.",
)
def image_pinned(deployment: Resource, _: Options) -> Iterator[str]:
    """A tag can move. Then pods that start later serve something other than their release, in both colours at once."""
    if not is_vllm(deployment):
        return
    for container in Pods(deployment).containers:
        image = container.get("image")
        if not _DIGEST.fullmatch(str(image)):
            fix = "Set image of the release to the image's digest in the registry."
            yield wrong(deployment, f"the image of container {container.get('name')}", image, "name@sha256:…", fix)


@resource_policy(
    "release-model-pinned",
    DEPLOYMENT,
    description="What a model from a repository is made of must be pinned by commits: its weights, tokenizer and code, "
    "and its draft model. Adapters must come from a path.",
    fix="Set model_revision of the release to a commit; give adapters as paths on a volume.",
)
def model_pinned(deployment: Resource, _: Options) -> Iterator[str]:
    """A branch or a tag can move, and without a revision vLLM uses the branch main.

    Paths and object stores are exempt, because they have their own versions. vLLM cannot pin an adapter's repository.
    """
    if not is_vllm(deployment):
        return
    pods = Pods(deployment)
    revision = pods.arguments.get("--revision")
    if not is_pinned(pods.model or "", revision or ""):
        fix = f"Set model_revision of the release to a commit. {commit_fix(revision or '')}"
        yield wrong(deployment, f"--revision of {pods.model or 'the model'}", revision, "a commit", fix)
    for one in unpinned(pods.model or "", pods.options):
        yield wrong(deployment, one.what, one.value, one.must, one.fix)


@resource_policy(
    "release-named",
    DEPLOYMENT,
    description="A colour's Deployment, its pods and every answer must name the release.",
    fix="Let VllmStack set the release id as a label, and <colour>-<release id> as --fingerprint-value.",
)
def named(deployment: Resource, _: Options) -> Iterator[str]:
    """Scripts read from the labels what runs. Gates and clients read from system_fingerprint which release answered."""
    if deployment.color is None:
        return
    pods = Pods(deployment)
    fix = "Let VllmStack set it, or use the same release id everywhere."
    release = deployment.marks.get(RELEASE_KEY)
    if not release:
        yield wrong(deployment, f"the label {RELEASE_KEY}", release, "the id of its release", fix)
        return
    for where, value, must in (
        (f"the annotation {RELEASE_KEY}", at(deployment.props, "metadata.annotations"), release),
        (f"the label {RELEASE_KEY} on its pods", pods.labels, release),
    ):
        if table(value).get(RELEASE_KEY) != must:
            yield wrong(deployment, where, table(value).get(RELEASE_KEY), must, fix)
    for option, must in (
        ("--fingerprint-mode", "custom"),
        ("--fingerprint-value", fingerprint(deployment.color, str(release))),
    ):
        if pods.arguments.get(option) != must:
            yield wrong(deployment, option, pods.arguments.get(option), must, fix)


@service_policy(
    "release-prompts-immutable",
    description="Prompts must come from an immutable ConfigMap of the stack whose name contains a hash of its content.",
    fix="Set prompts of the release; VllmStack then declares the ConfigMap.",
)
def prompts_immutable(service: Service, _: Options) -> Iterator[Finding]:
    """If prompts change, a colour's answers change at each pod's next start, without a new release.

    A chat template in the image is pinned with the image.
    """
    for deployment in vllm_deployments(service):
        pods = Pods(deployment)
        places = [pods.volume_of(path) for path in (PROMPTS_PATH, pods.arguments.get("--chat-template", ""))]
        names = {volume.get("name"): at(volume, "configMap.name") for volume in places if volume is not None}
        for name in names.values():
            for message in _prompts_violations(service, deployment, pods, name):
                yield Finding(message=message, resource=deployment)


@service_policy(
    "release-cache-namespace",
    description="Colours with the same release must share a semantic-cache namespace; colours whose answers may differ "
    "must not.",
    fix="Let VllmStack set the annotation to the release's semantic_cache_namespace.",
    severity=Severity.CRITICAL,
)
def cache_namespace(service: Service, _: Options) -> Iterator[Finding]:
    """A shared cache returns one colour's answers for the other colour, even after a rollback.

    Answers may differ if the model, a prompt or an argument differs, except for a few arguments that are known not to
    matter. A different image alone is assumed to give the same answers, as in Release.
    """
    for one, other in combinations(vllm_deployments(service), 2):
        mine, theirs = (_annotation(each, SEMANTIC_CACHE_NAMESPACE_KEY) for each in (one, other))
        release, fix = one.marks.get(RELEASE_KEY), "Let VllmStack set the release's semantic_cache_namespace."
        where = f"the annotation {SEMANTIC_CACHE_NAMESPACE_KEY}"
        if mine != theirs and release and release == other.marks.get(RELEASE_KEY):
            must = f"{mine}, as on {one.name}, which has the same release"
            yield Finding(message=wrong(other, where, theirs, must, fix), resource=other)
        elif mine == theirs and _answers(one) != _answers(other):
            must = f"different from that of {one.name}, whose answers may differ"
            yield Finding(message=wrong(other, where, theirs, must, fix), resource=other)


def _prompts_violations(service: Service, deployment: Resource, pods: Pods, name: Any) -> Iterator[str]:
    """Yield what is wrong with the ConfigMap of a pod's prompts."""
    fix = "Set prompts of the release: VllmStack then declares one ConfigMap for each content."
    found = [
        one
        for one in service.of(CONFIG_MAP)
        if name and one.get("metadata.name") == name and share_namespace(one, deployment)
    ]
    if not found:
        yield wrong(deployment, "the ConfigMap of its prompts", name, "one of the stack with the service's label", fix)
        return
    config_map = found[0]
    if config_map.get("immutable") is not True:
        yield wrong(config_map, "immutable", config_map.get("immutable"), "true", fix)
    content = content_hash(dict(table(config_map.get("data"))))
    if not str(name).endswith(content):
        yield wrong(config_map, "metadata.name", name, f"one that ends in {content}, the hash of its content", fix)
    noted = pods.annotations.get(PROMPTS_HASH_KEY)
    if noted != content:
        where = f"the annotation {PROMPTS_HASH_KEY} on its pods"
        yield wrong(deployment, where, noted, f"{content}, the hash of the content of {name}", fix)


def _annotation(deployment: Resource, key: str) -> Any:
    return table(deployment.get("metadata.annotations")).get(key)


def _answers(deployment: Resource) -> tuple[Any, ...]:
    """Return everything on which a colour's answers may depend."""
    pods = Pods(deployment)
    options = answer_arguments(pods.words)
    variables = {str(one.get("name")): one.get("value") for one in pods.variables()}
    return (
        pods.annotations.get(PROMPTS_HASH_KEY),
        [words for words in options if words[0].replace("_", "-") not in _NAMES],
        {name: value for name, value in variables.items() if value is not None and name not in DERIVED_VARIABLES},
    )
