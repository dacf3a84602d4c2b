"""The ScaledObject by which KEDA decides how many replicas of a colour run.

KEDA makes a HorizontalPodAutoscaler of it, which keeps the number between floor and ceiling, at any load. From zero it
is KEDA itself that starts the floor, at once. So a colour is parked by KEDA's own pause at zero: only KEDA ever writes
the Deployment's number.
https://keda.sh/docs/2.20/reference/scaledobject-spec/
https://keda.sh/docs/2.20/concepts/scaling-deployments/#pausing-autoscaling
https://github.com/kedacore/keda/blob/v2.20.0/pkg/scaling/executor/scale_scaledobjects.go
"""

from collections.abc import Mapping
from typing import Any, Final

SCALED_OBJECT_VERSION: Final = "keda.sh/v1alpha1"
SCALED_OBJECT_KIND: Final = "ScaledObject"
PARKED: Final = {"autoscaling.keda.sh/paused-replicas": "0"}
"""The annotation of a parked colour's ScaledObject: KEDA ends all replicas, and starts none."""


def scaled_object_spec(
    deployment: str,
    *,
    floor: int,
    ceiling: int,
    trigger: Mapping[str, str],
    query: str,
    authentication: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return the spec of a colour's ScaledObject.

    ``idleReplicaCount`` is left out: a colour without requests keeps its floor, so that it can take some at once.

    Args:
        deployment: the name of the Deployment.
        floor: fewest replicas.
        ceiling: most replicas.
        trigger: the trigger's metadata but the query: Prometheus, and how many of what the query counts one replica
            should have.
        query: a PromQL query for the sum over all of the colour's pods.
        authentication: name and kind of the object by which KEDA proves who it is. None when it need not.
    """
    return {
        "scaleTargetRef": {"name": deployment},
        "minReplicaCount": floor,
        "maxReplicaCount": ceiling,
        # https://keda.sh/docs/2.20/scalers/prometheus/
        "triggers": [
            {
                "type": "prometheus",
                "metricType": "AverageValue",
                "metadata": {**trigger, "query": query},
                **({} if authentication is None else {"authenticationRef": dict(authentication)}),
            }
        ],
    }
