"""Clips on which a detector has been run: rendered ones, with ground truth, and real videos, without."""
