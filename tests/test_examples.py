"""Every example runs, and says what it promises."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from small_runs import write_chat_run

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("[0-9]*.py"))
PROMISES = {
    "01_chain_rule": "tanh'''(0.5) = -0.565209288260",
    "02_layer_norm": "the planted mistake was found",
    "03_one_training_step": "the loss fell from",
    "04_shakespeare": "after 3 steps it writes:",
    "05_prove_your_own_op": "the planted mistake was found",
    "06_find_a_nan": "the same loss by softplus",
    "07_hessian_of_a_gpt": "by differences of the loss: 57.4",
    "08_checkpointing": "the gradients are the same to the last bit",
    "09_train_a_tokenizer": "the fast trainer begins with the same 12 merges",
    "10_files_to_batches": "the batch knows where each begins",
    "11_from_gpt_to_llama": "its loss is the same to the bit",
    "12_let_it_write": "each is the text of its seed alone",
    "13_scaling_law": "nats a character",
}


LONG = {"04_shakespeare", "05_prove_your_own_op", "08_checkpointing", "09_train_a_tokenizer"}


@pytest.mark.parametrize("path", [pytest.param(path, id=path.stem, marks=[pytest.mark.long] * (
    path.stem in LONG)) for path in EXAMPLES])
def test_example(path: Path, tmp_path: Path) -> None:
    arguments = ["3"] if path.stem == "04_shakespeare" else []
    env = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-W", "error", str(path), *arguments], text=True,
                          capture_output=True, env=env)
    assert done.returncode == 0, done.stderr
    assert PROMISES[path.stem] in done.stdout


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_stay_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 80


IN_A_ROW = {"docs/generation.md"}  # whose snippets are one program
PAGES = [page for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
         if "```python\n" in page.read_text("utf-8")]


def snippets(page: Path) -> list[str]:
    """Return the Python of a page, block by block."""
    return [block.split("```")[0] for block in page.read_text("utf-8").split("```python\n")[1:]]


def rival_of(code: str) -> str | None:
    """Return the package of another project that a snippet imports."""
    return next((name for name in ("torch", "jax") if f"import {name}" in code), None)


def run_snippet(code: str, folder: Path) -> None:
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, cwd=folder,
                   env={**os.environ, "PYTHONPATH": str(ROOT)})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_snippets_of_a_page_run(page: Path, tmp_path: Path) -> None:
    if page.relative_to(ROOT).as_posix() in IN_A_ROW:
        pytest.skip("they run in a row, below")
    for code in snippets(page):
        if not rival_of(code):
            run_snippet(code, tmp_path)


@pytest.mark.oracle
@pytest.mark.parametrize("page", [page for page in PAGES if any(map(rival_of, snippets(page)))],
                         ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_snippets_with_other_frameworks_run(page: Path, tmp_path: Path) -> None:
    for code in snippets(page):
        if name := rival_of(code):
            pytest.importorskip(name)
            run_snippet(code, tmp_path)


def test_the_snippets_of_the_page_on_generation_run_in_a_row(tmp_path: Path) -> None:
    write_chat_run(tmp_path / "runs" / "tiny")
    program = "".join(snippets(ROOT / "docs" / "generation.md"))
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], text=True, cwd=tmp_path,
                          capture_output=True, encoding="utf-8",
                          env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"})
    assert done.returncode == 0, done.stderr
    assert "tokens, ended by length" in done.stdout and "of at least" in done.stdout
