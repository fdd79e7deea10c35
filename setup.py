"""Puts the configs into the built package, where they are `hpof_jax/configs/`; everything else is in pyproject.toml."""

import pathlib

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithConfigs(build_py):
    def run(self) -> None:
        super().run()
        if not self.editable_mode:  # an editable install uses those of the clone
            folder = pathlib.Path(self.build_lib, "hpof_jax/configs")
            folder.mkdir(parents=True, exist_ok=True)
            for path in pathlib.Path("configs").glob("*.py"):
                self.copy_file(str(path), str(folder / path.name))


setup(cmdclass={"build_py": BuildWithConfigs})
