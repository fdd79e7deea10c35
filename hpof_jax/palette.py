"""The colours of people in videos and pages, RGB from 0 to 255."""

SEEN, UNSEEN = (165, 200, 245), (215, 215, 215)  # of a body that is seen, and of one that is guessed
# Of several people, the first as if alone. Okabe and Ito's colours, lighter: safe for the colour-blind.
PEOPLE = (
    SEEN,
    (245, 190, 90),
    (120, 215, 180),
    (235, 160, 200),
    (240, 235, 120),
    (240, 140, 110),
    (150, 165, 235),
)
