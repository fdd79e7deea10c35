"""The parts of the program `hpof_jax.reconstruct`: its settings and command line, what is observed, what is written."""
