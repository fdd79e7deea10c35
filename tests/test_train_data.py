import numpy as np
import pytest

from benchmarks.small_bvh import CHANNELS, bvh_text
from configs import hpof
from hpof_jax.errors import UserError
from hpof_jax.train_data import data_sources, has_labels, with_validation_clips


def test_folders_of_one_kind_divide_its_share():
    config = hpof.get_config()
    config.data.update({"bvh": "a,b.zip", "amass": "c", "mocap_share": 3.0})
    assert data_sources(config.data) == {
        "synthetic": 1.0,
        "bvh:a": 1.0,
        "bvh:b.zip": 1.0,
        "amass:c": 1.0,
    }
    config.data.update({"rendered": "d,e", "rendered_share": 4.0, "bvh": "", "amass": ""})
    assert data_sources(config.data) == {"synthetic": 1.0, "rendered:d": 2.0, "rendered:e": 2.0}
    config.data.update({"rendered": "", "unlabelled": "bvh:a,synthetic", "videos": "f", "videos_share": 0.5})
    assert data_sources(config.data) == {
        "synthetic": 1.0,
        "unlabelled:bvh:a": 0.5,
        "unlabelled:synthetic": 0.5,
        "videos:f": 0.5,
    }
    config.data.update({"synthetic": 0.0, "unlabelled": "", "videos": ""})
    with pytest.raises(UserError, match=r"names no motion: set --config\.data"):
        data_sources(config.data)


def test_sources_without_ground_truth():
    config = hpof.get_config()
    assert has_labels(config.data)
    config.data.update({"synthetic": 0.0, "unlabelled": "synthetic"})
    assert not has_labels(config.data)


def test_a_folder_without_validation_clips_is_left_out_of_the_evaluation(tmp_path):
    (tmp_path / "a.bvh").write_text(bvh_text(np.zeros((20, CHANNELS))))
    sources = {"synthetic": 1.0, f"bvh:{tmp_path}": 3.0, "videos:clip.mp4": 1.0}
    assert with_validation_clips(sources) == {"synthetic": 1.0}
