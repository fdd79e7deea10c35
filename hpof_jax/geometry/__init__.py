"""Rotations, cameras, time, visibility, rasterization and flow. Nothing here depends on a body model."""
