# install
python3 -m venv ROOT/.venv
ROOT/.venv/bin/python -m pip install --quiet -c ROOT/requirements.txt -e 'ROOT[train,cuda]'
# run
env RESTARTS=20 'TEXT=it'"'"'s' sbatch --job-name=hpof --chdir=ROOT --nodes=2 --gpus-per-node=8 --ntasks-per-node=8 ROOT/launch/slurm.sbatch --config configs/hpof.py --workdir /shared/runs/hpof --distributed --config.seed=3 '--config.data.bvh=a b'
# delete
scancel --name=hpof
