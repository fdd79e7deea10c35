"""From a motion in the world to rendered clips on which the real detector has been run."""
