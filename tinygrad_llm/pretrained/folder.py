"""Hugging Face's folders: config.json, weights, tokenizer, and what says how to use the model.

    pretrained = from_pretrained("SmolLM2-135M")
    pretrained.model, pretrained.tokenizer
    save_pretrained(pretrained, "copy")        # the same bytes

Weights are memory-mapped and read a tensor at a time into the model's own arrays, and written so:
there is never a second copy of all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from autograd import to_host
from autograd.backend import Array

from ..host.errors import UserError, shortened
from ..host.files import write_in_one_step
from ..host.threads import each, workers
from ..models import LanguageModel
from ..text.formats.json_files import parse_json
from ..text.formats.kinds import save_tokenizer
from .configs import write_config
from .fields import MODEL_TYPES
from .gguf.models import read_gguf
from .places import Place, places
from .pretrained import Pretrained, check_kind, empty_model, parameters_of
from .small_files import (
    CONFIG,
    ENDS,
    TOKENIZER,
    TOKENIZERS,
    open_config,
    read_kept,
    small_files,
    to_json,
    with_kept,
)
from .tensors import DTYPES, INDEX, NAMES, SINGLE, TensorFiles, read_index, split, write_tensors

BUFFERS = (".attn.bias", ".attn.masked_bias", ".rotary_emb.inv_freq")
"""Ends of the names of what old files have beside the weights, and what follows from the sizes."""
PREFIXES = ("model.", "transformer.")


def from_pretrained(folder: str | Path, dtype: str = "float32") -> Pretrained:
    """Return the model in a folder of Hugging Face's, with its tokenizer and settings.

    The folder may also be a GGUF file, or hold one in the place of all others; see `read_gguf`.
    dtype: that of the parameters, float32 or float64. Raises UserError where a file is missing or
    damaged, where config.json asks for what is not supported, and where the weights, the tokenizer
    and config.json do not fit each other.
    """
    folder = Path(folder)
    check_kind(dtype)
    if (file := gguf_file(folder)) is not None:
        return read_gguf(file, dtype)
    given, config = open_config(folder)
    files = TensorFiles(folder)
    model = _new_model(config, folder, files, dtype)
    types = _read_weights(model, given, files)
    kept = read_kept(folder)
    storage = Counter(types.values()).most_common(1)[0][0]
    found = Pretrained(model, storage=storage, config=given, files=kept,
                       other={name: kind for name, kind in types.items() if kind != storage})
    return with_kept(found, folder)


def gguf_file(path: Path) -> Path | None:
    """Return the GGUF file that a path is, or that a folder has without a config.json, if any."""
    if path.is_file():
        return path
    files = sorted(path.glob("*.gguf")) if not (path / CONFIG).exists() else []
    if len(files) > 1:
        raise UserError(f"{path} has {len(files)} GGUF files; give the path of one of them, such "
                        f"as {files[0]}")
    return files[0] if files else None


def _new_model(config: Any, folder: Path, files: TensorFiles, dtype: str) -> LanguageModel:
    """Return a model without weights, once its size is known to be that of the files."""
    table = ("wte.weight", "embed_tokens.weight")
    for name, stored in files.stored.items():
        if _plain(name) in table and stored.shape != (config.vocab_size, config.width):
            raise UserError(f"{stored.path}: the token table {name} has the shape {stored.shape}; "
                            f"config.json asks for {(config.vocab_size, config.width)}, the "
                            f"vocabulary and the width")
    if config.layers > len(files.stored):
        raise UserError(f"{folder / CONFIG} asks for {config.layers} layers, more than there are "
                        f"tensors; fetch it anew")
    try:
        return empty_model(config, dtype)
    except (MemoryError, ValueError, OverflowError) as error:
        raise UserError(f"the model of {folder / CONFIG} does not fit in memory ({error})"
                        ) from error


def _plain(name: str) -> str:
    """Return a tensor's name without the prefix of the class that wrote it."""
    prefix = next((prefix for prefix in PREFIXES if name.startswith(prefix)), "")
    return name.removeprefix(prefix)


def _read_weights(model: LanguageModel, given: Mapping[str, Any], files: TensorFiles
                  ) -> dict[str, str]:
    """Read the files' tensors into the model; return the type that each had.

    Raises UserError where one is missing, unknown or of another shape; the first few are named.
    """
    own = parameters_of(model)
    wanted = {_plain(name): place for name, place in _places(model, given).items()}
    known: dict[str, str] = {}
    for name in files.stored:
        if (plain := _plain(name)) not in wanted and plain.endswith(BUFFERS):
            continue
        if known.setdefault(plain, name) != name:
            raise UserError(f"{files.stored[name].path}: {shortened(name)} and "
                            f"{shortened(known[plain])} are the same tensor; fetch the files anew")
    head = known.pop("lm_head.weight", None) if "lm_head.weight" not in wanted else None
    views = {plain: place.view(own[place.parameter].data) for plain, place in wanted.items()}
    _check_fit(known, {plain: view.shape for plain, view in views.items()}, files)
    arrays = [(views[plain], files.stored[known[plain]].array) for plain in wanted]

    def read(i: int) -> None:
        view, array = arrays[i]
        view[...] = array

    with workers():
        each(len(arrays), read)
    if head is not None:
        _check_head(files, head, own["wte.weight"].data)
    return {name: files.stored[name].dtype for name in known.values()}


def _places(model: LanguageModel, given: Mapping[str, Any]) -> dict[str, Place]:
    mixtral = given["model_type"] == "mixtral"
    return places(model.config, parameters_of(model), "block_sparse_moe" if mixtral else "mlp")


def _check_fit(known: Mapping[str, str], wanted: Mapping[str, tuple[int, ...]],
               files: TensorFiles) -> None:
    """Raise UserError unless the files have the tensors that are wanted, in their shapes."""
    stored = {plain: files.stored[name] for plain, name in known.items()}
    paths = ", ".join(sorted({one.path.name for one in files.stored.values()})[:3])
    lists = {
        f"missing in {paths}": [plain for plain in wanted if plain not in stored],
        "not in such a model": [f"{known[plain]} of {stored[plain].path.name}" for plain in stored
                                if plain not in wanted],
        "of another shape": [
            f"{known[plain]} of {one.path.name}, {one.shape} instead of {wanted[plain]}"
            for plain, one in stored.items() if one.shape != wanted.get(plain, one.shape)]}
    faults = [f"{what}: {', '.join(map(_brief, names[:3]))}"
              + (f" and {len(names) - 3} more" if len(names) > 3 else "")
              for what, names in lists.items() if names]
    if faults:
        raise UserError(f"the tensors in {files.folder} are not those of the model that its "
                        f"{CONFIG} describes; {'; '.join(faults)}; fetch config.json and weights "
                        f"from the same place")


def _brief(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:197]}..."


def _check_head(files: TensorFiles, name: str, table: Array) -> None:
    """Raise UserError unless the head that tied weights came with is the token table."""
    stored = files.stored[name]
    if stored.shape != table.shape or not np.array_equal(stored.array.astype(table.dtype), table,
                                                         equal_nan=True):
        raise UserError(f"{stored.path}: {name} is not the token table, though tie_word_embeddings "
                        f"says that it is; set that to false in {CONFIG}, or fetch the files anew")


def save_pretrained(what: Pretrained | LanguageModel, folder: str | Path,
                    dtype: str | None = None, shard_size: int | None = None) -> None:
    """Write a model as a folder that transformers loads, with what came beside its weights.

    dtype: of the weights in the files, float32, bfloat16, float16 or float64; without it the one
    that they came with. shard_size: bytes in a file, beyond which there are several; without it
    the files that they came in, or those of 50 GB. Raises UserError where the folder holds a model
    already, transformers has no such model, a weight is beyond the type's range, or the folder
    cannot be written.
    """
    found = what if isinstance(what, Pretrained) else Pretrained(what)
    folder = Path(folder)
    if (folder / CONFIG).exists():
        raise UserError(f"{folder} holds a model already; name another folder")
    if dtype is not None and dtype not in NAMES:
        raise UserError(f"dtype: expected {', '.join(NAMES)}, got {shortened(dtype)}")
    if shard_size is not None and shard_size < 1:
        raise UserError(f"shard_size must be at least 1, got {shard_size}")
    config = _config_to_write(found, dtype)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write_weights(found, config, folder, dtype, shard_size)
        for name, content in small_files(found).items():
            write_in_one_step(folder / name, [content])
        if found.tokenizer is not None and not any(name in found.files for name in TOKENIZERS):
            save_tokenizer(found.tokenizer, folder / TOKENIZER, "huggingface")
        write_in_one_step(folder / CONFIG, [to_json(config)])  # last: now it holds a model
    except OSError as error:
        raise UserError(f"cannot write {error.filename or folder}: {error.strerror}; make room "
                        f"there, or name another folder") from error


def _config_to_write(found: Pretrained, dtype: str | None) -> dict[str, Any]:
    config = write_config(found.model.config, found.config)
    if not found.config:
        ends = {name: found.generation.get(name) for name in ENDS}  # or defaults are taken
        config |= {"torch_dtype": dtype or found.storage, **ends}
    if dtype not in (None, found.storage):
        config["dtype" if "dtype" in config else "torch_dtype"] = dtype
    return {"architectures": [MODEL_TYPES[config["model_type"]].causal]} | config


def _write_weights(found: Pretrained, config: Mapping[str, Any], folder: Path, dtype: str | None,
                   shard_size: int | None) -> None:
    own = {name: p.data for name, p in parameters_of(found.model).items()}
    where = _places(found.model, config)
    if not _is_causal(config):
        where = {_plain(name): place for name, place in where.items()}
    other = {_plain(name): kind for name, kind in found.other.items()}
    tensors = {name: (dtype or other.get(_plain(name), found.storage), _view(own, place).shape)
               for name, place in where.items()}
    sizes = {name: prod(shape) * np.dtype(DTYPES[NAMES[kind]]).itemsize
             for name, (kind, shape) in tensors.items()}
    files = _former_files(found, set(sizes)) if shard_size is None else None
    if files is None:
        groups = split(sizes, shard_size or 50 * 10**9)
        files = {SINGLE if len(groups) == 1 else f"model-{n:05d}-of-{len(groups):05d}.safetensors":
                 names for n, names in enumerate(groups, 1)}
    for file, names in files.items():
        write_tensors(folder / file, {name: tensors[name] for name in names},
                      lambda name: _cast(name, _view(own, where[name]), tensors[name][0]))
    if SINGLE not in files:
        index = {"metadata": {"total_parameters": sum(array.size for array in own.values()),
                              "total_size": sum(sizes.values())},
                 "weight_map": {name: file for file, names in files.items() for name in names}}
        write_in_one_step(folder / INDEX, [to_json(index)])


def _former_files(found: Pretrained, names: set[str]) -> dict[str, list[str]] | None:
    """Return the tensors of each file that a model came in, if it came in several."""
    if INDEX not in found.files:
        return None
    places = read_index(INDEX, parse_json(found.files[INDEX]))
    if places.keys() != names:
        return None
    return {file: [name for name in places if places[name] == file]
            for file in sorted(set(places.values()))}


def _is_causal(config: Mapping[str, Any]) -> bool:
    """Whether the file is of a class with a head, whose tensors' names have a prefix."""
    kinds = config["architectures"]
    kind = str(kinds[0]) if isinstance(kinds, list) and kinds else ""
    return not kind.endswith("Model") or kind.endswith("LMHeadModel")


def _view(own: Mapping[str, Array], place: Place) -> Array:
    """Return a tensor as it is to be written; a bias that the model does not have is zeros."""
    if place.parameter not in own:
        return np.zeros(own[place.parameter.replace(".bias", ".weight")].shape[0], np.float32)
    return place.view(own[place.parameter])


def _cast(name: str, array: Array, dtype: str) -> Array:
    try:
        with np.errstate(over="raise"):
            return np.asarray(to_host(array)).astype(DTYPES[NAMES[dtype]], copy=False)
    except FloatingPointError:
        raise UserError(f"{name} has weights beyond the range of {dtype}; choose another dtype"
                        ) from None
