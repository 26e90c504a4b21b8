#!/usr/bin/env python3
"""Export a Hugging Face model into a model repository of OVMS. See README.md beside this file."""

import importlib.util
import sys
from pathlib import Path

if importlib.util.find_spec("ovms_edge") is None:  # in a checkout that is not installed
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from ovms_edge.export.command import main

if __name__ == "__main__":
    sys.exit(main())
