"""The plan of a build: settings that are checked, and input known by its content."""

from __future__ import annotations

import io
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from mixed_corpus import files, prose, settings, texts

from tinygrad_llm.data.build import plan as plan_module
from tinygrad_llm.data.build.plan import (
    BuildSettings,
    Plan,
    check_settings,
    describe_difference,
    make_plan,
)
from tinygrad_llm.data.build.resumable import Crew
from tinygrad_llm.data.build.run import build
from tinygrad_llm.data.read.gather import find_units
from tinygrad_llm.host.errors import UserError
from tinygrad_llm.text.training.bpe import train_bpe


@pytest.mark.parametrize("line", [prose(1), json.dumps({"text": prose(1)}) + "\n"])
def test_standard_input_is_kept_until_the_build_is_done(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    made = []
    for name in ("one", "two"):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(line.encode())))
        build(BuildSettings(("-",), vocab_size=280, rules="none", near_duplicates=None),
              tmp_path / name, workers=1, progress=False)
        made.append(files(tmp_path / name))
    assert made[0] == made[1] and [prose(1).strip()] == [
        text.strip() for text in texts(tmp_path / "one", "train")]


def test_changed_input_is_noticed_by_its_content(folder: Path, tmp_path: Path) -> None:
    out, file = tmp_path / "built", folder / "plain-003.txt"
    build(settings(folder), out, workers=1, progress=False)
    times = file.stat().st_atime_ns, file.stat().st_mtime_ns
    os.utime(file)  # touched, not changed
    build(settings(folder), out, workers=1, progress=False)
    file.write_text(file.read_text().swapcase())  # as long as before
    os.utime(file, ns=times)
    with pytest.raises(UserError, match="other input.* --overwrite"):
        build(settings(folder), out, workers=1, progress=False)
    build(settings(folder), out, workers=1, progress=False, overwrite=True)
    assert any(prose(3).swapcase().strip() in text
               for part in ("train", "val") for text in texts(out, part))


@pytest.mark.parametrize("change, message", [
    ({"near_duplicates": 0.0}, r"near-duplicates must be in \(0, 1\]; got 0.0"),
    ({"near_duplicates": float("nan")}, "near-duplicates must be"),
    ({"validation_share": 1.0}, r"validation-share must be in \[0, 1\)"),
    ({"shard_tokens": 0}, "shard-tokens must be"), ({"seed": -1}, "seed must be"),
    ({"vocab_size": 256}, "vocab-size must be"), ({"sources": ()}, "sources must be"),
    ({"rules": "strict"}, "strict"), ({"pattern": "gpt5"}, "gpt5"),
    ({"decontaminate": ("absent.txt",)}, "absent.txt"), ({"tokenizer": "absent.json"}, "absent")])
def test_mistakes_are_reported_before_any_work(folder: Path, tmp_path: Path, change: dict[str, Any],
                                               message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(settings(folder, **change), tmp_path / "built", workers=1, progress=False)
    assert not (tmp_path / "built").exists()


def plan_of(folder: Path, which: BuildSettings) -> Plan:
    work = folder / "work"
    work.mkdir(parents=True, exist_ok=True)
    with Crew(1, progress=False) as crew:
        return make_plan(which, work, crew)


def test_bundles_hold_all_units_in_their_order(
        folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_module, "BUNDLE_BYTES", 2000)
    monkeypatch.setattr(plan_module, "SLICE_BYTES", 1000)
    plan = plan_of(tmp_path / "out", settings(folder))
    units = [unit for bundle in plan.bundles for unit in bundle.units]
    assert units == find_units([str(folder)], unit_bytes=1000) and len(plan.bundles) > 5
    assert all(bundle.size <= 2000 or len(bundle.units) == 1 for bundle in plan.bundles)
    sliced = [unit for unit in units if unit.path.endswith("zz-almost.txt")]
    assert len(sliced) > 1 and set(plan.states) == {unit.path for unit in units}
    assert plan.unreadable == {} and plan.tokenizer is None


def test_a_plan_is_known_by_all_that_decides_the_result(folder: Path, tmp_path: Path) -> None:
    first = plan_of(tmp_path / "out", settings(folder))
    assert plan_of(tmp_path / "elsewhere", settings(folder)).key == first.key
    keys = {first.key, plan_of(tmp_path / "out", settings(folder, seed=1)).key}
    (tmp_path / "questions.txt").write_text(prose(1))
    asked = settings(folder, decontaminate=(str(tmp_path / "questions.txt"),))
    keys.add(plan_of(tmp_path / "out", asked).key)
    (tmp_path / "questions.txt").write_text(prose(2))
    keys.add(plan_of(tmp_path / "out", asked).key)
    (folder / "plain-003.txt").write_text("other")
    changed = plan_of(tmp_path / "out", settings(folder))
    keys.add(changed.key)
    assert len(keys) == 5
    assert [one[1:] for one in changed.bundles] != [one[1:] for one in first.bundles]


def test_a_file_that_cannot_be_opened_is_planned_all_the_same(
        folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> str:
        raise PermissionError(path)

    monkeypatch.setattr(plan_module, "sha256_of", refuse)
    assert plan_of(tmp_path / "out", settings(folder)).bundles, "its reading counts it"


def test_a_given_tokenizer_is_kept_as_our_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(prose(1))
    given = tmp_path / "folder"
    given.mkdir()
    train_bpe([prose(1)], 260, progress=False).save(given / "tokenizer.json")
    plan = plan_of(tmp_path / "out", settings(tmp_path / "a.txt", tokenizer=str(given)))
    assert plan.tokenizer == tmp_path / "out" / "work" / "given-tokenizer.json"
    assert plan.tokenizer.read_bytes() == (given / "tokenizer.json").read_bytes()


def test_a_difference_is_said_in_the_words_of_the_flags(folder: Path) -> None:
    done = {"settings": json.loads(json.dumps(asdict(settings(folder))))}
    assert describe_difference(done, settings(folder)).startswith("other input: files have changed")
    other = settings(folder, seed=5, languages=("de",))
    assert describe_difference(done, other) == (
        "other settings: languages [] instead of ['de'], seed 0 instead of 5")
    assert "near-duplicates None" in describe_difference({}, settings(folder))


def test_settings_that_are_fine_are_checked_without_a_word(folder: Path) -> None:
    check_settings(settings(folder, pattern=r"\w+|\W"))
    with pytest.raises(UserError, match="unknown pattern 'gpt5'; it can be gpt2"):
        check_settings(settings(folder, pattern="gpt5"))
