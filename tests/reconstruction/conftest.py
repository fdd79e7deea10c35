"""Made-up observations, in place of a video and the detector."""

import numpy as np

from hpof_jax.observe.clip import Observations


def observed(seen, x=640.0, **changes):
    """A person around x pixels in the frames that `seen` (T,) marks."""
    rng = np.random.default_rng(0)
    landmarks = rng.normal([x, 360, 0.5], [60, 150, 0], (len(seen), 33, 3)).astype(np.float32)
    values = dict(
        landmarks_2d=landmarks * seen[:, None, None],
        landmarks_3d=np.zeros((len(seen), 33, 3), np.float32),
        seen=seen,
        image_size=np.array([720, 1280], np.float32),
        focal_length=np.float32(1101.0),
        fps=np.float32(30.0),
    )
    return Observations(**values | changes)


def three_people():
    """Of one video; the second track ends in doubt, and the third person is seen in one of 20 frames."""
    frames = np.arange(20)
    return [
        observed(frames % step == 0, x, times=(first + frames) / 30, first_frame=first, doubts=doubts)
        for x, step, first, doubts in ((300, 1, 0, []), (900, 1, 7, [19]), (600, 20, 3, []))
    ]
