"""The inference endpoints: chat completions and completions, whole or streamed."""

import time
from http import HTTPStatus
from typing import Any
from uuid import uuid4

from aiohttp import web

from rehearsal.vllm import identity, text
from rehearsal.vllm.engine import Engine, Run, Work
from rehearsal.vllm.flags import ServeArguments
from rehearsal.vllm.hub import Fault
from rehearsal.vllm.protocol import (
    DONE_EVENT,
    ApiError,
    ChatTemplate,
    CompletionRequest,
    ServedAnswer,
    Usage,
    bad_request,
    read_body,
    read_completion,
)

# An answer without streaming needs no pace between tokens; it only has to stop when it is aborted.
WHOLE_ANSWER_CHUNK_TOKENS = 8


class Completions:
    """Turns requests into work for the engine, and its tokens into answers."""

    def __init__(self, arguments: ServeArguments, engine: Engine, max_model_len_tokens: int) -> None:
        self._arguments = arguments
        self._engine = engine
        self._max_model_len_tokens = max_model_len_tokens
        self._template = None if arguments.chat_template is None else _template(arguments.chat_template)
        self._fingerprint = identity.fingerprint(arguments)
        self._names = {*arguments.served_model_names, *(lora.name for lora in arguments.lora_modules)}

    async def chat(self, request: web.Request) -> web.StreamResponse:
        """Answer `POST /v1/chat/completions`."""
        return await self._answer(request, await _body(request), chat=True)

    async def completion(self, request: web.Request) -> web.StreamResponse:
        """`POST /v1/completions`."""
        return await self._answer(request, await _body(request), chat=False)

    async def invocation(self, request: web.Request) -> web.StreamResponse:
        """Answer `POST /invocations`: a chat completion or a completion, depending on the body."""
        body = await _body(request)
        return await self._answer(request, body, chat="messages" in body)

    async def _answer(self, request: web.Request, body: dict[str, Any], *, chat: bool) -> web.StreamResponse:
        asked = read_completion(body, chat=chat, template=self._template)
        model = asked.model or self._arguments.served_model_names[0]
        if model not in self._names:
            message = f"The model `{model}` does not exist."
            raise ApiError(HTTPStatus.NOT_FOUND, message, "NotFoundError", "model")
        work = self._plan(asked)
        request_id = request.headers.get("X-Request-Id") or uuid4().hex
        answer = ServedAnswer(request_id, model, self._fingerprint, chat=chat)
        with self._engine.run(work) as run:
            if asked.stream and work.finish_reason != "error":
                return await self._stream(request, asked, work, run, answer)
            whole = "".join([piece async for piece in run.outputs()])
            if run.finish_reason == "error":
                raise ApiError(HTTPStatus.INTERNAL_SERVER_ERROR, "Internal server error", "InternalServerError")
            shown = asked.prompt if asked.return_prompt_text else None
            body = answer.whole(whole, run.finish_reason, self._usage(work, run), prompt_text=shown)
            if self._arguments.per_request_metrics:
                body["metrics"] = _timings(run)
            return web.json_response(body)

    async def _stream(
        self, request: web.Request, asked: CompletionRequest, work: Work, run: Run, answer: ServedAnswer
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        opening = answer.opening_event() if asked.chat else b""
        async for piece in run.outputs():
            await response.write(opening + answer.text_event(piece))
            opening = b""
        shows_usage = asked.include_usage or self._arguments.force_include_usage
        end = opening + answer.closing_event(run.finish_reason, last=not shows_usage)
        if shows_usage:
            end += answer.usage_event(self._usage(work, run))
        await response.write(end + DONE_EVENT)
        await response.write_eof()
        return response

    def _plan(self, asked: CompletionRequest) -> Work:
        prompt = text.tokenize(asked.prompt)
        limit = self._max_model_len_tokens
        wanted = asked.max_tokens or 1
        if len(prompt) + wanted > limit:
            raise bad_request(
                f"This model's maximum context length is {limit} tokens, but {len(prompt)} input tokens and {wanted} "
                "output tokens were requested. Please reduce the length of the input or the number of output tokens.",
                "max_tokens" if len(prompt) < limit else "messages" if asked.chat else "prompt",
            )
        max_tokens = asked.max_tokens or limit - len(prompt)
        if asked.min_tokens > max_tokens:
            raise bad_request(
                f"min_tokens must be less than or equal to max_tokens={max_tokens}, got {asked.min_tokens}."
            )
        fault = self._engine.behavior.faults.of(asked.prompt)
        output = text.answer(
            asked.prompt,
            self._engine.behavior.mean_output_tokens,
            at_least=max_tokens if asked.ignore_eos else asked.min_tokens,
            wrong=fault is Fault.WRONG_ANSWER,
        )
        output, stopped = _cut_at_stop(output, asked.stop)
        reason = "stop"
        if len(output) >= max_tokens and not (stopped and len(output) == max_tokens):
            output, reason = output[:max_tokens], "length"
        if fault is Fault.ABORT:
            output, reason = output[: max(1, len(output) // 2)], "abort"
        stalls = fault is Fault.STALL and len(output) > self._engine.behavior.faults.stall_after_tokens
        if fault is Fault.ERROR or stalls:
            reason = "stall" if stalls else "error"
        interval = self._arguments.stream_interval or self._engine.behavior.stream_interval
        return Work(prompt, output, reason, max_tokens, interval if asked.stream else WHOLE_ANSWER_CHUNK_TOKENS)

    def _usage(self, work: Work, run: Run) -> Usage:
        cached = run.cached_tokens if self._arguments.prompt_tokens_details else None
        return Usage(len(work.prompt), run.output_tokens, cached)


def _template(given: str) -> ChatTemplate:
    from rehearsal.vllm.chat_template import load_template  # slow to import, and most servers have none

    return load_template(given)


def _cut_at_stop(output: list[str], stops: tuple[str, ...]) -> tuple[list[str], bool]:
    whole = "".join(output)
    found = [at for stop in stops if stop and (at := whole.find(stop)) >= 0]
    return (text.tokenize(whole[: min(found)]) or [""], True) if found else (output, False)


def _timings(run: Run) -> dict[str, float | None]:
    now = time.monotonic()
    scheduled, first = run.scheduled, run.first_token
    return {
        "queue_time_ms": None if scheduled is None else (scheduled - run.arrived) * 1000,
        "time_to_first_token_ms": None if first is None or scheduled is None else (first - scheduled) * 1000,
        "generation_time_ms": None if first is None else (now - first) * 1000,
    }


async def _body(request: web.Request) -> dict[str, Any]:
    return read_body(await request.read(), request.content_type)
