"""The report of a reconstruction: how well it fits the video, and when not to trust it."""

from hpof_jax.report.files import digest, make, versions, write

__all__ = ["digest", "make", "versions", "write"]
