"""The requests of the load check: recorded ones again and again, or synthetic ones of the lengths that users ask for.

Pure.
"""

import random
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final

from rollout.checks.log_lines import RecordedRequest
from rollout.checks.recorded_prompts import newest, replayed
from rollout.statistics.demand import Lengths, draw_length

Body = dict[str, Any]

# Common words, each of which is one token to most tokenizers. No two prompts begin with the same words, so a prefix
# cache does not help: with users' prompts it does.
_WORDS: Final = (
    "the and for are but not you all any can had her was one our out day get has him his how man new now old see two "
    "way who boy did its let put say she too use"
)
SAMPLES: Final = 1000


def recorded_bodies(
    records: Sequence[RecordedRequest], *, max_tokens: int, seed: int, names: Collection[str]
) -> list[Body]:
    """Return requests of the log to send again: the newest ones, in an order of chance."""
    chosen = newest(records, SAMPLES, seed)
    return [_counted(replayed(one, max_tokens=max_tokens, seed=seed, names=names)) for one in chosen]


def synthetic_bodies(lengths: Lengths, *, max_tokens: int, seed: int) -> Iterator[Body]:
    """Yield chats of the lengths that users' prompts and answers have, without an end.

    A server that knows ``ignore_eos``, as vLLM does, answers with as many tokens as were drawn.
    """
    source, known = random.Random(seed), _WORDS.split()
    while True:
        words, answer = draw_length(lengths.prompts, source) or 1, draw_length(lengths.answers, source) or max_tokens
        prompt = " ".join(source.choices(known, k=words))
        body: Body = {"messages": [{"role": "user", "content": prompt}], "max_tokens": min(answer, max_tokens)}
        yield _counted({**body, "ignore_eos": True, "temperature": 0, "seed": seed})


def _counted(body: Body) -> Body:
    """Return the request with the wish that the stream ends with the number of its tokens.

    https://platform.openai.com/docs/api-reference/chat/create#chat-create-stream_options
    """
    return {**body, "stream_options": {"include_usage": True}}
