#!/usr/bin/env bash
# Writes the kubeconfig of the stack's cluster. Its tokens are renewed with the job's AWS credentials.
set -euo pipefail
cluster=$(pulumi config get cluster_name --stack "$STACK")
aws eks update-kubeconfig --name "$cluster" --region "$AWS_REGION"
