"""A pod's address on its node's network interface in AWS."""

import asyncio
import logging

from botocore.exceptions import BotoCoreError, ClientError

from rehearsal.kubelet.instances import Instances

_LOG = logging.getLogger(__name__)


class PodInterface:
    """Lets AWS find the instance of a pod by the pod's address."""

    def __init__(self, instances: Instances, instance: str, address: str) -> None:
        self._instances = instances
        self._instance = instance
        self._address = address

    async def connect(self) -> None:
        """Add the address to the node. Raises botocore's exceptions."""
        await asyncio.to_thread(self._instances.add_address, self._instance, self._address)

    async def disconnect(self) -> None:
        """Remove the address. When AWS does not answer, it stays until the node is removed."""
        try:
            await asyncio.to_thread(self._instances.remove_address, self._instance, self._address)
        except (BotoCoreError, ClientError) as error:
            _LOG.warning("address %s stays with %s: %s", self._address, self._instance, error)
