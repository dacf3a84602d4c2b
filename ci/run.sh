#!/usr/bin/env bash
# Runs one of scripts/ on STACK of the program in WORK_DIR: on each of SERVICES, or on SERVICE. Its exit code, the worst
# of several, is the step's and its output `code`.
# A cancelled job signals only this shell, so the shell passes the signal on. The script then stops in a safe state.
set -euo pipefail
source "$(dirname "$0")/host.sh"
need STACK
script=${1:-}
if ! [[ "$script" =~ ^[a-z]+$ && -f "scripts/$script.py" ]]; then
  echo "error: ${script:-no script}: name one of scripts/ with its options, as in ci/run.sh reap --if-due" >&2
  exit 2
fi
shift
worst=0 stopped="" child=""
trap 'stopped=yes; kill -TERM "$child" 2> /dev/null || true' INT TERM
for service in ${SERVICES:-"${SERVICE:-}"}; do
  python -m "scripts.$script" --stack "$STACK" ${service:+--service "$service"} \
    ${WORK_DIR:+--work-dir "$WORK_DIR"} "$@" &
  child=$!
  if [ -n "$stopped" ]; then kill -TERM "$child" 2> /dev/null || true; fi # the signal came before its number was known
  code=0
  wait "$child" || code=$?
  while kill -0 "$child" 2> /dev/null; do # a signal has ended the wait, but the script still runs
    code=0
    wait "$child" || code=$?
  done
  if [ "$code" -gt "$worst" ]; then worst=$code; fi
  if [ -n "$stopped" ]; then break; fi
done
echo "code=$worst" >> "$OUTPUT"
exit "$worst"
