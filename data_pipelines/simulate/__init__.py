"""From a motion in the world to simulated observations: camera, detector, optical flow."""
