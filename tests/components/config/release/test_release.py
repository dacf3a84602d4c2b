"""The release: one id for everything that determines a colour's answers."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from components.config.reading.explain import explain
from components.config.release.engine_args import DERIVED_ENGINE_ARGS, HARMFUL_ENGINE_ARGS
from components.config.release.release import Release
from tests.components.example import release

CHANGES: dict[str, Any] = {
    "model": "org/other",
    "model_revision": "beef123",
    "image": f"vllm/vllm-openai@sha256:{'b' * 64}",
    "engine_args": ["--max-model-len=8192"],
    "env": {"VLLM_LOGGING_LEVEL": "DEBUG"},
    "prompts": {"chat_template.jinja": "{{ messages }}"},
    "sampling": {"temperature": 0.1},
    "lora_adapters": {"law": "/adapters/law"},
}
SIZES: dict[str, Any] = {"weights_gib": 15, "kv_cache_kib_per_token": 128.5}


def test_the_release_id_is_twelve_hex_digits_and_stays_the_same_for_the_same_bundle() -> None:
    first, second = Release(**release()), Release(**release())
    assert first.release_id == second.release_id
    assert len(first.release_id) == 12
    assert int(first.release_id, 16) >= 0


@pytest.mark.parametrize("part", CHANGES)
def test_every_part_of_the_bundle_changes_the_release_id(part: str) -> None:
    assert Release(**release(**{part: CHANGES[part]})).release_id != Release(**release()).release_id


def test_all_parts_are_covered_above() -> None:
    assert {*CHANGES, *SIZES} == set(Release.model_fields)


@pytest.mark.parametrize("size", SIZES)
def test_to_declare_how_large_a_model_is_makes_it_no_other_one(size: str) -> None:
    before, after = Release(**release()), Release(**release(**{size: SIZES[size]}))
    assert after.release_id == before.release_id
    assert after.semantic_cache_namespace == before.semantic_cache_namespace


def test_ids_given_to_earlier_releases_still_hold() -> None:
    assert Release(**release()).release_id == "f7873e699abc"


@given(st.permutations(["a", "b", "c", "d"]))
def test_the_order_of_prompts_does_not_matter(names: list[str]) -> None:
    shuffled = Release(**release(prompts={name: name.upper() for name in names}))
    in_order = Release(**release(prompts={name: name.upper() for name in sorted(names)}))
    assert shuffled.release_id == in_order.release_id


def test_a_new_image_keeps_the_semantic_cache_and_new_prompts_do_not() -> None:
    before = Release(**release())
    new_image = Release(**release(image=CHANGES["image"]))
    new_prompts = Release(**release(prompts=CHANGES["prompts"]))
    assert new_image.semantic_cache_namespace == before.semantic_cache_namespace
    assert new_prompts.semantic_cache_namespace != before.semantic_cache_namespace


@pytest.mark.parametrize("flag", sorted(DERIVED_ENGINE_ARGS))
def test_an_argument_that_the_program_derives_is_refused(flag: str) -> None:
    with pytest.raises(ValidationError, match="derived by the program"):
        Release(**release(engine_args=[f"{flag}=x"]))


def test_underscores_do_not_smuggle_a_derived_argument_in() -> None:
    with pytest.raises(ValidationError, match="--served-model-name is derived"):
        Release(**release(engine_args=["--served_model_name", "other"]))


@pytest.mark.parametrize("flag", sorted(HARMFUL_ENGINE_ARGS))
def test_an_argument_that_would_break_the_swap_is_refused_without_its_value(flag: str) -> None:
    with pytest.raises(ValidationError, match=flag) as raised:
        Release(**release(engine_args=[f"{flag}=precious"]))
    (violation,) = explain(raised.value, Release)
    assert "precious" not in violation.line()
    assert "Remove it." in violation.line()


@pytest.mark.parametrize("given", ["--rev=x", "--no-enable-lora", "--override-generation-config.top_k=1", "--hf_token"])
def test_no_other_spelling_smuggles_a_refused_argument_in(given: str) -> None:
    with pytest.raises(ValidationError, match=given.split("=")[0]):
        Release(**release(engine_args=[given]))


@pytest.mark.parametrize("flag", ["--chat-template-content-format=openai", "--no-enable-prefix-caching", "-O3"])
def test_an_argument_that_only_begins_alike_is_accepted(flag: str) -> None:
    assert Release(**release(engine_args=[flag])).engine_args == (flag,)


@pytest.mark.parametrize("revision", ["refs/heads/main", ""])
def test_a_repositorys_revision_is_a_commit(revision: str) -> None:
    with pytest.raises(ValidationError, match="must be a commit"):
        Release(**release(model_revision=revision))


COMMIT = "a09a35458c702b33eeacc393d103063234e8bc28"


@pytest.mark.parametrize(
    ("revision", "fix"),
    [
        ("main", "Look it up in its repository: a branch or a tag may move."),
        ("v1.0", "Look it up in its repository: a branch or a tag may move."),
        ("fp8", "Look it up in its repository: a branch or a tag may move."),
        ("bf16", "Write at least 7 digits: bf16 may also be a branch."),
        ("decade", "Write at least 7 digits: decade may also be a branch."),
        (COMMIT.upper(), f"Write it in small letters: {COMMIT}."),
        (f"{COMMIT}0", "A commit has at most 40 digits, this has 41."),
    ],
)
def test_what_may_be_a_branch_is_no_commit(revision: str, fix: str) -> None:
    with pytest.raises(ValidationError) as raised:
        Release(**release(model_revision=revision))
    (violation,) = explain(raised.value, Release)
    assert (violation.path, violation.value, violation.fix) == (("model_revision",), revision, fix)


@pytest.mark.parametrize("revision", [COMMIT, COMMIT[:7]])
def test_a_commit_may_be_as_short_as_git_shows_it(revision: str) -> None:
    assert Release(**release(model_revision=revision)).model_revision == revision


@pytest.mark.parametrize("model", ["org/model-GGUF:Q4_K_M", "org/model-GGUF:UD-Q4_K_XL"])
def test_a_quantisation_of_a_repository_is_a_model_and_is_pinned_by_a_commit(model: str) -> None:
    assert Release(**release(model=model)).model == model
    with pytest.raises(ValidationError, match="must be a commit"):
        Release(**release(model=model, model_revision="main"))


@pytest.mark.parametrize("model", ["org/model:", "model:Q4_K_M", "/models/a:b", "org/model:a:b"])
def test_no_other_colon_is_in_a_model(model: str) -> None:
    with pytest.raises(ValidationError, match="must be a model repository or path"):
        Release(**release(model=model))


@pytest.mark.parametrize("model", ["s3://bucket/model", "gs://bucket/model", "az://container/model", "/models/llama"])
def test_what_is_no_repository_has_versions_of_its_own(model: str) -> None:
    assert Release(**release(model=model, model_revision="v1.0")).model_revision == "v1.0"


@pytest.mark.parametrize(
    ("model", "fix"),
    [
        ("hf://Qwen/Qwen2.5-7B-Instruct", "Write Qwen/Qwen2.5-7B-Instruct."),
        ("https://huggingface.co/Qwen/Qwen2.5-7B-Instruct", "Write Qwen/Qwen2.5-7B-Instruct."),
        ("https://huggingface.co/Qwen/Qwen2.5-7B-Instruct/tree/main", "Write Qwen/Qwen2.5-7B-Instruct."),
        ("huggingface.co/Qwen/Qwen2.5-7B-Instruct?x=1", "Write Qwen/Qwen2.5-7B-Instruct."),
        ("https://hf.co/", "Write the repository alone."),
        ("pvc://models/llama", "vLLM cannot load from pvc://: mount the claim with pods.model_cache_claim"),
        ("https://example.com/llama", "vLLM cannot load from https://, only from s3://, gs://, az://"),
        ("file:///models/llama", "vLLM cannot load from file://, only from"),
        ("S3://bucket/llama", "Write s3://, in small letters."),
        ("ftp+x://a/b", "vLLM cannot load from ftp+x://, only from"),
    ],
)
@pytest.mark.parametrize("revision", ["main", "c0ffee0"])
def test_no_other_address_is_a_model_whatever_its_revision(model: str, fix: str, revision: str) -> None:
    with pytest.raises(ValidationError) as raised:
        Release(**release(model=model, model_revision=revision))
    (violation,) = explain(raised.value, Release)
    assert violation.path == ("model",)
    assert violation.fix.startswith(fix)
    assert violation.value == model


def test_prompts_fit_a_config_map() -> None:
    with pytest.raises(ValidationError, match="must not exceed 1000000 bytes"):
        Release(**release(prompts={"a": "ü" * 500_000}))


@pytest.mark.parametrize(
    "path", ["./chat.jinja", "../prompts/chat", "~/chat", "chat_template.jinja", "@a/b.txt", "c.j2\n"]
)
@pytest.mark.parametrize("name", ["chat_template.jinja", "system.txt"])
def test_a_path_is_no_prompt(name: str, path: str) -> None:
    with pytest.raises(ValidationError, match="must be the file's content, not its path") as raised:
        Release(**release(prompts={"other.txt": "Be kind.", name: path}))
    (violation,) = explain(raised.value, Release)
    assert violation.path == ("prompts", name)
    assert violation.fix.startswith(f'Write "{name}: |"')


@pytest.mark.parametrize("text", ["", "You are kind.", "messages", "{ messages }"])
def test_a_chat_template_is_jinja(text: str) -> None:
    with pytest.raises(ValidationError, match="must be a Jinja template"):
        Release(**release(prompts={"chat_template.jinja": text}))


@pytest.mark.parametrize("name", ["chat-template.jinja", "template.jinja", "chat_template.j2", "Chat_Template.jinja"])
def test_a_template_that_vllm_would_not_find_is_refused(name: str) -> None:
    with pytest.raises(ValidationError) as raised:
        Release(**release(prompts={name: "{{ messages }}"}))
    (violation,) = explain(raised.value, Release)
    assert violation.line() == (
        f'prompts["{name}"]: is read by nothing: vLLM\'s chat template is chat_template.jinja. Rename it.'
    )
    assert Release(**release(prompts={name: "{{ messages }}", "chat_template.jinja": "{{ messages }}"}))


def test_a_template_without_the_messages_is_refused() -> None:
    with pytest.raises(ValidationError, match="every chat would be the same prompt"):
        Release(**release(prompts={"chat_template.jinja": "{{ message }}"}))


def test_a_broken_chat_template_is_refused_with_the_line() -> None:
    broken = "Hi\n{% for m in messages %}{{ m.content }}"
    with pytest.raises(ValidationError) as raised:
        Release(**release(prompts={"chat_template.jinja": broken}))
    (violation,) = explain(raised.value, Release)
    assert violation.path == ("prompts", "chat_template.jinja")
    assert violation.what.startswith("must be a Jinja template without errors, but line 2: Unexpected end of template")
    assert Release(**release(prompts={"other.jinja": broken}))


@pytest.mark.parametrize("text", ["/no_think", "Be kind.", "Read notes.txt", "Yes/no.", "", "a\nb.txt", "e.g."])
def test_any_other_text_is_a_prompt(text: str) -> None:
    assert Release(**release(prompts={"system.txt": text})).prompts == {"system.txt": text}


@pytest.mark.parametrize("path", ["org/law", "s3://bucket/law", "~/law", "/", "law", ""])
def test_an_adapter_comes_from_a_path(path: str) -> None:
    with pytest.raises(ValidationError, match="must be an absolute path") as raised:
        Release(**release(lora_adapters={"law": path}))
    (violation,) = explain(raised.value, Release)
    assert violation.path == ("lora_adapters", "law")
    assert "below /var/cache/models" in violation.fix


def test_a_slash_at_the_end_of_an_adapters_path_is_all_that_is_wrong_with_it() -> None:
    with pytest.raises(ValidationError) as raised:
        Release(**release(lora_adapters={"law": "/law/"}))
    (violation,) = explain(raised.value, Release)
    assert violation.fix == "Remove the slash at its end."


@pytest.mark.parametrize("field", ["sampling", "env", "prompts"])
def test_a_key_is_a_text(field: str) -> None:
    with pytest.raises(ValidationError) as raised:
        Release(**release(**{field: {7: "x"}}))
    (violation,) = explain(raised.value, Release)
    assert violation.line() == f'{field}.7: must have a text as its key. Put it in quotes: "7".'


def test_the_paths_of_a_release_are_those_of_its_model_and_adapters() -> None:
    adapters = {"law": "/adapters/law"}
    assert Release(**release(lora_adapters=adapters)).paths == {"lora_adapters.law": "/adapters/law"}
    assert Release(**release(model="/models/llama")).paths == {"model": "/models/llama"}


def test_a_stray_word_before_the_first_option_is_refused() -> None:
    with pytest.raises(ValidationError, match="must begin with an option"):
        Release(**release(engine_args=["8192"]))


@pytest.mark.parametrize("image", ["vllm/vllm-openai:latest", "vllm/vllm-openai", f"vllm@sha256:{'a' * 63}"])
def test_an_image_without_a_whole_digest_is_refused(image: str) -> None:
    with pytest.raises(ValidationError, match="pinned by its digest"):
        Release(**release(image=image))


@pytest.mark.parametrize("tag", ["v0.20.2", "0.18.0", "v0.9", "v0.20.2rc1"])
def test_an_image_that_says_it_is_too_old_is_refused(tag: str) -> None:
    image = f"registry.example.com/vllm/vllm-openai:{tag}@sha256:{'a' * 64}"
    with pytest.raises(ValidationError, match=r"must have vLLM 0\.21 or newer"):
        Release(**release(image=image))


@pytest.mark.parametrize(
    "name",
    [
        *("vllm/vllm-openai:v0.21.0", "vllm/vllm-openai:v1.0", "acme/vllm:0.1", "vllm-openai:2026"),
        *("lmcache/vllm-openai:v0.3.9post2", "registry.example.com/acme/vllm-openai:0.1", "my-vllm/vllm-openai:0.1"),
    ],
)
def test_any_other_image_is_accepted(name: str) -> None:
    assert Release(**release(image=f"{name}@sha256:{'a' * 64}"))


EDGES = {"temperature": 0, "top_p": 1, "top_k": -1, "min_p": 0, "max_new_tokens": 1}


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({}, {}),
        (EDGES, EDGES),
        ({"temperature": 2, "repetition_penalty": 1.1}, {"temperature": 2, "repetition_penalty": 1.1}),
        ({"temperature": "0.7", "top_k": "20"}, {"temperature": 0.7, "top_k": 20}),
        ({"temperature": 1.0}, {"temperature": 1}),
        ({"temperature": None}, {"temperature": None}),
    ],
)
def test_sampling_defaults_are_numbers_in_vllms_ranges(given: dict[str, Any], kept: dict[str, Any]) -> None:
    sampling = Release(**release(sampling=given)).sampling
    assert json.dumps(sampling) == json.dumps(kept)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("temperature", -0.1, "a number from 0 to 2"),
        ("temperature", 2.1, "a number from 0 to 2"),
        ("temperature", True, "a number from 0 to 2"),
        ("temperature", "0,7", "a number from 0 to 2"),
        ("temperature", " 0.7", "a number from 0 to 2"),
        ("top_p", 0, "a number above 0 and at most 1"),
        ("top_p", 1.01, "a number above 0 and at most 1"),
        ("top_k", -2, "a whole number of at least -1"),
        ("top_k", 1.5, "a whole number of at least -1"),
        ("min_p", -0.01, "a number from 0 to 1"),
        ("min_p", 1.01, "a number from 0 to 1"),
        ("repetition_penalty", 0, "a number above 0 and at most 100"),
        ("repetition_penalty", 10**30, "a number above 0 and at most 100"),
        ("max_new_tokens", 0, "a whole number of at least 1"),
    ],
)
def test_a_sampling_default_that_vllm_refuses_is_refused(key: str, value: object, expected: str) -> None:
    with pytest.raises(ValidationError, match=f"must be {expected}"):
        Release(**release(sampling={key: value}))


@pytest.mark.parametrize(
    ("key", "fix"),
    [
        ("presence_penalty", "let clients send it"),
        ("stop", "let clients send it"),
        ("max_tokens", "Did you mean max_new_tokens?"),
        ("Top-P", "Did you mean top_p?"),
    ],
)
def test_a_sampling_default_without_effect_is_refused_with_the_fix(key: str, fix: str) -> None:
    with pytest.raises(ValidationError) as raised:
        Release(**release(sampling={key: 1}))
    (violation,) = explain(raised.value, Release)
    assert (violation.path, violation.value) == (("sampling", key), 1)
    assert violation.what.startswith("has no effect: as defaults, vLLM takes only temperature, ")
    assert fix in violation.fix


def test_every_wrong_sampling_default_is_named_also_one_that_is_not_json() -> None:
    with pytest.raises(ValidationError) as raised:
        Release(**release(sampling={"a": {"b": [float("nan")]}, "stop": 1, "top_p": float("inf")}))
    assert {one.path for one in explain(raised.value, Release)} == {
        ("sampling", "a"),
        ("sampling", "stop"),
        ("sampling", "top_p"),
    }


@pytest.mark.parametrize("sampling", [None, 3, [1], {1: 2}])
def test_sampling_defaults_are_an_object_of_names(sampling: object) -> None:
    with pytest.raises(ValidationError) as raised:
        Release(**release(sampling=sampling))
    assert {one.path[0] for one in explain(raised.value, Release)} == {"sampling"}


@pytest.mark.parametrize(
    ("revision", "fix"),
    [
        (1234567, 'Put what you wrote in quotes, e.g. "1234567": without them, YAML reads a number.'),
        (True, 'Put what you wrote in quotes, e.g. "true": without them, YAML reads true or false.'),
        (6.85e232, "Put what you wrote in quotes: without them, YAML reads a number."),
        (float("inf"), "Put what you wrote in quotes: without them, YAML reads a number."),
    ],
)
def test_a_revision_that_yaml_reads_as_another_value_needs_quotes(revision: object, fix: str) -> None:
    with pytest.raises(ValidationError) as raised:
        Release(**release(model_revision=revision))
    (violation,) = explain(raised.value, Release)
    assert (violation.path, violation.fix) == (("model_revision",), fix)


names = st.from_regex(r"[a-z]{1,6}", fullmatch=True)
shares = st.none() | st.sampled_from([0.25, 0.5, 1])
bundles = st.fixed_dictionaries(
    {
        "model": st.sampled_from(["org/a", "org/b"]),
        "model_revision": st.sampled_from(["c0ffee0", "beef123"]),
        "image": st.sampled_from([release()["image"], CHANGES["image"]]),
        "engine_args": st.lists(
            st.sampled_from(["--dtype=half", "--max-num-seqs=9", "--enforce-eager", "-O3"]), max_size=3
        ),
        "env": st.dictionaries(names, st.text("ab", max_size=3), max_size=2),
        "prompts": st.dictionaries(names, st.text("ab", max_size=3), max_size=2),
        "sampling": st.fixed_dictionaries({}, optional={"top_p": shares, "top_k": st.integers(-1, 9), "min_p": shares}),
        "lora_adapters": st.dictionaries(names, st.sampled_from(["/adapters/law", "/adapters/code"]), max_size=2),
    }
)


def _canonical(bundle: Any) -> str:
    return json.dumps(bundle, sort_keys=True)


@given(bundles, bundles)
def test_two_bundles_have_one_release_id_exactly_when_they_are_the_same_to_the_last_leaf(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    same = _canonical(one) == _canonical(other)
    assert (Release(**one).release_id == Release(**other).release_id) == same


@given(bundles, st.data())
def test_a_change_of_any_leaf_however_deep_changes_the_release_id(bundle: dict[str, Any], data: st.DataObject) -> None:
    field = data.draw(st.sampled_from(sorted(bundle)))
    changed: dict[str, Any] = {**bundle, field: data.draw(bundles)[field]}
    same = _canonical(changed[field]) == _canonical(bundle[field])
    assert (Release(**changed).release_id == Release(**bundle).release_id) == same


def _leaves(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    return [path] if items is None else [found for key, one in items for found in _leaves(one, (*path, key))]


NESTED = release(
    engine_args=["--dtype=half", "--seed", "1"],
    env={"VLLM_LOGGING_LEVEL": "DEBUG"},
    prompts={"a.txt": "one", "b.txt": "two"},
    sampling={"top_k": 5, "max_new_tokens": 900},
    lora_adapters={"law": "/adapters/law"},
)
# A changed value for each leaf, valid for its field.
OTHER_FORMS = {
    "model": "org/other",
    "model_revision": "beef123",
    "image": CHANGES["image"],
    "lora_adapters": "/adapters/other",
}


@pytest.mark.parametrize("path", _leaves(NESTED), ids=lambda path: ".".join(map(str, path)))
def test_each_leaf_counts_and_all_but_the_image_count_for_the_answers(path: tuple[str | int, ...]) -> None:
    changed = copy.deepcopy(NESTED)
    *above, last = path
    tree: Any = changed
    for part in above:
        tree = tree[part]
    field = str(path[0])
    tree[last] = "--dtype=float" if path == ("engine_args", 0) else "--x" if path == ("engine_args", 1) else "77"
    if field in OTHER_FORMS:
        tree[last] = OTHER_FORMS[field]
    before, after = Release(**NESTED), Release(**changed)
    assert after.release_id != before.release_id
    assert (after.semantic_cache_namespace == before.semantic_cache_namespace) == (field == "image")


def test_how_much_an_engine_takes_on_at_once_keeps_the_semantic_cache() -> None:
    small = Release(**release(engine_args=["--max-model-len=8192", "--max-num-seqs=64"]))
    large = Release(
        **release(engine_args=["--max-model-len=8192", "--max-num-seqs=256", "--gpu-memory-utilization=0.95"])
    )
    longer = Release(**release(engine_args=["--max-model-len=16384", "--max-num-seqs=64"]))
    assert len({small.release_id, large.release_id, longer.release_id}) == 3
    assert small.semantic_cache_namespace == large.semantic_cache_namespace != longer.semantic_cache_namespace
