r"""What each part of a model does with one text.

Any model that `nn.observed` can observe, and whose attention goes through `functional.attention`.
It is not changed.

**Attention.** The observer of the engine (`autograd.tensor.Watch`) notes the q, k and options of
each call of `attention`. Its result is $o = p\,v$, so with the unit vectors as values it returns
the probabilities themselves, $p\,I = p$: grouped heads, rotary positions, windows, documents and
soft caps count as they do in the model, because the model's own op computes them.

**The logit lens.** The stream $x_l$ behind block l goes through the model's own last steps, as if
the blocks above were not there: final norm, head, and a soft cap where the model has one,

$$z_l = \mathrm{head}(\mathrm{norm}(x_l)), \qquad
p_l(v) = \frac{e^{z_{lv}}}{\sum_u e^{z_{lu}}} .$$

$x_0$ is what enters the first block. The last row, $p_L$, is the model's prediction.

**Norms.** Of an activation $x_t$ of C numbers, the root mean square
$\sqrt{\sum_c x_{tc}^2 / C}$; of a gradient, of the mean next-token loss on the text, the Euclidean
norm.

Sources: nostalgebraist, "interpreting GPT: the logit lens" (LessWrong, 2020).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autograd import namespace, no_grad, pull_back, to_host
from autograd.backend import Array
from autograd.tensor import STATE, recording, values

from ..functional import attention
from ..nn import parameters
from ..nn.observed import added, can_be_observed, observed, streams_of

RUNNERS_UP = 8
LOGITS_AT_ONCE = 1 << 22  # numbers

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Look:
    """What a model of L blocks with H heads each did with a text of T tokens.

    ids: the text, (T,) integers below `vocabulary`.
    attention: (L, H, T, T), the probability with which the query of position [2] sees the key of
      position [3]; its last axis sums to 1. In the model's own dtype, all else in float32.
    lens_ids, lens_p: (L + 1, T, K), the K likeliest next tokens by the logit lens behind l blocks,
      likeliest first, and their probabilities.
    log_p: (L + 1, T - 1), by the same lens, the log-probability of the token that does follow
      position t, in nats; the last row is the model's own.
    ranks: (T - 1,) integers, how many tokens the model held likelier than the one that follows.
    stream, attention_out, mlp_out: (L + 1, T), (L, T), (L, T), the root mean square of the stream
      before and behind each block, and of what attention and feed-forward add to it.
    stream_gradients: (L + 1, T - 1), the norm of the loss's gradient at each place of the stream.
    gradients: by the parameter's name, the norm of the loss's gradient.

    The loss is the mean of -log_p[-1]; of a single token there is none, and no gradient.
    """

    ids: NDArray[np.int64]
    vocabulary: int
    attention: Floats
    lens_ids: NDArray[np.int64]
    lens_p: Floats
    log_p: Floats
    ranks: NDArray[np.int64]
    stream: Floats
    attention_out: Floats
    mlp_out: Floats
    stream_gradients: Floats
    gradients: dict[str, float]


def observe(model: Any, ids: Sequence[int] | NDArray[Any], runners_up: int = RUNNERS_UP,
            documents: Sequence[int] | NDArray[Any] | None = None) -> Look:
    """Return what the model does with a text, the ids (T,) of at least one token.

    `runners_up` is K of `Look`, at most the vocabulary; `documents`, integers (T,), number the
    packed documents of the text, which do not see each other. Raises ValueError for no token, more
    than the context holds, or a model that cannot be observed (see the module).

    >>> from tinygrad_llm.models import GPT, GPTConfig
    >>> model = GPT(GPTConfig(vocab_size=5, context=4, layers=1, heads=2, width=8))
    >>> observe(model, [3, 1, 4]).attention.shape
    (1, 2, 3, 3)
    """
    text = np.asarray(ids)
    _check(model, text)
    xp = namespace(model.head.data)
    batch, packed = xp.asarray(text[None]), {} if documents is None else {
        "documents": xp.asarray(documents)[None]}
    twin, blocks = observed(model)
    with no_grad(), _attention_calls() as calls:
        twin.hidden(batch, **packed)
    if len(calls) != len(blocks):
        raise ValueError(f"observe: expected one call of attention in each of {len(blocks)} "
                         f"blocks, got {len(calls)}")
    streams, width = streams_of(blocks), blocks[0].given.shape[2]
    stream, attention_out, mlp_out = (
        _norms(x) / np.float32(sqrt(width))
        for x in (streams, added(blocks, "attn"), added(blocks, "mlp")))
    lens_ids, lens_p, log_p, ranks = _lens(model, streams, text, runners_up)
    gradients, stream_gradients = _gradients(model, batch, packed)
    return Look(text, len(model.head.data),
                np.stack([to_host(probabilities(*call))[0] for call in calls]), lens_ids, lens_p,
                log_p, ranks, stream, attention_out, mlp_out, stream_gradients, gradients)


def _check(model: Any, text: NDArray[Any]) -> None:
    if text.ndim != 1 or not 1 <= len(text) <= model.config.context:
        raise ValueError(f"observe: expected the ids (T,) of 1 to {model.config.context} tokens, "
                         f"the model's context, got shape {text.shape}")
    if not can_be_observed(model):
        raise ValueError(f"observe: {type(model).__name__} has no list `h` of blocks with `attn` "
                         f"and `mlp` in each")


class _Calls:
    """The q, k and options of each call of `attention` (see `autograd.tensor.Watch`)."""

    def __init__(self) -> None:
        self.kept: list[tuple[Array, Array, dict[str, Any]]] = []

    def computed(self, op: Any, args: Sequence[Any], options: dict[str, Any], y: Any) -> None:
        if op is attention:
            self.kept.append((values(args[0]), values(args[1]), options))

    def pulled(self, node: Any, g: Any, parts: Sequence[Any]) -> None:
        """There is no backward pass here."""


@contextmanager
def _attention_calls() -> Iterator[list[tuple[Array, Array, dict[str, Any]]]]:
    before, calls = STATE.watch, _Calls()
    try:
        STATE.watch = calls
        yield calls.kept
    finally:
        STATE.watch = before


def probabilities(q: Array, k: Array, options: dict[str, Any]) -> Array:
    r"""Return the probabilities p (B, H, T, S) of `attention(q, k, v, **options)`, for any v.

    They are $p\,I$; the columns of I are taken D at a time, as values have as many as keys.
    """
    xp, (_, keys, _, depth) = namespace(k), k.shape
    parts = []
    for first in range(0, keys, depth):
        columns = xp.eye(keys, min(depth, keys - first), -first, dtype=k.dtype)
        v = xp.zeros_like(k)
        v[..., : columns.shape[1]] = columns[:, None]
        parts.append(attention(q, k, v, **options)[..., : columns.shape[1]])
    return xp.concatenate(parts, -1).swapaxes(1, 2)


def _lens(model: Any, streams: Sequence[Any], text: NDArray[np.int64], runners_up: int
          ) -> tuple[NDArray[np.int64], Floats, Floats, NDArray[np.int64]]:
    """Return `lens_ids`, `lens_p`, `log_p` and `ranks` of a Look."""
    size, vocabulary = len(text), len(model.head.data)
    shape, some = (len(streams), size), min(runners_up, vocabulary)
    ids, log_p = np.zeros((*shape, some), np.int64), np.zeros((*shape, some), np.float32)
    log_next, ranks = np.zeros((len(streams), size - 1), np.float32), np.zeros(size - 1, np.int64)
    rows = max(1, LOGITS_AT_ONCE // vocabulary)
    for layer, stream in enumerate(streams):
        for start in range(0, size, rows):
            part = slice(start, start + rows)
            with no_grad():
                z = to_host(values(model.lens(stream[:, part])))[0]  # t, V
            z = z - z.max(-1, keepdims=True)
            z -= np.log(np.exp(z).sum(-1, keepdims=True))
            after, places = text[1:][part], np.arange(len(z))
            known = z[places[: len(after)], after]
            log_next[layer, part] = known
            ranks[part] = (z[: len(after)] > known[:, None]).sum(1)  # in the end the last layer's
            for k in range(some):  # faster than a partial sort, and equals come in their order
                ids[layer, part, k] = found = z.argmax(-1)
                log_p[layer, part, k] = z[places, found]
                z[places, found] = -np.inf
    return ids, np.exp(log_p), log_next, ranks


def _gradients(model: Any, batch: Array, packed: dict[str, Array]
               ) -> tuple[dict[str, float], Floats]:
    """Return the norms of the loss's gradients: of each parameter, and of the stream (L + 1, T)."""
    twin, blocks = observed(model)
    if batch.shape[1] == 1:
        return {}, np.zeros((len(blocks) + 1, 0), np.float32)
    own = parameters(model)
    with recording(True):
        loss = twin.loss(batch[:, :-1], batch[:, 1:],
                         **{name: array[:, :-1] for name, array in packed.items()})
    streams = streams_of(blocks)
    found = pull_back([loss], [None], [*own.values(), *streams])
    gradients = {name: float(np.linalg.norm(to_host(g).astype(float)))
                 for name, g in zip(own, found, strict=False) if g is not None}
    return gradients, _norms([0 * values(x) if g is None else g  # frozen weights lie before it
                              for x, g in zip(streams, found[len(own):], strict=True)])


def _norms(rows: Sequence[Any]) -> Floats:
    """Return the Euclidean norm of each place of (1, T, C) arrays: (len(rows), T)."""
    squares = [np.square(to_host(values(x))[0].astype(float)).sum(-1) for x in rows]
    norms: Floats = np.sqrt(np.stack(squares)).astype(np.float32)
    return norms
