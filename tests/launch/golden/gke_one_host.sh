# create
gcloud container node-pools create hpof --cluster=cluster --machine-type=ct6e-standard-4t --num-nodes=1 --location=us-west4-a --project=demo --quiet
gcloud container clusters get-credentials cluster --location=us-west4-a --project=demo --quiet
# copy
docker build --file=ROOT/launch/Dockerfile --tag=registry/image ROOT
docker push registry/image
# run
kubectl apply --filename=- <<'END'
apiVersion: jobset.x-k8s.io/v1alpha2
kind: JobSet
metadata:
  name: "hpof"
spec:
  failurePolicy:
    maxRestarts: 0 # a restarted run resumes from its newest checkpoint
    rules:
      - name: wrong-input # a restart would not help
        action: FailJobSet
        onJobFailureReasons: [PodFailurePolicy]
  replicatedJobs:
    - name: workers
      replicas: 1
      template:
        spec:
          parallelism: 1
          completions: 1
          backoffLimit: 0 # one lost worker stops them all; the JobSet restarts them together
          podFailurePolicy:
            rules:
              - action: FailJob
                onExitCodes:
                  containerName: train
                  operator: In
                  values: [2]
          template:
            metadata:
              annotations:
                alpha.jobset.sigs.k8s.io/exclusive-topology: cloud.google.com/gke-nodepool
            spec:
              restartPolicy: Never
              nodeSelector:
                cloud.google.com/gke-tpu-accelerator: "tpu-v6e-slice"
                cloud.google.com/gke-tpu-topology: "2x2"
              tolerations:
                - key: google.com/tpu
                  operator: Exists
                  effect: NoSchedule
              containers:
                - name: train
                  image: "registry/image"
                  args: ["--config", "configs/hpof.py", "--workdir", "gs://bucket/hpof", "--distributed", "--config.seed=3", "--config.data.bvh=a b"]
                  env: []
                  ports:
                    - containerPort: 8471 # between the TPU's hosts
                      protocol: TCP
                    - containerPort: 8080
                      protocol: TCP
                  resources:
                    requests:
                      google.com/tpu: 4
                    limits:
                      google.com/tpu: 4
END
# wait
until [ "$(kubectl get jobset hpof '--output=jsonpath={.status.terminalState}')" = Completed ]; do sleep 30; done
# collect
mkdir -p runs/hpof
gcloud storage rsync --recursive '--exclude=^checkpoints/' gs://bucket/hpof runs/hpof --project=demo --quiet
# delete
kubectl delete jobset hpof --ignore-not-found
gcloud container node-pools delete hpof --cluster=cluster --location=us-west4-a --project=demo --quiet
