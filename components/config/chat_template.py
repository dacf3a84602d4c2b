"""Whether a chat template can be parsed, as vLLM's tokenizers parse it."""

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment


class _Generation(Extension):
    """The tag ``generation``, with which templates mark the assistant's part."""

    tags = {"generation"}  # noqa: RUF012 - as in the class above

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


# https://github.com/huggingface/transformers/blob/main/src/transformers/utils/chat_template_utils.py
_ENVIRONMENT = ImmutableSandboxedEnvironment(
    trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
)


def syntax_error(template: str) -> str | None:
    """Return where a template breaks Jinja's rules, and how; None when it keeps them."""
    try:
        _ENVIRONMENT.parse(template)
    except jinja2.TemplateSyntaxError as error:
        return f"line {error.lineno}: {(error.message or 'it cannot be parsed').rstrip('.')}"
    except RecursionError:
        return "it is nested too deeply"
    return None
