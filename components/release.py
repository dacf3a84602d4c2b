"""The release: everything that decides what a colour answers, deployed and rolled back as one unit."""

import hashlib
import json
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator

# Arguments that the program derives; a release that set them would break the swap or its attribution.
DERIVED_ENGINE_ARGS = frozenset(
    {
        "--host",
        "--port",
        "--revision",
        "--served-model-name",
        "--tensor-parallel-size",
        "-tp",
        "--shutdown-timeout",
        "--fingerprint-mode",
        "--fingerprint-value",
        "--api-key",
        "--chat-template",
        "--override-generation-config",
        "--lora-modules",
        "--enable-lora",
    }
)

CHAT_TEMPLATE = "chat_template.jinja"


class Release(BaseModel):
    """One version of the model service. Its digest is the release id."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: Annotated[str, Field(min_length=1, description="Model repository or s3:// path that vLLM serves.")]
    model_revision: Annotated[
        str, Field(min_length=1, description="Pinned revision of the model (a commit, never a branch).")
    ]
    image: Annotated[
        str,
        Field(pattern=r"^\S+@sha256:[0-9a-f]{64}$", description="vLLM image, pinned by digest (name@sha256:…)."),
    ]
    engine_args: Annotated[
        tuple[str, ...], Field(description="Further `vllm serve` arguments, e.g. --max-model-len=8192.")
    ] = ()
    prompts: Annotated[
        dict[str, str],
        Field(description=f"Prompt files by name, mounted at /etc/vllm/prompts; {CHAT_TEMPLATE} is the chat template."),
    ] = {}
    sampling: Annotated[
        dict[str, JsonValue], Field(description="Sampling defaults (vLLM generation config), e.g. temperature.")
    ] = {}
    lora_adapters: Annotated[dict[str, str], Field(description="LoRA adapters: name to repository or path.")] = {}

    @field_validator("engine_args")
    @classmethod
    def _leave_derived_arguments_alone(cls, engine_args: tuple[str, ...]) -> tuple[str, ...]:
        if engine_args and not engine_args[0].startswith("-"):
            raise ValueError(f"the first must be an option, got {engine_args[0]!r}")
        for argument in engine_args:
            # vLLM takes --served_model_name and --served-model-name alike.
            flag = argument.split("=", 1)[0].replace("_", "-")
            if flag in DERIVED_ENGINE_ARGS:
                raise ValueError(f"{flag} is derived by the program; remove it from engine_args")
        return engine_args

    @property
    def release_id(self) -> str:
        """Twelve hex digits of the digest over every part of the bundle."""
        return _digest(self.model_dump(mode="json"))

    @property
    def semantic_cache_namespace(self) -> str:
        """Name the semantic-cache namespace; it changes when answers may change, not with the image alone."""
        return _digest(self.model_dump(mode="json", exclude={"image"}))


def _digest(bundle: dict[str, JsonValue]) -> str:
    canonical = json.dumps(bundle, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]
