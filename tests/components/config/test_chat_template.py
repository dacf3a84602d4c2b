"""A chat template is parsed as vLLM's tokenizers parse it."""

import pytest

from components.config.chat_template import syntax_error


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
    assert syntax_error(template) is None


@pytest.mark.parametrize(
    ("template", "error"),
    [
        ("Hi\n{% for m in messages %}{{ m.content }}", "line 2: Unexpected end of template"),
        ("{{ messages }", "line 1: "),
        ("{% if a %}\n{% endfor %}", "line 2: Encountered unknown tag 'endfor'"),
        ("{% generation %}{{ messages }}", "line 1: Unexpected end of template"),
        ("{{ messages[0 }}", "line 1: "),
        (f"{{{{ {'(' * 5000} }}}}", "it is nested too deeply"),
    ],
)
def test_a_broken_template_has_its_line_and_what_is_wrong(template: str, error: str) -> None:
    found = syntax_error(template)
    assert found is not None
    assert found.startswith(error)
    assert not found.endswith(".")
