"""`python -m hpof_jax COMMAND ...`: the same as `python -m hpof_jax.COMMAND ...`."""

import runpy
import sys

COMMANDS = {
    "reconstruct": "the body in a video, per frame",
    "train": "train a model",
    "evaluate": "measure a model",
    "doctor": "what is installed, cached and missing",
}


def main() -> int:
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        asked_for_help = sys.argv[1:2] in (["-h"], ["--help"])
        lines = "\n".join(f"  {name:<12} {what}" for name, what in COMMANDS.items())
        print(
            f"usage: python -m hpof_jax COMMAND ...\n{lines}", file=sys.stdout if asked_for_help else sys.stderr
        )
        return 0 if asked_for_help else 2
    command = sys.argv.pop(1)
    runpy.run_module(f"hpof_jax.{command}", run_name="__main__", alter_sys=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
