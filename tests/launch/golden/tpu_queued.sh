# create
gcloud compute tpus queued-resources create hpof --node-id=hpof --accelerator-type=v4-32 --runtime-version=tpu-ubuntu2204-base --spot --valid-until-duration=6h --zone=us-west4-a --project=demo --quiet
# wait
until [ "$(gcloud compute tpus queued-resources describe hpof '--format=value(state.state)' --zone=us-west4-a --project=demo --quiet)" = ACTIVE ]; do sleep 30; done
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
gcloud compute tpus queued-resources delete hpof --force --zone=us-west4-a --project=demo --quiet
# After a failure, at most 20 times: from copy on, if this prints ACTIVE,
# else delete, and from create on:
# gcloud compute tpus queued-resources describe hpof '--format=value(state.state)' --zone=us-west4-a --project=demo --quiet
