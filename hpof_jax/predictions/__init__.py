"""Results of this and other programs, and the points of the bodies in them."""
