# create
xpk cluster create --tpu-type=v5litepod-16 --num-slices=1 --spot --cluster=cluster --zone=us-west4-a --project=demo
# copy
docker build --file=ROOT/launch/Dockerfile --tag=registry/image ROOT
docker push registry/image
# run
xpk workload create --workload=hpof --tpu-type=v5litepod-16 --num-slices=1 --docker-image=registry/image --max-restarts=20 '--env=TEXT=it'"'"'s' '--command=python -m hpof_jax.train --config configs/hpof.py --workdir gs://bucket/hpof --distributed --config.seed=3 '"'"'--config.data.bvh=a b'"'"'' --cluster=cluster --zone=us-west4-a --project=demo
# wait
xpk workload list --wait-for-job-completion=hpof --cluster=cluster --zone=us-west4-a --project=demo
# collect
mkdir -p runs/hpof
gcloud storage rsync --recursive '--exclude=^checkpoints/' gs://bucket/hpof runs/hpof --project=demo --quiet
# delete
xpk workload delete --workload=hpof --force --cluster=cluster --zone=us-west4-a --project=demo
xpk cluster delete --force --cluster=cluster --zone=us-west4-a --project=demo
