"""From world motion to simulated observations: camera, detector, optical flow."""
