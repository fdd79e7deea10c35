"""USD stages, read by USD's own library; these tests need the package usd-core."""

import numpy as np
import pytest

from hpof_jax.body import load_body
from hpof_jax.body.mesh import posed_vertices
from hpof_jax.errors import UserError
from hpof_jax.export import usd
from hpof_jax.export.constant_rate import at_constant_rate
from hpof_jax.export.skeleton import Y_UP, joint_names
from hpof_jax.world import share_world, to_world

pxr = pytest.importorskip("pxr")


def read(path):
    """The stage and its people: each path -> (skeleton query, skinning query of the mesh)."""
    from pxr import Usd, UsdSkel

    stage, cache, people = Usd.Stage.Open(str(path)), UsdSkel.Cache(), {}
    for prim in stage.Traverse():
        if prim.IsA(UsdSkel.Root):
            root = UsdSkel.Root(prim)
            cache.Populate(root, Usd.PrimDefaultPredicate)
            (binding,) = cache.ComputeSkelBindings(root, Usd.PrimDefaultPredicate)
            (target,) = binding.GetSkinningTargets()
            people[prim.GetName()] = (cache.GetSkelQuery(binding.GetSkeleton()), target)
    return stage, people


def test_the_posed_skeleton_and_the_skinned_mesh_are_the_motions(small_motion, tmp_path):
    from pxr import UsdGeom

    body = load_body()
    world = to_world(small_motion, body)
    even = at_constant_rate(world, body)
    usd.write(tmp_path / "a.usd", {"Läufer am See": world}, body)
    stage, people = read(tmp_path / "a.usd")
    assert UsdGeom.GetStageUpAxis(stage) == "Y" and UsdGeom.GetStageMetersPerUnit(stage) == 1
    assert stage.GetTimeCodesPerSecond() == pytest.approx(25) and stage.GetEndTimeCode() == len(even) - 1
    assert stage.GetDefaultPrim().GetPath() == "/World"
    ((skeleton, mesh),) = people.values()
    vertices = posed_vertices(body, even.betas, even.global_orient, even.body_pose, even.transl) @ Y_UP.T
    for frame in range(len(even)):
        places = [transform.ExtractTranslation() for transform in skeleton.ComputeJointSkelTransforms(frame)]
        np.testing.assert_allclose(places, even.joints[frame] @ Y_UP.T, atol=1e-5)
        points = UsdGeom.Mesh(mesh.GetPrim()).GetPointsAttr().Get()
        mesh.ComputeSkinnedPoints(skeleton.ComputeSkinningTransforms(frame), points, frame)
        np.testing.assert_allclose(points, vertices[frame], atol=2e-3)
    low, high = np.array(stage.GetPrimAtPath("/World/Laufer_am_See").GetAttribute("extent").Get())
    assert np.all(vertices.reshape(-1, 3) >= low) and np.all(vertices.reshape(-1, 3) <= high)
    assert stage.GetPrimAtPath("/World/Laufer_am_See").GetDisplayName() == "Läufer am See"


def test_validators_find_nothing(small_motion, tmp_path):
    from pxr import Usd, UsdValidation

    body = load_body()
    usd.write(tmp_path / "a.usd", {"a": to_world(small_motion, body)}, body, "mixamo")
    validators = UsdValidation.ValidationRegistry().GetOrLoadAllValidators()
    stage = Usd.Stage.Open(str(tmp_path / "a.usd"))
    assert not UsdValidation.ValidationContext(validators).Validate(stage)
    (skeleton,) = (prim for prim in stage.Traverse() if prim.GetTypeName() == "Skeleton")
    assert tuple(skeleton.GetAttribute("jointNames").Get()) == joint_names("mixamo")


def test_several_people_share_a_stage(small_motion, tmp_path):
    body = load_body()
    worlds = share_world([small_motion, small_motion], body)
    usd.write(tmp_path / "a.usd", dict(zip(("1: ä", "1_ a"), worlds, strict=True)), body)
    _, people = read(tmp_path / "a.usd")
    assert len(people) == 2


def test_the_camera_sees_what_the_videos_saw(small_motion, tmp_path):
    from pxr import Gf, UsdGeom

    body = load_body()
    world = to_world(small_motion, body, camera_pitch=-10)
    usd.write(tmp_path / "a.usd", {"a": world}, body)
    stage, _ = read(tmp_path / "a.usd")
    camera = UsdGeom.Camera(stage.GetPrimAtPath("/World/camera")).GetCamera(0)
    frustum = camera.frustum
    pelvis = Gf.Vec3d(*(Y_UP @ world.joints[0, 0]).tolist())
    seen = (frustum.ComputeViewMatrix() * frustum.ComputeProjectionMatrix()).Transform(pelvis)
    x, y, z = small_motion.joints[0, 0]
    height, width = small_motion.image_size
    expected = 2 * small_motion.focal_length * np.array([x / width, -y / height]) / z
    np.testing.assert_allclose(seen[:2], expected, atol=1e-4)


def test_a_camera_that_moves_is_animated(filmed_by_hand, tmp_path):
    from pxr import UsdGeom

    world = to_world(filmed_by_hand, load_body())
    usd.write(tmp_path / "a.usd", {"a": world}, load_body())
    stage, _ = read(tmp_path / "a.usd")
    place = UsdGeom.Camera(stage.GetPrimAtPath("/World/camera")).GetLocalTransformation
    for code, pose in ((stage.GetStartTimeCode(), 0), (stage.GetEndTimeCode(), -1)):
        camera = np.linalg.inv(world.world_to_camera[pose])
        np.testing.assert_allclose(np.array(place(code)).T[:3, 3], Y_UP @ camera[:3, 3], atol=1e-5)


def test_a_folder_that_does_not_exist_gives_one_sentence(small_motion, tmp_path):
    with pytest.raises(UserError, match="The USD file cannot be written to .*nowhere"):
        usd.write(tmp_path / "nowhere" / "a.usd", {"a": to_world(small_motion, load_body())}, load_body())
    assert not list(tmp_path.iterdir())
