"""The options of `vllm serve`: their names, what they take, and the versions that have them.

Names, kinds and ranges are those of vLLM 0.21 to 0.33, from its own parser and config classes:
https://github.com/vllm-project/vllm/blob/main/vllm/engine/arg_utils.py
https://github.com/vllm-project/vllm/tree/main/vllm/config
"""

import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from components.domain.vllm.vllm_version import MIN_VLLM

Version = tuple[int, int]
NEWEST: Final[Version] = (0, 33)
"""The newest version whose options are known."""
OPPOSITES_SINCE: Final[Version] = (0, 33)
"""The first version that takes ``--disable-x`` for ``--no-enable-x``, and ``--enable-x`` for ``--no-disable-x``."""
# An unknown name that is so like a known one is taken for a typing error.
_LIKENESS: Final = 0.88


class OptionKind(StrEnum):
    """What an option takes."""

    FLAG = "flag"
    """Nothing; it also exists as ``--no-<name>``."""
    SWITCH = "switch"
    """Nothing."""
    INTEGER = "integer"
    SIZE = "size"
    """A whole number, or one with a suffix: 25.6k, 8K."""
    LENGTH = "length"
    """The same, or auto."""
    NUMBER = "number"
    CHOICE = "choice"
    TEXT = "text"
    JSON = "json"
    CONFIG = "config"
    """JSON in which numbers may have a suffix."""
    LIST = "list"
    """One value or more."""
    MAYBE = "maybe"
    """One value or none."""


VALUELESS: Final = frozenset({OptionKind.FLAG, OptionKind.SWITCH})
KEYED: Final = frozenset({OptionKind.JSON, OptionKind.CONFIG})
"""Kinds whose keys can be set one by one: ``--option.key=value``."""


@dataclass(frozen=True, kw_only=True)
class VllmOption:
    """One option."""

    name: str
    """With its dashes."""
    kind: OptionKind
    short: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    later: Mapping[str, Version] = field(default_factory=dict[str, Version])
    """The choices that not all versions have, with the first that has each."""
    array: bool = False
    """Whether its JSON is a list, not an object."""
    extensible: bool = False
    """Whether plug-ins add choices, or not every version has the same."""
    least: float | None = None
    above: float | None = None
    most: float | None = None
    below: float | None = None
    unsettable: bool = False
    """Whether an empty value, or None, leaves it unset."""
    since: Version = MIN_VLLM
    until: Version | None = None
    """The first version without it; None when the newest has it."""

    @property
    def expected(self) -> str:
        """What a value must be."""
        bounds = (("of at least", self.least), ("above", self.above), ("at most", self.most), ("below", self.below))
        limits = " and ".join(f"{word} {bound:g}" for word, bound in bounds if bound is not None)
        what = {
            OptionKind.INTEGER: "a whole number",
            OptionKind.SIZE: "a whole number",
            OptionKind.LENGTH: "a whole number",
            OptionKind.NUMBER: "a number",
            OptionKind.CHOICE: f"one of {', '.join(self.choices)}",
            OptionKind.JSON: f"a JSON {self._json_type}",
            OptionKind.CONFIG: f"a JSON {self._json_type}",
        }.get(self.kind, "a text")
        ways = {
            OptionKind.SIZE: ", such as 8192, 25.6k (times 1000) or 8K (times 1024)",
            OptionKind.LENGTH: ", such as 8192, 25.6k (times 1000) or 8K (times 1024); or auto",
        }.get(self.kind, "")
        return f"{what} {limits}".rstrip() + ways

    @property
    def _json_type(self) -> str:
        return 'list, e.g. ["a", "b"]' if self.array else 'object, e.g. {"key": "value"}'

    def takes(self, value: str) -> bool:
        """Return whether vLLM accepts a value."""
        if self.unsettable and value in ("", "None"):
            return True
        match self.kind:
            case OptionKind.INTEGER | OptionKind.SIZE | OptionKind.LENGTH:
                number = _whole(value) if self.kind is OptionKind.INTEGER else whole_number(value)
                if self.kind is OptionKind.LENGTH and value.strip().lower() in ("auto", "-1"):
                    return True
                return number is not None and self._in_range(number)
            case OptionKind.NUMBER:
                try:
                    return self._in_range(float(value))
                except ValueError:
                    return False
            case OptionKind.CHOICE:
                return value in self.choices
            case OptionKind.JSON | OptionKind.CONFIG:
                return is_json(value, suffixes=self.kind is OptionKind.CONFIG, of=list if self.array else dict)
            case _:
                return True

    def _in_range(self, number: float) -> bool:
        return (
            (self.least is None or number >= self.least)
            and (self.above is None or number > self.above)
            and (self.most is None or number <= self.most)
            and (self.below is None or number < self.below)
        )


_SUFFIXES: Final = {
    **{letter: 1000**power for power, letter in enumerate("kmgt", 1)},
    **{letter: 1024**power for power, letter in enumerate("KMGT", 1)},
}


def whole_number(text: str) -> int | None:
    """Return a number as vLLM reads it: 8192, 25.6k (times 1000) or 8K (times 1024); None for anything else."""
    text = text.strip()
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([kKmMgGtT])", text)
    if found is None:
        return _whole(text)
    if found[2].isupper() and "." in found[1]:
        return None
    return int(float(found[1]) * _SUFFIXES[found[2]])


def _whole(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


def is_json(value: str, *, suffixes: bool = False, of: type = object) -> bool:
    """Return whether vLLM can parse a value as JSON, of this type.

    With ``suffixes``, numbers outside of texts may have one: 80m.
    """
    if suffixes:
        parts = re.split(r'("(?:[^"\\]|\\.)*")', value)
        parts[::2] = [re.sub(r"\b\d+(?:\.\d+)?[kKmMgGtT]\b", "0", part) for part in parts[::2]]
        value = "".join(parts)
    try:
        return isinstance(json.loads(value), of)
    except (ValueError, RecursionError):
        return False


def opposite_of(name: str) -> str | None:
    """Return the flag that a name turns off, or on: ``--enable-lora`` of ``--disable-lora``. None for other names."""
    for prefix, other in (("--disable-", "--enable-"), ("--enable-", "--disable-")):
        flag = OPTIONS.get(other + name.removeprefix(prefix)) if name.startswith(prefix) else None
        if flag is not None and flag.kind is OptionKind.FLAG and flag.until is None and name not in OPTIONS:
            return flag.name
    return None


def find_options(name: str) -> list[VllmOption]:
    """Return the option of this name, or those that it abbreviates, as argparse allows."""
    if name in OPTIONS:
        return [OPTIONS[name]]
    return [option for full, option in OPTIONS.items() if full.startswith(name)] if len(name) > len("--") else []


def likely_meant(name: str) -> str | None:
    """Return the option that an unknown name is most like; None when it is like none."""
    found = difflib.get_close_matches(name.casefold(), OPTIONS, n=1, cutoff=_LIKENESS)
    return found[0] if found else None


_SIGNS: Final = (">=", "<=", ">", "<")


def _version(text: str) -> Version:
    major, minor = text.split(".")
    return int(major), int(minor)


def _option(row: str) -> VllmOption:
    name, kind, *cells = row.split()
    given: dict[str, str] = {}
    for cell in cells:
        sign = next((one for one in _SIGNS if cell.startswith(one)), "")
        key = sign or cell.partition("=")[0]
        given[key] = cell.removeprefix(key) if sign else cell.partition("=")[2]
    choices = [one.partition("@") for one in filter(None, given.get("choices", "").split("|"))]
    return VllmOption(
        name=f"--{name}",
        kind=OptionKind(kind),
        short=tuple(filter(None, given.get("short", "").split("|"))),
        choices=tuple(choice for choice, _, _ in choices),
        later={choice: _version(since) for choice, _, since in choices if since},
        array="array" in given,
        extensible="+" in given,
        least=_bound(given, ">="),
        above=_bound(given, ">"),
        most=_bound(given, "<="),
        below=_bound(given, "<"),
        unsettable="?" in given,
        since=_version(given["since"]) if "since" in given else MIN_VLLM,
        until=_version(given["until"]) if "until" in given else None,
    )


def _bound(given: Mapping[str, str], sign: str) -> float | None:
    return float(given[sign]) if sign in given else None


# Each row: the name, the kind, and where they apply the short names, the choices, + when plug-ins add choices or not
# every version has the same, array when its JSON is a list and not an object, the range, ? when None leaves it unset,
# and the versions. A choice has the first version with it after an @, unless all have it. A line that begins with
# spaces goes on with the list of choices above it.
# Quantisations are those of any version, and plug-ins register more:
# https://github.com/vllm-project/vllm/blob/main/vllm/model_executor/layers/quantization/__init__.py
_TABLE: Final = """
additional-config json
aggregate-engine-logging switch
all2all-backend text
allow-credentials flag
allow-deprecated-quantization flag
allowed-headers json array
allowed-local-media-path text
allowed-media-domains list ?
allowed-methods json array
allowed-origins json array
anthropic-disabled-thinking-effort choice choices=auto|high|low|max|medium|none|xhigh + since=0.31
api-key list ?
api-server-count integer short=-asc >=1
async-scheduling flag
attention-backend text ?
attention-config config short=-ac
aux-output-config config since=0.31
block-size integer >0
calculate-kv-scales flag until=0.28
chat-template text ?
chat-template-content-format choice choices=auto|openai|string
code-revision text ?
cohere-format text since=0.27
cohere-is-reasoning-model flag since=0.27
collect-detailed-traces list ?
compilation-config config short=-cc
config text
config-format text
convert choice choices=auto|classify|embed|none
cp-kv-cache-interleave-size integer
cpu-distributed-timeout-seconds integer ? since=0.22
cpu-offload-gb number >=0
cpu-offload-params list
cudagraph-capture-sizes list
cudagraph-metrics flag
custom-histogram-buckets json ? since=0.32
data-parallel-address text short=-dpa
data-parallel-backend text short=-dpb
data-parallel-external-lb flag short=-dpe
data-parallel-hybrid-lb flag short=-dph
data-parallel-multi-port-external-lb switch short=-dpm since=0.22
data-parallel-rank integer short=-dpn >=0
data-parallel-rpc-port integer short=-dpp >=1 <=65535
data-parallel-size integer short=-dp >=1
data-parallel-size-local integer short=-dpl >=0
data-parallel-start-rank integer short=-dpr
data-parallel-supervisor-port integer since=0.22
dbo-decode-token-threshold integer >=0
dbo-prefill-token-threshold integer >=0
dcp-comm-backend choice choices=a2a|ag_rs + ?
dcp-kv-cache-interleave-size integer
dcp-q-replicate flag since=0.29
decode-context-parallel-size integer short=-dcp >=1
default-chat-template-kwargs json
default-mm-loras json ?
device-ids text since=0.24
device-memory-utilization number >0 <=1 since=0.31
diffusion-config json short=-dc ? since=0.24
disable-access-log-for-endpoints text ?
disable-cascade-attn flag
disable-chunked-mm-input flag
disable-custom-all-reduce flag
disable-fastapi-docs flag
disable-hybrid-kv-cache-manager flag
disable-log-stats switch
disable-nccl-for-dp-synchronization flag
disable-sliding-window flag
disable-uvicorn-access-log flag
distributed-executor-backend text ?
distributed-timeout-seconds integer ?
download-dir text ?
dp-supervisor-probe-failure-threshold integer since=0.22
dp-supervisor-probe-interval-s number since=0.22
dp-supervisor-probe-timeout-s number since=0.22
dp-sync-interval integer >=1 since=0.30
dtype choice choices=auto|bfloat16|float|float16|float32|half
ec-manager-config config since=0.28
ec-transfer-config config ?
elastic-ep-max-dp-size integer >=1 since=0.30
enable-auto-tool-choice flag
enable-batch-sharded-sampling flag since=0.29
enable-bf16x3-router-gemm flag since=0.26 until=0.30
enable-chunked-prefill flag
enable-cumem-allocator flag since=0.22
enable-dbo flag
enable-elastic-ep flag
enable-ep-weight-filter flag
enable-eplb flag
enable-expert-parallel flag short=-ep
enable-fault-tolerance flag since=0.27
enable-flash-late-interaction flag
enable-flashinfer-autotune flag
enable-force-include-usage flag
enable-hc-sp flag since=0.32
enable-layerwise-nvtx-tracing flag
enable-log-deltas flag
enable-log-outputs flag
enable-log-requests flag
enable-logging-iteration-details flag
enable-lora flag
enable-mamba-cache-stochastic-rounding flag
enable-mamba-fine-grained-prefix-cache flag since=0.30 until=0.31
enable-mamba-shared-prefix-checkpoint flag since=0.31
enable-mfu-metrics flag
enable-mixed-moe-lora-format flag since=0.22
enable-mm-embeds flag
enable-moe-shared-loras flag since=0.26
enable-nccl-comm-suspend flag since=0.30
enable-offline-docs flag
enable-per-request-metrics flag since=0.25
enable-prefix-caching flag
enable-prompt-embeds flag
enable-prompt-tokens-details flag
enable-request-id-headers flag
enable-return-routed-experts flag
enable-scale-out flag since=0.30
enable-server-load-tracking flag
enable-shm-tensor-arena flag since=0.32
enable-sleep-mode flag
enable-ssl-refresh flag
enable-tokenizer-info-endpoint flag
enable-tower-connector-lora flag
enable-trace-replay flag since=0.29
enforce-eager flag
engram-config config ? since=0.30
eplb-config config
exclude-tools-when-tool-choice-none flag
expert-placement-strategy choice choices=linear|round_robin +
fail-on-environ-validation flag
fault-tolerance-config config since=0.27
fingerprint-mode choice choices=custom|full|hash|none
fingerprint-value text ?
fully-sharded-loras flag
gdn-prefill-backend choice choices=flashinfer|triton|cutedsl@0.22|aiter_flydsl@0.32|sycl@0.33 +
generation-config text
gpu-memory-utilization number >0 <=1
grpc switch
grpc-port integer ? since=0.32
h11-max-header-count integer
h11-max-incomplete-event-size integer
headless switch
help maybe short=-h
hf-config-path text ?
hf-overrides json
hf-token maybe
host text ?
ignore-patterns list
interleave-mm-strings flag
io-processor-plugin text ?
ir-op-priority config
jit-monitor-mode choice choices=error|warn since=0.25
jit-monitor-verbose flag since=0.24
kda-decode-backend choice choices=auto|native|flashinfer|triton + since=0.30
kda-prefill-backend choice choices=auto|triton|flashkda|flashinfer@0.30|fused@0.30 + since=0.27
kernel-config config
kv-cache-dtype choice choices=auto|float16|bfloat16|fp8|fp8_e4m3|fp8_e5m2|fp8_inc|fp8_ds_mla|fp8_per_token_head|
  int4_per_token_head@0.25|int8_per_token_head|nvfp4|nvfp4_4over6@0.28|nvfp4_ds_mla@0.30|octave_k3v3@0.33|
  octave_k3v3_compact@0.33|octave_k3v4@0.33|turboquant_3bit_nc|turboquant_4bit_nc|turboquant_k3v4_nc|turboquant_k8v4|
  ultraquant_4bit@0.32
kv-cache-dtype-skip-layers list
kv-cache-memory-bytes size ?
kv-cache-metrics flag
kv-cache-metrics-sample number >0 <=1
kv-events-config config ?
kv-offloading-backend choice choices=lmcache|native +
kv-offloading-size number ?
kv-sharing-fast-prefill flag
kv-transfer-config config ?
language-model-only flag
limit-mm-per-prompt json
linear-backend text since=0.22
load-format text
log-config-file text
log-error-stack flag
log-level choice choices=CRITICAL|ERROR|WARNING|INFO|DEBUG|NOTSET since=0.31
logging-config config since=0.31
logits-processors list ?
logprobs-mode choice choices=processed_logits|processed_logprobs|raw_logits|raw_logprobs
long-prefill-token-threshold integer >=0
long-prefill-token-threshold-adaptive flag since=0.31
lora-dtype text
lora-modules list ?
lora-target-modules list ?
mamba-backend text
mamba-block-size integer >0 ?
mamba-cache-dtype choice choices=auto|bfloat16@0.22|float16|float32 +
mamba-cache-mode choice choices=align|none|all +
mamba-cache-philox-rounds integer
mamba-ssm-cache-dtype choice choices=auto|bfloat16@0.22|float16|float32 +
mamba-ssu-algorithm choice choices=auto|horizontal|simple|vertical + ? since=0.27
master-addr text
master-port integer
max-cpu-loras integer ?
max-cudagraph-capture-size integer
max-log-len integer ?
max-logprobs integer >=-1
max-long-partial-prefills integer >=1 until=0.27
max-lora-cls-labels integer >=1 ? since=0.31
max-lora-rank choice choices=1|8|16|32|64|128|256|320|512
max-loras integer >=1
max-model-len length >=1
max-num-active-seqs integer >=1 ? since=0.31
max-num-batched-tokens size >=1
max-num-partial-prefills integer >=1 until=0.27
max-num-queued-reqs integer >=0 ? since=0.29
max-num-queued-tokens size >=0 ? since=0.29
max-num-scheduled-tokens size >=0 ? since=0.26
max-num-seqs integer >=1
max-parallel-loading-workers integer >=1 ?
media-io-kwargs json
middleware text
mm-device-do-normalize flag since=0.28
mm-encoder-attn-backend text ?
mm-encoder-attn-dtype choice choices=fp8 + ?
mm-encoder-fp8-scale-path text ?
mm-encoder-fp8-scale-save-margin number >0
mm-encoder-fp8-scale-save-path text ?
mm-encoder-only flag
mm-encoder-tp-mode choice choices=data|weights +
mm-hasher-algorithm choice choices=blake3|sha256|sha512 + since=0.27
mm-ipc-gpu-memory-gb number >=0 since=0.25
mm-processor-cache-gb number >=0
mm-processor-cache-type choice choices=lru|shm +
mm-processor-device text since=0.28
mm-processor-kwargs json ?
mm-shm-cache-max-object-size-mb integer >=0
mm-tensor-ipc choice choices=direct_rpc|torch_shm +
model text
model-class-overrides json since=0.25
model-impl text
model-loader-extra-config json
moe-backend text
monokernel flag since=0.33
nnodes integer short=-n >=1
node-rank integer short=-r >=0
num-gpu-blocks-override integer ?
numa-bind flag
numa-bind-cpus list ?
numa-bind-nodes list ?
offload-backend choice choices=auto|prefetch|uva +
offload-group-size integer >=0
offload-num-in-group integer >=1
offload-params list
offload-prefetch-step integer >=0
optimization-level choice short=-O choices=0|1|2|3
otlp-traces-endpoint text ?
override-attention-dtype text ? until=0.28
override-generation-config json
per-request-spec-decode-metrics choice choices=detailed|none|summary + since=0.29
performance-mode choice choices=balanced|interactivity|throughput +
pipeline-parallel-size integer short=-pp >=1
pooler-config config ?
port integer
prefill-context-parallel-size integer short=-pcp >=1
prefill-schedule-interval integer >=1 since=0.24
prefix-cache-retention-interval integer >=0 ? since=0.29
prefix-caching-hash-algo choice choices=sha256|sha256_cbor|xxhash|xxhash_cbor +
prefix-match-unit integer >0 ? since=0.26
profiler-config config
pt-load-map-location text
quantization choice short=-q choices=auto_awq|auto_gptq|awq|awq_marlin|bitsandbytes|compressed-tensors|cpu_awq|
  deepseek_v4_fp8|experts_int8|fbgemm_fp8|fp8|fp8_per_block|fp8_per_channel|fp8_per_tensor|fp_quant|gguf|
  gpt_oss_mxfp4|gptq|gptq_marlin|humming|inc|int8_per_channel_weight_only|modelopt|modelopt_fp4|modelopt_mixed|
  modelopt_mxfp8|moe_wna16|mxfp4|mxfp8|nvfp4_per_token|online|quark|torchao + ?
quantization-config config ? since=0.22
ray-workers-use-nsight flag
reasoning-config config ?
reasoning-effort-map json since=0.33
reasoning-parser text
reasoning-parser-plugin text
renderer-num-workers integer
replayssm-buffer-len integer >0 since=0.27
response-role text
return-sampling-mask flag since=0.28
return-tokens-as-token-ids flag
revision text ?
root-path text ?
runner choice choices=auto|draft|generate|pooling
safetensors-load-strategy choice choices=eager|lazy|prefetch|torchao + ?
safetensors-prefetch-block-size size >=1
safetensors-prefetch-num-threads integer >=1
scheduler-cls text ?
scheduler-reserve-full-isl flag
scheduling-policy choice choices=fcfs|priority
seed integer
served-model-name list ?
show-hidden-metrics-for-version text ?
shutdown-timeout integer >=0
skip-mm-profiling flag
skip-tokenizer-init flag
sleep-mode-backend text since=0.33
sleep-mode-offload-cudagraph flag since=0.32
sleep-preserve-parameter-names list since=0.31
sparse-indexer-topk-backend text since=0.30
spec-method text ? since=0.22
spec-model text ? since=0.22
spec-tokens integer since=0.22
specialize-active-lora flag
speculative-config json short=-sc ?
sse-keep-alive-interval integer since=0.29
ssl-ca-certs text ?
ssl-cert-reqs integer
ssl-certfile text ?
ssl-ciphers text ?
ssl-keyfile text ?
stream-interval integer >=1
structured-outputs-config config
swa-bounded-replay flag since=0.31
tensor-parallel-size integer short=-tp >=1
tokenizer text
tokenizer-mode text
tokenizer-revision text ?
tokens-only flag
tool-call-parser text ?
tool-parser-plugin text
tool-server text ?
tool-strict-level text ? since=0.31
trust-remote-code flag
trust-request-chat-template flag
trust-request-mm-kwargs flag since=0.31
ubatch-size integer >=0
uds text ?
use-fp64-gumbel flag since=0.22
use-replayssm flag since=0.27
use-tqdm-on-load flag
uvicorn-log-level choice choices=critical|debug|error|info|trace|warning
video-pruning-method choice choices=evs|vidcom2 + since=0.27
video-pruning-rate number >=0 <1 ?
watchdog-config config since=0.33
watermark number >=0 <1 since=0.24
watermark-config json ? since=0.30
weight-transfer-config config ?
worker-cls text
worker-extension-cls text
"""

OPTIONS: Final[Mapping[str, VllmOption]] = {
    option.name: option for option in map(_option, filter(None, _TABLE.replace("\n  ", "").splitlines()))
}
"""Every option by its full name."""
SHORT_NAMES: Final[Mapping[str, str]] = {short: one.name for one in OPTIONS.values() for short in one.short}
