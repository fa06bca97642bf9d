"""Models against those of transformers with the same weights: logits, loss, every gradient.

The reference computes norms, softmax and rotary angles in float32, whatever the dtype of a model:
as it is, float64 models agree to 1e-6. Where it is made to keep to float64, they agree to 1e-12.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_llm.nn import parameters
from tinygrad_llm.pretrained import from_pretrained
from tinygrad_llm.pretrained.places import places
from tinygrad_llm.sample import Batcher, Sampling

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore")]

from transformers_models import CASES, all_in_float64, model_of  # noqa: E402

every_case = pytest.mark.parametrize("case", CASES)
BATCH, TIME = 3, 23


def ids_and_labels(size: int = 67, seed: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Return ids, and labels as transformers takes them, some of which are ignored."""
    ids = np.random.default_rng(seed).integers(size, size=(BATCH, TIME))
    labels = ids.copy()
    labels[0, 3:9] = labels[2, :11] = -100
    return ids, labels


def targets_of(labels: np.ndarray) -> np.ndarray:
    """Return the labels as we take them: at each place the token behind it."""
    return np.concatenate([labels[:, 1:], np.full((len(labels), 1), -100)], 1)


def error(ours: Any, theirs: Any) -> float:
    """Return the largest difference beside the largest number."""
    ours, theirs = np.asarray(ours), theirs.detach().double().numpy()  # its loss is of float32
    assert ours.shape == theirs.shape and ours.dtype == np.float64
    assert abs(theirs).max() > 0
    return float(abs(ours - theirs).max() / abs(theirs).max())


def compare(theirs: Any, folder: Path) -> dict[str, float]:
    """Return the largest relative error of logits, loss, and each gradient."""
    theirs.save_pretrained(folder)
    ours = from_pretrained(folder, dtype="float64").model
    ids, labels = ids_and_labels()
    out = theirs(input_ids=torch.from_numpy(ids), labels=torch.from_numpy(labels))
    out.loss.backward()
    loss = ours.loss(ids, targets_of(labels))
    loss.backward()
    errors = {"logits": error(ours(ids).data, out.logits), "loss": error(loss.data, out.loss)}
    own = parameters(ours)
    mixtral = "block_sparse_moe" if theirs.config.model_type == "mixtral" else "mlp"
    where = places(ours.config, own, mixtral)
    seen: set[str] = set()
    for name, p in theirs.named_parameters():
        if ".experts." in name:  # packed in memory, one by one in files
            layer, which = name.split(".")[2], {"gate_up_proj": "gate_up", "down_proj": "down"}
            parameter = f"h.{layer}.mlp.{which[name.split('.')[-1]]}"
            mine = own[parameter].grad
        else:
            place = where[name.replace(".mlp.", f".{mixtral}.")]
            parameter, mine = place.parameter, place.view(own[place.parameter].grad)
        seen.add(parameter)
        errors[name] = error(mine, p.grad)
    assert seen == set(own)
    return errors


@every_case
def test_float64_as_far_as_the_reference_goes(case: str, tmp_path: Path) -> None:
    attention = "eager" if case == "gemma2" else "sdpa"  # which has no caps
    errors = compare(model_of(case, attention), tmp_path / "model")
    assert max(errors.values()) <= 1e-6, errors


@every_case
def test_float64_to_the_last_digits(case: str, tmp_path: Path) -> None:
    with all_in_float64():
        errors = compare(model_of(case), tmp_path / "model")
    assert max(errors.values()) <= 1e-12, errors


@pytest.mark.parametrize("case", ["mixtral", "qwen2_moe", "qwen3_moe"])
def test_the_loss_that_balances_experts(case: str, tmp_path: Path) -> None:
    with all_in_float64():
        theirs = model_of(case)
        theirs.config.output_router_logits, theirs.config.router_aux_loss_coef = True, 0.3
        theirs.router_aux_loss_coef = 0.3
        theirs.save_pretrained(tmp_path / "model")
        ours = from_pretrained(tmp_path / "model", dtype="float64").model
        ids, labels = ids_and_labels()
        out = theirs(input_ids=torch.from_numpy(ids), labels=torch.from_numpy(labels),
                     output_router_logits=True)
        out.loss.backward()
    assert ours.config.balance == 0.3
    loss = ours.training_loss(ids, targets_of(labels))
    loss.backward()
    assert float(out.aux_loss) > 0.1
    assert error(loss.data, out.loss) <= 1e-12
    router = theirs.get_parameter("model.layers.0.mlp.gate.weight").grad
    assert error(parameters(ours)["h.0.mlp.router.weight"].grad, router) <= 1e-12


@pytest.mark.parametrize("case", ["llama, dynamic", "llama, grouped heads"])
def test_a_text_that_is_written_with_a_cache(case: str, tmp_path: Path) -> None:
    """Under dynamic scaling too: a prompt in pieces of 3 is the prompt of theirs in one call."""
    rng = np.random.default_rng(5)
    prompts = [rng.integers(67, size=size).tolist() for size in (12, 5, 1)]
    ours: list[list[Any]] = [[] for _ in prompts]

    def keep(seen: list[Any], logits: Any, ids: Any) -> Any:
        seen.append(logits.copy())
        return logits

    with all_in_float64(), torch.no_grad():
        theirs = model_of(case)
        theirs.save_pretrained(tmp_path / "model")
        batcher = Batcher(from_pretrained(tmp_path / "model", dtype="float64").model, chunk=3)
        handles = batcher.run([batcher.add(prompt, Sampling(
            temperature=0, max_tokens=14, processors=(partial(keep, seen),)))
            for prompt, seen in zip(prompts, ours, strict=True)])
        for handle, mine in zip(handles, ours, strict=True):
            out, expected = theirs(torch.tensor([handle.prompt])), []
            for token in handle.ids:
                expected.append(out.logits[0, -1])
                out = theirs(torch.tensor([[token]]), past_key_values=out.past_key_values)
            assert error(mine, torch.stack(expected)) <= 1e-12
