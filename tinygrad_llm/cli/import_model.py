"""`tinygrad-llm import`: make a run of a model from elsewhere."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..host.errors import UserError, quoted


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    from ..pretrained.fields import MODEL_TYPES

    parser.description = (
        "Make a run of a model from elsewhere: a folder of Hugging Face's (config.json,\n"
        "model.safetensors or its shards, tokenizer.json) or a GGUF file. The run can be\n"
        "sampled, evaluated on a text, and be the beginning of a training.")
    parser.epilog = (
        f"types of models: {', '.join(MODEL_TYPES)}\n\nexample:\n"
        "  tinygrad-llm import SmolLM2-135M/ --out runs/smollm2\n"
        "  tinygrad-llm sample runs/smollm2 --prompt 'The capital of France is'\n"
        "  tinygrad-llm eval runs/smollm2 --data my_text.txt --context 512\n"
        "  tinygrad-llm train --init runs/smollm2 --data my_text.txt --context 256 --batch 4 "
        "--out runs/mine\n"
        "  tinygrad-llm export runs/mine --out mine-hf/")
    parser.add_argument("source", type=Path, metavar="SOURCE",
                        help="a folder of Hugging Face's, or a .gguf file")
    parser.add_argument("--out", type=Path, metavar="RUN", required=True,
                        help="the run's folder, which must not hold one yet")
    parser.set_defaults(verb=import_model)


def import_model(args: argparse.Namespace) -> int:
    """Read the model and write the run."""
    from ..nn import parameters
    from ..pretrained import from_pretrained
    from ..pretrained.small_files import beside
    from ..train.run import refuse_former, write_run

    refuse_former(args.out)  # before minutes of reading
    print(f"reading {args.source} ...", flush=True)
    found = from_pretrained(args.source)
    if found.tokenizer is None:
        raise UserError(f"{args.source} has no tokenizer, which a run needs; put the model's "
                        f"tokenizer.json there")
    count = sum(p.size for p in parameters(found.model).values())
    print(f"read {count:,} parameters of {found.storage}, "
          f"{found.tokenizer.vocab_size} tokens, a context of {found.model.config.context}")
    print(f"writing {args.out} ...", flush=True)
    write_run(args.out, found.model, found.tokenizer, beside(found))
    print(f"done; let it write: tinygrad-llm sample {quoted(args.out)} --prompt 'Once upon a time'")
    if found.chat_template is not None:
        print(f"or talk with it: tinygrad-llm chat {quoted(args.out)}")
    return 0
