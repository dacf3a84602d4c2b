#!/usr/bin/env bash
# Writes the kubeconfig of the stack's cluster. Its tokens are renewed with the job's AWS credentials.
# The program in WORK_DIR may not have the cluster's name in its config: CLUSTER_NAME is used then.
set -euo pipefail
source "$(dirname "$0")/host.sh"
need STACK AWS_REGION
config() {
  pulumi config get "$1" --stack "$STACK" --cwd "${WORK_DIR:-.}"
}
cluster=${CLUSTER_NAME:-$(config cluster_name)}
# The config may name the cluster's context. Without an alias, the context would be named by the cluster's ARN.
context=$(config kubernetes:context 2> /dev/null || true)
aws eks update-kubeconfig --name "$cluster" --region "$AWS_REGION" ${context:+--alias "$context"}
