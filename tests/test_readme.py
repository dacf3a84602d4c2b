"""The README's config reference is the settings' own."""

from pathlib import Path

from components.config.reference import reference

README = Path(__file__).parent.parent / "README.md"


def test_the_readme_has_the_config_reference_as_the_settings_say_it() -> None:
    assert reference().strip() in README.read_text(), "paste the output of `python -m components.reference`"
