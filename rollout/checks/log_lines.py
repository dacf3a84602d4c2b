"""Lines of a request log: the request in each line, without anything else that the log says about it.

A line is a request body, a line of OpenAI's batch format, or a payload of LiteLLM's logging. Whatever wraps or follows
the request (the answer, times, addresses, keys, metadata) is dropped here, so it cannot be replayed or reported.
Pure.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, cast

PREFIX_CHARACTERS = 512
TIMES: Final = ("timestamp", "startTime")
"""Where a line has its time: our own field, and LiteLLM's. The first one that is there counts."""

# What decides about the prompt and the answer, from the requests of OpenAI's API and of vLLM:
# https://platform.openai.com/docs/api-reference/chat/create
# https://platform.openai.com/docs/api-reference/completions/create
# https://github.com/vllm-project/vllm/blob/main/vllm/entrypoints/openai/chat_completion/protocol.py
# https://github.com/vllm-project/vllm/blob/main/vllm/entrypoints/openai/completion/protocol.py
# Left out are fields about who asked (user, safety_identifier, session_id, metadata), how the answer is sent or counted
# (stream, stream_options, stream_interval, return_*, echo), scheduled (priority, service_tier) or cached (cache_salt),
# how many answers there are (n, best_of, use_beam_search), and log probabilities, which are no part of the answer.
_PROMPT: Final = frozenset({"messages", "prompt", "suffix"})
_TOOLS: Final = frozenset({"tools", "tool_choice", "parallel_tool_calls", "functions", "function_call"})
_RENDERING: Final = frozenset(
    {"add_generation_prompt", "continue_final_message", "add_special_tokens", "documents", "chat_template"}
    | {"chat_template_kwargs", "media_io_kwargs", "mm_processor_kwargs", "truncate_prompt_tokens", "truncation_side"}
)
_FORMAT: Final = frozenset(
    {"response_format", "structured_outputs", "verbosity", "reasoning_effort", "include_reasoning"}
    # Earlier versions of vLLM: https://docs.vllm.ai/en/latest/features/structured_outputs/
    | {"guided_json", "guided_regex", "guided_choice", "guided_grammar", "guided_decoding_backend"}
    | {"guided_whitespace_pattern"}
)
_DECODING: Final = frozenset(
    {"stop", "stop_token_ids", "include_stop_str_in_output", "ignore_eos", "logit_bias", "bad_words"}
    | {"allowed_token_ids", "frequency_penalty", "presence_penalty", "repetition_penalty", "repetition_detection"}
    | {"skip_special_tokens", "spaces_between_special_tokens", "vllm_xargs", "thinking_token_budget"}
)
REPLAYED: Final = _PROMPT | _TOOLS | _RENDERING | _FORMAT | _DECODING
"""The fields that a replay sends as they were recorded."""
_ADJUSTED: Final = frozenset({"model", "max_tokens", "max_completion_tokens", "min_tokens"})
"""The fields that a replay takes into account."""
_MESSAGE: Final = frozenset(
    {"role", "content", "name", "tool_calls", "tool_call_id", "function_call", "refusal", "tools"}
    | {"reasoning", "reasoning_content"}
)

# What a gateway writes instead of a prompt. Words in brackets are marks of other tools too.
# https://docs.litellm.ai/docs/proxy/logging#redact-messages-response-content
# "default-message-value" is what LiteLLM writes of requests that it does not read itself:
# https://github.com/BerriAI/litellm/issues/30724
_MARK: Final = re.compile(
    r"""\W* redacted \W*
    | \W* redacted [ _-] by [ _-] litellm .*
    | default-message-value
    | [\[<{(]+ \s* (redacted|masked|filtered|removed|hidden|omitted|deleted) [^\]>})]* [\]>})]+
    | [*•●█]{3,} | x{3,}""",
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
# LiteLLM's names for calls of the two endpoints that are replayed.
# https://docs.litellm.ai/docs/proxy/logging_spec
_CHAT_CALLS: Final = frozenset({"completion", "acompletion"})
_COMPLETION_CALLS: Final = frozenset({"text_completion", "atext_completion"})
# https://platform.openai.com/docs/api-reference/batch
_BATCH_URLS: Final = ("/chat/completions", "/completions")


@dataclass(frozen=True, kw_only=True)
class RecordedRequest:
    """One recorded request. ``at`` is in seconds since the epoch, or None when the line has no time."""

    body: Mapping[str, Any]
    at: float | None = None

    @property
    def prompt(self) -> str:
        """Return everything that the model reads: the tools and the messages, or the text. Equal for equal prompts."""
        parts = [self.body.get("tools"), self.body.get("messages") or self.body.get("prompt")]
        return json.dumps(parts, sort_keys=True, ensure_ascii=False)

    @property
    def prefix(self) -> str:
        """Return the beginning that prompts of one kind share: the tools, the system prompt, the examples."""
        return self.prompt[:PREFIX_CHARACTERS]


class NoRequest(StrEnum):
    """Why a line is not replayed."""

    OTHER = "no OpenAI request"
    REDACTED = "a redaction mark instead of a prompt"


def read_line(line: str) -> RecordedRequest | NoRequest:
    """Read the request from a line of the log."""
    try:
        value: object = json.loads(line)
    except (ValueError, RecursionError):
        return NoRequest.OTHER
    if not isinstance(value, dict):
        return NoRequest.OTHER
    record = cast(dict[str, Any], value)
    wrapped = _unwrapped(record)
    body = None if wrapped is None else _known(wrapped)
    if body is None:
        return NoRequest.OTHER
    if any(_MARK.fullmatch(text.strip()) for text in _texts(body)):
        return NoRequest.REDACTED
    times = [seconds for name in TIMES if (seconds := _seconds(record.get(name))) is not None]
    return RecordedRequest(body=body, at=times[0] if times else None)


def _unwrapped(record: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the request body in a record. None when the record is of another API."""
    if isinstance(body := record.get("body"), dict) and ("custom_id" in record or "url" in record):
        known = str(record.get("url", _BATCH_URLS[0])).endswith(_BATCH_URLS)
        return cast(dict[str, Any], body) if known else None
    if not isinstance(parameters := record.get("model_parameters"), dict):
        return record
    call = record.get("call_type")
    if call is not None and call not in _CHAT_CALLS | _COMPLETION_CALLS:
        return None
    messages = record.get("messages")
    asked = {"messages": messages}
    if isinstance(messages, str):
        asked = {"prompt": messages}
    elif call in _COMPLETION_CALLS and isinstance(messages, list):
        # LiteLLM logs the prompt of a completion as the only message of a chat.
        contents = [cast(dict[str, Any], one).get("content") for one in cast(list[Any], messages) if _is_message(one)]
        asked = {"prompt": contents[0]} if len(contents) == 1 else {}
    model = record.get("model_group") or record.get("model")
    return {**cast(dict[str, Any], parameters), **asked, "model": model}


def _known(body: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the known fields of a request body. None when it is no chat and no completion of one text."""
    messages, prompt = body.get("messages"), body.get("prompt")
    kept = {name: value for name, value in body.items() if name in REPLAYED | _ADJUSTED and value is not None}
    if isinstance(messages, list) and messages and all(map(_is_message, cast(list[Any], messages))):
        kept["messages"] = [
            {name: value for name, value in message.items() if name in _MESSAGE}
            for message in cast(list[dict[str, Any]], messages)
        ]
        return kept
    if messages is None and isinstance(prompt, str) and prompt:
        return kept
    return None


def _is_message(value: object) -> bool:
    return isinstance(value, dict) and isinstance(cast(dict[str, Any], value).get("role"), str)


def _texts(body: Mapping[str, Any]) -> Iterable[str]:
    """Yield the texts that a log may have redacted: each message's, each part's, the arguments of tool calls."""
    if isinstance(prompt := body.get("prompt"), str):
        yield prompt
    for message in body.get("messages", ()):
        content = message.get("content")
        if isinstance(content, str):
            yield content
        for part in cast(list[Any], content if isinstance(content, list) else []):
            if isinstance(part, dict) and isinstance(text := cast(dict[str, Any], part).get("text"), str):
                yield text
        for call in cast(list[Any], calls if isinstance(calls := message.get("tool_calls"), list) else []):
            function = cast(dict[str, Any], call).get("function") if isinstance(call, dict) else None
            arguments = cast(dict[str, Any], function).get("arguments") if isinstance(function, dict) else None
            if isinstance(arguments, str):
                yield arguments


def _seconds(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        if isinstance(value, int | float):
            return float(value)
        return datetime.fromisoformat(str(value)).timestamp()
    except (ValueError, OverflowError):
        return None
