"""The reader of commands."""

import pytest

from policies.commands import is_inline_code, programs, slept_seconds, words


@pytest.mark.parametrize(
    ("parts", "read"),
    [
        ((["vllm", "serve"], ["org/model"]), ["vllm", "serve", "org/model"]),
        ((None, ["org/model"]), ["org/model"]),
        ((["/bin/bash", "-lc"], ["vllm serve 'a b' # why\n"]), ["vllm", "serve", "a b"]),
        ((["sh", "-c", "vllm serve \\\n org/model"],), ["vllm", "serve", "org/model"]),
        ((["sh", "-c", "vllm serve it's"],), ["vllm", "serve", "it's"]),
        ((["sh", "/opt/start.sh", "-x"],), ["sh", "/opt/start.sh", "-x"]),
        ((["sh", "-c"],), ["sh", "-c"]),
        ((["python3", "-c", "import vllm"],), ["python3", "-c", "import vllm"]),
    ],
)
def test_words_are_those_of_the_script_where_a_shell_runs_one(parts: tuple[object, ...], read: list[str]) -> None:
    assert words(*parts) == read


@pytest.mark.parametrize(
    ("command", "named"),
    [
        (["/usr/bin/curl", "-sf", "localhost"], {"curl"}),
        (["timeout", "-k", "1s", "5", "nc", "-z", "::1", "8000"], {"nc"}),
        (["env", "A=b", "/opt/probe.sh"], {"probe.sh"}),
        (["sh", "-c", "set -e; if ! pgrep vllm; then exit 1; fi\n(curl a || wget b) && >/tmp/ready"],
         {"set", "pgrep", "exit", "fi", "curl", "wget"}),
        (["timeout", "3", "bash", "-ec", "exec 3<>/dev/tcp/::1/8000"], set()),
        (["bash", "/opt/probe.sh"], {"bash"}),
        ([], set()),
        (None, set()),
    ],
)  # fmt: skip
def test_programs_are_what_a_command_runs(command: object, named: set[str]) -> None:
    assert programs(command) == named


@pytest.mark.parametrize(
    ("command", "inline"),
    [
        (["python3", "-c", "print()"], True),
        (["/usr/bin/python3.12", "-I", "-Bc", "print()"], True),
        (["sh", "-c", "exec node -e 'ask()'"], True),
        (["perl", "-e", "1"], True),
        (["python3", "-I", "/opt/probe.py", "-c", "3"], False),
        (["sh", "-c", "echo"], False),
        (None, False),
    ],
)
def test_inline_code_is_an_interpreters(command: object, inline: bool) -> None:
    assert is_inline_code(command) is inline


@pytest.mark.parametrize(
    ("command", "seconds"),
    [
        (["sleep", "30"], 30),
        (["/bin/sleep", "30s"], 30),
        (["sh", "-c", "sleep 5; touch /tmp/going; sleep 10"], 15),
        (["bash", "-c", "sleep 1.5"], None),
        (["sleep", "1m"], None),
        (["/opt/no-sleep", "30"], None),
        (None, None),
    ],
)
def test_a_command_sleeps_for_as_long_as_it_says(command: object, seconds: int | None) -> None:
    assert slept_seconds(command) == seconds
