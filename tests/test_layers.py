"""The order of the house: each module imports only from modules above it, never in a circle."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]

# A package's modules and packages, from above to below. Each imports from those above it, in its
# own package and in every package around it; so there is no circle anywhere.
ORDER = {
    "autograd": ["backend", "graph", "mistakes", "tensor", "tree", "primitive", "broadcast",
                 "deferred", "backward", "fused", "ops", "transforms", "checkpoint", "tape",
                 "testing"],
    "autograd.ops": ["kinks", "piecewise", "exponential", "arithmetic", "trigonometric", "special",
                     "shape", "reduce", "chosen", "index", "running", "sorting", "products",
                     "linalg", "convolution", "activations", "losses", "operators"],
    "autograd.tape": ["formulas", "source", "walk", "flops", "page", "draw", "trace", "adjoints",
                      "explain", "failing", "place", "pytest_file", "anomaly"],
    "autograd.tape.formulas": ["maths", "prose", "stated"],
    "autograd.testing": ["plugin", "opcase", "differences", "layouts", "expression", "failure",
                         "check", "strategies", "opchecks", "cases", "options", "inputs",
                         "gradcheck", "mutate"],
    "autograd.testing.cases": ["piecewise", "exponential", "arithmetic", "trigonometric", "special",
                               "broadcast", "shape", "reduce", "chosen", "index", "running",
                               "sorting", "products",
                               "linalg", "convolution", "activations", "losses"],
    "autograd.testing.mutate": ["equivalent", "faults", "plant", "score", "run", "__main__"],
    "tinygrad_llm": ["host", "functional", "nn", "models", "optim", "text", "pretrained",
                     "data", "sample", "train", "plan", "inspect", "sweep", "watch", "cli",
                     "__main__"],
    "tinygrad_llm.host": ["errors", "files", "lock", "output", "stop_signals", "machine",
                          "own_engine", "processes", "blas", "threads", "installed", "time_limit"],
    "tinygrad_llm.functional": ["linear", "embedding", "gelu", "geglu", "swiglu",
                                "relu_squared", "layer_norm", "rms_norm", "dropout", "split",
                                "rotary", "attention", "packed", "experts", "loss", "cpu"],
    "tinygrad_llm.functional.cpu": ["linear", "embedding", "gelu", "geglu", "swiglu",
                                    "layer_norm", "rms_norm", "split", "rotary",
                                    "attention_blocks", "attention", "linear_cross_entropy",
                                    "chunked_cross_entropy", "experts"],
    "tinygrad_llm.functional.loss": ["softmax_cross_entropy", "linear_cross_entropy",
                                     "chunked_cross_entropy",
                                     "load_balance"],
    "tinygrad_llm.nn": ["parameters", "observed", "replace", "init", "positions", "cache", "layers",
                        "stored", "experts", "attention"],
    "tinygrad_llm.models": ["checks", "gpt", "llama", "registry"],
    "tinygrad_llm.optim": ["arena", "groups", "optimizer", "adamw", "sgd", "lion", "adafactor",
                           "muon", "registry", "clip", "schedule", "ema"],
    "tinygrad_llm.text": ["characters", "cut", "normalize", "algorithms", "special", "template",
                          "stream", "decoders", "tokenizer", "batch", "char_tokenizer", "formats",
                          "training", "chat", "chat_template", "show"],
    "tinygrad_llm.text.characters": ["surrogates", "unicode_versions", "unicode_16", "alphabet",
                                     "aligned", "utf8_files"],
    "tinygrad_llm.text.cut": ["expressions", "patterns", "oniguruma", "boundaries", "blocks",
                              "pretokenizers"],
    "tinygrad_llm.text.normalize": ["normal_forms", "normalizers", "precompiled", "sentencepiece"],
    "tinygrad_llm.text.algorithms": ["model", "int_table", "prefixes", "neighbours",
                                     "piece_table", "bpe",
                                     "char_bpe", "spelled", "scored_bpe", "unigram", "wordpiece",
                                     "characters"],
    "tinygrad_llm.text.training": ["pretoken_counts", "bpe_merges", "bpe", "unigram_pieces",
                                   "unigram", "wordpiece_vocabulary", "wordpiece"],
    "tinygrad_llm.text.formats": ["json_files", "characters", "merges",
                                  "huggingface_parts", "huggingface", "gpt2", "bert",
                                  "tiktoken", "tekken", "sentencepiece", "huggingface_write",
                                  "kinds"],
    "tinygrad_llm.pretrained": ["pretrained", "fields", "configs", "places", "tensors",
                                "gguf", "small_files", "folder"],
    "tinygrad_llm.pretrained.gguf": ["blocks", "file", "tokenizer", "configs", "models"],
    "tinygrad_llm.data": ["read", "select", "tokens", "batches", "build", "prepared"],
    "tinygrad_llm.data.read": ["documents", "letters", "decoding", "text_pieces", "plays", "corpus",
                               "html_text", "tables", "file_kinds", "archives", "gather"],
    "tinygrad_llm.data.select": ["normal_form", "repair", "language", "word_runs", "quality",
                                 "rules", "pii", "dedupe", "decontaminate"],
    "tinygrad_llm.data.tokens": ["stored", "token_file", "shard_index", "shards", "shard_writer"],
    "tinygrad_llm.data.batches": ["random_windows", "epochs"],
    "tinygrad_llm.data.build": ["resumable", "tasks", "plan", "repeats", "report_page", "result",
                                "publish", "report", "run"],
    "tinygrad_llm.sample": ["constrained", "logits", "options", "chooser", "stop", "prefixes",
                            "speculate", "step", "prompt", "handle", "batcher", "beam",
                            "generate"],
    "tinygrad_llm.sample.step": ["attending", "room", "step"],
    "tinygrad_llm.sample.constrained": ["expressions", "language", "automaton", "tokens",
                                        "constraint", "json_text", "keywords", "combined",
                                        "schema"],
    "tinygrad_llm.train": ["folder", "settings", "config", "objective", "log", "ordered_sum",
                           "slices", "loss_scale", "step", "precision", "rounding", "run",
                           "faults", "evaluation", "loop"],
    "tinygrad_llm.train.folder": ["trouble", "arrays", "checkpoint", "background", "data_record"],
    "tinygrad_llm.train.log": ["metrics", "look", "picture", "progress"],
    "tinygrad_llm.train.faults": ["policy", "reader", "check"],
    "tinygrad_llm.plan": ["fold", "flops", "measure", "predict", "page", "choose"],
    "tinygrad_llm.inspect": ["observe", "page"],
    "tinygrad_llm.watch": ["follow", "runs", "server"],
    "tinygrad_llm.sweep": ["grid", "table", "power_law", "runs"],
    "tinygrad_llm.cli": ["sampling", "eval", "import_model", "export", "presets", "train", "sweep",
                         "plan", "sample", "chat", "inspect", "watch", "check", "data",
                         "tokenizer", "doctor"],
}

IMPORTERS_BY_NAME = {  # the modules that may call an import function, and why
    "autograd.testing.mutate.run": "its user names the modules to plant faults in",
}
THIRD_PARTY_BY_NAME: frozenset[str] = frozenset()  # whose import by name is of no harm

# The plugin is also a file of its own in the wheel, and asks whose `autograd` Python imports.
STANDS_ALONE = ("autograd.testing.plugin", "autograd")

MOST_FILES = 12
MAY_BE_LONG = ("autograd.ops", "autograd.testing.cases", "tinygrad_llm.functional",
               "tinygrad_llm.functional.cpu", "tinygrad_llm.cli")  # one subject a file


def modules(package: str) -> dict[str, Path]:
    """Return the full dotted name and the file of every module; a package's is its __init__."""
    found = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(p for p in parts if p != "__init__")] = path
    return found


MODULES = {**modules("autograd"), **modules("tinygrad_llm")}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}


def is_package(name: str) -> bool:
    return MODULES[name].name == "__init__.py"


def imports(name: str, tree: ast.AST | None = None) -> set[str]:
    """Return what a module (or another text in its place) imports, anywhere in it: dotted names."""
    here = name.split(".")
    base = here if is_package(name) else here[:-1]
    found = set()
    for node in ast.walk(tree or TREES[name]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = base[: len(base) - node.level + 1] if node.level else []
            module = ".".join([*start, *((node.module or "").split(".") if node.module else [])])
            for alias in node.names:
                inner = f"{module}.{alias.name}"
                found.add(inner if inner in MODULES or alias.name == "__version__" else module)
    return found


def imports_by_name(tree: ast.AST) -> Iterator[str | None]:
    """Yield the module that each call of an import function names; None where it is no text."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            function = node.func
            name = function.attr if isinstance(function, ast.Attribute) else getattr(
                function, "id", "")
            if name in ("import_module", "__import__", "reload"):
                first = node.args[0] if node.args else None
                yield str(first.value) if isinstance(first, ast.Constant) else None


def fault(name: str, imported: str) -> str | None:
    """Return what is wrong with one import of one module of ours by another, if anything is."""
    here, there = name.split("."), imported.split(".")
    common = 0
    while common < min(len(here), len(there)) and here[common] == there[common]:
        common += 1
    package = ".".join(here[:common])
    if common == len(there):
        return f"{name} imports {imported}, the package that it lies in"
    if common == len(here):
        return None  # a package's __init__ imports what the package holds
    order = ORDER[package]
    if order.index(there[common]) < order.index(here[common]):
        return None
    return f"{name} imports {imported}, which stands below it in {package}"


def test_imports_point_upwards() -> None:
    faults = []
    for name in MODULES:
        for imported in imports(name):
            top = imported.split(".")[0]
            if top != name.split(".")[0] or imported == f"{top}.__version__" or (
                    (name, imported) == STANDS_ALONE):
                continue
            faults.append(fault(name, imported) if imported in MODULES else
                          f"{name} imports {imported}, which is not there")
    assert not (found := list(filter(None, faults))), found


def test_the_order_names_every_module_once() -> None:
    for package in {name for name in MODULES if is_package(name)} | set(ORDER):
        there = {name.removeprefix(f"{package}.") for name in MODULES
                 if name.startswith(f"{package}.") and "." not in name.removeprefix(f"{package}.")}
        order = ORDER.get(package, [])
        assert set(order) == there and len(order) == len(there), (
            f"give {sorted(set(order) ^ there) or order} one place each in ORDER[{package!r}]")


def test_nothing_is_imported_behind_the_back_of_this_test() -> None:
    """A call of importlib's hides a circle from readers and from the tests above."""
    for name, tree in TREES.items():
        named = list(imports_by_name(tree))
        if name in IMPORTERS_BY_NAME:
            assert named, f"{name} imports nothing by name any more: take it from the list"
        else:
            assert set(named) <= THIRD_PARTY_BY_NAME, f"{name} imports {named}: write an import"


def test_the_checks_see_each_kind_of_import() -> None:
    """Planted imports: upward, downward, lazy, of the package around, by name."""
    source = ("from . import shards\nfrom .shard_writer import SHARD_TOKENS\nimport numpy\n"
              "def late():\n    from ..build import run\n    from ... import __version__, data\n")
    found = imports("tinygrad_llm.data.tokens.shards", ast.parse(source))
    assert found == {"tinygrad_llm.data.tokens.shards", "tinygrad_llm.data.tokens.shard_writer",
                     "numpy", "tinygrad_llm.data.build.run", "tinygrad_llm.__version__",
                     "tinygrad_llm.data"}
    assert fault("tinygrad_llm.data.build.run", "tinygrad_llm.data.tokens.shards") is None
    assert fault("tinygrad_llm.data.tokens.shard_writer", "tinygrad_llm.data.tokens.shards") is None
    assert fault("tinygrad_llm.data", "tinygrad_llm.data.tokens.shards") is None
    for name, imported in [
            ("tinygrad_llm.data.tokens.shards", "tinygrad_llm.data.tokens.shard_writer"),
            ("tinygrad_llm.data.tokens.shards", "tinygrad_llm.data.tokens.shards"),
            ("tinygrad_llm.data.tokens.shards", "tinygrad_llm.data.build.run"),
            ("tinygrad_llm.data.tokens.shards", "tinygrad_llm.train.loop"),
            ("tinygrad_llm.data.tokens.shards", "tinygrad_llm.data"),
            ("tinygrad_llm.data.read", "tinygrad_llm.data.build.run")]:
        assert fault(name, imported), (name, imported)
    by_name = "importlib.import_module('a.b')\n__import__(name)\nimportlib.reload(x)\nf('c')\n"
    assert list(imports_by_name(ast.parse(by_name))) == ["a.b", None, None]


def test_a_folder_can_be_taken_in_at_a_glance() -> None:
    for package in filter(is_package, MODULES):
        files = [path for path in MODULES[package].parent.glob("*.py") if path.stem[:2] != "__"]
        assert len(files) <= MOST_FILES or package in MAY_BE_LONG, (
            f"{package} has {len(files)} modules: make folders of them")


def test_the_engine_can_be_held_whole() -> None:
    """Without ops, gradient tests, the tape's viewers and the answers to mistakes it has about
    1,830 lines of text, and 75 more that declare Tensor's methods for type checkers."""
    files = [path for name, path in modules("autograd").items()
             if name.split(".")[1:2] not in (["ops"], ["testing"], ["tape"], ["mistakes"])]
    lines = [line for path in files for line in path.read_text().splitlines() if line.strip()]
    assert len(lines) < 1930, len(lines)


def test_the_engine_knows_nothing_of_language_models() -> None:
    for name in modules("autograd"):
        assert not any(imported.startswith("tinygrad_llm") for imported in imports(name)), name


def test_cupy_is_imported_by_the_report_on_the_setup_only() -> None:
    for name in MODULES:
        found = {imported.split(".")[0] for imported in imports(name)}
        assert "cupy" not in found or name == "tinygrad_llm.host.installed", name
