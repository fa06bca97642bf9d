"""`tinygrad-llm watch`: a local page that shows runs while they train."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..host.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.description = ("Serve a page, on this machine, that shows runs live: loss, rate, norms, "
                          "what each layer\ndoes, speed, memory and samples, several runs side by "
                          "side.")
    parser.epilog = ("examples:\n  tinygrad-llm watch\n  tinygrad-llm watch runs/tiny runs/mine "
                     "--open")
    parser.add_argument("runs", nargs="*", type=Path, metavar="RUN", default=[Path("runs")],
                        help="a run's folder, or a folder of runs, also of those to come (runs)")
    parser.add_argument("--port", type=_port, metavar="N",
                        help="the port (8400, or the next one that is free)")
    parser.add_argument("--host", metavar="ADDRESS", default="127.0.0.1",
                        help="the address to listen on; 0.0.0.0 lets a whole network read the "
                             "runs (127.0.0.1)")
    parser.add_argument("--open", action="store_true", help="open the page in the browser")
    parser.set_defaults(verb=watch)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text[:9]) < 65536):
        raise argparse.ArgumentTypeError(f"expected a port, 1 to 65535, got {text!r}")
    return int(text)


def watch(args: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C."""
    try:
        from ..watch import find_runs, serve
        from ..watch.server import announced
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("starlette", "uvicorn"):
            raise
        raise UserError(f"the page needs {error.name}, which is not installed; "
                        f'pip install "tinygrad_llm[serve]"') from error
    if not find_runs(args.runs):
        print("there is no run yet; the page shows the first when it begins "
              "(in another terminal: tinygrad-llm train)", flush=True)

    def ready(address: str) -> None:
        print(announced(address, args.port), flush=True)
        if args.open:
            import webbrowser

            webbrowser.open(address)

    serve(args.runs, args.host, args.port, ready)
    return 0
