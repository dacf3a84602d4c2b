"""A stand-in for the AWS Load Balancer Controller: registers the pods of TargetGroupBindings, opens readiness gates
and security groups."""
