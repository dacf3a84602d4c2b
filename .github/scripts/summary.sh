#!/usr/bin/env bash
# Writes into the job's summary how a script ended (its exit code is in CODE), and where the service stands.
set -euo pipefail
case "$CODE" in
  0) told="done" ;;
  1) told="rolled back: the candidate was refused, all traffic is where it was" ;;
  2) told="refused: nothing was changed; the log says every reason" ;;
  3) told="a person must look: the log says what remains to be done" ;;
  *) told="it was ended before it could say how; run \`python -m scripts.status\`" ;;
esac
{
  echo "## $1 $STACK: $told"
  for service in ${SERVICES:-${SERVICE:-""}}; do
    echo '```'
    COLUMNS=120 python -m scripts.status --stack "$STACK" ${service:+--service "$service"} 2>&1 || true
    echo '```'
  done
} >> "$GITHUB_STEP_SUMMARY"
