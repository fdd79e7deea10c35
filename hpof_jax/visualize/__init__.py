"""Draws a motion: the body over the video, and from the side.

Drawing runs on the CPU and needs no display and no OpenGL. mediapy writes the videos.
"""

from hpof_jax.visualize.draw import render_mesh
from hpof_jax.visualize.overlay import LAYOUTS, STYLES, check_look, render, write_overlay
from hpof_jax.visualize.video import record

__all__ = ["LAYOUTS", "STYLES", "check_look", "record", "render", "render_mesh", "write_overlay"]
