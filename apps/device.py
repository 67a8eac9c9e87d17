"""`--device`: where networks run."""

from __future__ import annotations

import argparse


def add_device(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--device", default="auto", metavar="NAME", help="auto (a GPU where there is one), cpu, cuda, mps")
