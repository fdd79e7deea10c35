"""From a clip's observations to one shape, and a pose and a camera for every frame."""
