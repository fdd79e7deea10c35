"""A small BVH file: 20 joints in a T-pose, with the names of many mocap programs."""

import numpy as np

CHANNELS = 63  # the root's place in centimetres, then three rotations of each joint in degrees


def bvh_text(rows: np.ndarray) -> str:
    """The text of a file whose motion is `rows` (T, `CHANNELS`), at 30 frames/s."""

    def joint(name, offset, *children):
        below = "".join(children) or "End Site\n{\nOFFSET 0 0 0\n}\n"
        return f"JOINT {name}\n{{\nOFFSET {offset}\nCHANNELS 3 Zrotation Xrotation Yrotation\n{below}}}\n"

    def side(name, x):
        foot = joint(f"{name}Foot", "0 -40 0", joint(f"{name}ToeBase", "0 -6 12"))
        leg = joint(f"{name}UpLeg", f"{9 * x} -8 0", joint(f"{name}Leg", "0 -40 0", foot))
        arm = joint(f"{name}ForeArm", f"{25 * x} 0 0", joint(f"{name}Hand", f"{24 * x} 0 0"))
        return leg, joint(f"{name}Arm", f"{18 * x} 10 0", arm)

    (left_leg, left_arm), (right_leg, right_arm) = side("Left", 1), side("Right", -1)
    spine = joint("Spine", "0 12 0", left_arm, right_arm, joint("Neck", "0 20 0", joint("Head", "0 10 0")))
    channels = "CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation"
    head = f"HIERARCHY\nROOT Hips\n{{\nOFFSET 0 0 0\n{channels}\n{left_leg}{right_leg}{spine}}}\n"
    lines = "\n".join(" ".join(f"{value:g}" for value in row) for row in rows)
    return f"{head}MOTION\nFrames: {len(rows)}\nFrame Time: 0.0333333\n{lines}\n"
