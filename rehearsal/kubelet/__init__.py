"""Stands in for the kubelets of all GPU nodes: nodes follow the EKS node groups, pods run as local processes.

Not like a real kubelet: images are not pulled, ConfigMaps do not change under a running pod, a projected volume is
an empty folder, no events are recorded, and the API server cannot ask it for logs or to run commands (logs are files).
Processes die with this one, so after a restart of it their containers are started again, with their restart counts one
higher and the pods' addresses kept.
"""
