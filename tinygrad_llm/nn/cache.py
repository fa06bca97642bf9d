r"""Keys and values of earlier positions, so that a text can grow without being computed anew.

No position depends on a later one. Of a text that grows, all that its earlier positions have
computed stays as it was, and a new position needs nothing of them but their keys $k_j$ and values
$v_j$ in each layer. So with a cache, a model's call takes the new tokens alone:

    cache = Cache(len(model.h), capacity=100)
    model(ids[:, :60], cache=cache)      # the logits of 60 positions
    model(ids[:, 60:61], cache=cache)    # those of the next one, from the keys and values of all 61

$$\mathrm{model}(x_{1..t})_t = \mathrm{model}(x_t \mid k_{1..t-1}, v_{1..t-1}) .$$

Source: Shazeer, "Fast Transformer Decoding", arXiv:1911.02150, section 2.3 (keys and values kept).
"""

from __future__ import annotations

from typing import Any

from autograd import namespace
from autograd.backend import Array
from autograd.tensor import Tensor, values


class LayerCache:
    """The keys and values of one layer, (B, capacity, G, D), of which `length` are filled."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.length = 0
        self.keys: Array = None
        self.values: Array = None

    def extend(self, k: Any, v: Any) -> tuple[Array, Array]:
        """Keep k and v (B, T, G, D) of the next T positions; return those of all positions so far.

        Raises ValueError where there is no room for them or the batch is another, RuntimeError
        where a gradient would be lost.
        """
        if any(isinstance(x, Tensor) and x.node is not None for x in (k, v)):
            raise RuntimeError("cache: no gradient flows into kept keys and values; compute inside "
                               "no_grad(), or without a cache")
        k, v = values(k), values(v)
        batch, time, *rest = k.shape
        if self.keys is None:
            self.keys, self.values = namespace(k).empty((2, batch, self.capacity, *rest), k.dtype)
        start, stop = self.length, self.length + time
        if stop > self.capacity or batch != len(self.keys):
            raise ValueError(f"cache: {start} positions of {len(self.keys)} sequences are kept, of "
                             f"at most {self.capacity}; cannot add {time} of {batch}")
        self.keys[:, start:stop] = k
        self.values[:, start:stop] = v
        self.length = stop
        return self.keys[:, :stop], self.values[:, :stop]


class Cache:
    """One `LayerCache` for each layer of a model, with room for `capacity` positions."""

    def __init__(self, layers: int, capacity: int) -> None:
        self.layers = [LayerCache(capacity) for _ in range(layers)]

    @property
    def length(self) -> int:
        """The number of positions whose keys and values are kept."""
        return self.layers[0].length if self.layers else 0
