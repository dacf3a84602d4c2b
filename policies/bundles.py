"""Find the evidence bundle that a rule's tag names, in the folders that the policy's config names."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from components.domain.evidence import Bundle, EvidenceTag, NoBundleError, read_bundle

_VERIFY: Final = "python -m scripts.explain --verify"
_SHOWN: Final = 3


class BundleError(Exception):
    """No usable bundle belongs to a release: what the tag must name instead, and the fix."""

    def __init__(self, must: str, fix: str) -> None:
        super().__init__(f"must be {must}. {fix}")
        self.must = must
        self.fix = fix


def find_bundle(tag: EvidenceTag, folders: Sequence[Path]) -> Bundle:
    """Return the unchanged bundle of the tag's release and digest, whose checks passed.

    Raises:
        BundleError: there is none.
    """
    places = [_place(folder) for folder in folders]
    for place in places:
        if not place.is_dir():
            fix = "Create it, or correct the option bundles of traffic-weight-needs-evidence."
            raise BundleError(f"that of a bundle in {place}, which is not a folder", fix)
    stating = [(path, bundle) for path, bundle in _bundles(places, tag.digest) if bundle.stated_digest == tag.digest]
    intact = [(path, bundle) for path, bundle in stating if not any(bundle.differences())]
    if not stating:
        where = ", ".join(map(str, places))
        fix = "Copy the bundle there, or set evidence to one that is there."
        raise BundleError(f"the digest of a bundle in {where}, but no file there has it", fix)
    if not intact:
        path = stating[0][0]
        raise BundleError(f"that of an unchanged bundle, but {path} was changed", f"Restore it; see {_VERIFY} {path}.")
    path, bundle = intact[0]
    if bundle.release_id != tag.release_id:
        fix = "Set evidence to the bundle of that release's rollout, and let the program write the tag."
        raise BundleError(f"of a bundle of release {tag.release_id}, but {path.name} is of {bundle.release_id}", fix)
    if objections := bundle.objections:
        named = ", ".join(objections[:_SHOWN])
        fix = "Roll the release out with scripts.ramp, and let its checks pass."
        raise BundleError(f"of a bundle whose checks passed, but in {path.name}: {named}", fix)
    return bundle


def _bundles(places: Sequence[Path], digest: str) -> Iterator[tuple[Path, Bundle]]:
    """Yield the bundles that contain this digest; other files are not read as JSON."""
    for place in places:
        for path in sorted(place.rglob("*.json")):
            try:
                content = path.read_bytes()
            except OSError as error:
                fix = "Let the user who runs Pulumi read it, or remove it."
                must = f"that of a bundle that can be read, but {path} cannot be ({error.strerror})"
                raise BundleError(must, fix) from error
            if digest.encode() not in content:
                continue
            try:
                yield path, read_bundle(content)
            except NoBundleError:
                continue  # another file that mentions it


def _place(folder: Path) -> Path:
    """Return a folder as it is to be found: the engine runs the pack in the pack's own folder."""
    pack = Path(__file__).resolve().parent
    project = next((parent for parent in pack.parents if (parent / "Pulumi.yaml").is_file()), Path.cwd())
    return project / folder  # an absolute folder stays as it is
