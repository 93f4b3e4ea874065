"""Containers of the product's image. Unless a test says otherwise, the root is read-only; no process has a capability.

runc runs them, as container platforms do. They share the network of this machine, where the sandbox listens.
"""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

SECONDS = 60.0  # until a command in a container counts as hanging
CAPABILITY_SETS = ("bounding", "effective", "permitted", "inheritable", "ambient")
NAMESPACES = ("pid", "ipc", "uts", "mount")  # no network namespace
MOUNTS = (
    {"destination": "/proc", "type": "proc", "source": "proc"},
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
)


@dataclass(frozen=True, slots=True)
class Image:
    """The image that `.ci/container` built."""

    root: Path
    """Its file system."""
    config: Mapping[str, Any]
    """Its settings, with Docker's names: `User`, `Env`, `Entrypoint`, `Cmd`, `WorkingDir`, `Healthcheck`."""

    @classmethod
    def built(cls) -> Self:
        """Read the variables that `.ci/container` sets. AssertionError without them."""
        assert "CONTAINER_ROOT" in os.environ, "run `make container`: it builds the image that these tests run"
        inspected = json.loads(Path(os.environ["CONTAINER_IMAGE"]).read_text("utf-8"))
        return cls(Path(os.environ["CONTAINER_ROOT"]), inspected["Docker"]["config"])

    @property
    def user(self) -> tuple[int, int]:
        """The numbers of the user and the group."""
        user, _, group = self.config["User"].partition(":")
        return int(user), int(group)

    @property
    def environment(self) -> dict[str, str]:
        """The image's own environment variables."""
        return dict(each.split("=", 1) for each in self.config["Env"])


@dataclass(frozen=True, slots=True)
class Container:
    """One container. `folder` holds its specification, its volumes and runc's state."""

    image: Image
    folder: Path
    read_only: bool = True
    """True if only the volume at /data can be written."""
    mounted: bool = True
    """False if no folder of this machine is mounted, as in the container of the template."""

    @property
    def volumes(self) -> dict[str, Path]:
        """The folders on this machine that are mounted if `mounted`, by their paths in the container."""
        return {"/data": self.folder / "data", "/config": self.folder / "config"}

    def command(
        self, *words: str, environment: Mapping[str, str], entrypoint: Sequence[str] | None = None
    ) -> list[str]:
        """Write the specification. Return the command that runs the container with these arguments.

        Without arguments, the image's own are used. `entrypoint` replaces the image's.
        """
        for path in self.volumes.values():
            path.mkdir(parents=True, exist_ok=True)
        os.chown(self.volumes["/data"], *self.image.user)
        entry = self.image.config["Entrypoint"] if entrypoint is None else entrypoint
        arguments = [*entry, *(words or self.image.config["Cmd"])]
        specification = self._specification(arguments, {**self.image.environment, **environment})
        (self.folder / "config.json").write_text(json.dumps(specification), "utf-8")
        return [*self._runc, "run", "--bundle", str(self.folder), self._name]

    def run(
        self, *words: str, entrypoint: Sequence[str] | None = None, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run the container with these arguments until it ends, by default without settings."""
        return _ran(self.command(*words, environment=environment or {}, entrypoint=entrypoint))

    def check_health(self) -> subprocess.CompletedProcess[str]:
        """Run the image's health check in the running container, as a container platform does."""
        kind, *words = self.image.config["Healthcheck"]["Test"]
        assert kind == "CMD"
        return _ran([*self._runc, "exec", self._name, *words])

    def remove(self) -> None:
        """Kill the container if it runs, and remove runc's state."""
        _ran([*self._runc, "delete", "--force", self._name])

    @property
    def _runc(self) -> list[str]:
        return ["runc", "--root", str(self.folder / "state")]

    @property
    def _name(self) -> str:
        return f"node-access-{self.folder.name}"

    def _specification(self, arguments: Sequence[str], environment: Mapping[str, str]) -> dict[str, Any]:
        uid, gid = self.image.user
        volumes = [
            {"destination": inside, "type": "bind", "source": str(path), "options": ["bind", mode]}
            for (inside, path), mode in zip(self.volumes.items(), ("rw", "ro"), strict=True)
        ]
        return {
            "ociVersion": "1.0.2",
            "root": {"path": str(self.image.root), "readonly": self.read_only},
            "mounts": [*MOUNTS, *(volumes if self.mounted else ())],
            "linux": {"namespaces": [{"type": each} for each in NAMESPACES]},
            "process": {
                "user": {"uid": uid, "gid": gid},
                "args": list(arguments),
                "env": [f"{name}={value}" for name, value in environment.items()],
                "cwd": self.image.config["WorkingDir"],
                "noNewPrivileges": True,
                "capabilities": {each: [] for each in CAPABILITY_SETS},
            },
        }


def _ran(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
