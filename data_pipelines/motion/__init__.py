"""World motion: clips of SMPL poses from recordings, data sets or a procedure, and their augmentation."""
