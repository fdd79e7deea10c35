"""Draws `docs/images/architecture.svg`: how a video becomes a body, and how the model is trained.

    python docs/architecture.py

The figure is plain SVG and needs no package. Every box names the files that do its work.
"""

import pathlib
from collections.abc import Sequence
from html import escape

PICTURE = pathlib.Path(__file__).parent / "images" / "architecture.svg"
WIDTH, HEIGHT = 1160, 864
SANS = "Helvetica, Arial, 'DejaVu Sans', sans-serif"
MONO = "Menlo, Consolas, 'DejaVu Sans Mono', monospace"
INK, SOFT, LINE = "#1b1f24", "#4b545d", "#6e7781"
# A room's colours: its border and titles, and its background.
BLUE, PURPLE, GREEN = ("#0757ba", "#eaf3ff"), ("#6b3fbf", "#f4eeff"), ("#17692f", "#e9f8ed")
ORANGE, RED, GREY = ("#8f4700", "#fff4e5"), ("#a8123d", "#ffeef2"), ("#424a53", "#f3f5f7")

Point = tuple[float, float]
Colours = tuple[str, str]


class Figure:
    """SVG elements in the order in which they are drawn, and the files that they name."""

    def __init__(self):
        self.elements: list[str] = []
        self.files: list[str] = []  # paths from the root of the repository

    def svg(self) -> str:
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
                f'height="{HEIGHT}" font-family="{SANS}" role="img">',
                "<title>hpof_jax: how a video becomes a body, and how the model is trained</title>",
                '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="6.5" markerHeight="6.5" '
                f'orient="auto"><path d="M0 0 10 5 0 10Z" fill="{LINE}"/></marker></defs>',
                f'<rect width="{WIDTH}" height="{HEIGHT}" rx="10" fill="#ffffff"/>',
                *self.elements,
                "</svg>",
                "",
            ]
        )

    def text(self, x, y, text, size, colour=INK, anchor="start", bold=False, mono=False) -> None:
        style = f' font-family="{MONO}"' * mono + ' font-weight="bold"' * bold
        self.elements.append(
            f'<text x="{x}" y="{y}" font-size="{size}" fill="{colour}" text-anchor="{anchor}"{style}>'
            f"{escape(text, quote=False)}</text>"
        )

    def rectangle(self, x, y, width, height, fill, stroke, stroke_width=1.5, radius=8) -> None:
        self.elements.append(
            f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="{radius}" fill="{fill}" '
            f'stroke="{stroke}" stroke-width="{stroke_width}"/>'
        )

    def path(self, points: Sequence[Point], colour=LINE, width=2.0, arrow=False, dashed=False) -> None:
        steps = " ".join(f"{x:g} {y:g}" for x, y in points)
        style = ' marker-end="url(#tip)"' * arrow + ' stroke-dasharray="6 5"' * dashed
        self.elements.append(
            f'<path d="M{steps}" fill="none" stroke="{colour}" stroke-width="{width}" '
            f'stroke-linejoin="round"{style}/>'
        )

    def arrow(self, *points: Point, dashed: bool = False) -> None:
        self.path(points, arrow=True, dashed=dashed)

    def room(self, x, y, width, height, colours: Colours, folder: str) -> None:
        """The background of the boxes whose files lie in `folder`."""
        self.rectangle(x, y, width, height, colours[1], colours[1])
        self.text(x + 12, y + 24, f"{folder}/", 13.5, colours[0], mono=True, bold=True)
        self.files.append(folder)

    def box(self, x, y, colours: Colours, title, lines, files, folder, width, height) -> None:
        """A box with a title, lines of text and lines of file names (apart by two spaces) that lie in `folder`."""
        self.rectangle(x, y, width, height, "#ffffff", colours[0])
        y += 22
        self.text(x + 10, y, title, 15, colours[0], bold=True)
        for line in lines:
            y += 18
            self.text(x + 10, y, line, 14, SOFT)
        for line in files:
            y += 18
            self.text(x + 10, y, line, 12.5, mono=True)
            self.files += [f"{folder}/{name}" for name in line.split()]

    def named_file(self, x, y, before: str, file: str, anchor: str) -> None:
        """A line of text that ends in a file's path."""
        self.elements.append(
            f'<text x="{x}" y="{y}" font-size="14.5" fill="{SOFT}" text-anchor="{anchor}">{escape(before)} '
            f'<tspan font-family="{MONO}" font-size="14" fill="{INK}">{escape(file)}</tspan></text>'
        )
        self.files.append(file)


def draw() -> Figure:
    """The whole figure."""
    figure = Figure()
    _reconstruction(figure)
    _training(figure)
    return figure


def _reconstruction(figure: Figure) -> None:
    box, arrow = figure.box, figure.arrow
    figure.text(24, 38, "From a video to a body", 22, bold=True)
    figure.named_file(WIDTH - 24, 38, "the program:", "hpof_jax/reconstruct.py", "end")

    _film_strip(figure, 24, 90)
    figure.text(62, 186, "video", 15.5, anchor="middle", bold=True)

    room = "hpof_jax/observe"
    figure.room(116, 58, 190, 330, BLUE, room)
    box(128, 94, BLUE, "Frames", ["of a file or webcam"], ["video.py"], room, 166, 67)
    lines, files = ["one person or all;", "swaps undone"], ["person.py people.py", "blazepose.py swaps.py"]
    box(128, 181, BLUE, "Landmarks, mask", lines, files, room, 166, 106)
    box(128, 313, BLUE, "Optical flow", ["used in training"], ["optical_flow.py"], room, 166, 67)
    arrow((104, 127), (128, 127))
    arrow((211, 161), (211, 181))
    arrow((211, 287), (211, 313))

    room = "hpof_jax/models"
    figure.room(328, 58, 446, 330, PURPLE, room)
    figure.text(762, 82, "hpof.py", 12.5, mono=True, anchor="end")
    figure.files.append(f"{room}/hpof.py")
    box(
        340, 94, PURPLE, "Inputs", ["landmarks relative to", "the person's box"], ["inputs.py"], room, 188, 86
    )
    box(
        340,
        202,
        PURPLE,
        "Temporal encoder",
        ["dilations 1, 3, 9, 27"],
        ["temporal_encoder.py"],
        room,
        188,
        178,
    )
    _dilations(figure, 352, 276, 164, 92)
    box(
        564,
        94,
        PURPLE,
        "1. Shape",
        ["pooled over the clip:", "one betas (10)"],
        ["shape_head.py"],
        room,
        198,
        86,
    )
    box(
        564,
        202,
        PURPLE,
        "2. Pose",
        ["joint by joint along", "that shape's skeleton"],
        ["kinematic_head.py"],
        room,
        198,
        86,
    )
    box(564, 310, PURPLE, "3. Camera", ["scale, place in the box"], ["hpof.py"], room, 198, 70)
    arrow((294, 237), (317, 237), (317, 137), (340, 137))
    arrow((434, 180), (434, 202))
    figure.path([(528, 290), (546, 290)])
    arrow((546, 290), (546, 137), (564, 137))
    arrow((546, 245), (564, 245))
    arrow((546, 290), (546, 345), (564, 345))
    arrow((663, 180), (663, 202))

    room = "hpof_jax"
    figure.room(796, 58, 200, 330, GREEN, room)
    box(808, 94, GREEN, "SMPL layer", ["6,890 vertices", "24 joints"], ["body/model.py"], room, 176, 86)
    box(808, 202, GREEN, "Place", ["metres, camera frame"], ["geometry/placement.py"], room, 176, 70)
    box(808, 310, GREEN, "Motion", ["pose, shape, place"], ["motion.py"], room, 176, 70)
    figure.path([(762, 245), (779, 245), (779, 137)])
    arrow((762, 137), (808, 137))
    arrow((762, 345), (791, 345), (791, 237), (808, 237))
    arrow((896, 180), (896, 202))
    arrow((896, 272), (896, 310))

    box(1020, 202, GREY, "overlay.mp4", ["body on video"], ["visualize/"], room, 124, 70)
    box(1020, 94, GREY, "GLB, BVH ...", ["for Blender, Unity", "and others"], ["export/"], room, 124, 86)
    box(1020, 310, GREY, "motion.npz", ["for Python and", "AMASS tools"], [], room, 124, 70)
    arrow((984, 345), (1020, 345))
    arrow((1002, 345), (1002, 237), (1020, 237))
    arrow((1002, 237), (1002, 137), (1020, 137))

    figure.path([(328, 396), (328, 404), (996, 404), (996, 396)], width=1.5)
    figure.named_file(662, 426, "from observations to a Motion:", "hpof_jax/lifting.py", "middle")


def _training(figure: Figure) -> None:
    box, arrow = figure.box, figure.arrow
    figure.path([(24, 450), (WIDTH - 24, 450)], colour="#d0d7de", width=1.5)
    figure.text(24, 486, "How the model is trained", 22, bold=True)
    figure.named_file(WIDTH - 24, 486, "the program:", "hpof_jax/train.py", "end")
    top = 506

    room = "data_pipelines/motion"
    figure.room(24, top, 206, 338, ORANGE, room)
    files = ["synthetic.py", "bvh.py  amass.py", "tfds.py"]
    box(36, top + 36, ORANGE, "Motion sources", ["generated, recorded"], files, room, 182, 104)
    box(
        36,
        top + 164,
        ORANGE,
        "Augmentation",
        ["mirror, speed, limbs,", "joints, lean"],
        ["augment.py"],
        room,
        182,
        86,
    )
    arrow((127, top + 140), (127, top + 164))

    room = "data_pipelines"
    figure.room(252, top, 378, 338, ORANGE, room)
    box(
        264,
        top + 36,
        ORANGE,
        "Simulation",
        ["camera, detector errors,", "optical flow"],
        ["simulate/"],
        room,
        196,
        86,
    )
    files = ["render/  observed/"]
    box(
        264,
        top + 146,
        ORANGE,
        "Rendering",
        ["textured bodies, seen", "by the real detector"],
        files,
        room,
        196,
        86,
    )
    box(264, top + 256, ORANGE, "Real videos", ["no ground truth"], ["observed/videos.py"], room, 196, 70)
    box(498, top + 36, ORANGE, "Sources", ["and shares"], ["sources.py"], room, 120, 70)
    box(498, top + 146, ORANGE, "Stream", ["clips, batched", "by tf.data"], ["stream.py"], room, 120, 86)
    arrow((218, top + 207), (241, top + 207), (241, top + 79), (264, top + 79))
    arrow((241, top + 189), (264, top + 189))
    figure.path([(460, top + 79), (479, top + 79), (479, top + 291), (460, top + 291)])
    arrow((460, top + 189), (498, top + 189))
    arrow((558, top + 106), (558, top + 146))

    room = "hpof_jax/training"
    figure.room(652, top, 492, 338, RED, room)
    files = ["steps.py  parallel.py"]
    box(
        664,
        top + 36,
        RED,
        "Training step",
        ["model, losses and", "optimizer in one pmap"],
        files,
        room,
        184,
        86,
    )
    box(664, top + 146, RED, "Discriminator", ["real or predicted?"], ["adversary.py"], room, 184, 70)
    box(664, top + 256, RED, "Checkpoints", ["to resume and to use"], ["checkpoint.py"], room, 184, 70)
    _losses(figure, 886, top + 36)
    arrow((618, top + 189), (641, top + 189), (641, top + 79), (664, top + 79))
    arrow((848, top + 79), (886, top + 79))
    arrow((848, top + 181), (886, top + 181))
    arrow((756, top + 122), (756, top + 146))


def _losses(figure: Figure, x: float, y: float) -> None:
    """The losses, by what they compare the prediction with."""
    room = "hpof_jax/training"
    figure.box(x, y, RED, "Losses", ["a weighted sum; add one in"], ["terms.py  losses.py"], room, 246, 290)
    groups = {
        "compared with ground truth": ["keypoints_2d  keypoints_3d", "body_pose  betas", "smoothness"],
        "compared with masks and flow": ["silhouette", "flow_silhouette  vertex_flow"],
        "judged by the discriminator": ["adversarial"],
        "silhouettes are drawn by": [],
    }
    y += 60
    for against, names in groups.items():
        y += 24
        figure.text(x + 10, y, against, 14, SOFT)
        for line in names:
            y += 17
            figure.text(x + 10, y, line, 12.5, RED[0], mono=True)
    figure.text(x + 10, y + 17, "geometry/rasterizer.py", 12.5, mono=True)
    figure.files.append("hpof_jax/geometry/rasterizer.py")


def _film_strip(figure: Figure, x: float, y: float) -> None:
    """Three frames of a film with a figure that walks."""
    figure.rectangle(x, y, 76, 74, "#24292f", "#24292f", radius=5)
    for column in range(6):
        for row in (y + 5, y + 63):
            figure.rectangle(x + 6 + 11.5 * column, row, 6, 6, "#ffffff", "#ffffff", 0, radius=1)
    figure.rectangle(x + 6, y + 16, 64, 42, "#dbe9fb", "#dbe9fb", radius=2)
    cx, cy = x + 38, y + 24
    figure.elements.append(f'<circle cx="{cx}" cy="{cy}" r="4.5" fill="{BLUE[0]}"/>')
    limbs = [[(0, 5), (0, 17)], [(-9, 12), (0, 8), (9, 13)], [(-7, 30), (-4, 23), (0, 17), (5, 23), (7, 30)]]
    for limb in limbs:
        figure.path([(cx + dx, cy + dy) for dx, dy in limb], colour=BLUE[0], width=3)


def _dilations(figure: Figure, x: float, y: float, width: float, height: float) -> None:
    """A pyramid of kernel-3 convolutions, schematic: which frames each layer takes in."""
    columns, layers = 27, (1, 3, 9)
    step, rise = width / (columns - 1), height / len(layers)
    middle = columns // 2

    def place(layer: int, column: int) -> Point:
        return x + column * step, y + height - layer * rise

    inside = [{middle}]
    for dilation in reversed(layers):
        inside.append({c + d for c in inside[-1] for d in (-dilation, 0, dilation)})
    inside.reverse()
    for layer, dilation in enumerate(layers):
        for column in sorted(inside[layer + 1]):
            for offset in (-dilation, 0, dilation):
                start, end = place(layer, column + offset), place(layer + 1, column)
                figure.path([start, end], colour="#b79cf0", width=1)
    for layer in range(len(layers) + 1):
        for column in range(columns):
            cx, cy = place(layer, column)
            fill = PURPLE[0] if column in inside[layer] else "#ddd3f3"
            figure.elements.append(f'<circle cx="{cx:.1f}" cy="{cy:.1f}" r="2.2" fill="{fill}"/>')


if __name__ == "__main__":
    PICTURE.write_text(draw().svg(), encoding="utf-8")
