"""The field's data sets: a reader of the original files for each, and their preparation for training and evaluation."""
