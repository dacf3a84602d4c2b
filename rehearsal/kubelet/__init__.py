"""A stand-in for the kubelets of all GPU nodes: nodes follow the EKS node groups, pods run as local processes.

Differences to a real kubelet: images are not pulled, ConfigMaps do not change under a running pod, a projected volume
is an empty folder, no events are recorded, and the API server cannot fetch logs (they are files) or run commands. The
pods' processes end with this one. After its restart their containers are started again: the restart counts are one
higher, and the pods keep their addresses.
"""
