"""The sizes of models, the batches, and the settings of an update that are measured.

`tiny` is nanoGPT's published configuration for a CPU, `baby` its character-level one for a GPU with
a smaller batch, `gpt2` the smallest GPT-2 with a quarter of its context, `gpt2-1024` the same with
all of it, one sequence at a time. `tiny-llama` and `baby-llama` are Llamas with the parameters of
`tiny` and `baby`, `llama-135m` has the shape of SmolLM2-135M.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SETTINGS = {"lr": 1e-4, "beta1": 0.9, "beta2": 0.95, "eps": 1e-8, "weight_decay": 0.1}
CLIP = 1.0


@dataclass(frozen=True)
class Sizes:
    """Sizes under the names that `GPTConfig` has for them."""

    vocab_size: int
    context: int
    layers: int
    heads: int
    width: int

    def layer_numbers(self) -> int:
        """The numbers in the matrices of a layer."""
        return 12 * self.width**2


@dataclass(frozen=True)
class LlamaSizes(Sizes):
    """Those of a Llama, under the names that `LlamaConfig` has for them."""

    key_heads: int
    inner: int

    def layer_numbers(self) -> int:
        """The numbers in the matrices of a layer."""
        keys = self.width * self.key_heads // self.heads
        return self.width * (2 * self.width + 2 * keys + 3 * self.inner)


@dataclass(frozen=True)
class Config:
    """A model, a batch of `batch` full contexts, and how it is measured.

    Each side has `rounds` turns, after `warmup` that do not count; in a turn, `run` steps in a row
    are counted, after `lead` that are not.
    """

    sizes: Sizes
    batch: int
    rounds: int = 5
    warmup: int = 2
    lead: int = 0
    run: int = 1

    def tokens(self) -> int:
        """The tokens of a step."""
        return self.batch * self.sizes.context

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """Return random ids and targets, int32 of shape (B, T)."""
        rng = np.random.default_rng(0)
        shape = (2, self.batch, self.sizes.context)
        ids, targets = rng.integers(self.sizes.vocab_size, size=shape, dtype=np.int32)
        return ids, targets

    def linear_flops(self) -> int:
        r"""The operations of the linear layers' and the head's products: $6 N P$."""
        s = self.sizes
        return 6 * self.tokens() * (s.layers * s.layer_numbers() + s.vocab_size * s.width)

    def product_flops(self) -> int:
        r"""The operations of all matrix products of a step.

        For N = B T tokens, P parameters that are multiplied with (the linear layers and the tied
        head) and L layers, these are

        $$6 N P + 12\,L\,B\,T^2 C :$$

        each product of the forward pass needs two more in the backward pass. Attention's are
        counted in full, not only their causal half.
        """
        s = self.sizes
        return self.linear_flops() + 12 * s.layers * self.batch * s.context**2 * s.width

    def described(self) -> str:
        """Return the sizes in words."""
        s = self.sizes
        words = f"{s.layers} layers, {s.width} wide, {self.batch} x {s.context:,} tokens"
        return words + (f", V {s.vocab_size:,}" if s.vocab_size > 1000 else "")


CONFIGS = {
    "tiny": Config(Sizes(65, 64, 4, 4, 128), batch=12, rounds=10, warmup=1, lead=4, run=5),
    "baby": Config(Sizes(65, 256, 6, 6, 384), batch=16),
    "gpt2": Config(Sizes(50304, 256, 12, 12, 768), batch=2),
    "gpt2-1024": Config(Sizes(50304, 1024, 12, 12, 768), batch=1),
    "tiny-llama": Config(LlamaSizes(65, 64, 4, 4, 128, 4, 344), batch=12, rounds=10, warmup=1,
                         lead=4, run=5),
    "baby-llama": Config(LlamaSizes(65, 256, 6, 6, 384, 6, 1024), batch=16),
    "llama-135m": Config(LlamaSizes(49152, 256, 30, 9, 576, 3, 1536), batch=2),
}
