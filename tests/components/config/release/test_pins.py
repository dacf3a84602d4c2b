"""What a release refers to besides its model is pinned as well, in the settings and in the pods."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from components.config.reading.explain import explain
from components.config.reading.violations import Violation
from components.config.release.pins import Unpinned, unpinned
from components.config.release.release import Release
from components.domain.vllm.serve_options import serve_options
from tests.components.example import release


def found(*words: str, model: str = "org/model") -> list[Unpinned]:
    return list(unpinned(model, serve_options(words)))


def violation(*engine_args: str, **changes: Any) -> Violation:
    with pytest.raises(ValidationError) as raised:
        Release(**release(engine_args=[*engine_args], **changes))
    (one,) = explain(raised.value, Release)
    return one


def speculative(**config: Any) -> str:
    return f"--speculative-config={json.dumps(config)}"


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--tokenizer=org/model"],
        ["--tokenizer=/models/tokenizer"],
        ["--tokenizer=s3://models/tokenizer"],
        ["--tokenizer=acme/tok", "--tokenizer-revision=c0ffee0"],
        ["--tokenizer-revision", "c0ffee0"],
        ["--tokenizer_revision=main", "--tokenizer-revision=c0ffee0"],
        ["--code-revision=c0ffee0"],
        ["--hf-config-path=/models/config"],
        ["--hf-config-path=org/model"],
        [speculative(method="ngram", num_speculative_tokens=3)],
        [speculative(model="[ngram]")],
        [speculative(method="suffix")],
        [speculative(model="/models/draft")],
        [speculative(model="acme/draft", revision="c0ffee0", code_revision="beef123")],
        [speculative(model="acme/draft"), "--speculative-config.revision=c0ffee0"],
        [speculative(method="mtp", revision="c0ffee0")],
        ["--spec-method=ngram"],
        ["--spec-model=/models/draft"],
        ["--lora-modules", "law=/adapters/law", '{"name": "code", "path": "/adapters/code"}'],
        ['--default-mm-loras={"image": "/adapters/image"}'],
    ],
)
def test_pinned_references_pass(words: list[str]) -> None:
    assert found(*words) == []


@pytest.mark.parametrize(
    ("words", "what", "value"),
    [
        (["--tokenizer=acme/tok"], "--tokenizer-revision of the tokenizer acme/tok", None),
        (["--tokenizer", "acme/tok", "--tokenizer-revision=main"], "of the tokenizer acme/tok", "main"),
        (["--tokenizer=hf://acme/tok"], "of the tokenizer hf://acme/tok", None),
        (["--tokenizer-revision=v1.0"], "--tokenizer-revision of the tokenizer org/model", "v1.0"),
        (["--code-revision=main"], "--code-revision of the model's code", "main"),
        (["--hf-config-path=acme/config"], "--hf-config-path", "acme/config"),
        ([speculative(model="acme/draft")], "the revision of the draft model acme/draft", None),
        ([speculative(model="acme/draft", revision="main")], "draft model acme/draft", "main"),
        (["-sc", '{"model": "acme/draft"}'], "draft model acme/draft", None),
        (["--speculative-config.model=acme/draft"], "draft model acme/draft", None),
        ([speculative(model="acme/draft", revision="c0ffee0", code_revision="dev")], "the code_revision of", "dev"),
        ([speculative(method="mtp")], "the revision of the draft model org/model", None),
        ([speculative(method="deepseek_mtp")], "the revision of the draft model org/model", None),
        (["--spec-model=acme/draft"], "draft model acme/draft", None),
        (["--spec-method=mtp"], "draft model org/model", None),
        (["--lora-modules", "a=/a", "law=acme/law"], "an adapter in --lora-modules", "acme/law"),
        (["--lora-modules", '{"name": "law", "path": "acme/law"}'], "an adapter in --lora-modules", "acme/law"),
        (['--default-mm-loras={"image": "acme/image"}'], "an adapter in --default-mm-loras", "acme/image"),
    ],
)
def test_a_reference_that_may_change_is_found(words: list[str], what: str, value: str | None) -> None:
    (one,) = found(*words)
    assert what in one.what
    assert one.value == value
    assert one.must in ("a commit", "a path")
    assert one.fix


@pytest.mark.parametrize("model", ["/models/llama", "s3://models/llama"])
def test_layers_of_a_model_from_a_path_need_no_pin(model: str) -> None:
    assert found(speculative(method="mtp"), model=model) == []
    assert found("--tokenizer-revision=v1", model=model) == []
    assert len(found("--tokenizer=acme/tok", model=model)) == 1


def test_the_settings_name_the_argument() -> None:
    one = violation("--seed=1", "--tokenizer", "acme/tok")
    assert one.path == ("engine_args", 1)
    assert one.line() == (
        "engine_args[1]: --tokenizer-revision of the tokenizer acme/tok is not set, but must be a commit. "
        "Set --tokenizer-revision to a commit. Look it up in its repository: a branch or a tag may move."
    )
    moving = violation("--tokenizer-revision=main", "--tokenizer=acme/tok")
    assert moving.path == ("engine_args", 0)
    assert 'acme/tok must be a commit (got "main"). ' in moving.line()
    assert violation("--seed=1", speculative(model="acme/draft")).path == ("engine_args", 1)
