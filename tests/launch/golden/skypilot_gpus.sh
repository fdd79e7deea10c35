# run
tee hpof.sky.yaml <<'END'
name: "hpof"
resources:
  accelerators: "H100:8"
  accelerator_args: {}
  use_spot: false
  job_recovery:
    strategy: FAILOVER # a preempted job is started again, first in the same region
    max_restarts_on_errors: 20
workdir: "ROOT"
envs: {"TEXT": "it's"}
setup: |
  set -e
  python3 -m pip install --quiet --user uv
  python3 -m uv venv --quiet --allow-existing --python 3.12 .venv
  python3 -m uv pip install --quiet --python .venv/bin/python -c requirements.txt -e ".[train,cuda]"
run: ".venv/bin/python -m hpof_jax.train --config configs/hpof.py --workdir gs://bucket/hpof --config.seed=3 '--config.data.bvh=a b'"
END
sky jobs launch --name=hpof --yes hpof.sky.yaml
# delete
sky jobs cancel --name=hpof --yes
