// kustomize: builds the manifests of deploy/k8s. 5.7.1: later ones want a newer Go.
export const server = {
  name: "kustomize",
  version: "5.7.1",
  binary: "kustomize",
  go: "sigs.k8s.io/kustomize/kustomize/v5@v5.7.1",
};
