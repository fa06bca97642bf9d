"""Filters of logits against transformers' processors, one by one and as `generate` orders them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinygrad_llm.sample import Chooser, Sampling
from tinygrad_llm.sample import logits as filters

torch = pytest.importorskip("torch")
theirs = pytest.importorskip("transformers.generation.logits_process")
pytestmark = pytest.mark.oracle

ROWS, V = 40, 300
IDS = np.array([3, 17, 4, 3, 17, 250, 9, 3, 17])
ENDS = [7, 30]


def logits(seed: int, scale: float) -> np.ndarray:
    """Return rows of logits, without equals among the possible ones."""
    z = np.random.default_rng(seed).normal(size=(ROWS, V)) * scale
    z[::3, ::5] = -np.inf
    return z


def distinct(ids: np.ndarray) -> np.ndarray:
    return np.array(sorted(set(ids.tolist())))


CASES: dict[str, tuple[Callable[[], Any], Callable[[np.ndarray], np.ndarray]]] = {
    "repetition": (lambda: theirs.RepetitionPenaltyLogitsProcessor(1.3),
                   lambda z: filters.penalize_repetition(z, distinct(IDS), 1.3)),
    "repetition below 1": (lambda: theirs.RepetitionPenaltyLogitsProcessor(0.7),
                           lambda z: filters.penalize_repetition(z, distinct(IDS), 0.7)),
    "bias": (lambda: theirs.SequenceBiasLogitsProcessor({(5,): 2.5, (250,): -9.0}),
             lambda z: filters.add_bias(z, np.array([5, 250]), np.array([2.5, -9.0]))),
    "banned": (lambda: theirs.NoBadWordsLogitsProcessor([[5], [9]], eos_token_id=7),
               lambda z: filters.forbid(z, np.array([5, 9]))),
    "minimum length": (lambda: theirs.MinNewTokensLengthLogitsProcessor(7, 3, ENDS),
                       lambda z: filters.forbid(z, np.array(ENDS))),
}
for _n in (1, 2, 3, 4, 12):
    CASES[f"no repeated {_n}-gram"] = (
        lambda n=_n: theirs.NoRepeatNGramLogitsProcessor(n),
        lambda z, n=_n: filters.forbid(z, filters.repeated(IDS, n)))
for _t in (0.05, 0.8, 3.0):
    CASES[f"temperature {_t}"] = (
        lambda t=_t: theirs.TemperatureLogitsWarper(t),
        lambda z, t=_t: filters.scale_by_temperature(z, t))
for _k in (1, 7, V, 2 * V):
    CASES[f"top {_k}"] = (lambda k=_k: theirs.TopKLogitsWarper(k),
                          lambda z, k=_k: filters.keep_top_k(z, k))
for _p in (0.01, 0.5, 0.9, 0.999):
    CASES |= {
        f"top p {_p}": (lambda p=_p: theirs.TopPLogitsWarper(p),
                        lambda z, p=_p: filters.keep_top_p(z, p)),
        f"min p {_p}": (lambda p=_p: theirs.MinPLogitsWarper(p),
                        lambda z, p=_p: filters.keep_min_p(z, p)),
        f"typical {_p}": (lambda p=_p: theirs.TypicalLogitsWarper(p),
                          lambda z, p=_p: filters.keep_typical(z, p))}
CHANGE_NOTHING = ("no repeated 4-gram", "no repeated 12-gram", f"top {V}", f"top {2 * V}")


@pytest.mark.parametrize("scale", [0.3, 3.0])
@pytest.mark.parametrize("name", CASES)
def test_each_filter(name: str, scale: float) -> None:
    make, ours = CASES[name]
    z = logits(sum(map(ord, name)), scale)
    ids = torch.tensor(np.tile(IDS, (ROWS, 1)))
    expected = make()(ids, torch.tensor(z)).numpy()
    got = ours(z)
    assert scale < 1 or name in CHANGE_NOTHING or not np.array_equal(z, got)
    np.testing.assert_array_equal(got > -np.inf, expected > -np.inf)
    np.testing.assert_allclose(filters.softmax(got), filters.softmax(expected), rtol=1e-12)
    if not name.startswith("temperature"):  # which may move all by the same number
        np.testing.assert_allclose(got, expected, rtol=1e-14)


def test_equals_stay_as_they_do_there() -> None:
    z = np.array([[1.0, 3, 3, 2, 3, -np.inf], [0, 0, 0, 0, 0, 0]])
    for make, ours in [CASES["top 1"], CASES["min p 0.999"], CASES["typical 0.5"]]:
        expected = make()(None, torch.tensor(z)).numpy()
        np.testing.assert_array_equal(ours(z), expected)


@pytest.mark.parametrize("options", [
    {"top_k": 9}, {"temperature": 0.7, "top_k": 12, "top_p": 0.8, "min_p": 0.05},
    {"temperature": 1.6, "top_p": 0.9, "typical_p": 0.8, "repetition_penalty": 1.4},
    {"temperature": 0.5, "top_k": 20, "typical_p": 0.7, "no_repeat_ngram": 2,
     "banned": [3, 11], "logit_bias": {5: 2.0, 20: -4.0}, "repetition_penalty": 1.2,
     "min_tokens": 4, "ends": [7, 8]},
])
def test_the_order_is_that_of_generate(options: dict[str, Any]) -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(
        vocab_size=31, n_positions=64, n_layer=1, n_head=2, n_embd=16, initializer_range=0.6,
        bos_token_id=None, eos_token_id=None)).double().eval()
    sampling = Sampling(**{"top_k": None, **options})
    names = {"no_repeat_ngram": "no_repeat_ngram_size", "banned": "bad_words_ids",
             "logit_bias": "sequence_bias", "min_tokens": "min_new_tokens", "ends": "eos_token_id"}
    values = {"banned": lambda ids: [[id] for id in ids],
              "logit_bias": lambda bias: {(id,): b for id, b in bias.items()}}
    given = {names.get(name, name): values.get(name, lambda x: x)(value)
             for name, value in ({"top_k": 0} | options).items()}
    prompt = [1, 5, 2, 5, 2]
    found = model.generate(torch.tensor([prompt]), do_sample=True, max_new_tokens=10, **given,
                           pad_token_id=0, return_dict_in_generate=True, output_scores=True,
                           output_logits=True)
    chooser = Chooser(sampling, prompt, 31)
    cuts = 0
    for raw, scores, token in zip(found.logits, found.scores, found.sequences[0, 5:], strict=True):
        got = chooser.filtered(raw[0].double().numpy())
        cuts += (got == -np.inf).sum()
        np.testing.assert_array_equal(got > -np.inf, scores[0].numpy() > -np.inf)
        np.testing.assert_allclose(filters.softmax(got), filters.softmax(scores[0].numpy()),
                                   atol=1e-6)
        chooser.take(int(token))
    assert chooser.written > 4 and cuts > 20
