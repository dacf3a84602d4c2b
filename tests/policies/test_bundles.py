"""Where the pack looks for evidence bundles."""

from pathlib import Path

import pytest

from components.domain.evidence import Bundle, EvidenceTag, read_bundle
from policies import bundles as module
from policies.bundles import BundleError, find_bundle
from tests.components.example import ROOT
from tests.policies.bundles import PASSED, bundles, tag


def wanted() -> EvidenceTag:
    found = EvidenceTag.parse(tag(PASSED))
    assert found is not None
    return found


def test_a_bundle_is_found_in_any_of_the_folders_and_below_them(tmp_path: Path) -> None:
    found = find_bundle(wanted(), [tmp_path, bundles().parent / bundles().name])
    assert found.tag == wanted()
    (tmp_path / "prod" / "chat").mkdir(parents=True)
    (tmp_path / "prod" / "chat" / "b.json").write_bytes((bundles() / f"{PASSED}.json").read_bytes())
    assert find_bundle(wanted(), [tmp_path]).tag == wanted()


def test_a_relative_folder_begins_beside_pulumi_yaml_if_the_pack_is_in_that_project() -> None:
    with pytest.raises(BundleError, match=f"in {ROOT}/no/bundles, which is not a folder"):
        find_bundle(wanted(), [Path("no/bundles")])


def test_elsewhere_it_begins_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "__file__", str(tmp_path / "pack" / "bundles.py"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BundleError, match=f"in {tmp_path}/no/bundles, which is not a folder"):
        find_bundle(wanted(), [Path("no/bundles")])


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "b.json").mkdir()
    with pytest.raises(BundleError, match=r"b\.json cannot be \(Is a directory\)"):
        find_bundle(wanted(), [tmp_path])


def test_of_many_bundles_only_those_with_the_digest_are_read_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[bytes] = []

    def counted(content: bytes) -> Bundle:
        read.append(content)
        return read_bundle(content)

    monkeypatch.setattr(module, "read_bundle", counted)
    find_bundle(wanted(), [bundles()])
    assert read
    assert all(wanted().digest.encode() in one for one in read)
    assert len(read) < len(list(bundles().glob("*.json")))
