"""Write a model for other code, or turn a file that other code released into a folder of ours.

example:
  whatwhere export runs/mine --layout simzss --out mine.safetensors
  whatwhere export runs/mine --layout packed --out small
  whatwhere export runs/mine --layout onnx --out mine-onnx --names "dog, grass|lawn, sky"
  whatwhere export runs/cocu --layout groupvit_hf --out cocu-hf
  whatwhere export released.pt --out runs/released

The layouts simzss, clippy, clippy_flax, groupvit and groupvit_hf are one file of tensors that the
released code (or Hugging Face's transformers) loads: safetensors if --out ends so, else torch's own
format. groupvit_hf with an --out without ending is a folder for GroupViTModel.from_pretrained. The
layout whatwhere is a folder with safetensors and the recipe, without what only training needs;
packed is one checkpoint with its matrices in half precision, for reading photos alone. Both can be
used as --model. The layout onnx is for programs without torch: the image side and the text side as
ONNX files, vectors of --names, and a README.md with code that segments a photo by onnxruntime and
numpy alone. Released files can also be used as they are: --model released.pt. CLIPpy's hold no
tokenizer; where the hub is out of reach, give a folder that does: --set text.source=FOLDER.
"""

from __future__ import annotations

import argparse

from whatwhere.commands import MODEL, add_import


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help=MODEL)
    parser.add_argument(
        "--layout",
        default="whatwhere",
        help="whatwhere (default), packed, onnx, simzss, clippy, clippy_flax, groupvit, "
        "groupvit_hf",
    )
    parser.add_argument("--out", required=True, metavar="PATH", help="file or folder to write")
    parser.add_argument(
        "--names", metavar="NAMES", help="of the layout onnx: whose vectors go with it, by commas"
    )
    add_import(parser)


def run(args: argparse.Namespace) -> int:
    from whatwhere.runs.exporting import export

    print(export(args.model, args.out, layout=args.layout, names=args.names, imports=args.imports))
    return 0
