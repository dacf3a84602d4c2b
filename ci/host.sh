# shellcheck shell=bash
# What GitHub Actions and GitLab CI call by different names. The other scripts source it; another host sets these itself,
# and all that `what_is` lists.
if [ -n "${GITLAB_CI:-}" ]; then
  PATH="$CI_PROJECT_DIR/.venv/bin:$PATH"
  : "${WORK_DIR:=${ROLLOUT_WORK_DIR:-}}"
  : "${OUTPUT:=$CI_PROJECT_DIR/rollout-output}" "${SUMMARY:=$CI_PROJECT_DIR/rollout-summary.md}"
  : "${BRANCH:=${CI_COMMIT_BRANCH:-}}" "${RUN:=Job ${CI_JOB_URL:-}}"
  if [ -n "${PUSH_TOKEN:-}" ]; then # a project access token: an older GitLab's job token may not push
    : "${PUSH_URL:=${CI_SERVER_URL%%://*}://project-bot:$PUSH_TOKEN@${CI_SERVER_URL#*://}/$CI_PROJECT_PATH.git}"
  fi
  : "${BOT_NAME:=gitlab-ci}" "${BOT_EMAIL:=gitlab-ci@noreply.${CI_SERVER_HOST:-gitlab.com}}"
else
  : "${OUTPUT:=${GITHUB_OUTPUT:-/dev/null}}" "${SUMMARY:=${GITHUB_STEP_SUMMARY:-/dev/stdout}}"
  : "${BRANCH:=${GITHUB_REF_NAME:-}}" "${RUN:=Run ${GITHUB_RUN_ID:-by hand}, attempt ${GITHUB_RUN_ATTEMPT:-1}}"
  : "${BOT_NAME:=github-actions[bot]}" "${BOT_EMAIL:=41898282+github-actions[bot]@users.noreply.github.com}"
fi

# what_is NAME: the meaning of a variable that the scripts use.
what_is() {
  case "$1" in
    STACK) echo "the Pulumi stack, such as prod or acme/prod" ;;
    SERVICE) echo "the service of the stack; needed only when it has several" ;;
    SERVICES) echo "several services, with spaces between, in place of SERVICE" ;;
    WORK_DIR) echo "the folder of the Pulumi program; needed only when it is another one" ;;
    CLUSTER_NAME) echo "the EKS cluster; needed only when the program's config has no cluster_name" ;;
    AWS_REGION) echo "the cluster's region, such as us-east-1" ;;
    CODE) echo "the exit code of the script that the summary is about; empty when it was killed" ;;
    BRANCH) echo "the branch that the config file is committed back to, such as main" ;;
    PUSH_URL) echo "where the commit is pushed to, when it is not origin" ;;
    RUN) echo "what names this run in the commit's message" ;;
    BOT_NAME) echo "the author of the commit" ;;
    BOT_EMAIL) echo "the author's address" ;;
    OUTPUT) echo "a file that gets the line code=<exit code>" ;;
    SUMMARY) echo "a Markdown file that gets the summary" ;;
  esac
}

# need NAME…: ends the script when the host has not set one of these. Only CODE may be empty.
need() {
  local name error="error: "
  if [ -n "${GITHUB_ACTIONS:-}" ]; then error="::error::"; fi
  for name in "$@"; do
    if [ -n "${!name:-}" ] || [ "$name${!name+ is set}" = "CODE is set" ]; then continue; fi
    echo "$error$name is not set: $(what_is "$name")" >&2
    exit 2
  done
}

# The exit code of the last script of this step. Empty when it was killed before it could end.
code_of_script() {
  if [ -e "$OUTPUT" ]; then sed -n 's/^code=//p' "$OUTPUT" | tail -n 1; fi
}

# fail FILE MESSAGE: says what is wrong with a file, where the host shows it.
fail() {
  if [ -n "${GITHUB_ACTIONS:-}" ]; then echo "::error file=$1::$2"; else echo "error: $1: $2" >&2; fi
  exit 1
}
