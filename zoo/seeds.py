"""The seeds of a zoo's networks: different for different networks by construction."""

import hashlib
from functools import lru_cache

BITS = 31
_MASK = 2**BITS - 1


def member_seed(zoo_seed: int, index: int) -> int:
    """The seed of network ``index``: a permutation of the numbers below 2**31 that depends on the zoo's seed.

    Independent draws of 31 bits would give two of some 50,000 networks the same seed.

    >>> len({member_seed(0, index) for index in range(1000)})
    1000
    """
    if index > _MASK:
        raise ValueError(f"expected at most {2**BITS} networks, got network number {index}; build several zoos")
    value = index
    # An odd factor and a shift to the right are both invertible on 31 bits, and so is their product.
    for key in _keys(zoo_seed):
        value = (value + key) * (key | 1) & _MASK
        value ^= value >> 15
    return value


@lru_cache
def _keys(zoo_seed: int) -> tuple[int, ...]:
    data = hashlib.sha256(f"{zoo_seed}/seeds".encode()).digest()
    return tuple(int.from_bytes(data[i : i + 4], "big") & _MASK for i in range(0, 16, 4))
