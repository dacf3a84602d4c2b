#!/usr/bin/env bash
# Commits the stack's config file as the scripts left it, on top of what others have pushed meanwhile.
set -euo pipefail
source "$(dirname "$0")/host.sh"
need STACK BRANCH
cd "${WORK_DIR:-.}"
folder="$(sed -n "s/^stackConfigDir: *//p" Pulumi.yaml 2> /dev/null | tr -d "\"'" || true)"
file="${folder:+$folder/}Pulumi.${STACK##*/}.yaml" # the stack may be named with its organization
git add -- "$file"
if git diff --cached --quiet -- "$file"; then
  echo "$file is unchanged"
  exit 0
fi
as_bot() {
  git -c user.name="$BOT_NAME" -c user.email="$BOT_EMAIL" "$@"
}
as_bot commit --quiet --message "Record where $STACK stands" --message "$RUN." -- "$file"
for _ in 1 2 3 4 5; do
  if git push --quiet origin "HEAD:refs/heads/$BRANCH"; then
    echo "$file is committed to $BRANCH"
    exit 0
  fi
  as_bot pull --quiet --rebase --autostash origin "$BRANCH" || break
done
git rebase --abort 2> /dev/null || true
fail "${WORK_DIR:+$WORK_DIR/}$file" \
  "it could not be pushed: another commit changed it meanwhile. Bring it up to date with scripts.adopt"
