#!/usr/bin/env bash
# Writes into the job's summary how a script ended (its exit code is in CODE), and where each service stands.
set -euo pipefail
source "$(dirname "$0")/host.sh"
need STACK CODE
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
  for service in ${SERVICES:-"${SERVICE:-}"}; do
    echo '```'
    for script in status explain; do
      COLUMNS=120 python -m "scripts.$script" --stack "$STACK" ${service:+--service "$service"} \
        ${WORK_DIR:+--work-dir "$WORK_DIR"} 2>&1 || true
    done
    echo '```'
  done
} >> "$SUMMARY"
