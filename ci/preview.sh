#!/usr/bin/env bash
# Previews STACK of the program in WORK_DIR with the policy pack. The changes and the violations are in the job's summary.
set -euo pipefail
source "$(dirname "$0")/host.sh"
need STACK

# refusals FILE: the mandatory violations and the errors in what `pulumi preview` has shown. A program that a refusal ends
# leaves its traceback around them.
refusals() {
  awk '
    /^[^ ]/ { section = $0; shown = /^error: / }
    /^$/ || /^  [^ ]/ { shown = 0 }
    section == "Policies:" && /^ +(-|·) / { shown = /^ +- \[mandatory\]/ }
    section == "Diagnostics:" && /^    [a-z]+: / { shown = /^    error: / }
    shown && !/^ *error: preview failed$/ { sub(/^ +/, ""); print }
  ' "$1"
}

shown=$(mktemp)
code=0
pulumi preview --stack "$STACK" --cwd "${WORK_DIR:-.}" --policy-pack "$PWD/policies" \
  --non-interactive --color never --suppress-progress > "$shown" 2>&1 || code=$?
cat "$shown"
outcome="no policy and no guard refuses it"
if [ "$code" -ne 0 ]; then outcome="refused by a policy or a guard, or not possible"; fi
{
  echo "## preview of $STACK: $outcome"
  if [ "$code" -ne 0 ]; then
    echo '````'
    refusals "$shown"
    echo '````'
    echo "The whole preview:"
  fi
  echo '````'
  tail -c 500000 "$shown" # a summary on GitHub holds a megabyte
  echo '````'
} >> "$SUMMARY"
rm "$shown"
exit "$code"
