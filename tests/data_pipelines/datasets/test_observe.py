import numpy as np

from data_pipelines.datasets.observe import AnnotatedPerson
from tests.data_pipelines.datasets.conftest import FakeNet


def test_the_detector_looks_in_the_annotated_box():
    net, boxes = FakeNet(), np.tile([50.0, 60, 40], (6, 1))
    boxes[3] = 0
    tracker = AnnotatedPerson(net, boxes)
    poses = [tracker(np.full((8, 8, 3), number, np.uint8)) for number in range(6)]
    assert [pose is not None for pose in poses] == [True, True, True, False, True, True]
    assert all((region.x, region.y, region.size) == (50, 60, 40) for _, region in net.looks)
    net.blind = {0}
    assert AnnotatedPerson(net, boxes)(np.zeros((8, 8, 3), np.uint8)) is None
