"""From a video to observations: frames, scene cuts, one person's landmarks, masks and optical flow."""
