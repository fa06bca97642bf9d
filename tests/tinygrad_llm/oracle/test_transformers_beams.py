"""Beam search against transformers' generate, with the same weights: the texts and their scores."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_llm.pretrained import from_pretrained
from tinygrad_llm.sample import Sampling
from tinygrad_llm.sample.beam import Beam, beam_search

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore")]

from transformers_models import model_of  # noqa: E402

ENDS = frozenset(range(7, 19))  # so many that texts of all lengths end
OPTIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "none": ({}, {}),
    "penalty": ({"repetition_penalty": 1.7}, {"repetition_penalty": 1.7}),
    "n-grams": ({"no_repeat_ngram": 2}, {"no_repeat_ngram_size": 2}),
    "bans": ({"banned": [3, 5, 60]}, {"bad_words_ids": [[3], [5], [60]]}),
    "bias": ({"logit_bias": {9: 2.5, 12: -4.0}}, {"sequence_bias": {(9,): 2.5, (12,): -4.0}}),
    "least": ({"min_tokens": 5}, {"min_new_tokens": 5}),
}


@pytest.fixture(scope="module", params=["gpt2", "llama, grouped heads", "mistral, window"])
def models(request: Any, tmp_path_factory: Any) -> tuple[Any, Any]:
    theirs = model_of(request.param)
    with torch.no_grad():  # so that no token is much likelier than others, wherever it stands
        for name, p in theirs.named_parameters():
            if name.startswith(("transformer.ln_f", "model.norm")):
                p *= 0.2 * name.endswith("weight")
    folder: Path = tmp_path_factory.mktemp("model")
    theirs.save_pretrained(folder)
    return from_pretrained(folder, dtype="float64").model, theirs


def theirs_of(model: Any, prompt: list[int], size: int, ends: frozenset[int], **options: Any
              ) -> list[Beam]:
    """Return what transformers finds."""
    out = model.generate(torch.tensor([prompt]), do_sample=False, max_new_tokens=size,
                         eos_token_id=sorted(ends) or None, pad_token_id=0,
                         output_scores=True, return_dict_in_generate=True, **options)
    found = []
    for row, score in zip(out.sequences[:, len(prompt):].tolist(), out.sequences_scores,
                          strict=True):
        stop = next((place for place, id in enumerate(row) if id in ends), None)
        found.append(Beam(row[:stop], float(score), "length" if stop is None else "end"))
    return found


def assert_same(ours: list[Beam], theirs: list[Beam]) -> None:
    assert [(beam.ids, beam.reason) for beam in ours] == [
        (beam.ids, beam.reason) for beam in theirs]
    np.testing.assert_allclose([beam.score for beam in ours], [beam.score for beam in theirs],
                               rtol=1e-5, atol=1e-5)  # which adds in float32


@pytest.mark.parametrize("early", [False, True, "never"])
def test_texts_and_scores(models: tuple[Any, Any], early: Any) -> None:
    ours, theirs = models
    seen = set()
    for seed, (beams, penalty, size) in enumerate(product((2, 5), (-1.0, 0.0, 0.7, 2.0),
                                                          (1, 4, 12))):
        rng = np.random.default_rng(seed)
        prompt = rng.integers(2, 67, 1 + seed % 5).tolist()
        ends = frozenset(rng.choice([*ENDS], seed % 13, replace=False).tolist())
        got = beam_search(ours, prompt, Sampling(temperature=0, max_tokens=size, ends=ends),
                          beams=beams, length_penalty=penalty, count=beams, early_stopping=early)
        assert_same(got, theirs_of(theirs, prompt, size, ends, num_beams=beams,
                                   num_return_sequences=beams, length_penalty=penalty,
                                   early_stopping=early))
        seen |= {(beam.reason, len(beam.ids)) for beam in got}
    assert {reason for reason, _ in seen} == {"end", "length"} and len(seen) > 4


@pytest.mark.parametrize("name", OPTIONS)
def test_options_that_change_logits(models: tuple[Any, Any], name: str) -> None:
    ours, theirs = models
    own, other = OPTIONS[name]
    for seed in range(5):
        prompt = np.random.default_rng(seed).integers(2, 67, 4).tolist()
        sampling = Sampling(temperature=0, max_tokens=9, ends=ENDS, **own)
        assert_same(beam_search(ours, prompt, sampling, beams=3, count=3),
                    theirs_of(theirs, prompt, 9, ENDS, num_beams=3, num_return_sequences=3,
                              **other))
