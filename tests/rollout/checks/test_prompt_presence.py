"""Whether prompts are in effect is judged by the prompt that the server makes of a chat."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.checks.prompt_presence import missing_text, template_error

CHAT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Which colour is the sky?"}]
CHATML = (
    "{%- for m in messages %}\n{{- '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}\n{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)
CHATML_MADE = (
    "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWhich colour is the sky?<|im_end|>\n"
    "<|im_start|>assistant\n"
)
LLAMA = (
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n{{ m.content }}"
    "<|eot_id|>{% endfor %}<|start_header_id|>assistant<|end_header_id|>\n\n"
)
LLAMA_MADE = (
    "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|><|start_header_id|>user"
    "<|end_header_id|>\n\nWhich colour is the sky?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
)


@pytest.mark.parametrize(("template", "made"), [(CHATML, CHATML_MADE), (LLAMA, LLAMA_MADE)])
def test_a_template_in_effect_is_accepted_whatever_the_tokenizer_fills_in(template: str, made: str) -> None:
    assert template_error(template, CHAT, made) is None


@pytest.mark.parametrize(("template", "made"), [(CHATML, LLAMA_MADE), (LLAMA, CHATML_MADE)])
def test_another_template_than_the_releases_is_refused(template: str, made: str) -> None:
    assert "not in effect" in (template_error(template, CHAT, made) or "")


def test_a_date_that_the_server_fills_in_is_accepted() -> None:
    template = "Today is {{ strftime_now('%d %b %Y') }}. " + CHATML
    assert template_error(template, CHAT, "Today is 21 Nov 2026. " + CHATML_MADE) is None


@pytest.mark.parametrize(
    "template",
    ["{% for %}", "{{ raise_exception('only with tools') }}", "{{ tools[0].name }}", "{{ messages[5].role }}"],
)
def test_a_template_that_cannot_be_worked_out_here_is_not_judged(template: str) -> None:
    assert template_error(template, CHAT, "anything") is None


@given(st.text(min_size=1))
def test_a_prompt_is_found_wherever_it_is_whatever_its_white_space(text: str) -> None:
    assert not missing_text(text, f"<s> {text}\n")
    assert not missing_text(f" {text}\n\n", f"<s> {text}")


def test_a_prompt_that_is_not_there_is_missing() -> None:
    assert missing_text("Be brief.", "<s> Be verbose.")
