#!/usr/bin/env bash
# Writes to the job's summary how a script ended (CODE is its exit code), and the status of the service.
set -euo pipefail
case "$CODE" in
  0) outcome="done" ;;
  1) outcome="rolled back: the candidate was refused, all traffic is where it was" ;;
  2) outcome="refused: nothing was changed; the log lists the reasons" ;;
  3) outcome="a person must look: the log lists what remains to be done" ;;
  *) outcome="it ended without a result; run \`python -m scripts.status\`" ;;
esac
{
  echo "## $1 $STACK: $outcome"
  for service in ${SERVICES:-${SERVICE:-""}}; do
    echo '```'
    COLUMNS=120 python -m scripts.status --stack "$STACK" ${service:+--service "$service"} 2>&1 || true
    echo '```'
  done
} >> "$GITHUB_STEP_SUMMARY"
