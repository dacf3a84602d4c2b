"""`scripts.explain --verify`: what it says of a bundle, and its exit codes."""

import json
from pathlib import Path
from typing import Any

import pytest

from scripts import console, explain
from tests.rollout.report.test_verification import DOCUMENT
from tests.rollout.test_session import of_a_rollout
from tests.scripts.test_scripts import call


def written(folder: Path, document: dict[str, Any]) -> str:
    path = folder / "bundle.json"
    path.write_text(json.dumps(document))
    return str(path)


def test_an_intact_bundle_is_said_to_be_with_its_digest(tmp_path: Path) -> None:
    done = call(explain.main, "--verify", written(tmp_path, DOCUMENT))
    assert done.exit_code == console.EXIT_DONE
    assert "agrees with its own digests\n" in done.stdout
    assert "not compared: the report with the journal, which --stack names" in done.stdout
    assert f"sha256:{DOCUMENT['evidence']['sha256']}" in done.stdout
    assert "checks: all passed" in done.stdout


def test_a_changed_bundle_is_refused_with_what_differs_and_why_that_matters(tmp_path: Path) -> None:
    changed = {**DOCUMENT, "report": {**DOCUMENT["report"], "checks": []}}
    done = call(explain.main, "--verify", written(tmp_path, changed))
    assert done.exit_code == console.EXIT_NEEDS_HUMAN
    assert "not intact" in done.stdout
    assert "checks: the bundle states" in done.stdout
    assert "checks or gates may have given other verdicts" in done.stdout
    assert "document: the bundle states" in done.stdout


def test_with_a_stack_its_journal_must_agree(tmp_path: Path) -> None:
    opened, said = of_a_rollout(tmp_path)
    opened.store_report()
    bundle = Path(said[0].removeprefix("report: ")).with_suffix(".json")
    place = ("--stack", "prod", "--work-dir", str(tmp_path))
    done = call(explain.main, "--verify", str(bundle), *place, "--json")
    assert done.exit_code == console.EXIT_DONE
    assert json.loads(done.stdout)["compared_with_journal"] is True
    other = written(tmp_path, DOCUMENT)  # the same rollout on another day, with one record more
    done = call(explain.main, "--verify", other, *place, "--json")
    assert done.exit_code == console.EXIT_NEEDS_HUMAN
    assert {one["what"] for one in json.loads(done.stdout)["differences"]} >= {"journal"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--verify", "nope.json"), "--verify nope.json: cannot be read"),
        (("--verify", "pyproject.toml"), "is no evidence bundle: it is not JSON"),
        (("--verify", "x.json", "--rollout", "4f1c"), "--rollout: has no effect with --verify"),
        (("--verify", "x.json", "--page", "x.html"), "--page: has no effect with --verify"),
        ((), "--stack: name the stack whose journal to read, or a bundle with --verify"),
    ],
)
def test_bad_input_is_refused(arguments: tuple[str, ...], message: str) -> None:
    done = call(explain.main, *arguments)
    assert done.exit_code == console.EXIT_REFUSED
    assert message in done.stderr
