"""The manifests of this folder as Kubernetes would see them: rendered, and each container with its files and arguments."""

import contextlib
import pathlib
import re
import shutil
import subprocess
import tempfile

import yaml

HERE = pathlib.Path(__file__).resolve().parent


@contextlib.contextmanager
def kustomization(resource, component):
    """A kustomization of both, as a user would write one."""
    folder = pathlib.Path(tempfile.mkdtemp(dir=HERE, prefix=".tmp-"))
    try:
        text = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
        text |= {"resources": [resource], "components": [component]}
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(text))
        yield folder
    finally:
        shutil.rmtree(folder)


class Rendered:
    """What `kubectl apply -k` would send."""

    def __init__(self, folder):
        text = subprocess.run(["kubectl", "kustomize", folder], check=True, capture_output=True, text=True).stdout
        self.documents = list(yaml.safe_load_all(text))

    def one(self, kind, name=None):
        """The only document of that kind, or that of the name."""
        (found,) = [it for it in self.documents if it["kind"] == kind and name in (None, it["metadata"]["name"])]
        return found

    def pod(self):
        (found,) = [it for it in self.documents if it["kind"] in ("DaemonSet", "Deployment")]
        return found["spec"]["template"]["spec"]

    def containers(self):
        pod = self.pod()
        return pod.get("initContainers", []) + pod["containers"]

    def environment(self, container):
        found = {}
        for source in container.get("envFrom", []):
            found |= self.one("ConfigMap", source["configMapRef"]["name"])["data"]
        for variable in container.get("env", []):
            found[variable["name"]] = variable["value"]
        return found

    def arguments(self, container):
        """With `$(VARIABLE)` replaced, as the kubelet does it."""
        environment = self.environment(container)
        replace = lambda text: re.sub(r"\$\((\w+)\)", lambda it: environment[it[1]], text)
        return [replace(it) for it in container.get("args", [])]

    def volume(self, name):
        (found,) = [it for it in self.pod()["volumes"] if it["name"] == name]
        return found


@contextlib.contextmanager
def files_of(rendered, container):
    """A folder with what the container's ConfigMaps put into its file system, laid as the kubelet lays it."""
    with tempfile.TemporaryDirectory() as root:
        for mount in container["volumeMounts"]:
            volume = rendered.volume(mount["name"])
            at = pathlib.Path(root) / mount["mountPath"].lstrip("/")
            at.mkdir(parents=True)
            if "configMap" in volume:
                lay(rendered, volume["configMap"], at)
        yield root


def lay(rendered, volume, at):
    """The files stand in a folder with a date, which links lead to."""
    data = rendered.one("ConfigMap", volume["name"])["data"]
    real = at / "..2026_01_01_00_00_00.1"
    (at / "..data").symlink_to(real.name)
    for item in volume["items"]:
        file = real / item["path"]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(data[item["key"]])
        first = pathlib.Path(item["path"]).parts[0]
        if not (at / first).is_symlink():
            (at / first).symlink_to(f"..data/{first}")
