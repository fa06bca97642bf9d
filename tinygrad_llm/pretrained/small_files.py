"""The small files of Hugging Face's folders: config.json, and what says how to use a model.

    tokenizer.json, ...        the tokenizer
    tokenizer_config.json      its special tokens, and in older folders the chat template
    chat_template.jinja        the chat template, which is kept as it is; see `text.chat_template`
    generation_config.json     how text is to be drawn, and the ids that end it

They are kept byte for byte beside a model that came with them, in a run too, and written again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..host.errors import UserError, shortened
from ..models import LanguageModel
from ..text.formats.json_files import read_json_object
from ..text.formats.kinds import load_tokenizer
from ..text.tokenizer import Tokenizer
from .configs import read_config
from .pretrained import Pretrained, check_ids
from .tensors import INDEX, NAMES

CONFIG = "config.json"
TOKENIZER = "tokenizer.json"
TOKENIZERS = (TOKENIZER, "tokenizer.model", "vocab.json", "merges.txt", "vocab.txt", "tekken.json")
ABOUT = "tokenizer_config.json"
TEMPLATES = ("chat_template.jinja", "chat_template.json")
GENERATION = "generation_config.json"
KEPT = (INDEX, *TOKENIZERS, ABOUT, "added_tokens.json", "special_tokens_map.json", *TEMPLATES,
        GENERATION)
"""The small files that are kept as they are, and written again."""
ENDS = ("bos_token_id", "eos_token_id", "pad_token_id")
STORAGE = "storage.json"


def open_config(folder: Path) -> tuple[dict[str, Any], Any]:
    """Return a folder's config.json and the configuration that it describes.

    Raises UserError, with the file's name, as `configs.read_config` does.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise UserError(f"{folder} has no {CONFIG}: expected a folder as transformers writes it; "
                        f"check the path")
    given = read_json_object(path)
    try:
        return given, read_config(given)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def read_kept(folder: Path) -> dict[str, bytes]:
    """Return the content of the small files that a folder has beside config.json."""
    return {name: (folder / name).read_bytes() for name in KEPT if (folder / name).is_file()}


def with_kept(found: Pretrained, folder: Path) -> Pretrained:
    """Return the model with what the small files say: tokenizer, generation, chat template.

    Raises UserError where one is damaged, and where the tokenizer has ids that the model has not.
    """
    tokenizer = None
    if any(name in found.files for name in TOKENIZERS):
        tokenizer = load_tokenizer(folder)
        check_ids(tokenizer, found.model, folder)
    generation = read_json_object(folder / GENERATION) if GENERATION in found.files else {}
    return replace(found, tokenizer=tokenizer, generation=generation,
                   chat_template=_chat_template(folder, found.files))


def _chat_template(folder: Path, files: Mapping[str, bytes]) -> str | None:
    """Return the chat template, from its own file or the tokenizer's; of several, the default."""
    if TEMPLATES[0] in files:
        try:
            return files[TEMPLATES[0]].decode()
        except UnicodeDecodeError as error:
            raise UserError(f"{folder / TEMPLATES[0]} is not UTF-8 at byte {error.start}; fetch "
                            f"it anew") from error
    for name in (TEMPLATES[1], ABOUT):
        template = read_json_object(folder / name).get("chat_template") if name in files else None
        if isinstance(template, list):
            template = next((one.get("template") for one in template if isinstance(one, dict)
                             and one.get("name") == "default"), None)
        if template is None or isinstance(template, str):
            if template is not None:
                return template
        else:
            raise UserError(f"{folder / name}: chat_template: expected a text, got "
                            f"{shortened(template)}; fetch it anew")
    return None


def small_files(found: Pretrained) -> dict[str, bytes]:
    """Return the files beside weights and config.json by name, but for a tokenizer's own."""
    files = {name: content for name, content in found.files.items() if name != INDEX}
    if found.tokenizer is not None and ABOUT not in files:
        files[ABOUT] = to_json({"tokenizer_class": "PreTrainedTokenizerFast", **{
            name.removesuffix("_id"): found.tokenizer.token(id)
            for name, id in found.generation.items() if name in ENDS and type(id) is int}})
    if found.chat_template is not None and not (
            any(name in files for name in TEMPLATES)
            or b'"chat_template"' in files.get(ABOUT, b"")):
        files[TEMPLATES[0]] = found.chat_template.encode()
    if found.generation and GENERATION not in files:
        files[GENERATION] = to_json(found.generation)
    return files


def ends_of(generation: Mapping[str, Any], vocab_size: int) -> frozenset[int]:
    """Return the ids of a model that end a text, by the settings of generation_config.json.

    Some published files name ids that the model has not; these it never writes.
    """
    ends = generation.get("eos_token_id")
    return frozenset(id for id in (ends if isinstance(ends, list) else [ends])
                     if type(id) is int and 0 <= id < vocab_size)


def special_names(found: Pretrained) -> dict[str, Any]:
    """Return the special tokens that have a use, such as "bos_token", as chat templates know them.

    Raises UserError for a file that is no JSON object.
    """
    names: dict[str, Any] = {}
    files = small_files(found)
    for file in ("special_tokens_map.json", ABOUT):
        try:
            given = dict(json.loads(files.get(file, b"{}")))
        except (ValueError, TypeError) as error:
            raise UserError(f"{file} is no JSON object; fetch it anew") from error
        for name, token in given.items():
            token = token.get("content") if isinstance(token, dict) else token
            if name.endswith("_token") and isinstance(token, str):
                names[name] = token
    return names


def beside(found: Pretrained) -> dict[str, bytes]:
    """Return what a run keeps of a model from elsewhere, by file: all but weights and tokenizer."""
    files = dict(found.files) | small_files(found)
    files[STORAGE] = to_json({"storage": found.storage, "other": dict(found.other)})
    return files | ({CONFIG: to_json(found.config)} if found.config else {})


def with_beside(model: LanguageModel, tokenizer: Tokenizer, folder: Path) -> Pretrained:
    """Return a run's model with what `beside` has kept in `folder`, if anything.

    Raises UserError where that is damaged.
    """
    if not (folder / STORAGE).is_file():
        return Pretrained(model, tokenizer)
    kept = read_json_object(folder / STORAGE)
    storage, other = kept.get("storage"), kept.get("other")
    if not isinstance(other, dict) or not all(
            isinstance(kind, str) and kind in NAMES for kind in (storage, *other.values())):
        raise UserError(f"{folder / STORAGE} is damaged; restore it, or import the model again")
    given = open_config(folder)[0] if (folder / CONFIG).is_file() else {}
    files = read_kept(folder)
    generation = read_json_object(folder / GENERATION) if GENERATION in files else {}
    return Pretrained(model, tokenizer, generation, _chat_template(folder, files), str(storage),
                      other, given, files)


def to_json(content: Mapping[str, Any]) -> bytes:
    """Return JSON as transformers writes it."""
    return (json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
