"""Clips on which a detector has been run: rendered clips, with ground truth, and real videos, without."""
