# run
tee hpof.sky.yaml <<'END'
name: "hpof"
resources:
  accelerators: "tpu-v5litepod-16"
  accelerator_args: {"runtime_version": "v2-alpha-tpuv5-lite"}
  use_spot: true
  job_recovery:
    strategy: FAILOVER # a preempted job is started again, first in the same region
    max_restarts_on_errors: 20
workdir: "ROOT"
envs: {"TEXT": "it's"}
setup: |
  set -e
  python3 -m pip install --quiet --user uv
  python3 -m uv venv --quiet --allow-existing --python 3.12 .venv
  python3 -m uv pip install --quiet --python .venv/bin/python -c requirements.txt -e ".[train,tpu]"
run: ".venv/bin/python -m hpof_jax.train --config configs/hpof.py --workdir gs://bucket/hpof --distributed --config.seed=3 '--config.data.bvh=a b'"
END
sky jobs launch --name=hpof --yes hpof.sky.yaml
# delete
sky jobs cancel --name=hpof --yes
