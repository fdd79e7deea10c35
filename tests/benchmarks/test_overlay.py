import cv2
import numpy as np

from benchmarks import overlay


def test_the_painter_and_jax_cover_what_the_rasterizer_covers(body):
    motion = overlay.wave(body)
    vertices, faces = motion.vertices(body, slice(0, 1))[0], np.asarray(body.faces)
    frame = np.zeros((108, 192, 3), np.uint8)
    painted, by_jax = (
        draw(frame, vertices, faces, overlay.FOCAL / 10).any(axis=-1)
        for draw in (overlay.paint, overlay.draw_by_jax)
    )
    covered = overlay.mask(frame, vertices, faces, overlay.FOCAL / 10)
    assert not frame.any(), "the frame is not changed"
    rim = cv2.dilate(np.uint8(covered), np.ones((3, 3))) > 0
    assert covered.sum() > 1000 and np.all(painted[covered]) and not np.any(painted & ~rim)
    assert np.mean(by_jax[covered]) > 0.99 and not np.any(by_jax & ~rim)
