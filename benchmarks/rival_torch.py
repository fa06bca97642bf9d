"""GPT-2 in PyTorch, as one would write it there to be fast: the rival and the oracle.

Module names are those of `tinygrad_llm.models.GPT`, so that `copy_weights` goes by name. Of what
PyTorch offers on a CPU the fastest was taken: AdamW with `fused=True` takes a tenth to a half of
the time of the default (a loop over the parameters), `foreach=True` takes longer than either; for
clipping `foreach=True` is a little faster than the default.

Compiled are the model and its loss, forward and backward, in the mode "max-autotune-no-cudagraphs".
Tried by turns on two cores of a Zen 5 server, ms for `tiny` and `baby`: eager 40.9 and 1,926; the
default mode 40.2 and 1,901, with clipping and AdamW compiled too (not `fused`, which cannot be)
40.0 and 1,851; that mode 39.4 and 1,811. For `gpt2`: the default mode 3,449, that mode 3,272.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import sqrt
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

COMPILE_MODE = "max-autotune-no-cudagraphs"


class Attention(nn.Module):
    def __init__(self, width: int, heads: int, bias: bool) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=bias)
        self.out = nn.Linear(width, width, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        batch, time, width = x.shape
        q, k, v = (part.view(batch, time, self.heads, -1).transpose(1, 2)  # B, H, T, D
                   for part in self.qkv(x).split(width, dim=2))
        o = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(o.transpose(1, 2).reshape(batch, time, width))


class MLP(nn.Module):
    def __init__(self, width: int, bias: bool) -> None:
        super().__init__()
        self.up = nn.Linear(width, 4 * width, bias=bias)
        self.down = nn.Linear(4 * width, width, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.gelu(self.up(x), approximate="tanh"))


class Block(nn.Module):
    def __init__(self, width: int, heads: int, bias: bool) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width, bias=bias)
        self.attn = Attention(width, heads, bias)
        self.ln_2 = nn.LayerNorm(width, bias=bias)
        self.mlp = MLP(width, bias)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class TorchGPT(nn.Module):
    """The same architecture; takes the fields of `GPTConfig` except dropout."""

    def __init__(self, *, vocab_size: int, context: int, layers: int, heads: int, width: int,
                 bias: bool = True) -> None:
        super().__init__()
        self.wte = nn.Embedding(vocab_size, width)
        self.wpe = nn.Embedding(context, width)
        self.h = nn.ModuleList(Block(width, heads, bias) for _ in range(layers))
        self.ln_f = nn.LayerNorm(width, bias=bias)
        self.head = nn.Linear(width, vocab_size, bias=False)
        self.head.weight = self.wte.weight
        self._draw(0.02, 0.02 / sqrt(2 * layers))

    def _draw(self, std: float, residual_std: float) -> None:
        for name, p in self.named_parameters():
            if p.ndim >= 2:
                residual = name.endswith(("out.weight", "down.weight"))
                nn.init.normal_(p, std=residual_std if residual else std)
            elif name.endswith("bias"):
                nn.init.zeros_(p)

    def forward(self, ids: Tensor) -> Tensor:
        """Return the logits (B, T, V)."""
        x = self.wte(ids) + self.wpe.weight[: ids.shape[1]]
        for block in self.h:
            x = block(x)
        return self.head(self.ln_f(x))

    def loss(self, ids: Tensor, targets: Tensor) -> Tensor:
        """Return the mean cross-entropy; targets of -100 are ignored."""
        return F.cross_entropy(self(ids).flatten(0, 1), targets.flatten())


def copy_weights(our_gpt: Any, torch_gpt: nn.Module) -> None:
    """Write the weights of one of our models into the rival of the same sizes.

    Raises ValueError where their parameters have different names or shapes.
    """
    from tinygrad_llm.nn import parameters  # here, so that a rival's process need not load it

    write_weights({name: p.data for name, p in parameters(our_gpt).items()}, torch_gpt)


def write_weights(ours: Mapping[str, Any], torch_gpt: nn.Module) -> None:
    """Write arrays into the parameters of those names; raises as `copy_weights` does."""
    theirs = dict(torch_gpt.named_parameters())
    our_shapes = {name: tuple(ours[name].shape) for name in ours}
    their_shapes = {name: tuple(p.shape) for name, p in theirs.items()}
    if our_shapes != their_shapes:
        differing = sorted({name for name, _ in our_shapes.items() ^ their_shapes.items()})
        raise ValueError(f"copy_weights: the models differ in {', '.join(differing)}")
    with torch.no_grad():
        for name, p in theirs.items():
            p.copy_(torch.from_numpy(ours[name]))


def adamw(model: nn.Module, *, lr: float, beta1: float, beta2: float, eps: float,
          weight_decay: float, fused: bool = True) -> torch.optim.AdamW:
    """Return AdamW in which parameters with fewer than two axes do not decay."""
    ps = list(model.parameters())
    groups = [{"params": [p for p in ps if p.ndim >= 2], "weight_decay": weight_decay},
              {"params": [p for p in ps if p.ndim < 2], "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=lr, betas=(beta1, beta2), eps=eps, fused=fused)


def train_step(model: Any, optimizer: torch.optim.Optimizer, ids: Tensor, targets: Tensor, *,
               clip: float, loss: Callable[[Tensor, Tensor], Tensor] | None = None,
               ) -> tuple[float, float]:
    """Do one update; return the loss and the gradient's norm before clipping.

    `loss` may be a compiled `model.loss`.
    """
    optimizer.zero_grad(set_to_none=True)
    value = (loss or model.loss)(ids, targets)
    value.backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), clip, foreach=True)
    optimizer.step()
    return value.item(), norm.item()


def make_step(model: Any, ids: Any, targets: Any, *, settings: dict[str, float],
              clip: float, threads: int, weights: Mapping[str, Any] | None = None,
              compiled: bool = False) -> Callable[[], float]:
    """Return a function that does one update with that batch (NumPy arrays), and gives the loss.

    `settings` are the keyword arguments of `adamw`. The model starts from `weights`, arrays by
    name, or keeps its own.
    """
    torch.set_num_threads(threads)
    if weights is not None:
        write_weights(weights, model)
    optimizer = adamw(model, **settings)
    loss = torch.compile(model.loss, mode=COMPILE_MODE, dynamic=False) if compiled else None
    x, y = torch.from_numpy(ids).long(), torch.from_numpy(targets).long()
    return lambda: train_step(model, optimizer, x, y, clip=clip, loss=loss)[0]
