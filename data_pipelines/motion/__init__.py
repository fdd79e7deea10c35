"""Motion in the world: clips of SMPL poses from recordings, data sets or a procedure, and their augmentation."""
