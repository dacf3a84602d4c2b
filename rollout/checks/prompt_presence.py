"""Whether a release's prompts are in effect, by the prompt that the server says it made of a chat. Pure.

vLLM shows it for ``return_prompt_text``: the text after the chat template. What the chat template should have made of
the same chat is worked out here, with everything that only the tokenizer knows (``bos_token`` and the like) left open.
"""

import re
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher

import jinja2
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

OPEN = "\ufdd0"
"""Stands for what only the tokenizer knows; no text holds this character."""

# A template that was not used shares less than this with one that was; what the tokenizer fills in makes up the rest.
SAME_RATIO = 0.5

# Special tokens count as a whole: those of different templates are much alike in their letters.
_TOKENS = re.compile(r"<[^<>\s]+>|\[[^\[\]\s]+\]|\w+|\S")


def missing_text(prompt_file: str, prompt_text: str) -> bool:
    """Tell whether a prompt file's text did not reach the model; white space may differ."""
    return _plain(prompt_file) not in _plain(prompt_text)


def template_error(template: str, messages: Sequence[Mapping[str, str]], prompt_text: str) -> str | None:
    """Say why a prompt cannot have come from a chat template; none when it can.

    A template that wants more than a chat (tools, variables of the server) cannot be worked out and is not judged.
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
        return None  # near enough to be the same, with something filled in that is not known here
    return f"the chat template is not in effect: it makes {without[:80]!r} of a chat, the server {prompt_text[:80]!r}"


def _render(template: str, messages: Sequence[Mapping[str, str]]) -> str:
    """Render a chat as Hugging Face's tokenizers do."""

    def raise_exception(message: str) -> None:
        raise jinja2.TemplateError(message)

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    return environment.from_string(template).render(
        messages=[dict(message) for message in messages],
        add_generation_prompt=True,
        bos_token=OPEN,
        eos_token=OPEN,
        unk_token=OPEN,
        pad_token=OPEN,
        raise_exception=raise_exception,
        strftime_now=_now,
    )


def _now(_form: str) -> str:
    return OPEN


def _without_messages(text: str, messages: Sequence[Mapping[str, str]]) -> str:
    """Leave the frame: what the chat said is in any rendering of it, and shows nothing."""
    for message in messages:
        text = text.replace(message["content"].strip(), "")
    return _plain(text)


def _plain(text: str) -> str:
    return " ".join(text.split())
