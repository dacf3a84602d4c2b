"""The arguments that `vllm serve` had before the oldest supported version: since when they are gone, with the fix."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from components.domain.vllm.vllm_options import Version

_V0: Final = "Remove it: it was of vLLM's first engine, V0."
_DRAFT: Final = 'Write it as a key: --speculative-config={"model": …, "num_speculative_tokens": …}.'
_GUIDED: Final = "Write --structured-outputs-config.backend=<name>, e.g. xgrammar."
_ROPE: Final = 'Write --hf-overrides={"rope_parameters": {…}}.'
_EPLB: Final = "Write it as a key of --eplb-config, e.g. --eplb-config.window_size=<number>."
_PROMPT_ADAPTERS: Final = "Remove it: vLLM no longer has prompt adapters."
_PIXELS: Final = "Remove it: vLLM reads it from the model's own config."


@dataclass(frozen=True)
class Removed:
    """An option that vLLM had before the oldest supported version."""

    since: Version
    """The first version without it."""
    fix: str
    """What took its place."""


# From the parsers of vLLM 0.4 to 0.33:
# https://github.com/vllm-project/vllm/blob/main/vllm/engine/arg_utils.py
REMOVED_ENGINE_ARGS: Final[Mapping[str, Removed]] = {
    "--cuda-graph-sizes": Removed((0, 13), "Write --cudagraph-capture-sizes."),
    "--device": Removed((0, 10), "Remove it: vLLM finds the GPUs."),
    "--disable-async-output-proc": Removed((0, 11), _V0),
    "--disable-frontend-multiprocessing": Removed((0, 19), "Remove it."),
    "--disable-logprobs-during-spec-decoding": Removed((0, 8), "Remove it."),
    "--disable-mm-preprocessor-cache": Removed((0, 13), "Write --mm-processor-cache-gb=0."),
    "--enable-lora-bias": Removed((0, 11), "Remove it: vLLM no longer takes adapters with a bias."),
    "--enable-multimodal-encoder-data-parallel": Removed((0, 13), "Write --mm-encoder-tp-mode=data."),
    "--enable-prompt-adapter": Removed((0, 10), _PROMPT_ADAPTERS),
    "--enable-reasoning": Removed((0, 10), "Remove it: --reasoning-parser alone turns reasoning on."),
    "--engine-use-ray": Removed((0, 6), "Write --distributed-executor-backend=ray."),
    "--eplb-log-balancedness": Removed((0, 12), _EPLB),
    "--eplb-step-interval": Removed((0, 12), _EPLB),
    "--eplb-window-size": Removed((0, 12), _EPLB),
    "--expand-tools-even-if-tool-choice-none": Removed((0, 10), "Remove it: that is the default now."),
    "--guided-decoding-backend": Removed((0, 11), _GUIDED),
    "--guided-decoding-disable-additional-properties": Removed(
        (0, 11), "Write --structured-outputs-config.disable_additional_properties=true."
    ),
    "--guided-decoding-disable-any-whitespace": Removed(
        (0, 11), "Write --structured-outputs-config.disable_any_whitespace=true."
    ),
    "--guided-decoding-disable-fallback": Removed((0, 11), "Remove it."),
    "--image-feature-size": Removed((0, 5), _PIXELS),
    "--image-input-shape": Removed((0, 5), _PIXELS),
    "--image-input-type": Removed((0, 5), _PIXELS),
    "--image-token-id": Removed((0, 5), _PIXELS),
    "--logits-processor-pattern": Removed((0, 17), "Remove it."),
    "--long-lora-scaling-factors": Removed((0, 10), "Remove it: the adapter's own config has its scaling."),
    "--lora-extra-vocab-size": Removed((0, 12), "Remove it: vLLM no longer takes adapters that add tokens."),
    "--max-context-len-to-capture": Removed((0, 6), "Write --max-cudagraph-capture-size."),
    "--max-prompt-adapter-token": Removed((0, 10), _PROMPT_ADAPTERS),
    "--max-prompt-adapters": Removed((0, 10), _PROMPT_ADAPTERS),
    "--max-seq-len-to-capture": Removed((0, 11), "Write --max-cudagraph-capture-size."),
    "--multi-step-stream-outputs": Removed((0, 10), _V0),
    "--ngram-prompt-lookup-max": Removed((0, 8), _DRAFT),
    "--ngram-prompt-lookup-min": Removed((0, 8), _DRAFT),
    "--num-lookahead-slots": Removed((0, 12), _V0),
    "--num-redundant-experts": Removed((0, 12), "Write --eplb-config.num_redundant_experts=<number>."),
    "--num-scheduler-steps": Removed((0, 10), _V0),
    "--num-speculative-tokens": Removed((0, 8), _DRAFT),
    "--override-neuron-config": Removed((0, 10), "Write --additional-config."),
    "--override-pooler-config": Removed((0, 12), "Write --pooler-config."),
    "--preemption-mode": Removed((0, 11), _V0),
    "--prompt-adapters": Removed((0, 10), _PROMPT_ADAPTERS),
    "--qlora-adapter-name-or-path": Removed((0, 10), "Set lora_adapters."),
    "--quantization-param-path": Removed(
        (0, 7), "Remove it, or write --kv-cache-dtype=fp8: the scales are in the checkpoint."
    ),
    "--rope-scaling": Removed((0, 11), _ROPE),
    "--rope-theta": Removed((0, 11), _ROPE),
    "--scheduler-delay-factor": Removed((0, 11), _V0),
    "--spec-decoding-acceptance-method": Removed((0, 8), _DRAFT),
    "--speculative-disable-by-batch-size": Removed((0, 8), _DRAFT),
    "--speculative-disable-mqa-scorer": Removed((0, 8), _DRAFT),
    "--speculative-draft-tensor-parallel-size": Removed((0, 8), _DRAFT),
    "--speculative-max-model-len": Removed((0, 8), _DRAFT),
    "--speculative-model": Removed((0, 8), _DRAFT),
    "--speculative-model-quantization": Removed((0, 8), _DRAFT),
    "--swap-space": Removed((0, 18), "Remove it, or write --kv-offloading-size to keep KV cache in the node's memory."),
    "--task": Removed((0, 13), "Remove it."),
    "--tokenizer-pool-extra-config": Removed((0, 10), _V0),
    "--tokenizer-pool-size": Removed((0, 10), _V0),
    "--tokenizer-pool-type": Removed((0, 10), _V0),
    "--typical-acceptance-sampler-posterior-alpha": Removed((0, 8), _DRAFT),
    "--typical-acceptance-sampler-posterior-threshold": Removed((0, 8), _DRAFT),
    "--use-gpu-for-pooling-score": Removed((0, 18), "Remove it: it is for models that do not generate text."),
    "--use-v2-block-manager": Removed((0, 10), _V0),
    "--worker-use-ray": Removed((0, 7), "Write --distributed-executor-backend=ray."),
}
