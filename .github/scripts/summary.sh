#!/usr/bin/env bash
# Writes into the job's summary how a script ended (its exit code is in CODE), and where the service stands.
set -euo pipefail
case "$CODE" in
  0) outcome="done" ;;
  1) outcome="rolled back: the candidate was refused, all traffic is where it was" ;;
  2) outcome="refused: nothing was changed; the log lists every reason" ;;
  3) outcome="a person must look: the log says what remains to be done" ;;
  4) outcome="paused: the weight stays as it is; go on with \`python -m scripts.ramp --resume\` (or re-run this job), or go back with \`python -m scripts.rollback\`" ;;
  5) outcome="all traffic is back, but config or state do not say so yet: fix what the log names, then run \`python -m scripts.rollback\` again" ;;
  *) outcome="the script was killed before it could report; run \`python -m scripts.status\`" ;;
esac
{
  echo "## $1 $STACK: $outcome"
  for service in ${SERVICES:-${SERVICE:-""}}; do
    echo '```'
    COLUMNS=120 python -m scripts.status --stack "$STACK" ${service:+--service "$service"} 2>&1 || true
    COLUMNS=120 python -m scripts.explain --stack "$STACK" ${service:+--service "$service"} 2>&1 || true
    echo '```'
  done
} >> "$GITHUB_STEP_SUMMARY"
