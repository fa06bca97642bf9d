"""GPT-2 in JAX, as one would write it there to be fast on a CPU.

One jitted function does the whole update: `value_and_grad`, clipping and AdamW as optax writes it,
with the weights and averages donated, so that XLA may write the new ones over the old. Names and
shapes of the weights are those of `tinygrad_llm.models.GPT`, in a flat dictionary.

What was tried, each variant in a process of its own on two cores of a Zen 5 server, ms for `tiny`
three times: attention by einsum 44 to 48, by batched products of transposed arrays 45 to 51 (also
no faster in `baby` and `gpt2`), by `jax.nn.dot_product_attention` 48 to 55; weights of shape
(inputs, outputs) 50 to 52; the embedding as a product with a one-hot matrix 44 to 53; `scan` over
the layers in place of a Python loop 61 beside 54, once.

Trap: JAX has no setting for its number of threads. XLA's CPU client reads PJRT_NPROC when it is
made, so that must be set before the first array.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from math import sqrt
from typing import Any

import numpy as np

Weights = dict[str, Any]


def make_step(sizes: dict[str, int], ids: Any, targets: Any, *, settings: dict[str, float],
              clip: float, threads: int, weights: Mapping[str, Any]) -> Callable[[], float]:
    """Return a function that does one update with that batch (NumPy arrays), and gives the loss."""
    os.environ["PJRT_NPROC"] = str(threads)
    import jax
    import jax.numpy as jnp

    heads, layers = sizes["heads"], sizes["layers"]

    def layer_norm(p: Weights, name: str, x: Any) -> Any:
        mean = x.mean(-1, keepdims=True)
        r = jax.lax.rsqrt(x.var(-1, keepdims=True) + 1e-5)
        return (x - mean) * r * p[f"{name}.weight"] + p[f"{name}.bias"]

    def linear(p: Weights, name: str, x: Any) -> Any:
        return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]

    def attention(p: Weights, name: str, x: Any) -> Any:
        batch, time, width = x.shape
        qkv = linear(p, f"{name}.qkv", x).reshape(batch, time, 3, heads, width // heads)
        q, k, v = jnp.moveaxis(qkv, 2, 0)  # each B, T, H, D
        s = jnp.einsum("bthd,bshd->bhts", q, k) / sqrt(width // heads)
        past = jnp.tril(jnp.ones((time, time), dtype=bool))
        p_ = jax.nn.softmax(jnp.where(past, s, -jnp.inf), axis=-1)
        o = jnp.einsum("bhts,bshd->bthd", p_, v)
        return linear(p, f"{name}.out", o.reshape(batch, time, width))

    def mlp(p: Weights, name: str, x: Any) -> Any:
        up = jax.nn.gelu(linear(p, f"{name}.up", x), approximate=True)
        return linear(p, f"{name}.down", up)

    def loss(p: Weights, ids: Any, targets: Any) -> Any:
        x = p["wte.weight"][ids] + p["wpe.weight"][: ids.shape[1]]
        for i in range(layers):
            x = x + attention(p, f"h.{i}.attn", layer_norm(p, f"h.{i}.ln_1", x))
            x = x + mlp(p, f"h.{i}.mlp", layer_norm(p, f"h.{i}.ln_2", x))
        logits = layer_norm(p, "ln_f", x) @ p["wte.weight"].T  # B, T, V
        right = jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
        return (jax.nn.logsumexp(logits, axis=-1) - right).mean()

    def adamw(p: Any, g: Any, m: Any, v: Any, t: Any) -> tuple[Any, Any, Any]:
        m = settings["beta1"] * m + (1 - settings["beta1"]) * g
        v = settings["beta2"] * v + (1 - settings["beta2"]) * g * g
        change = m / (1 - settings["beta1"] ** t)
        change /= jnp.sqrt(v / (1 - settings["beta2"] ** t)) + settings["eps"]
        if p.ndim >= 2:
            change += settings["weight_decay"] * p
        return p - settings["lr"] * change, m, v

    @partial(jax.jit, donate_argnums=(0, 1, 2))
    def update(p: Weights, m: Weights, v: Weights, t: Any, ids: Any, targets: Any) -> Any:
        value, gradients = jax.value_and_grad(loss)(p, ids, targets)
        norm = jnp.sqrt(sum(jnp.vdot(g, g) for g in gradients.values()))
        scale = jnp.minimum(1, clip / norm)
        new = {name: adamw(p[name], g * scale, m[name], v[name], t)
               for name, g in gradients.items()}
        return tuple({name: parts[i] for name, parts in new.items()} for i in range(3)), value

    state = [{name: jnp.array(weights[name]) for name in weights}]
    state += [{name: jnp.zeros_like(w) for name, w in state[0].items()} for _ in range(2)]
    x, y = jnp.asarray(ids), jnp.asarray(targets)
    done = 0

    def step() -> float:
        nonlocal state, done
        done += 1
        state, value = update(*state, np.float32(done), x, y)
        jax.block_until_ready(state)
        return float(value)

    return step
