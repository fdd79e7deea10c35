# create
gcloud compute tpus tpu-vm create hpof --accelerator-type=v5litepod-16 --version=v2-alpha-tpuv5-lite --spot --zone=us-west4-a --project=demo --quiet
# copy
git -C ROOT archive --format=tar.gz --output=ROOT/hpof_jax.tar.gz HEAD
gcloud compute tpus tpu-vm scp ROOT/hpof_jax.tar.gz hpof: --worker=all --zone=us-west4-a --project=demo --quiet
# install
gcloud compute tpus tpu-vm ssh hpof --worker=all '--command=set -e; rm -rf hpof_jax; mkdir hpof_jax; tar -xzf hpof_jax.tar.gz -C hpof_jax; cd hpof_jax; python3 -m pip install --quiet --user uv; python3 -m uv venv --quiet --python 3.12 .venv; python3 -m uv pip install --quiet --python .venv/bin/python -c requirements.txt -e '"'"'.[train,tpu]'"'"'' --zone=us-west4-a --project=demo --quiet
# run
gcloud compute tpus tpu-vm ssh hpof --worker=all '--command=cd hpof_jax && env '"'"'TEXT=it'"'"'"'"'"'"'"'"'s'"'"' .venv/bin/python -m hpof_jax.train --config configs/hpof.py --workdir gs://bucket/hpof --distributed --config.seed=3 '"'"'--config.data.bvh=a b'"'"'' --zone=us-west4-a --project=demo --quiet
# collect
mkdir -p runs/hpof
gcloud storage rsync --recursive '--exclude=^checkpoints/' gs://bucket/hpof runs/hpof --project=demo --quiet
# delete
gcloud compute tpus tpu-vm delete hpof --zone=us-west4-a --project=demo --quiet
# After a failure, at most 20 times: from copy on, if this prints READY,
# else delete, and from create on:
# gcloud compute tpus tpu-vm describe hpof '--format=value(state)' --zone=us-west4-a --project=demo --quiet
