"""Print the oldest versions that the package says it works with, as pip's constraints.

Only of the extras that are named: `python tests/oldest.py cpu video`. A bound of two numbers stands for the
newest of its fixes. Python 3.11 to build them on: older wheels know no newer one.
"""

import sys
from pathlib import Path

import tomllib
from packaging.requirements import Requirement

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
wanted = [*project["dependencies"]]
for extra in sys.argv[1:]:
    wanted += project["optional-dependencies"][extra]
for text in sorted(set(wanted)):
    requirement = Requirement(text)
    (oldest,) = (s.version for s in requirement.specifier if s.operator == ">=")
    sys.stdout.write(f"{requirement.name}=={oldest}.*\n")
