"""Command line: run the rehearsal's AWS account until SIGTERM."""

import argparse
import json
import os
from pathlib import Path
from typing import Any

import uvloop

from rehearsal.aws.moto import lean_import
from rehearsal.aws.settings import AwsSettings


def read_settings(arguments: list[str] | None = None) -> AwsSettings:
    """Read settings from a JSON file, from flags, or from both. A flag takes precedence."""
    parser = argparse.ArgumentParser(prog="python -m rehearsal.aws", description=__doc__)
    parser.add_argument("--settings", type=Path, help="JSON file with the fields below")
    for name, info in AwsSettings.model_fields.items():
        parser.add_argument(f"--{name.replace('_', '-')}", help=info.description)
    given: dict[str, Any] = vars(parser.parse_args(arguments))
    file: Path | None = given.pop("settings")
    fields: dict[str, Any] = json.loads(file.read_text()) if file else {}
    flags = {name: value for name, value in given.items() if value is not None}
    return AwsSettings.model_validate(fields | flags)


def main() -> None:
    """Serve one account."""
    settings = read_settings()
    lean_import.prepare(settings.region)
    from rehearsal.aws.server import serve  # It imports moto.

    uvloop.run(serve(settings))
    os._exit(0)  # Everything is closed; an ordinary exit would spend two more seconds on moto's modules and threads.


if __name__ == "__main__":
    main()
