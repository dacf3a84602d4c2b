#!/usr/bin/env bash
# Runs one of scripts/ on STACK and SERVICE, and leaves its exit code as the step's output `code`.
# A cancelled job signals this shell alone, so the signal is passed on: the script then leaves a safe position.
set -euo pipefail
script=$1
shift
python -m "scripts.$script" --stack "$STACK" ${SERVICE:+--service "$SERVICE"} "$@" &
child=$!
trap 'kill -TERM "$child" 2> /dev/null || true' INT TERM
code=0
wait "$child" || code=$?
while kill -0 "$child" 2> /dev/null; do # a signal has ended the wait, not the script
  code=0
  wait "$child" || code=$?
done
echo "code=$code" >> "$GITHUB_OUTPUT"
exit "$code"
