"""Files that other programs open: GLB, BVH, USD, CSV, TRC, MOT, AMASS and RRD, in a world with a floor."""

from hpof_jax.export.files import ENDINGS, check_formats, export, export_file

__all__ = ["ENDINGS", "check_formats", "export", "export_file"]
