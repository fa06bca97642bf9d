"""PyTorch's side of `benchmarks.speedrun`: the same weights, batches, rates and evaluations.

The rival is that of `benchmarks.train_cpu`; nanoGPT's CPU configuration is without compilation.
PyTorch is imported in the process that trains, so that its threads disturb no other.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any

from tqdm import trange


def race(given: Mapping[str, Any], threads: int) -> dict[str, Any]:
    """Train a GPT with the settings of `tiny`; return what `speedrun.our_race` does."""
    import torch

    from benchmarks.rival_torch import TorchGPT, adamw, copy_weights, train_step
    from tinygrad_llm.train import make_config, start_run
    from tinygrad_llm.train.run import TRAIN_BATCHES, VALIDATION_BATCHES, learning_rate

    torch.set_num_threads(threads)
    config = make_config(given)
    optimizer, settings = config.optimizer, config.run
    with TemporaryDirectory(prefix="speedrun_") as folder:
        run = start_run(config, Path(folder) / "run")
        sizes = {name: config.model[name] for name in ("context", "layers", "heads", "width",
                                                       "bias")}
        model = TorchGPT(vocab_size=run.data.tokenizer.vocab_size, **sizes)
        copy_weights(run.model, model)
        theirs = adamw(model, lr=optimizer.learning_rate, beta1=optimizer.beta1,
                       beta2=optimizer.beta2, eps=optimizer.eps,
                       weight_decay=optimizer.weight_decay)
        assert run.data.validation is not None, "the text is too short to validate on"
        batches = run.batches(run.data.train, TRAIN_BATCHES)
        kept_back = run.batches(run.data.validation, VALIDATION_BATCHES)

        def loss(count: int) -> float:
            with torch.no_grad():
                return sum(float(model.loss(*map(tensor, kept_back.at(i))))
                           for i in range(count)) / count

        def tensor(array: Any) -> Any:
            return torch.from_numpy(array).long()

        seconds, curve = list[float](), list[tuple[int, float, float]]()
        for step in trange(settings.steps, desc="PyTorch", unit="step", leave=False, disable=None):
            began = perf_counter()
            for group in theirs.param_groups:
                group["lr"] = learning_rate(config, step)
            train_step(model, theirs, *map(tensor, batches.at(step)), clip=optimizer.clip)
            seconds.append(perf_counter() - began)
            last = step + 1 == settings.steps
            if last or (step + 1) % settings.eval_every == 0:
                count = settings.final_eval_batches if last else settings.eval_batches
                curve.append((step + 1, round(sum(seconds), 2), round(loss(count), 4)))
        del run  # Windows deletes no file that is mapped
    return {"curve": curve, "step_ms": round(median(seconds) * 1e3, 2), "torch": torch.__version__,
            "torch_capability": torch.backends.cpu.get_cpu_capability(),
            "parameters": sum(p.numel() for p in model.parameters()),
            "cpu_seconds": process_time()}
