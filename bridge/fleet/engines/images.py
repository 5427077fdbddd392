"""The fleet's images: which are missing, which are built because their inputs changed, and which nothing uses any more."""

import hashlib
from collections.abc import Collection
from contextlib import suppress

from bridge.fleet import files
from bridge.fleet.engines import EngineError, build_cache, checkout, docker
from bridge.fleet.engines.builds import Build, build
from bridge.fleet.engines.composed import DOOR, EGRESS, GROUPS, HEALTHY, PULL, Composed
from bridge.fleet.engines.programs import Failed, run
from bridge.fleet.model import Fleet
from bridge.fleet.project import private
from bridge.fleet.stanza import Stanza
from bridge.pins.lock import FILE as PINS

VERSIONS = "registry.json"  # of what the door is made of: what changes with the versions of MCPs, as its page's facts do
GENERATIONS = 3  # of an MCP's images that have a second name


class Images(Composed):
    leaves_door = False  # all calls go through it: another version of one MCP is no reason to start it anew

    def missing(self, fleet: Fleet, names: Collection[str]) -> list[str]:
        """Images that many need. What is built already needs none; what one MCP alone needs is its own trouble."""
        wanted = [stanza for stanza in fleet.sidecars if stanza.name in names]
        bases = [fleet.python_image, *([fleet.node_image] if any(stanza.kind == "node" for stanza in wanted) else [])]
        here, project = docker.images(), checkout.name_of(self.project)
        is_built = all(
            f"{project}-{name}:latest" in here
            for name in (DOOR, *_proxy(wanted), *([GROUPS] if fleet.groups else []), *(stanza.name for stanza in wanted))
        )
        needed = [
            *([] if is_built else bases),
            fleet.python_image,
            fleet.litellm.image_name,
            fleet.prometheus_image,
            *([fleet.postgres_image] if fleet.litellm.database or any(stanza.needs for stanza in wanted) else []),
        ]
        return [
            image
            for image in map(fleet.pinned, dict.fromkeys(needed))
            if not (image in here or f"{image}:latest" in here or docker.has_image(image))
        ]

    def fetch(self, images: Collection[str]) -> str:
        for image in images:
            self.say(f"pulling {image}")
            try:
                run(["docker", "pull", "--quiet", image], PULL)
            except Failed as error:
                return f"the image {image} is not here and cannot be pulled ({error.reason})"
        return ""

    def _build(self, sidecars: list[Stanza], has_groups: bool = False) -> dict[str, str]:
        """Build the images whose inputs are not what they were made from. Returns why some cannot be. Raises EngineError if the door cannot."""
        memory, here = self._memory(), docker.images()
        shared = files.digest([self.project.root / "bridge", self.project.images / "bridge.lock", self.project.images / "installer.lock"])
        door = [self.project.compose / "door", self.project.root / "bridge/page"]
        inputs = {
            DOOR: files.digest(door),
            **{name: files.digest([self.project.compose / name, self.project.root / "bridge/egress"]) for name in _proxy(sidecars)},
            **({GROUPS: shared + files.digest([self.project.compose / GROUPS / "Dockerfile"])} if has_groups else {}),
            **{stanza.name: shared + files.digest([self.project.folder(stanza)], ("stanza.yaml", PINS)) for stanza in sidecars},
        }
        todo = [
            name
            for name, digest in inputs.items()
            if (memory["built"].get(name) != digest or self._image(name) not in here) and not self._went_back(name, digest, here)
        ]
        without_versions = files.digest(door, (VERSIONS, "fleet.json"))
        if self.leaves_door and self._image(DOOR) in here and memory["built"].get(VERSIONS) == without_versions:
            todo = [name for name in todo if name != DOOR]
        memory = self._memory()
        if not todo:
            return {}
        if not (self.project.root / "bridge").is_dir():
            raise EngineError(
                f"images are built from a clone of mcp-bridge, and {self.project.root} has no 'bridge' in it: --engine embedded needs none"
            )
        self.say(f"building {', '.join(todo)}")
        tags = {self._image(name) for name in todo}
        memory["replaced"] |= {id: tag for tag, id in here.items() if tag in tags}
        logs = private(self.project.state / "build")

        def built(name: str) -> None:
            memory["built"] |= {name: inputs[name]} | ({VERSIONS: without_versions} if name == DOOR else {})
            self._remember(memory)

        def command(name: str) -> list[str]:
            return [*self._compose(self.project.compose / f"{name}.yaml"), "--profile", "*", "--progress", "plain", "build", name]

        self._remember(memory)
        made = [Build(name, command(name), logs / f"{name}.log") for name in todo]
        failed = build(made, self._environment(), self.say, built, make_room=lambda: build_cache.free(self.project, self.say))
        docker.refuse_without_engine(failed)
        if DOOR in failed:
            raise EngineError(
                f"the image of the door, which all MCPs stand behind, cannot be built: {failed[DOOR]}\nall of it: {logs / 'door.log'}"
            )
        return {name: f"cannot be built: {said}{docker.room_for(said)} (all of it: {logs / name}.log)" for name, said in failed.items()}

    def _image(self, name: str) -> str:
        return f"{self.project_name}-{name}:latest"

    def _kept(self, name: str, digest: str) -> str:
        """What an image of these inputs is called that a newer one may replace."""
        return f"{checkout.name_of(self.project)}-{name}:kept-{hashlib.sha256(digest.encode()).hexdigest()[:16]}"

    def _keep(self, names: Collection[str]) -> None:
        """Give the images of these a second name, by which `_build` finds them again. The last few count."""
        memory, here = self._memory(), docker.images()
        for name in names:
            digest = memory["built"].get(name)
            if digest and self._image(name) in here:
                docker.asked(["docker", "image", "tag", self._image(name), self._kept(name, digest)])
                before = [one for one in memory["kept"].get(name, "").split() if one != digest]
                memory["kept"][name] = " ".join([*before, digest][-GENERATIONS:])
        self._remember(memory)

    def _went_back(self, name: str, digest: str, here: dict[str, str]) -> bool:
        """Whether an image of these inputs was kept; it is the MCP's again then, and nothing is built or fetched."""
        if self._kept(name, digest) not in here:
            return False
        memory = self._memory()
        if self._image(name) in here:
            memory["replaced"][here[self._image(name)]] = self._image(name)
        self._remember(memory | {"built": memory["built"] | {name: ""}})  # killed between the two, nobody takes the one for the other
        if isinstance(docker.asked(["docker", "image", "tag", self._kept(name, digest), self._image(name)]), Failed):
            return False
        self._remember(memory | {"built": memory["built"] | {name: digest}})
        return True

    def _forget_replaced(self) -> None:
        """Remove the images that newer ones have replaced, but those that somebody has given another name, or uses."""
        memory = self._memory()
        if not memory["replaced"]:
            return
        for id in memory["replaced"].keys() - docker.images().values():
            docker.asked(["docker", "image", "rm", id])
        memory["replaced"] = {}
        self._remember(memory)

    def built(self) -> str:
        images = self._built_images()
        return f"also kept: {len(images)} images and what Docker remembers of their making: `mcp-bridge prune` frees both" if images else ""

    def _built_images(self) -> dict[str, str]:
        """This project's images that no container uses, with their ids. That their names begin with ours says nothing: `mcp-a1b2c3-time`
        is another project's than that of `mcp`."""
        name = checkout.name_of(self.project)
        used = {one.image for one in checkout.details(name).values()}
        here = docker.images(f"label={checkout.LABEL}.project={name}")
        return {
            tag: id
            for tag, id in here.items()
            if tag.startswith(f"{name}-") and id not in used and tag not in self._for_rollback(name, here)
        }

    def _for_rollback(self, project: str, here: dict[str, str]) -> list[str]:
        """Of each MCP that was updated: the image that it had before."""
        tags = []
        for name, digests in self._memory()["kept"].items():
            others = [self._kept(name, digest) for digest in digests.split()]
            tags += [tag for tag in others if tag in here and here[tag] != here.get(f"{project}-{name}:latest")][-1:]
        return tags

    def prune(self) -> str:
        self._containers()  # refuses where they are another folder's
        images = self._built_images()
        if images:
            self.say(f"removing {len(images)} images")
            with suppress(Failed):  # of those that it cannot remove; the others it does
                run(["docker", "image", "rm", *images], HEALTHY)
        memory = self._memory()
        self._remember(
            memory
            | {
                "built": {
                    name: digest
                    for name, digest in memory["built"].items()
                    if f"{checkout.name_of(self.project)}-{name}:latest" not in images
                }
            }
        )
        freed = build_cache.free(self.project, self.say)
        return f"removed {len(images)} images that nothing uses; freed {freed} of build cache"


def _proxy(stanzas: list[Stanza]) -> list[str]:
    """The proxy, where one of these needs it."""
    return [EGRESS] if any(stanza.reaches for stanza in stanzas) else []
