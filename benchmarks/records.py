"""Records of measurements, a JSON line each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def publish(record: dict[str, Any], out: Path | str | None) -> None:
    """Print the record's line, and append it to the file `out`, if there is one."""
    line = json.dumps(record)
    print(line, flush=True)
    if out:
        with open(out, "a", encoding="utf-8") as file:
            file.write(line + "\n")
