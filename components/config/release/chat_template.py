"""Chat templates, as vLLM reads them: whether one can be parsed, and whether it uses a request's messages."""

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment


@cache
def chat_environment() -> "Environment":
    """Return Jinja as tokenizers set it up for chat templates. It is slow to import, and few releases have a template.

    https://github.com/huggingface/transformers/blob/main/src/transformers/utils/chat_template_utils.py
    """
    from jinja2 import nodes
    from jinja2.ext import Extension, loopcontrols
    from jinja2.parser import Parser
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """The tag ``generation``, with which templates mark the assistant's part."""

        tags = {"generation"}  # noqa: RUF012 - as in the class above

        def parse(self, parser: Parser) -> list[nodes.Node]:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    return ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])


def template_error(template: str) -> str | None:
    """Return where a template breaks Jinja's rules, and how; None when it keeps them."""
    from jinja2 import TemplateSyntaxError, nodes

    try:
        tree = chat_environment().parse(template)
        for reader in tree.find_all((nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)):
            return f"line {reader.lineno}: it reads another file, and there is none"
    except TemplateSyntaxError as error:
        return f"line {error.lineno}: {(error.message or 'it cannot be parsed').rstrip('.')}"
    except RecursionError:
        return "it is nested too deeply"
    return None


def uses_messages(template: str) -> bool:
    """Return whether a template without errors has a place for the messages of a request."""
    from jinja2.meta import find_undeclared_variables

    return "messages" in find_undeclared_variables(chat_environment().parse(template))
