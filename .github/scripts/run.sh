#!/usr/bin/env bash
# Runs one of scripts/ on STACK and SERVICE, and sets the step's output `code` to its exit code.
# A cancelled job signals only this shell, so the shell passes the signal on. The script then stops in a safe state.
set -euo pipefail
script=$1
shift
python -m "scripts.$script" --stack "$STACK" ${SERVICE:+--service "$SERVICE"} "$@" &
child=$!
trap 'kill -TERM "$child" 2> /dev/null || true' INT TERM
code=0
wait "$child" || code=$?
while kill -0 "$child" 2> /dev/null; do # a signal has ended the wait, but the script still runs
  code=0
  wait "$child" || code=$?
done
echo "code=$code" >> "$GITHUB_OUTPUT"
exit "$code"
