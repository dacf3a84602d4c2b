#!/usr/bin/env bash
# Writes the kubeconfig of the stack's cluster. Its tokens are renewed with the job's AWS credentials.
set -euo pipefail
cluster=$(pulumi config get cluster_name --stack "$STACK")
# The config may name the cluster's context. Without an alias, the context would be named by the cluster's ARN.
context=$(pulumi config get kubernetes:context --stack "$STACK" 2> /dev/null || true)
aws eks update-kubeconfig --name "$cluster" --region "$AWS_REGION" ${context:+--alias "$context"}
