"""Checks whether a release's prompts are in effect, from the prompt that the server made of a chat. Pure.

With ``return_prompt_text``, vLLM returns the prompt after the chat template. This module renders the same chat with the
release's chat template and compares. Values that only the tokenizer knows, such as ``bos_token``, match anything.
"""

import re
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher

import jinja2

from components.config.release.chat_template import chat_environment

OPEN = "\ufdd0"
"""Placeholder for values that only the tokenizer knows. This character occurs in no text."""

# The prompts of two different templates are less similar than this. Text that the tokenizer fills in may also differ.
SAME_RATIO = 0.5

# Each special token counts as one word: those of different templates have similar letters.
_TOKENS = re.compile(r"<[^<>\s]+>|\[[^\[\]\s]+\]|\w+|\S")


def missing_text(prompt_file: str, prompt_text: str) -> bool:
    """Return whether a prompt file's text is missing from the model's prompt, ignoring differences in white space."""
    return _plain(prompt_file) not in _plain(prompt_text)


def template_error(template: str, messages: Sequence[Mapping[str, str]], prompt_text: str) -> str | None:
    """Return why a prompt cannot come from a chat template. None when it can.

    A template that needs more than a chat (tools, variables of the server) cannot be rendered here and is not judged.
    """
    try:
        expected = _render(template, messages)
    except (jinja2.TemplateError, TypeError, ValueError, LookupError, ArithmeticError, RecursionError):
        return None
    pattern = re.escape(_plain(expected)).replace(OPEN, ".*?")
    if re.fullmatch(pattern, _plain(prompt_text), re.DOTALL):
        return None
    without = expected.replace(OPEN, " ")
    frame, shown = (_TOKENS.findall(_without_messages(text, messages)) for text in (without, prompt_text))
    if SequenceMatcher(None, frame, shown, autojunk=False).ratio() >= SAME_RATIO:
        return None  # similar enough: the rest was filled in by the server
    return (
        f"the chat template is not in effect: it renders a chat as {without[:80]!r}, the server as {prompt_text[:80]!r}"
    )


def _render(template: str, messages: Sequence[Mapping[str, str]]) -> str:
    """Render a chat as Hugging Face's tokenizers do."""

    def raise_exception(message: str) -> None:
        raise jinja2.TemplateError(message)

    return (
        chat_environment()
        .from_string(template)
        .render(
            messages=[dict(message) for message in messages],
            add_generation_prompt=True,
            bos_token=OPEN,
            eos_token=OPEN,
            unk_token=OPEN,
            pad_token=OPEN,
            raise_exception=raise_exception,
            strftime_now=_now,
        )
    )


def _now(_form: str) -> str:
    return OPEN


def _without_messages(text: str, messages: Sequence[Mapping[str, str]]) -> str:
    """Return the template's own text: the messages appear in every rendering, so they prove nothing."""
    for message in messages:
        text = text.replace(message["content"].strip(), "")
    return _plain(text)


def _plain(text: str) -> str:
    return " ".join(text.split())
