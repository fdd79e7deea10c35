"""`python -m hpof_jax COMMAND ...` and the installed programs run `python -m hpof_jax.COMMAND ...`."""

import functools
import runpy
import sys

from hpof_jax import interrupt

COMMANDS = {
    "reconstruct": "recover the body from a video",
    "live": "recover the body frame by frame, from a webcam or a stream",
    "export": "write its motion for Blender, Unity, OpenSim and others",
    "export_model": "write the model as StableHLO or ONNX",
    "train": "train a model",
    "average": "average the parameters of two models, one trained from the other",
    "evaluate": "measure a model's errors",
    "ablate": "train the method without each of its parts, and compare",
    "data": "make training data: rendered people, observed by the detector",
    "downloads": "fetch the files that a reconstruction needs, to work offline",
    "doctor": "show what is installed, cached and missing",
}


def main() -> int:
    """Runs the command that the first argument names; returns 2 if it names none."""
    if len(sys.argv) > 1 and sys.argv[1] in COMMANDS:
        _run(sys.argv.pop(1))
        return 0
    lines = "\n".join(f"  {name:<12} {what}" for name, what in COMMANDS.items())
    asked_for_help = sys.argv[1:] in (["-h"], ["--help"])
    usage = (
        "usage: python -m hpof_jax COMMAND ...\n\nRecovers the 3D body of a person from a video, and trains the "
        f"model that does it.\n\n{lines}\n\npython -m hpof_jax reconstruct clip.mp4   writes out/overlay.mp4 and "
        "out/motion.npz\npython -m hpof_jax COMMAND --help          lists a command's options"
    )
    print(usage, file=sys.stdout if asked_for_help else sys.stderr)
    return 0 if asked_for_help else 2


def _run(command: str) -> None:
    interrupt.install()
    runpy.run_module(f"hpof_jax.{command}", run_name="__main__", alter_sys=True)


reconstruct = functools.partial(_run, "reconstruct")
live = functools.partial(_run, "live")
export = functools.partial(_run, "export")
export_model = functools.partial(_run, "export_model")
train = functools.partial(_run, "train")
evaluate = functools.partial(_run, "evaluate")
ablate = functools.partial(_run, "ablate")
data = functools.partial(_run, "data")
doctor = functools.partial(_run, "doctor")

if __name__ == "__main__":
    sys.exit(main())
