"""Trains on machines elsewhere: `python -m launch PLATFORM STEP ...` (see launch/README.md). Needs no packages."""
