"""The translation between pod addresses and loopback addresses."""

import pytest

from rehearsal.system.addresses import loopback_of, pod_address_of


def test_the_translation_is_reversible() -> None:
    assert loopback_of("10.1.2.3") == "127.1.2.3"
    assert pod_address_of("127.1.2.3") == "10.1.2.3"


@pytest.mark.parametrize("address", ["127.1.2.3", "192.168.0.1", "10.1.2", "pod"])
def test_any_other_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match=address):
        loopback_of(address)
