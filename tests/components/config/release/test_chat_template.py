"""A chat template is parsed as vLLM's tokenizers parse it."""

import pytest

from components.config.release.chat_template import template_error, uses_messages


@pytest.mark.parametrize(
    "template",
    [
        "{{ messages }}",
        "{% for m in messages %}{{ m.content }}{% endfor %}",
        "{%- for m in messages %}{% if loop.index > 9 %}{% break %}{% endif %}{{ m['content'] | tojson }}{% endfor -%}",
        "{% generation %}{{ messages[0].content }}{% endgeneration %}",
        "{{ raise_exception('no tools') if tools else strftime_now('%Y') }}",
        "{{ messages | a_filter_of_the_server }}",
    ],
)
def test_what_the_tokenizers_take_has_no_error(template: str) -> None:
    assert template_error(template) is None


@pytest.mark.parametrize(
    ("template", "error"),
    [
        ("Hi\n{% for m in messages %}{{ m.content }}", "line 2: Unexpected end of template"),
        ("{{ messages }", "line 1: "),
        ("{% if a %}\n{% endfor %}", "line 2: Encountered unknown tag 'endfor'"),
        ("{% generation %}{{ messages }}", "line 1: Unexpected end of template"),
        ("{{ messages[0 }}", "line 1: "),
        (f"{{{{ {'(' * 5000} }}}}", "it is nested too deeply"),
        ("{{ messages }}\n{% include 'tools.jinja' %}", "line 2: it reads another file, and there is none"),
        ("{% import 'a' as a %}{{ messages }}", "line 1: it reads another file"),
        ("{% from 'a' import b %}{{ messages }}", "line 1: it reads another file"),
        ("{% extends 'a' %}", "line 1: it reads another file"),
    ],
)
def test_a_broken_template_has_its_line_and_what_is_wrong(template: str, error: str) -> None:
    found = template_error(template)
    assert found is not None
    assert found.startswith(error)
    assert not found.endswith(".")


def test_a_template_uses_the_messages_of_a_request() -> None:
    assert uses_messages("{% set all = messages %}{% for one in all %}{{ one.content }}{% endfor %}")
    assert not uses_messages("{% set messages = [] %}{{ messages }}")
    assert not uses_messages("{{ message.content }}")
