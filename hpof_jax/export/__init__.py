"""Files that other programs open: GLB, BVH, CSV, TRC, MOT and AMASS, in a world with a floor."""

from hpof_jax.export.files import ENDINGS, check_formats, export, export_file

__all__ = ["ENDINGS", "check_formats", "export", "export_file"]
