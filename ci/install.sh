#!/usr/bin/env bash
# Installs the packages of the scripts, and those of the program in WORK_DIR when that is another one.
set -euo pipefail
source "$(dirname "$0")/host.sh"
python -m pip install --disable-pip-version-check --quiet --require-hashes -r requirements.txt
if [ -n "${WORK_DIR:-}" ]; then pulumi install --cwd "$WORK_DIR"; fi
