"""A custom chat template from `--chat-template`."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import jinja2

from components.config.release.chat_template import chat_environment
from rehearsal.vllm.protocol import ChatTemplate


def load_template(given: str) -> ChatTemplate:
    """Return the template from a file, or from the text of the template itself."""
    text = given if "{" in given else Path(given).read_text(encoding="utf-8")
    template = chat_environment().from_string(text)

    def render(messages: Sequence[Mapping[str, str]]) -> str:
        try:
            return template.render(messages=messages, add_generation_prompt=True, bos_token="<s>", eos_token="</s>")
        except jinja2.TemplateError as error:
            raise ValueError(str(error)) from error

    return render
