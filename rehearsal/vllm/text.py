"""Tokens and answers: a reversible tokenizer with about four characters per token, and texts made from the prompt."""

import random
import re
from hashlib import sha256

TOKEN_BYTES = 4

_SUM = re.compile(r"What is (\d{1,6}) \+ (\d{1,6})\?")

_SUBJECTS = (
    "the scheduler",
    "a warm cache",
    "each replica",
    "the second node",
    "this release",
    "the queue",
    "a longer prompt",
    "our budget",
    "the first token",
    "a healthy target",
    "the rollout",
    "one careful test",
    "the balancer",
    "every stream",
    "a small batch",
)
_VERBS = (
    "settles",
    "waits",
    "keeps pace",
    "answers early",
    "needs room",
    "drifts",
    "recovers",
    "holds steady",
    "moves on",
    "stays idle",
    "takes its share",
    "fills up",
    "drains",
    "reads ahead",
    "comes back",
)
_ENDINGS = (
    "before noon",
    "under load",
    "without a pause",
    "on most days",
    "by a wide margin",
    "in the end",
    "when asked",
    "after the shift",
    "at half weight",
    "for a while",
    "as planned",
    "with care",
    "in turn",
    "once more",
    "within a second",
)


def tokenize(text: str) -> list[str]:
    """Cut a text into pieces of at most four UTF-8 bytes, never through a character."""
    if text.isascii():
        return [text[at : at + TOKEN_BYTES] for at in range(0, len(text), TOKEN_BYTES)]
    pieces: list[str] = []
    piece, size = "", 0
    for character in text:
        width = len(character.encode("utf-8", "replace"))
        if size + width > TOKEN_BYTES:
            pieces.append(piece)
            piece, size = "", 0
        piece += character
        size += width
    return [*pieces, piece]


def token_id(piece: str) -> int:
    """Return the number of a token. A leading 1 keeps leading zero bytes."""
    return int.from_bytes(b"\x01" + piece.encode("utf-8", "replace"))


def detokenize(ids: list[int]) -> str:
    """Return the text of token numbers. Raises ValueError for a number that is not a token."""
    pieces: list[bytes] = []
    for number in ids:
        data = (
            number.to_bytes(TOKEN_BYTES + 1, "big").lstrip(b"\x00") if 0 < number < 2 ** (8 * TOKEN_BYTES + 1) else b""
        )
        if data[:1] != b"\x01":
            raise ValueError(f"token {number} is out of vocabulary")
        pieces.append(data[1:])
    return b"".join(pieces).decode("utf-8", "replace")


def answer(prompt: str, mean_tokens: int, *, at_least: int = 0, wrong: bool = False) -> list[str]:
    """Return the tokens of the answer to a prompt. The same prompt always gets the same answer.

    The answer has whole sentences of about 0.5 to 1.5 times `mean_tokens`, or at least `at_least` tokens. A wrong
    answer is another text of the same kind. The last sum in a prompt (`What is 2 + 3?`) is answered correctly, so that
    an evaluation has something to ask.
    """
    if not wrong and not at_least and (sums := _SUM.findall(prompt)):
        first, second = map(int, sums[-1])
        return tokenize(f"{first} + {second} = {first + second}.")
    seed = sha256(("wrong:" if wrong else "right:").encode() + prompt.encode("utf-8", "replace")).digest()
    choose = random.Random(seed)
    wanted = max(at_least, round(mean_tokens * choose.uniform(0.5, 1.5)))
    text = ""
    while len(text) <= wanted * TOKEN_BYTES:
        text += f"{choose.choice(_SUBJECTS)} {choose.choice(_VERBS)} {choose.choice(_ENDINGS)}. ".capitalize()
    return tokenize(text.rstrip())
