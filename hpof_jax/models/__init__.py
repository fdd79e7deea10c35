"""The networks: from a clip's observations to its shape, and to a pose and a camera for each frame."""
