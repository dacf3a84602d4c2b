"""Derive the ARNs and dimensions of load balancing from each other, without a look-up in AWS."""


def load_balancer_of(listener_arn: str) -> str:
    """Return the ARN of the load balancer that a listener belongs to.

    ``…:listener/app/NAME/ID/LISTENER`` is a listener of ``…:loadbalancer/app/NAME/ID``.
    """
    return listener_arn.rpartition("/")[0].replace(":listener/", ":loadbalancer/", 1)


def load_balancer_dimension(load_balancer_arn: str) -> str:
    """Return a load balancer's dimension in CloudWatch metrics: ``app/NAME/ID``."""
    return load_balancer_arn.rpartition(":loadbalancer/")[2]


def target_group_dimension(target_group_arn: str) -> str:
    """Return a target group's dimension in CloudWatch metrics: ``targetgroup/NAME/ID``."""
    return target_group_arn.rpartition(":")[2]
