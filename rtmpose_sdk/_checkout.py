"""From a checkout's root Python finds this folder first; the other rooms lie beside it, not in it."""

from __future__ import annotations

from pathlib import Path

import rtmpose_sdk

_root = Path(__file__).parents[1]
if (_root / "pyproject.toml").is_file():
    rtmpose_sdk.__path__.append(str(_root))
