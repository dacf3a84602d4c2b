#!/usr/bin/env bash
# Commits the stack's config file as the scripts left it, on top of what others have pushed meanwhile.
set -euo pipefail
folder="$(sed -n "s/^stackConfigDir: *//p" Pulumi.yaml 2> /dev/null | tr -d "\"'" || true)"
file="${folder:+$folder/}Pulumi.${STACK##*/}.yaml" # the stack may be named with its organization
git add -- "$file"
if git diff --cached --quiet -- "$file"; then
  echo "$file is unchanged"
  exit 0
fi
git -c user.name="github-actions[bot]" -c user.email="41898282+github-actions[bot]@users.noreply.github.com" \
  commit --quiet --message "Record where $STACK stands" \
  --message "Run ${GITHUB_RUN_ID:-by hand}, attempt ${GITHUB_RUN_ATTEMPT:-1}." -- "$file"
for _ in 1 2 3 4 5; do
  if git push --quiet origin "HEAD:refs/heads/$GITHUB_REF_NAME"; then
    echo "$file is committed to $GITHUB_REF_NAME"
    exit 0
  fi
  git -c user.name="github-actions[bot]" -c user.email="41898282+github-actions[bot]@users.noreply.github.com" \
    pull --quiet --rebase --autostash origin "$GITHUB_REF_NAME" || break
done
git rebase --abort 2> /dev/null || true
echo "::error file=$file::it could not be pushed: another commit changed it meanwhile. Bring it up to date with scripts.adopt"
exit 1
