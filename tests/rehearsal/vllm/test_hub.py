"""The model hub: its models, and the prompts that a faulty release fails."""

from pathlib import Path

import pytest

from rehearsal.load.mix import load_prompts
from rehearsal.vllm.hub import DEFAULT_HUB, Fault, Faults, HubError, find_behavior, load_hub
from rehearsal.vllm.protocol import render_chat

LONG_PROMPTS = [f"prompt {number}: " + "word " * 30 for number in range(1000)]


def test_a_model_or_a_revision_that_is_not_in_the_hub_is_an_error() -> None:
    hub = load_hub(DEFAULT_HUB)
    assert find_behavior(hub, "acme/assistant-8b", "aaaaaaa").tokens_per_second > 0
    with pytest.raises(HubError, match="zzz is not a valid git identifier"):
        find_behavior(hub, "acme/assistant-8b", "zzz")
    with pytest.raises(HubError, match="main is not a valid git identifier"):
        find_behavior(hub, "acme/assistant-8b", None)
    with pytest.raises(HubError, match="not a valid model identifier"):
        find_behavior(hub, "acme/unknown", "a")


def test_a_misspelt_field_is_an_error(tmp_path: Path) -> None:
    hub = tmp_path / "hub.json"
    hub.write_text('{"acme/tiny@a": {"tokens_per_secnd": 3}}')
    with pytest.raises(HubError, match="tokens_per_secnd"):
        load_hub(hub)


def test_faults_hit_their_share_of_long_prompts_and_no_short_one() -> None:
    faults = Faults(
        only_prompts_over_words=20,
        error_fraction=0.35,
        abort_fraction=0.2,
        wrong_answer_fraction=0.1,
        stall_fraction=0.1,
    )
    met = [faults.of(prompt) for prompt in LONG_PROMPTS]
    assert met.count(Fault.ERROR) == pytest.approx(350, abs=60)
    assert met.count(Fault.ABORT) == pytest.approx(200, abs=60)
    assert met.count(Fault.WRONG_ANSWER) == pytest.approx(100, abs=60)
    assert met.count(Fault.STALL) == pytest.approx(100, abs=60)
    assert all(faults.of(f"say the number {number}") is None for number in range(1000))


def test_a_prompt_meets_the_same_fault_each_time() -> None:
    faults = Faults(error_fraction=0.5)
    assert [faults.of(prompt) for prompt in LONG_PROMPTS] == [faults.of(prompt) for prompt in LONG_PROMPTS]


def test_release_c_fails_about_a_third_of_the_long_prompts_of_the_load_generator() -> None:
    faults = load_hub(DEFAULT_HUB)["acme/assistant-8b@ccccccc"].faults
    prompts = [render_chat(messages) for messages in load_prompts()]
    long = [prompt for prompt in prompts if len(prompt.split()) > faults.only_prompts_over_words]
    assert len(long) > len(prompts) / 2
    assert 0.25 < sum(faults.of(prompt) is Fault.ERROR for prompt in long) / len(long) < 0.45
