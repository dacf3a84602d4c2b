# shellcheck shell=bash
# What GitHub Actions and GitLab CI call by different names. The other scripts source it; another host sets these itself.
if [ -n "${GITLAB_CI:-}" ]; then
  PATH="$CI_PROJECT_DIR/.venv/bin:$PATH"
  : "${WORK_DIR:=${ROLLOUT_WORK_DIR:-}}"
  : "${OUTPUT:=$CI_PROJECT_DIR/rollout-output}" "${SUMMARY:=$CI_PROJECT_DIR/rollout-summary.md}"
  : "${BRANCH:=${CI_COMMIT_BRANCH:-}}" "${RUN:=Job ${CI_JOB_URL:-}}"
  : "${BOT_NAME:=gitlab-ci}" "${BOT_EMAIL:=gitlab-ci@noreply.${CI_SERVER_HOST:-gitlab.com}}"
else
  : "${OUTPUT:=${GITHUB_OUTPUT:-/dev/null}}" "${SUMMARY:=${GITHUB_STEP_SUMMARY:-/dev/stdout}}"
  : "${BRANCH:=${GITHUB_REF_NAME:-}}" "${RUN:=Run ${GITHUB_RUN_ID:-by hand}, attempt ${GITHUB_RUN_ATTEMPT:-1}}"
  : "${BOT_NAME:=github-actions[bot]}" "${BOT_EMAIL:=41898282+github-actions[bot]@users.noreply.github.com}"
fi

# The exit code of the last script of this step. Empty when it was killed before it could end.
code_of_script() {
  if [ -e "$OUTPUT" ]; then sed -n 's/^code=//p' "$OUTPUT" | tail -n 1; fi
}

# fail FILE MESSAGE: says what is wrong with a file, where the host shows it.
fail() {
  if [ -n "${GITHUB_ACTIONS:-}" ]; then echo "::error file=$1::$2"; else echo "error: $1: $2" >&2; fi
  exit 1
}
