"""The tables of training speed in docs/speed.md, out of the records.

    python -m benchmarks.table benchmarks/results/train_cpu.jsonl

There is one table for each processor, number of threads and architecture of BLAS kernels, made of
the newest record of each configuration and rival. A rival's cell holds its time and, in brackets,
that time over ours of the same run; `ours` is the newest run's, so a ratio need not be the quotient
of two cells where rivals were measured in different runs. Records from before the architecture was
recorded are left out.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.configs import CONFIGS
from benchmarks.sides import RIVALS

Record = dict[str, Any]


def read(path: Path) -> list[Record]:
    """Return the records of training steps in a file, oldest first."""
    records = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    steps = [record for record in records if "ours_ms" in record]
    known = [record for record in steps if "blas_architecture" in record]
    if len(known) < len(steps):
        print(f"{len(steps) - len(known)} records without blas_architecture are left out",
              file=sys.stderr)
    return known


def markdown(records: Iterable[Record]) -> str:
    """Return the tables of records, oldest first."""
    machines: dict[tuple[Any, ...], dict[tuple[str, str | None], Record]] = {}
    for record in records:
        place = tuple(record[key] for key in ("cpu", "threads", "blas_architecture",
                                              "openblas_coretype"))
        of_machine = machines.setdefault(place, {})
        case = record["config"], record["rival"]
        of_machine.pop(case, None)
        of_machine[case] = record  # last in the order, as the newest
    return "\n\n".join(of_one_machine(list(newest.values())) for newest in machines.values())


def of_one_machine(records: list[Record]) -> str:
    """Return one table, and a line below it on the machine that it was measured on."""
    rivals = [rival for rival in RIVALS if any(r["rival"] == rival for r in records)]
    heads = ["configuration", "ours", "share of sgemm", *(RIVALS[rival] for rival in rivals),
             "peak memory (MiB): " + " / ".join(["ours", *(RIVALS[rival] for rival in rivals)])]
    lines = [heads, ["---"] * len(heads)]
    for name, config in CONFIGS.items():
        own = {r["rival"]: r for r in records if r["config"] == name}
        if not own:
            continue
        newest = list(own.values())[-1]
        lines.append([
            f"{name}: {config.described()}", milliseconds(newest["ours_ms"]),
            f"{newest['share_of_sgemm']:.2f}", *(cell(own.get(rival)) for rival in rivals),
            " / ".join([whole(newest["peak_mb"]),
                        *(whole(own.get(rival, {}).get("rival_peak_mb")) for rival in rivals)]),
        ])
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{table}\n\n{conditions(records)}"


def cell(record: Record | None) -> str:
    """Return a rival's time and the ratio to ours."""
    return f"{milliseconds(record['rival_ms'])} ({record['ratio']:.2f})" if record else "-"


def milliseconds(ms: float) -> str:
    """Return a time with as many digits as mean something."""
    return f"{ms:,.1f} ms" if ms < 100 else f"{ms:,.0f} ms"


def whole(number: float | None) -> str:
    """Return a number without its fraction, a line for none."""
    return "-" if number is None else f"{number:,.0f}"


def conditions(records: list[Record]) -> str:
    """Return a sentence: the processor, the libraries and the days."""
    last = records[-1]
    torch = next((r for r in reversed(records) if r["torch"]), None)
    jax = next((r for r in reversed(records) if r["jax"]), None)
    kernels = f"{last['blas_architecture']} kernels"
    if last["openblas_coretype"]:
        kernels += f", set by OPENBLAS_CORETYPE={last['openblas_coretype']}"
    parts = [f"{last['cpu']}, {last['threads']} of {last['cores']} cores",
             f"NumPy {last['numpy']} with {last['blas']} ({kernels})"]
    if torch:
        parts.append(f"PyTorch {torch['torch']} ({torch['torch_capability']})")
    if jax:
        parts.append(f"JAX {jax['jax']}")
    days = sorted({r["date"] for r in records})
    parts.append(days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}")
    return "; ".join(parts) + "."


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.table",
                                     description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("records", type=Path, help="a file of JSON lines by benchmarks.train_cpu")
    print(markdown(read(parser.parse_args().records)))


if __name__ == "__main__":
    main()
