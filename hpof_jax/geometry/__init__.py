"""Rotations, cameras, rasterization and flow: mathematics that knows no body."""
