"""The release: everything that determines a colour's answers, deployed and rolled back as one unit."""

import hashlib
import json
import re
from functools import lru_cache
from typing import Annotated, Any, Final

from pydantic import BaseModel, Field, JsonValue, ValidationInfo, field_validator

from components.config.reading.explain import nearest_name
from components.config.reading.forms import ADAPTER_NAME, ADAPTER_PATH, FILE_NAME, IMAGE, MODEL, REVISION
from components.config.reading.model import STRICT, Items
from components.config.reading.violations import UNSET, Violation, wrong
from components.config.release.answer_arguments import answer_arguments
from components.config.release.chat_template import template_error, uses_messages
from components.config.release.engine_args import engine_args_violations
from components.config.release.environment import VARIABLE_NAME, environment_violations
from components.config.release.pins import SNAPSHOT_FIX, commit_fix, is_pinned, unpinned
from components.config.release.sampling import sampling_defaults
from components.domain.vllm.serve_options import serve_options
from components.domain.vllm.vllm_version import MIN_VLLM, MIN_VLLM_TEXT, image_version

CHAT_TEMPLATE: Final = "chat_template.jinja"
# One word that begins like a relative path or ends like a file's name. /no_think is a prompt, and so is a sentence.
_PATH: Final = re.compile(r"@?(\.{1,2}|~)/\S+|@?\S+\.(jinja2?|j2|txt|md|json|ya?ml)")
_OF_JINJA: Final = ("{{", "{%")
_OF_TEMPLATES: Final = re.compile(r"\.(jinja2?|j2)$")
# These declare the model's size, not its content. Declaring them later changes neither the release id nor the pods.
SIZES: Final = frozenset({"weights_gib", "kv_cache_kib_per_token"})
# Without a value, these are not part of the digest, so that the ids of releases from before they existed stay.
_LATER_FIELDS: Final = frozenset({"env"})
# A ConfigMap has at most 1 MiB of data. https://kubernetes.io/docs/concepts/configuration/configmap/
MAX_PROMPTS_BYTES: Final = 1_000_000


class Release(BaseModel):
    """One version of the model service. Its digest is the release id."""

    model_config = STRICT

    model: Annotated[
        str, MODEL, Field(description="Model repository, path, or s3://, gs:// or az:// path that vLLM serves.")
    ]
    model_revision: Annotated[
        str, REVISION, Field(description="Pinned revision of the model: a commit of at least 7 digits.")
    ]
    image: Annotated[
        str, IMAGE, Field(description=f"Image of vLLM {MIN_VLLM_TEXT} or newer, pinned by digest (name@sha256:…).")
    ]
    engine_args: Annotated[
        Items[str],
        Field(
            description="More `vllm serve` arguments, e.g. --max-model-len=8192.", examples=[["--max-model-len=8192"]]
        ),
    ] = ()
    env: Annotated[
        dict[Annotated[str, VARIABLE_NAME], str],
        Field(
            description="Environment variables of the server, e.g. VLLM_LOGGING_LEVEL; never secrets.",
            examples=[{"VLLM_LOGGING_LEVEL": "DEBUG"}],
        ),
    ] = {}
    prompts: Annotated[
        dict[Annotated[str, FILE_NAME], str],
        Field(
            description=f"Prompt files by name, mounted at /etc/vllm/prompts; {CHAT_TEMPLATE} is the chat template.",
            examples=[{"system.txt": "Be brief."}],
        ),
    ] = {}
    sampling: Annotated[
        dict[str, JsonValue],
        Field(
            description="Sampling defaults (vLLM generation config), e.g. temperature.", examples=[{"temperature": 0.7}]
        ),
    ] = {}
    lora_adapters: Annotated[
        dict[Annotated[str, ADAPTER_NAME], str],
        Field(
            description="LoRA adapters: name to a path on a volume. vLLM cannot pin an adapter's repository.",
            examples=[{ADAPTER_NAME.example: ADAPTER_PATH.example}],
        ),
    ] = {}
    weights_gib: Annotated[
        float | None,
        Field(
            gt=0,
            le=100_000,
            description="Size of the loaded weights, over all GPUs of a replica. With it, the program warns of a model "
            "that does not fit.",
            examples=[15],
        ),
    ] = None
    kv_cache_kib_per_token: Annotated[
        float | None,
        Field(
            gt=0,
            le=100_000,
            description="KV cache per token, over all layers and GPUs of a replica, in the release's --kv-cache-dtype.",
            examples=[128],
        ),
    ] = None

    @field_validator("engine_args")
    @classmethod
    def _be_read_and_pinned(cls, engine_args: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if violations := tuple(engine_args_violations(engine_args, image_version(info.data.get("image", "")))):
            raise wrong(*violations)
        if references := tuple(unpinned(info.data.get("model", ""), serve_options(engine_args))):
            raise wrong(
                *(
                    Violation((one.position,), f"{one.what} {one.wrong}", one.fix, one.value or UNSET)
                    for one in references
                )
            )
        return engine_args

    @field_validator("image")
    @classmethod
    def _be_new_enough(cls, image: str) -> str:
        if (version := image_version(image)) and version < MIN_VLLM:
            what = f"must have vLLM {MIN_VLLM_TEXT} or newer: an older one exits when it gets --fingerprint-mode"
            raise wrong(Violation((), what, "", image))
        return image

    @field_validator("env")
    @classmethod
    def _leave_derived_variables_alone(cls, env: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        if violations := tuple(environment_violations(env, image_version(info.data.get("image", "")))):
            raise wrong(*violations)
        return env

    @field_validator("lora_adapters")
    @classmethod
    def _pin_the_adapters(cls, adapters: dict[str, str]) -> dict[str, str]:
        if violations := [
            Violation((name,), f"must be {ADAPTER_PATH.expected}", hint or SNAPSHOT_FIX, path)
            for name, path in adapters.items()
            if (hint := ADAPTER_PATH.check(path)) is not None
        ]:
            raise wrong(*violations)
        return adapters

    # Before the check for plain JSON, which would name the first wrong value and hide the others.
    @field_validator("sampling", mode="before")
    @classmethod
    def _have_an_effect(cls, sampling: Any) -> Any:
        if isinstance(sampling, dict) and all(isinstance(key, str) for key in sampling):
            return sampling_defaults(sampling)
        return sampling

    @field_validator("prompts")
    @classmethod
    def _fit_a_config_map(cls, prompts: dict[str, str]) -> dict[str, str]:
        size = sum(len(name.encode()) + len(text.encode(errors="replace")) for name, text in prompts.items())
        if size > MAX_PROMPTS_BYTES:
            raise wrong(Violation((), f"must not exceed {MAX_PROMPTS_BYTES} bytes in total (they have {size})"))
        return prompts

    @field_validator("prompts")
    @classmethod
    def _be_contents(cls, prompts: dict[str, str]) -> dict[str, str]:
        if violations := [
            Violation((name,), what, f'Write "{name}: |", and the content in the lines below it, indented.', text)
            for name, text in prompts.items()
            if (what := _no_content(name, text))
        ]:
            raise wrong(*violations)
        if not (template := prompts.get(CHAT_TEMPLATE)):
            if others := [
                name for name in prompts if _OF_TEMPLATES.search(name) and nearest_name(name, [CHAT_TEMPLATE])
            ]:
                what = f"is read by nothing: vLLM's chat template is {CHAT_TEMPLATE}"
                raise wrong(*(Violation((name,), what, "Rename it.") for name in others))
        elif (error := template_error(template)) is not None:
            what = f"must be a Jinja template without errors, but {error}"
            raise wrong(Violation((CHAT_TEMPLATE,), what, "Correct it: vLLM would fail requests for a chat."))
        elif not uses_messages(template):
            what = "must use the variable messages: without it, every chat would be the same prompt"
            raise wrong(Violation((CHAT_TEMPLATE,), what))
        return prompts

    @field_validator("model_revision")
    @classmethod
    def _pin_the_model(cls, revision: str, info: ValidationInfo) -> str:
        model = info.data.get("model")
        if model and not is_pinned(model, revision):
            raise wrong(Violation((), f"must be {REVISION.expected}", commit_fix(revision), revision))
        return revision

    @property
    def paths(self) -> dict[str, str]:
        """The folders of the pod that the release refers to, by the field that names them."""
        adapters = {f"lora_adapters.{name}": path for name, path in self.lora_adapters.items()}
        return {"model": self.model, **adapters} if self.model.startswith("/") else adapters

    @property
    def release_id(self) -> str:
        """First twelve hex digits of the digest of every field that reaches a pod."""
        return _release_id(self.model_dump_json())

    @property
    def semantic_cache_namespace(self) -> str:
        """The name of the semantic-cache namespace, which changes exactly when answers may change.

        A new image alone keeps the namespace, and so do arguments that are known not to change answers.
        """
        bundle: dict[str, JsonValue] = self.model_dump(mode="json", exclude={"image"})
        return _digest({**bundle, "engine_args": [list(words) for words in answer_arguments(self.engine_args)]})


def _no_content(name: str, text: str) -> str:
    """Return what a prompt must be instead of this text; empty when it is the content of such a file."""
    if _PATH.fullmatch(text.strip()):
        return "must be the file's content, not its path"
    if name == CHAT_TEMPLATE and not any(mark in text for mark in _OF_JINJA):
        return "must be a Jinja template, with {{ … }} where the messages go"
    return ""


@lru_cache(maxsize=64)
def _release_id(fields: str) -> str:
    """Return the id of a release from its fields as JSON. A rollout asks for those of a few releases at every poll."""
    return _digest(json.loads(fields))


def _digest(bundle: dict[str, JsonValue]) -> str:
    identity = {key: value for key, value in bundle.items() if key not in SIZES and (value or key not in _LATER_FIELDS)}
    canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]
