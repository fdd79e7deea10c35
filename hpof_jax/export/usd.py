"""USD: people of one world as UsdSkel skeletons with skinned meshes, and the video's camera, in one binary stage.

y up, metres, a constant frame rate: time code 0 is the first frame of the earliest person. Pose blend shapes are left
out, as in GLB. Needs the package usd-core. Specification: https://openusd.org/release/api/usd_skel_page_front.html
"""

import os
import unicodedata
from collections.abc import Mapping

import numpy as np

from hpof_jax.atomic import replacing
from hpof_jax.body.model import BodyModel
from hpof_jax.body.skeletons import SMPL_PARENTS
from hpof_jax.export.constant_rate import at_constant_rate
from hpof_jax.export.skeleton import (
    COLOR,
    INFLUENCES,
    Y_UP,
    camera_to_y_up,
    influences,
    joint_names,
    rest_body,
    y_up,
)
from hpof_jax.geometry.visibility import vertex_normals
from hpof_jax.world import WorldMotion

_ROUGHNESS = 0.6
# Lengths of the camera are in tenths of a metre; only their ratio means something: 36 mm, as a photographic film.
_APERTURE = 0.36
_FAR = 1000.0  # metres


def write(
    path: str | os.PathLike, people: Mapping[str, WorldMotion], body: BodyModel, names: str = "smpl"
) -> None:
    """Writes people of one world, by name, as one stage. Times that vary are resampled.

    Each person is a `SkelRoot` below `/World`. Names of people and joints get underscores where USD's identifiers
    forbid a character.

    Args:
      people: at least one.
      names: of the joints, 'smpl' or 'mixamo'.

    Raises:
      UserError: the file cannot be written, or there are no such names.
    """
    from pxr import Tf, Usd, UsdGeom

    names = joint_names(names)
    people = {name: at_constant_rate(motion, body) for name, motion in people.items()}
    first = next(iter(people.values()))
    start = min(motion.times[0] for motion in people.values())
    codes = {name: (motion.times - start) * first.fps for name, motion in people.items()}
    stage = Usd.Stage.CreateInMemory()
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y)
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    stage.SetTimeCodesPerSecond(first.fps)
    stage.SetFramesPerSecond(first.fps)
    stage.SetStartTimeCode(0.0)
    stage.SetEndTimeCode(max(codes[name][-1] for name in people))
    world = UsdGeom.Xform.Define(stage, "/World")
    stage.SetDefaultPrim(world.GetPrim())
    Usd.ModelAPI(world).SetKind("group")
    material = _material(stage)
    for name, motion in people.items():
        path_ = _free_path(stage, name)
        _person(stage, path_, motion, codes[name], body, names, material)
        stage.GetPrimAtPath(path_).SetDisplayName(name)
    _camera(stage, first, next(iter(codes.values())))
    with replacing(path, "The USD file") as partial:
        partial.touch()  # raises OSError where USD would only print
        try:
            stage.GetRootLayer().Export(str(partial))
        except Tf.ErrorException as error:
            raise OSError(str(error)) from error


def _free_path(stage, name: str) -> str:
    """`/World/NAME` in plain letters, with a number if two names become the same identifier."""
    from pxr import Tf

    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    path = base = f"/World/{Tf.MakeValidIdentifier(plain)}"
    number = 1
    while stage.GetPrimAtPath(path):
        number += 1
        path = f"{base}_{number}"
    return path


def _person(
    stage, path: str, motion: WorldMotion, codes: np.ndarray, body: BodyModel, names, material
) -> None:
    from pxr import Gf, Usd, UsdGeom, UsdShade, UsdSkel, Vt

    joints, vertices = rest_body(body, motion.betas)
    offsets = joints - np.where(np.array(SMPL_PARENTS)[:, None] < 0, 0.0, joints[list(SMPL_PARENTS)])
    root = UsdSkel.Root.Define(stage, path)
    Usd.ModelAPI(root).SetKind("component")
    root.GetExtentAttr().Set(_extent(motion, joints, vertices))

    skeleton = UsdSkel.Skeleton.Define(stage, f"{path}/skeleton")
    tokens = _joint_tokens(names)
    skeleton.GetJointsAttr().Set(tokens)
    skeleton.GetJointNamesAttr().Set(names)
    skeleton.GetBindTransformsAttr().Set([Gf.Matrix4d(1).SetTranslate(place.tolist()) for place in joints])
    skeleton.GetRestTransformsAttr().Set([Gf.Matrix4d(1).SetTranslate(step.tolist()) for step in offsets])

    animation = UsdSkel.Animation.Define(stage, f"{path}/skeleton/motion")
    animation.GetJointsAttr().Set(tokens)
    animation.GetScalesAttr().Set(Vt.Vec3hArray([Gf.Vec3h(1, 1, 1)] * len(tokens)))
    rotations, pelvis = y_up(motion)
    quaternions = (
        rotations.as_quat().reshape(-1, len(tokens), 4).astype(np.float32)
    )  # x, y, z, w, as Gf's arrays
    for code, place, turns in zip(codes.tolist(), pelvis, quaternions, strict=True):
        translations = np.concatenate([place[None], offsets[1:]]).astype(np.float32)
        animation.GetTranslationsAttr().Set(Vt.Vec3fArray.FromNumpy(translations), code)
        animation.GetRotationsAttr().Set(Vt.QuatfArray.FromNumpy(turns), code)
    UsdSkel.BindingAPI.Apply(skeleton.GetPrim()).CreateAnimationSourceRel().SetTargets([animation.GetPath()])

    mesh = UsdGeom.Mesh.Define(stage, f"{path}/body")
    faces = np.asarray(body.faces, np.int32)
    points = vertices.astype(np.float32)
    mesh.GetPointsAttr().Set(Vt.Vec3fArray.FromNumpy(points))
    mesh.GetFaceVertexCountsAttr().Set(np.full(len(faces), 3, np.int32))
    mesh.GetFaceVertexIndicesAttr().Set(faces.ravel())
    mesh.GetNormalsAttr().Set(Vt.Vec3fArray.FromNumpy(vertex_normals(vertices, faces).astype(np.float32)))
    mesh.SetNormalsInterpolation(UsdGeom.Tokens.vertex)
    mesh.GetSubdivisionSchemeAttr().Set(UsdGeom.Tokens.none)
    mesh.GetExtentAttr().Set(Vt.Vec3fArray.FromNumpy(np.stack([points.min(axis=0), points.max(axis=0)])))
    binding = UsdSkel.BindingAPI.Apply(mesh.GetPrim())
    numbers, weights = influences(np.asarray(body.lbs_weights, np.float64))
    binding.CreateJointIndicesPrimvar(False, INFLUENCES).Set(numbers.astype(np.int32).ravel())
    binding.CreateJointWeightsPrimvar(False, INFLUENCES).Set(weights.ravel())
    binding.CreateGeomBindTransformAttr().Set(Gf.Matrix4d(1))
    binding.CreateSkeletonRel().SetTargets([skeleton.GetPath()])
    UsdShade.MaterialBindingAPI.Apply(mesh.GetPrim()).Bind(material)


def _joint_tokens(names: tuple[str, ...]) -> list[str]:
    """The joints as paths from the root, such as 'pelvis/left_hip/left_knee'."""
    from pxr import Tf

    tokens = []
    for name, parent in zip(names, SMPL_PARENTS, strict=True):
        name = Tf.MakeValidIdentifier(name)
        tokens.append(f"{tokens[parent]}/{name}" if parent >= 0 else name)
    return tokens


def _extent(motion: WorldMotion, joints: np.ndarray, vertices: np.ndarray):
    """A box (2, 3) float32 around the whole motion."""
    from pxr import Vt

    # No vertex is further from all joints than the crown, the toes or the fingertips at rest.
    reach = np.linalg.norm(vertices[:, None] - joints, axis=2).min(axis=1).max()
    places = motion.joints.reshape(-1, 3) @ Y_UP.T
    box = np.stack([places.min(axis=0) - reach, places.max(axis=0) + reach])
    return Vt.Vec3fArray.FromNumpy(box.astype(np.float32))


def _material(stage):
    from pxr import Gf, Sdf, UsdGeom, UsdShade

    UsdGeom.Scope.Define(stage, "/World/materials")
    material = UsdShade.Material.Define(stage, "/World/materials/body")
    shader = UsdShade.Shader.Define(stage, "/World/materials/body/surface")
    shader.CreateIdAttr("UsdPreviewSurface")
    shader.CreateInput("diffuseColor", Sdf.ValueTypeNames.Color3f).Set(Gf.Vec3f(*COLOR))
    shader.CreateInput("roughness", Sdf.ValueTypeNames.Float).Set(_ROUGHNESS)
    shader.CreateInput("metallic", Sdf.ValueTypeNames.Float).Set(0.0)
    material.CreateSurfaceOutput().ConnectToSource(shader.ConnectableAPI(), "surface")
    return material


def _camera(stage, motion: WorldMotion, codes: np.ndarray) -> None:
    """The camera of the video; USD's cameras look along -z, with y up."""
    from pxr import Gf, UsdGeom

    height, width = motion.image_size.tolist()
    camera = UsdGeom.Camera.Define(stage, "/World/camera")
    camera.GetHorizontalApertureAttr().Set(_APERTURE)
    camera.GetVerticalApertureAttr().Set(_APERTURE * height / width)
    camera.GetFocalLengthAttr().Set(_APERTURE * motion.focal_length / width)
    camera.GetClippingRangeAttr().Set(Gf.Vec2f(0.05, _FAR))
    matrices, place = camera_to_y_up(motion), camera.AddTransformOp()
    # Gf's matrices act on row vectors.
    if matrices.ndim == 2:
        place.Set(Gf.Matrix4d(matrices.T.tolist()))
    else:
        for code, matrix in zip(codes, matrices):
            place.Set(Gf.Matrix4d(matrix.T.tolist()), float(code))
