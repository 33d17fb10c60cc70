"""Which configuration did `rtmpose tune` choose for this machine, and does it still hold?"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import warnings
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rtmpose_sdk.artifacts import card_beside
from rtmpose_sdk.errors import InputError, RTMPoseWarning
from rtmpose_sdk.hub import cache
from rtmpose_sdk.images import write_bytes
from rtmpose_sdk.processor import instruction_sets, processor_name
from rtmpose_sdk.runtimes import allowed_cores
from rtmpose_sdk.values import is_whole

VERSION = 3
"""1 had no cards among the hashes and no instruction sets, 2 no input size."""
AUTO = "auto"
"""Pipeline("auto") reads the profile that was saved last."""
_AGAIN = "run `rtmpose tune` (again) on this machine"
_COUNT = "a whole number from 1"
_PARTS = {".xml": ".bin", ".param": ".bin"}
"""Kinds of artifacts whose weights lie in a file beside them."""


@dataclass(frozen=True)
class NetworkSettings:
    """How one network is opened.

    Attributes:
        path: the artifact.
        engine, precision, threads: see `rtmpose_sdk.runtimes.open_runtime`.
        sha256: of each of its files, by name.
        input_size: of a detector, where it is not its card's, see `rtmpose_sdk.detector.resized`.
    """

    path: str
    engine: str | None
    precision: str | None
    threads: int | None
    sha256: dict[str, str] = field(default_factory=dict)
    input_size: int | Sequence[int] | None = None


@dataclass(frozen=True)
class Profile:
    """A configuration, and where it was measured.

    Attributes:
        pose, detector: the two networks.
        batch_limit: most persons of one call of the pose network.
        detect_every: frames from one detection to the next.
        machine: what `this_machine` said.
        engines: version by package.
        measured: ms a frame, loss, and what the loss is of.
        constraints: what was asked for; its `threads` were OpenCV's, too, while it was measured.
    """

    pose: NetworkSettings
    detector: NetworkSettings
    batch_limit: int
    detect_every: int
    machine: dict[str, Any]
    engines: dict[str, str]
    measured: dict[str, Any]
    constraints: dict[str, Any]

    def save(self, path: Path) -> None:
        """Write it as JSON, by one rename."""
        write_bytes(path, json.dumps({"version": VERSION, **asdict(self)}, indent=1).encode())


def auto_file() -> Path:
    """Where `Pipeline("auto")` looks."""
    return cache.home() / "tuned" / "auto.json"


def this_machine() -> dict[str, Any]:
    """What a measurement holds for: processor and what it can do, system, cores that may be used."""
    return {
        "processor": processor_name(),
        "instruction sets": instruction_sets(),
        "architecture": platform.machine(),
        "system": platform.system(),
        "cores": allowed_cores(),
    }


def engine_versions(packages: Collection[str]) -> dict[str, str]:
    """Version by engine; those that are not installed are left out."""
    found = {name: engine_version(name) for name in packages}
    return {name: version for name, version in found.items() if version is not None}


def engine_version(engine: str) -> str | None:
    """Version of the distribution that the engine's module comes from; None where none is installed.

    Some come under several names: `onnxruntime` from onnxruntime-gpu, -directml and others.
    """
    try:
        return importlib.metadata.version(engine)
    except importlib.metadata.PackageNotFoundError:
        for name in importlib.metadata.packages_distributions().get(engine, ()):
            return importlib.metadata.version(name)
    return None


def hashes(path: Path) -> dict[str, str]:
    """sha256 of an artifact's files, by their place beside it; of all files of an SDK folder.

    The card beside it (`X.card.json`) is one of them.
    """
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    if path.suffix in _PARTS:
        files.append(path.with_suffix(_PARTS[path.suffix]))
    card = card_beside(path)
    if card.is_file():
        files.append(card)
    return {file.relative_to(path.parent).as_posix(): cache.sha256_of(file) for file in files}


def usable_profile(file: str | Path | None, given: Collection[str] = ()) -> Profile:
    """A profile that holds on this machine; None is the one that was saved last.

    Args:
        file: JSON that `rtmpose tune` wrote.
        given: names of arguments beside it, which it leaves no room for.

    Raises:
        InputError: there is none, it is damaged, of a later version or another machine, or an artifact is
            gone or changed.
    """
    if given:
        raise InputError(
            f"a profile says models, engines and threads by itself: leave out {', '.join(sorted(given))}, "
            "or tune with them"
        )
    path = auto_file() if file is None else Path(file)
    profile = _read(path)
    here = this_machine()
    other = [
        f"{k} {profile.machine.get(k)} (here: {here[k]})" for k in here if profile.machine.get(k) != here[k]
    ]
    if other:
        raise InputError(f"{path}: was tuned on another machine: {', '.join(other)}; {_AGAIN}")
    for network in (profile.pose, profile.detector):
        for name, digest in network.sha256.items():
            part = Path(network.path).parent / name
            if not part.is_file():
                raise InputError(f"{path}: its artifact {part} is missing; {_AGAIN}")
            if cache.sha256_of(part) != digest:
                raise InputError(f"{path}: its artifact {part} is not the one that was measured; {_AGAIN}")
        card = card_beside(Path(network.path))
        if card.is_file() and card.name not in network.sha256:
            raise InputError(f"{path}: {card} came after the measurement; {_AGAIN}")
    for package, version in profile.engines.items():
        found = engine_version(package)
        if found is None:
            raise InputError(f"{path}: needs {package} {version}, which is not installed; {_AGAIN}")
        if found != version:
            warnings.warn(
                f"{path}: measured with {package} {version}, but {found} is installed; its figures may not "
                f"hold: {_AGAIN}",
                RTMPoseWarning,
                stacklevel=3,
            )
    return profile


def _read(path: Path) -> Profile:
    try:
        raw = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        if path == auto_file():
            raise InputError(f"{path}: no profile of this machine; {_AGAIN}") from None
        raise InputError(f"{path}: no such file; `rtmpose tune --out {path}` writes a profile") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as a profile ({error}); {_AGAIN}") from None
    try:
        version = raw.pop("version")
        if version != VERSION:
            raise InputError(f"{path}: a profile of version {version}; expected {VERSION}; {_AGAIN}")
        pose, detector = NetworkSettings(**raw.pop("pose")), NetworkSettings(**raw.pop("detector"))
        profile = Profile(pose, detector, **raw)
    except (AttributeError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not a profile of `rtmpose tune` ({error}); {_AGAIN}") from None
    for name, value, fits, expected in _checks(profile):
        if not fits:
            raise InputError(f"{path}: {name} is {value!r}, expected {expected}; {_AGAIN}")
    return profile


def _checks(profile: Profile) -> Iterator[tuple[str, object, bool, str]]:
    """Each value that is read here: its name, itself, is it of the right kind, and which kind that is."""
    for part in ("pose", "detector"):
        network: NetworkSettings = getattr(profile, part)
        path, size, digests = network.path, network.input_size, network.sha256
        yield f"{part}.path", path, isinstance(path, str) and path != "", "a file"
        for key in ("engine", "precision"):
            value = getattr(network, key)
            yield f"{part}.{key}", value, value is None or isinstance(value, str), "a name or null"
        threads = network.threads
        yield f"{part}.threads", threads, threads is None or is_whole(threads, 1), f"{_COUNT}, or null"
        pair = isinstance(size, list) and len(size) == 2 and all(is_whole(n, 1) for n in size)
        yield (
            f"{part}.input_size",
            size,
            size is None or is_whole(size, 1) or pair,
            f"{_COUNT}, two, or null",
        )
        own = Path(path).name
        named = _says_texts(digests) and any(file == own or file.startswith(f"{own}/") for file in digests)
        yield f"{part}.sha256", digests, named, f"a digest by name, for {own} too"
    for key in ("batch_limit", "detect_every"):
        value = getattr(profile, key)
        yield key, value, is_whole(value, 1), _COUNT
    yield "machine", profile.machine, isinstance(profile.machine, dict), "an object"
    yield "engines", profile.engines, _says_texts(profile.engines), "versions by package"


def _says_texts(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(each, str) for each in value.values())
