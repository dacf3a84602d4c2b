"""The load balancer, its metrics and the account, through boto3."""
