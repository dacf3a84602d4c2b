"""The mix of requests, and their prompts."""

import pytest

from rehearsal.load.mix import Mix, load_prompts


def test_the_prompts_are_many_varied_and_distinct() -> None:
    prompts = load_prompts()
    texts = [" ".join(message["content"] for message in messages) for messages in prompts]
    words = [len(text.split()) for text in texts]
    assert len(set(texts)) == len(texts) >= 40
    assert min(words) < 10
    assert max(words) > 40
    assert sum(len(messages) >= 3 for messages in prompts) >= 4, "some are conversations"
    assert sum(not text.isascii() for text in texts) >= 8, "some are in other languages"
    assert all(messages[-1]["role"] == "user" for messages in prompts)


@pytest.mark.parametrize("target", [30, 45, 110])
def test_the_mix_keeps_the_number_of_open_streams_and_has_whole_answers(target: int) -> None:
    rate, pace = 44.0, 20.0
    mix = Mix(load_prompts(), target, rate)
    ends: list[float] = []
    whole, seen = 0, list[int]()
    for number in range(int(rate * 30)):
        now = number / rate
        ends = [end for end in ends if end > now]
        seen.append(len(ends))
        call = mix.next(len(ends))
        whole += not call.stream
        if call.stream:
            ends.append(now + 0.08 + call.max_tokens / pace)
    settled = seen[int(rate * 6) :]
    assert min(settled) > target * 0.7
    assert max(settled) <= target + 10
    assert whole >= len(seen) / 5


def test_long_streams_are_sized_by_the_pace_of_the_server() -> None:
    slow, fast = (Mix(load_prompts(), 45, 44.0) for _ in range(2))
    for _ in range(200):
        fast.learn(tokens=100, seconds=1.0)
    assert fast.next(0).max_tokens > 3 * slow.next(0).max_tokens
