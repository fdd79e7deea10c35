"""Finds the free body's anatomical landmarks, and draws them: `body/anatomical.py` holds the result.

    python -m hpof_jax.body.build.landmarks                          # prints the table
    python -m hpof_jax.body.build.landmarks --picture landmarks.png

The mean body's skin is smooth and shows no bones. So the landmarks' heights and distances are those of published
anthropometry, as shares of the stature H, and their places on the skin are extremes of slices at those heights:

- Epicondyles of the femur: 0.283 H, malleoli: 0.040 H (ANSUR II, Gordon et al. 2014, mean of men and women).
- Acromion: the highest point of the ridge of the shoulder in the T-pose.
- Styloids: the slice of the forearm with the least circumference. Epicondyles of the humerus: at 51.1 % of the way from the
  centre of the shoulder to that slice (de Leva, J. Biomech. 1996: 0.1605 H and 0.1535 H).
- PSIS: on the skin of the back at 0.58 H, 0.056 H apart. ASIS: at 0.565 H, 0.14 H apart, and 0.0935 H in front of the PSIS, so
  that the fat of the belly does not count. These are typical of adults. 10 mm more width of the pelvis move a hip by
  4.5 mm, 10 mm more depth by 2.4 mm.
"""

import argparse
import pathlib

import cv2
import numpy as np

from hpof_jax.atomic import replacing
from hpof_jax.body.anatomical import anatomical_basis
from hpof_jax.body.files import load_body
from hpof_jax.body.model import BodyModel
from hpof_jax.body.skeletons import SMPL_JOINTS
from hpof_jax.geometry import zbuffer
from hpof_jax.geometry.visibility import vertex_normals

KNEE, ANKLE, PSIS, ASIS = 0.283, 0.040, 0.58, 0.565  # heights above the sole, of the stature
PSIS_HALF, ASIS_HALF, PELVIS_DEPTH = 0.028, 0.07, 0.0935
ELBOW = 0.511
_LEG, _ARM = ("left_hip", "left_knee", "left_ankle"), ("left_shoulder", "left_elbow", "left_wrist")


def find_landmarks(body: BodyModel) -> dict[str, np.ndarray]:
    """The landmarks of the left side at the mean shape, (3,) metres in the rest frame."""
    vertices, weights = (np.asarray(x, np.float64) for x in (body.v_template, body.lbs_weights))
    sole, stature = vertices[:, 1].min(), np.ptp(vertices[:, 1])

    def cut(axis: int, place: float, joints: tuple[str, ...] = ()) -> np.ndarray:
        """Where edges of the left side cross a plane, (N, 3); only those that move with the joints."""
        there = vertices[:, 0] > 0
        if joints:
            there &= weights[:, [SMPL_JOINTS.index(name) for name in joints]].sum(axis=1) > 0.3
        faces = np.asarray(body.faces)
        faces = faces[there[faces].all(axis=1)]
        a, b = vertices[faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)].swapaxes(0, 1)
        a_side, b_side = a[:, axis] - place, b[:, axis] - place
        crossing = a_side * b_side < 0
        share = a_side[crossing] / (a_side - b_side)[crossing]
        return a[crossing] + share[:, None] * (b - a)[crossing]

    found = {}
    for name, share in (("knee", KNEE), ("ankle", ANKLE)):
        slice_ = cut(1, sole + share * stature, _LEG)
        found[f"{name}_lateral"], found[f"{name}_medial"] = (
            slice_[slice_[:, 0].argmax()],
            slice_[slice_[:, 0].argmin()],
        )
    ridge = (vertices[:, 0] > 0.09 * stature) & (vertices[:, 0] < 0.13 * stature)
    found["acromion"] = vertices[np.flatnonzero(ridge)[vertices[ridge, 1].argmax()]]
    places = np.arange(0.39, 0.43, 0.002) * stature
    around = [np.ptp(cut(0, place, _ARM)[:, 1:], axis=0).sum() for place in places]
    wrist = cut(0, places[int(np.argmin(around))], _ARM)
    found["wrist_radial"], found["wrist_ulnar"] = wrist[wrist[:, 2].argmax()], wrist[wrist[:, 2].argmin()]
    shoulder = found["acromion"][0]  # the centre lies below the acromion
    elbow = cut(0, shoulder + ELBOW * (wrist[0, 0] - shoulder), _ARM)
    found["elbow_lateral"], found["elbow_medial"] = elbow[elbow[:, 1].argmax()], elbow[elbow[:, 1].argmin()]
    back = cut(1, sole + PSIS * stature)
    back = back[back[:, 2] < 0]
    back, place = back[back[:, 0].argsort()], PSIS_HALF * stature
    behind = np.interp(place, back[:, 0], back[:, 2])
    found["psis"] = np.array([place, sole + PSIS * stature, behind])
    found["asis"] = np.array([ASIS_HALF * stature, sole + ASIS * stature, behind + PELVIS_DEPTH * stature])
    return found


def draw(body: BodyModel, size: int = 620) -> np.ndarray:
    """Views of the body from the front and its left with landmarks (red), centres (green) and SMPL's joints (blue)."""
    vertices, faces = np.asarray(body.v_template, np.float64), np.asarray(body.faces)
    normals = np.asarray(vertex_normals(vertices, faces), np.float64)
    points = {(0, 0, 220): [*find_landmarks(body).values()]}
    points[30, 150, 30] = [*np.asarray(anatomical_basis(body).blend[0]).reshape(-1, 3)]
    points[200, 80, 0] = [*np.asarray(body.J_template)]
    views = []
    for right, away in (([1.0, 0, 0], [0, 0, -1.0]), ([0, 0, -1.0], [-1.0, 0, 0])):
        axes = np.stack([right, [0, -1.0, 0], away])  # x right, y down, z away
        scale, middle = size / 1.85, np.array([0, -0.12, 0])
        seen = (vertices - middle) @ axes.T
        buffer = zbuffer.rasterize(seen[:, :2] * scale + size / 2, seen[:, 2] + 5, faces, (size, size))
        light = -axes.T @ [-0.5, 0.6, 0.6]
        shade = zbuffer.interpolate(buffer, seen[:, :2] * scale + size / 2, faces, normals) @ light
        picture = np.where(buffer.mask, 90 + 140 * np.clip(shade, 0, 1), 255).astype(np.uint8)
        picture = np.repeat(picture[..., None], 3, axis=-1)
        for colour, places in points.items():
            for place in places:
                pixel = ((place - middle) @ axes.T)[:2] * scale + size / 2
                cv2.circle(picture, pixel.round().astype(int).tolist(), 3, colour, -1, cv2.LINE_AA)
        views.append(picture)
    return np.hstack(views)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Find the free body's anatomical landmarks.")
    parser.add_argument("--picture", type=pathlib.Path, help="the picture to write, .png or .jpg")
    args = parser.parse_args(argv)
    body = load_body()
    for name, place in find_landmarks(body).items():
        print(f'    "{name}": ({", ".join(f"{x:.4f}" for x in place)}),')
    if args.picture:
        with replacing(args.picture, "The picture") as partial:
            _, content = cv2.imencode(args.picture.suffix, draw(body))
            partial.write_bytes(content.tobytes())


if __name__ == "__main__":
    main()
