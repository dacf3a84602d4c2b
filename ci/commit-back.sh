#!/usr/bin/env bash
# Commits the stack's config file as the scripts left it, on top of what others have pushed meanwhile, and pushes that. A
# commit that an earlier call could not push is pushed, too.
set -euo pipefail
source "$(dirname "$0")/host.sh"
need STACK BRANCH
cd "${WORK_DIR:-.}"
folder="$(sed -n "s/^stackConfigDir: *//p" Pulumi.yaml 2> /dev/null | tr -d "\"'" || true)"
file="${folder:+$folder/}Pulumi.${STACK##*/}.yaml" # the stack may be named with its organization
shown="${WORK_DIR:+$WORK_DIR/}$file"
message="Record where $STACK stands"
export LC_ALL=C # git's words are read below

as_bot() {
  git -c user.name="$BOT_NAME" -c user.email="$BOT_EMAIL" "$@"
}

not_pushed() {
  git log --format=%h --fixed-strings --grep "$message" --author "<$BOT_EMAIL>" HEAD --not --remotes -- "$file"
}

# why TEXT: the line in which the host, else git, says why it did not do what was asked.
why() {
  { grep '^remote:.*[[:alpha:]]' <<< "$1" || grep '^fatal:' <<< "$1" || grep '[[:alpha:]]' <<< "$1" || true; } |
    tail -n 1 | sed 's/^[a-z]*: *//; s/[. ]*$//'
}

# stop_unless_overtaken TEXT: fails with the cause of what git could not do, unless another push came first.
stop_unless_overtaken() {
  local allow="Let the CI host push to $BRANCH (docs/ci.md, set-up), then run ci/commit-back.sh again"
  echo "$1" >&2
  case "$(grep '^ ! ' <<< "$1" || true)" in
    *"[rejected]"* | *"(cannot lock ref"* | *"(failed to update ref"*) return ;;
    *"[remote rejected]"*) fail "$shown" "the host refused the push to $BRANCH: $(why "$1"). $allow" ;;
  esac
  case "$1" in
    *"error: 401"* | *"error: 403"* | *"Authentication failed"* | *"could not read Username"* | *"denied"*)
      fail "$shown" "the host refused to take a push: $(why "$1"). $allow"
      ;;
  esac
  fail "$shown" "the push did not reach $BRANCH of origin: $(why "$1"). Run ci/commit-back.sh again once it can"
}

git add -- "$file"
if ! git diff --cached --quiet -- "$file"; then
  as_bot commit --quiet --message "$message" --message "$RUN." -- "$file"
elif [ -z "$(not_pushed)" ]; then
  echo "$file is unchanged"
  exit 0
fi
for _ in 1 2 3 4 5; do
  if said=$(git push --quiet "${PUSH_URL:-origin}" "HEAD:refs/heads/$BRANCH" 2>&1); then
    echo "$file is committed to $BRANCH"
    exit 0
  fi
  stop_unless_overtaken "$said"
  said=$(git fetch --quiet origin "$BRANCH" 2>&1) || stop_unless_overtaken "$said"
  if ! as_bot rebase --quiet --autostash FETCH_HEAD; then
    git rebase --abort 2> /dev/null || true
    fail "$shown" \
      "it could not be pushed: another commit changed it meanwhile. Bring it up to date with scripts.adopt"
  fi
done
fail "$shown" "it could not be pushed: other commits came first, five times. Run ci/commit-back.sh again"
