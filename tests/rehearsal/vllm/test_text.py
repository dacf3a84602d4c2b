"""Tokens can be turned back into text, and prompts determine answers."""

import pytest

from rehearsal.vllm.text import TOKEN_BYTES, answer, detokenize, token_id, tokenize


@pytest.mark.parametrize(
    "text", ["", "hello world", "naïve café", "東京から大阪まで", "🚦🚦 mixed ü 電 text", "\x00\x00"]
)
def test_tokens_are_small_and_reversible(text: str) -> None:
    tokens = tokenize(text)
    assert "".join(tokens) == text
    assert all(len(token.encode()) <= TOKEN_BYTES for token in tokens)
    assert detokenize([token_id(token) for token in tokens]) == text


def test_a_number_that_is_not_a_token_is_refused() -> None:
    with pytest.raises(ValueError, match="out of vocabulary"):
        detokenize([token_id("abcd"), 2**60])


def test_prompts_determine_answers_and_wrong_ones_differ() -> None:
    assert answer("one prompt", 24) == answer("one prompt", 24)
    assert answer("one prompt", 24) != answer("another prompt", 24)
    assert answer("one prompt", 24) != answer("one prompt", 24, wrong=True)


def test_answers_are_about_as_long_as_asked_for() -> None:
    lengths = [len(answer(f"prompt {number}", 24)) for number in range(200)]
    assert 12 <= min(lengths) < max(lengths) <= 36 + 16
    assert len(answer("prompt", 24, at_least=300)) >= 300
