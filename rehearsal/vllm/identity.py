"""A server's identity: its version, its fingerprint and its models."""

import time
from hashlib import sha256
from typing import Any

from rehearsal.vllm.flags import ServeArguments

VERSION = "0.33.0"


def fingerprint(arguments: ServeArguments) -> str | None:
    """Return the `system_fingerprint` of every answer, by `--fingerprint-mode`."""
    match arguments.fingerprint_mode:
        case "custom":
            return arguments.fingerprint_value
        case "none":
            return None
        case mode:
            digest = sha256(f"{arguments.model}@{arguments.revision}".encode()).hexdigest()[:8]
            size = arguments.tensor_parallel_size
            parallel = [f"tp{size}"] if mode == "full" and size > 1 else []
            return "-".join([f"vllm-{VERSION}", *parallel, digest])


def model_cards(arguments: ServeArguments, max_model_len_tokens: int) -> dict[str, Any]:
    """Return the answer of `/v1/models`: the served names, and the adapters with the model as their parent."""
    created = int(time.time())
    names = [(name, arguments.model, None) for name in arguments.served_model_names]
    adapters = [(lora.name, lora.path, arguments.served_model_names[0]) for lora in arguments.lora_modules]
    return {
        "object": "list",
        "data": [
            {
                "id": name,
                "object": "model",
                "created": created,
                "owned_by": "vllm",
                "root": root,
                "parent": parent,
                "max_model_len": max_model_len_tokens if parent is None else None,
                "permission": [],
            }
            for name, root, parent in [*names, *adapters]
        ],
    }
