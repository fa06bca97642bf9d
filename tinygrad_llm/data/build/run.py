"""From a folder of raw files to clean, deduplicated, tokenized shards.

    gather -> clean -> find repeats -> select -> tokenizer -> encode -> shards -> report

Input is read in bundles of about 4 MB, each a task for one process; what must know all documents
(which repeat which) sees their digests and signatures only. So memory goes with the number of
documents, a few bytes each, and not with their text. Every result is a file under OUT/work (see
resumable.py): a build that was stopped, by Ctrl-C or by a crash, goes on when it is called again,
and gives the same bytes. How many processes there are changes nothing but the time.

The folder that comes out:

    train/ val/      token shards (see tokens/shards.py)
    tokenizer.json   the tokenizer, given or trained
    report.json      what went in and what came out; written last: it says the rest is whole
    report.html      the same, to be read by a person
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ... import __version__
from ...host.errors import UserError
from ...host.files import remove_temporaries, sha256_of
from ...text.special import END_OF_TEXT
from ...text.training.bpe import train_bpe
from ..read.text_pieces import Losses
from .plan import (
    BuildSettings,
    Plan,
    check_settings,
    describe_difference,
    make_plan,
)
from .publish import publish, write_shards
from .repeats import find_repeats, rows_of
from .report import summarize
from .result import read_finished
from .resumable import Crew, key_of, locked, remove_stale
from .tasks import (
    TRAIN,
    VALIDATION,
    Cleaning,
    CleanTask,
    EncodeTask,
    SelectTask,
    clean_bundle,
    draw_lots,
    encode_bundle,
    load_rows,
    read_cleaned,
    select_from_bundle,
    write_array,
)


def build(settings: BuildSettings, out: str | Path, *, workers: int | None = None,
          overwrite: bool = False, keep_work: bool = False, progress: bool = True
          ) -> dict[str, Any]:
    """Build the folder `out` and return its report; go on where a build was stopped.

    Where `out` holds this very build already, nothing is done. Raises UserError for a folder with
    another finished build, unless it is to be overwritten, for a folder with other things in it,
    and where no document is left.
    """
    out = Path(out)
    done = read_finished(out)
    check_settings(settings)
    with Crew(workers, progress) as crew, _locked_work_folder(out) as work:
        plan = make_plan(settings, work, crew)
        if done is None or done["key"] != plan.key:
            if done is not None and not overwrite:
                raise UserError(
                    f"{out} holds a finished build of {describe_difference(done, settings)}; give "
                    "--overwrite to replace it, or another --out")
            (out / "report.json").unlink(missing_ok=True)  # from here on it is unfinished
            done = _run_stages(plan, out, crew)
        if not keep_work:
            shutil.rmtree(work)
    return done


@contextmanager
def _locked_work_folder(out: Path) -> Iterator[Path]:
    """Make the folder for work, hold it against other builds, and give it.

    Where a mistake is found before there was any work, it does not stay.
    """
    work = out / "work"
    new = [folder for folder in (work, out, *out.parents) if not folder.exists()]
    work.mkdir(parents=True, exist_ok=True)
    try:
        with locked(work):
            remove_temporaries(out)
            yield work
    except UserError:
        if work in new and not any(path.is_dir() for path in work.iterdir()):
            shutil.rmtree(work)
            for folder in new[1:]:
                folder.rmdir()
        raise


def _run_stages(plan: Plan, out: Path, crew: Crew) -> dict[str, Any]:
    """Do all stages, each from the files of the one before."""
    cleaned = clean_all(plan, crew)
    repeats = deduplicate_all(plan, cleaned, crew)
    selected = select_all(plan, cleaned, repeats, crew)
    tokenizer = make_tokenizer(plan, selected, crew)
    encoded = encode_all(plan, selected, tokenizer, crew)
    written = write_shards(_stage_folder(plan, "6-shards"), encoded,
                           plan.settings.shard_tokens, crew, plan.settings.validation_share)
    report = summarize(plan, cleaned, repeats, selected, encoded, written)
    return publish({"key": plan.key, **report}, written, tokenizer, out)


def clean_all(plan: Plan, crew: Crew) -> list[CleanTask]:
    """Clean every bundle. Raises UserError where no document is left."""
    settings = plan.settings
    how = Cleaning(settings.rules, settings.languages, settings.keep_pii, settings.text_key,
                   signatures=settings.near_duplicates is not None)
    folder = _stage_folder(plan, "1-clean")
    tasks = [CleanTask(folder / f"{key_of(__version__, bundle.key, asdict(how))}.json",
                       bundle.size, bundle.units, how,
                       tuple(plan.states[unit.path] for unit in bundle.units))
             for bundle in plan.bundles]
    remove_stale(folder, {task.out.stem for task in tasks})
    crew.run("cleaning", clean_bundle, tasks)
    if not any(len(rows_of(task)) for task in tasks):
        raise UserError(_why_nothing_is_left(tasks, plan.unreadable))
    return tasks


def _why_nothing_is_left(tasks: Sequence[CleanTask], unreadable: Losses) -> str:
    dropped, reasons = Counter[str](), Losses(unreadable, unreadable.names)
    for task in tasks:
        counts = json.loads(task.out.read_bytes())
        dropped.update({code: entry["documents"] for code, entry in counts["dropped"].items()})
        reasons.add(Losses(counts["unreadable"], counts.get("unreadable_names")))
    why = ", ".join(f"{count} by the rule {code!r}" for code, count in dropped.most_common())
    why = why or ", ".join(f"{code}: {count}, as {reasons.names[code][0]}"
                           for code, count in reasons.most_common() if count)
    return (f"no document is left after cleaning ({why or 'there was none'}); give other sources, "
            "or less strict --rules or --languages")


def deduplicate_all(plan: Plan, cleaned: Sequence[CleanTask], crew: Crew) -> Path:
    """Find which documents repeat an earlier one, in all bundles together."""
    folder = _stage_folder(plan, "2-repeats")
    key = key_of([task.out.stem for task in cleaned], plan.settings.near_duplicates)
    path = folder / f"{key}.npy"
    remove_stale(folder, {key})
    if not path.exists():
        with crew.progress_bar("deduplicating", 1, " table") as bar:
            find_repeats(path, cleaned, plan.settings.near_duplicates)
            bar.update()
    return path


def select_all(plan: Plan, cleaned: Sequence[CleanTask], repeats: Path, crew: Crew
               ) -> list[SelectTask]:
    """Give every document its fate. Raises UserError where none is left to train on."""
    settings, folder = plan.settings, _stage_folder(plan, "3-select")
    tasks, first = [], 0
    for task in cleaned:
        key = key_of(repeats.stem, task.out.stem, first, plan.evaluation,
                     settings.validation_share, settings.seed)
        tasks.append(SelectTask(
            folder / f"{key}.npy", task.size, task.out, task.how.signatures, repeats, first,
            settings.decontaminate, plan.evaluation, settings.validation_share, settings.seed))
        first += len(rows_of(task))
    remove_stale(folder, {task.out.stem for task in tasks})
    crew.run("selecting", select_from_bundle, tasks)
    fates = np.sum([np.bincount(np.load(task.out), minlength=2)[:2] for task in tasks], axis=0)
    if not fates[VALIDATION] and fates[TRAIN] > 1 and settings.validation_share > 0:
        _hold_one_out(tasks)
    if not fates[TRAIN]:
        raise UserError("no document is left to train on: all are repeated, or in the evaluation "
                        "files, or in the validation part; give more text, or a smaller "
                        "--validation-share")
    return tasks


def _hold_one_out(tasks: Sequence[SelectTask]) -> None:
    """Move the document whose lot is the lowest to the validation part, which has none."""
    lowest = (1.0, 0, 0)
    for number, task in enumerate(tasks):
        fates = np.load(task.out)
        lots = draw_lots(load_rows(task.cleaned, task.signatures)["digest"], task.seed)
        for row in np.flatnonzero(fates == TRAIN).tolist():
            lowest = min(lowest, (float(lots[row]), number, row))
    _, number, row = lowest
    fates = np.load(tasks[number].out)
    fates[row] = VALIDATION
    write_array(tasks[number].out, fates)


def make_tokenizer(plan: Plan, selected: Sequence[SelectTask], crew: Crew) -> Path:
    """Return the tokenizer's file: the given one's, or that of one trained on the training part."""
    if plan.tokenizer is not None:
        return plan.tokenizer
    settings, folder = plan.settings, _stage_folder(plan, "4-tokenizer")
    key = key_of([task.out.stem for task in selected], settings.vocab_size, settings.pattern)
    path = folder / f"{key}.json"
    remove_stale(folder, {key})
    if not path.exists():
        texts = (document["text"] for task in selected
                 for document, fate in zip(read_cleaned(task.cleaned), np.load(task.out),
                                           strict=True) if fate == TRAIN)
        train_bpe(texts, settings.vocab_size, pattern=settings.pattern,
                  special_tokens=[END_OF_TEXT], workers=crew.workers,
                  progress=crew.progress).save(path)
    return path


def encode_all(plan: Plan, selected: Sequence[SelectTask], tokenizer: Path, crew: Crew
               ) -> list[EncodeTask]:
    """Turn the documents that stay into ids."""
    folder, digest = _stage_folder(plan, "5-encode"), sha256_of(tokenizer)
    tasks = [EncodeTask(folder / f"{key_of(task.out.stem, digest)}.npy", task.size, task.cleaned,
                        task.out, tokenizer, digest) for task in selected]
    remove_stale(folder, {task.out.stem for task in tasks})
    crew.run("encoding", encode_bundle, tasks)
    return tasks


def _stage_folder(plan: Plan, name: str) -> Path:
    folder = plan.work / name
    folder.mkdir(exist_ok=True)
    return folder
