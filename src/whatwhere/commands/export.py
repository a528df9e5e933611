"""Write a model for other code, or turn a file that other code released into a folder of ours.

example:
  whatwhere export runs/mine --layout simzss --out mine.safetensors
  whatwhere export released.pt --out runs/released

The layouts simzss, clippy, clippy_flax, groupvit and groupvit_hf are one file of tensors that the
released code (or Hugging Face's transformers) loads: safetensors if --out ends so, else torch's own
format. The layout whatwhere is a folder with safetensors and the recipe, without what only training
needs. Released files can also be used as they are: --model released.pt. CLIPpy's hold no tokenizer;
where the hub is out of reach, give a folder that does: --set text.source=FOLDER.
"""

from __future__ import annotations

import argparse

from whatwhere.commands import MODEL, add_import


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help=MODEL)
    parser.add_argument(
        "--layout",
        default="whatwhere",
        help="whatwhere (default), simzss, clippy, clippy_flax, groupvit, groupvit_hf",
    )
    parser.add_argument("--out", required=True, metavar="PATH", help="file or folder to write")
    add_import(parser)


def run(args: argparse.Namespace) -> int:
    from whatwhere.runs.exporting import export

    print(export(args.model, args.out, layout=args.layout, imports=args.imports))
    return 0
