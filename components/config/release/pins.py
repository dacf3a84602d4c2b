"""What a release refers to besides its model, and whether it may change under a running colour."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from components.domain.nodes.host_memory import OBJECT_STORES
from components.domain.pods.pod_paths import MODEL_CACHE_PATH
from components.domain.vllm.serve_options import ServeOption, json_object, last_value, parsed_object

# These stand for a method that needs no model.
# https://github.com/vllm-project/vllm/blob/main/vllm/config/speculative.py
_NO_MODEL: Final = frozenset({"ngram", "[ngram]", "ngram_gpu", "suffix", "[suffix]", "extract_hidden_states"})
_LEAST_DIGITS: Final = 7
_MOST_DIGITS: Final = 40
_SPECULATIVE: Final = "--speculative-config"
_ADAPTERS: Final = "--lora-modules"
_DEFAULT_ADAPTERS: Final = "--default-mm-loras"
# vLLM downloads an adapter's repository without a revision, so it uses the branch main at each start.
# https://github.com/vllm-project/vllm/blob/main/vllm/lora/utils.py
SNAPSHOT_FIX: Final = (
    "vLLM cannot pin an adapter's repository: download the commit that you tested to a volume, "
    f"e.g. pods.model_cache_claim, and give its folder below {MODEL_CACHE_PATH}."
)


@dataclass(frozen=True, kw_only=True)
class Unpinned:
    """A reference that may change."""

    position: int
    """The place of its option in the list of words."""
    what: str
    """The revision that is missing or may change, and of what."""
    value: str | None
    """What is given; None when it is not set."""
    must: str
    fix: str

    @property
    def wrong(self) -> str:
        """What is wrong with it, in words that follow ``what``."""
        return f"must be {self.must}" if self.value is not None else f"is not set, but must be {self.must}"


def is_pinned(reference: str, revision: str) -> bool:
    """Return whether a revision of a repository is immutable."""
    # A repository has commits. Paths and object stores have their own versions, so any revision passes for them.
    return is_no_repository(reference) or is_commit(revision)


def is_no_repository(reference: str) -> bool:
    """Return whether a reference is a path or in an object store."""
    return reference.startswith(("/", *OBJECT_STORES))


def is_commit(revision: str) -> bool:
    """Return whether a revision is a commit, or as much of one as Git itself shows.

    A shorter one may be a branch whose name has the same letters: bf16.
    https://git-scm.com/docs/git-config#Documentation/git-config.txt-coreabbrev
    """
    return bool(re.fullmatch(rf"[0-9a-f]{{{_LEAST_DIGITS},{_MOST_DIGITS}}}", revision))


def commit_fix(revision: str) -> str:
    """Return how to make a commit of a revision that is none."""
    if is_commit(revision.lower()):
        return f"Write it in small letters: {revision.lower()}."
    if re.fullmatch(r"[0-9a-f]+", revision):
        few = len(revision) < _LEAST_DIGITS
        least, most = f"Write at least {_LEAST_DIGITS} digits", f"A commit has at most {_MOST_DIGITS} digits"
        return f"{least}: {revision} may also be a branch." if few else f"{most}, this has {len(revision)}."
    return "Look it up in its repository: a branch or a tag may move."


def unpinned(model: str, options: Sequence[ServeOption]) -> Iterator[Unpinned]:
    """Yield the references in a server's options that may change, except the model's own revision."""
    yield from _tokenizer(model, options)
    code = last_value(options, "--code-revision")
    if code is not None and not is_commit(code):
        yield _revision(options, "--code-revision", "the model's code", code)
    config = last_value(options, "--hf-config-path")
    if config is not None and config != model and not config.startswith("/"):
        place = _place(options, "--hf-config-path")
        fix = "It has no revision of its own: give a folder on a volume, or leave it out."
        yield Unpinned(position=place, what="--hf-config-path", value=config, must="a path", fix=fix)
    yield from _draft_model(model, options)
    yield from _adapters(options)


def _tokenizer(model: str, options: Sequence[ServeOption]) -> Iterator[Unpinned]:
    tokenizer, revision = last_value(options, "--tokenizer") or model, last_value(options, "--tokenizer-revision")
    # Without a revision of its own, the model's tokenizer has the model's.
    # https://github.com/vllm-project/vllm/blob/main/vllm/config/model.py
    if (tokenizer != model or revision is not None) and not is_pinned(tokenizer, revision or ""):
        yield _revision(options, "--tokenizer-revision", f"the tokenizer {tokenizer}", revision, "--tokenizer")


def _draft_model(model: str, options: Sequence[ServeOption]) -> Iterator[Unpinned]:
    # https://github.com/vllm-project/vllm/blob/main/vllm/config/speculative.py
    config, named = json_object(options, _SPECULATIVE), last_value(options, "--spec-model")
    method = str(last_value(options, "--spec-method") or config.get("method") or "")
    draft = str(named or config.get("model") or "")
    # Layers for multi-token prediction come from the model's own repository, but not from the model's revision.
    draft = draft or (model if method.endswith("mtp") else "")
    if not draft or draft in _NO_MODEL or is_no_repository(draft):
        return
    place = _place(options, _SPECULATIVE, "--spec-model", "--spec-method")
    for key, default in (("revision", ""), ("code_revision", None)):
        revision = config.get(key, default)
        if revision is not None and not is_commit(str(revision)):
            what, value = f"the {key} of the draft model {draft}", str(revision) or None
            fix = f'Set "{key}": "<commit>" in {_SPECULATIVE}. {commit_fix(str(revision))}'
            yield Unpinned(position=place, what=what, value=value, must="a commit", fix=fix)


def _adapters(options: Sequence[ServeOption]) -> Iterator[Unpinned]:
    paths = [_path(value) for option in options if option.name == _ADAPTERS for value in option.values]
    defaults = [str(path) for path in json_object(options, _DEFAULT_ADAPTERS).values()]
    for name, given in ((_ADAPTERS, paths), (_DEFAULT_ADAPTERS, defaults)):
        for path in given:
            if not path.startswith("/"):
                what = f"an adapter in {name}"
                yield Unpinned(position=_place(options, name), what=what, value=path, must="a path", fix=SNAPSHOT_FIX)


def _path(module: str) -> str:
    """Return the path in a value of --lora-modules: ``name=path`` or a JSON object."""
    # https://github.com/vllm-project/vllm/blob/main/vllm/entrypoints/openai/cli_args.py
    if "=" in module and "," not in module:
        return module.partition("=")[2]
    return str(parsed_object(module).get("path", module))


def _revision(
    options: Sequence[ServeOption], name: str, subject: str, value: str | None, else_at: str = ""
) -> Unpinned:
    fix = f"Set {name} to a commit. {commit_fix(value or '')}"
    place = _place(options, name if value is not None else else_at)
    return Unpinned(position=place, what=f"{name} of {subject}", value=value, must="a commit", fix=fix)


def _place(options: Sequence[ServeOption], *names: str) -> int:
    return max((one.position for one in options if one.name in names), default=0)
