"""Architecture laws: pure functions from a source tree to a list of violations.

``test_imports.py`` and ``test_language.py`` run them on the repository, ``test_planted.py`` on planted faults. A
violation names file and line, what is wrong, and what to do instead.
"""

import ast
from collections.abc import Callable, Iterator
from typing import Final

from tests.architecture.imports import (
    Import,
    Tree,
    all_imports,
    import_graph,
    module_of,
    nodes,
    shortest_chain,
    used_names,
    within,
)

Law = Callable[[Tree], list[str]]

CONTRACTS, VISION, CODEC = "siad.contracts", "siad.vision", "siad.contracts.codec"

# Whitelist: modules of the standard library that read no clock, environment, file or socket, and draw no random number.
PURE: Final = frozenset(
    {
        *("abc", "array", "base64", "binascii", "bisect", "collections", "contextlib", "copy", "dataclasses"),
        *(
            "datetime",
            "decimal",
            "enum",
            "fractions",
            "functools",
            "hashlib",
            "heapq",
            "html",
            "itertools",
            "json",
            "math",
        ),
        *("operator", "re", "statistics", "string", "struct", "textwrap", "types", "typing", "zlib"),
    }
)
ARRAYS: Final = ("numpy", "cv2", "imagecodecs", "simplejpeg", "scipy", "sklearn")
GENERATED: Final = ("siad.v1",)

# Floors from bottom to top; rooms on one floor do not import each other.
FLOORS: Final = (
    ("siad.contracts",),
    ("siad.vision",),
    ("siad.runtime", "siad.models"),
    ("siad.erasure",),
    ("siad.audit",),
    ("services",),
    ("siad.apps",),
)
FLOOR_OF: Final = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}

TORCH_ROOMS: Final = ("siad.models", "services.trainer.job", "services.labeler.scorer", "siad.apps.lab")
RAY_ROOMS: Final = ("services.trainer.job", "services.labeler.scorer")
# Processes that only consume records and call others: starting one must not cost seconds and a gigabyte for torch.
CONSUMERS: Final = (
    *("siad.contracts", "siad.vision", "siad.runtime", "siad.erasure", "siad.audit"),
    *("services.ingest", "services.labeler", "services.console", "services.trainer", "services.inference"),
)
HEAVY: Final = ("torch", "ray")

# What the deciding modules of a stage may import from their own stage.
MAY_IMPORT: Final = {
    "handlers": frozenset({"domain", "metrics", "ports", "settings"}),
    "reconcile": frozenset({"domain", "handlers", "metrics", "ports", "settings"}),
    "routes": frozenset({"domain", "handlers", "metrics", "ports", "settings", "wire"}),
}

# Modules that decide take values and ports: pointers are values of contracts, the registry and the lines are adapters.
DECIDING: Final = ("domain", "handlers", "ports", "reconcile", "routes")
STORE: Final = "siad.runtime.store"

CLOCK: Final = frozenset(
    f"datetime.{name}" for name in ("datetime.now", "datetime.utcnow", "datetime.today", "date.today")
)
SEEDED: Final = frozenset({"BitGenerator", "Generator", "PCG64", "Philox", "SeedSequence", "default_rng"})
IO: Final = frozenset(
    {
        *("open", "print", "input", "exec", "eval", "breakpoint", "__import__"),
        *("numpy.load", "numpy.save", "numpy.savez", "numpy.savez_compressed", "numpy.savetxt", "numpy.loadtxt"),
        *("numpy.genfromtxt", "numpy.fromfile", "numpy.memmap"),
        *("cv2.imread", "cv2.imreadmulti", "cv2.imwrite", "cv2.imwritemulti"),
        *("cv2.FileStorage", "cv2.VideoCapture", "cv2.VideoWriter"),
    }
)
OPENCV_RANDOM: Final = frozenset({"cv2.randn", "cv2.randu", "cv2.randShuffle", "cv2.setRNGSeed", "cv2.theRNG"})

MUTATING: Final = frozenset(
    {
        *("acquire", "add", "append", "appendleft", "cancel", "clear", "close", "commit", "delete"),
        *("difference_update", "discard", "execute", "extend", "extendleft", "get_nowait", "insert"),
        *("intersection_update", "mkdir", "move_to_end", "next", "pop", "popitem", "popleft", "publish", "put"),
        *("put_nowait", "read", "readline", "recv", "register", "release", "remove", "rename", "reverse", "rmdir"),
        *("rotate", "seek", "send", "set", "setdefault", "sort", "start", "stop", "submit"),
        *("symmetric_difference_update", "touch", "truncate", "unlink", "update", "write", "write_bytes"),
        *("write_text",),
    }
)


def contracts_import_only_the_standard_library(tree: Tree) -> list[str]:
    """Contracts: the pure part of the standard library; the codec also protobuf and the generated messages."""

    def is_allowed(one: Import) -> bool:
        if module_of(one.path) == CODEC and within(one.target, "google.protobuf", *GENERATED):
            return True
        return one.target.partition(".")[0] in PURE or within(one.target, CONTRACTS)

    return [
        f"{one}: contracts import only the pure standard library (PURE in laws.py); move this code to the room it needs"
        for one in all_imports(tree, CONTRACTS)
        if not is_allowed(one)
    ]


def vision_imports_only_arrays(tree: Tree) -> list[str]:
    """Vision: the pure standard library, contracts, NumPy, OpenCV, codecs, SciPy and scikit-learn."""
    return [
        f"{one}: vision imports only {', '.join(ARRAYS)}, contracts and the pure standard library (PURE in laws.py)"
        for one in all_imports(tree, VISION)
        if one.target.partition(".")[0] not in PURE and not within(one.target, *ARRAYS, CONTRACTS, VISION)
    ]


def contracts_and_vision_are_pure(tree: Tree) -> list[str]:
    """No clock, global randomness, files or console; time and generators come in as arguments."""
    found = []
    for path, source in tree.items():
        if within(module_of(path), CONTRACTS, VISION):
            found += [
                f"{path}:{line} uses {name}: {advice}"
                for line, name in used_names(path, source)
                if (advice := _impurity(name))
            ]
            found += [f"{path}:{line} calls default_rng(): take a Generator or a seed" for line in _unseeded(source)]
    return found


def _impurity(name: str) -> str | None:
    if name in CLOCK:
        return "take the moment as an argument"
    if name == "numpy.random" or name in OPENCV_RANDOM:
        return "take a numpy Generator as an argument"
    if name.startswith("numpy.random.") and name.split(".")[2] not in SEEDED:
        return "take a numpy Generator as an argument"
    if name in IO or name.endswith(".tofile"):
        return "take and return bytes or arrays; files and the console belong to runtime and apps"
    return None


def _unseeded(source: str) -> Iterator[int]:
    for node in nodes(source):
        match node:
            case ast.Call(func=ast.Name(id="default_rng") | ast.Attribute(attr="default_rng"), args=[], keywords=[]):
                yield node.lineno
            case _:
                continue


def torch_stays_in_its_rooms(tree: Tree) -> list[str]:
    """Torch: models, the training job, the scorer and the evaluation lab."""
    return [
        f"{one}: torch belongs to {', '.join(TORCH_ROOMS)}; give siad.models a function that does this"
        for one in all_imports(tree, "siad", "services")
        if within(one.target, "torch", "torchvision") and not within(module_of(one.path), *TORCH_ROOMS)
    ]


def ray_stays_in_its_rooms(tree: Tree) -> list[str]:
    """Ray: the training job and the scorer."""
    return [
        f"{one}: Ray belongs to {' and '.join(RAY_ROOMS)}; talk to them over HTTP or a child process"
        for one in all_imports(tree, "siad", "services")
        if within(one.target, "ray") and not within(module_of(one.path), *RAY_ROOMS)
    ]


def apps_are_imported_only_by_apps(tree: Tree) -> list[str]:
    """Apps: the top floor."""
    return [
        f"{one}: nothing imports siad.apps but itself; move what is shared to a room below"
        for one in all_imports(tree, "siad", "services")
        if within(one.target, "siad.apps") and not within(module_of(one.path), "siad.apps")
    ]


def imports_lead_down(tree: Tree) -> list[str]:
    """Every module lies in a room of a floor, and imports only its own room and the floors below."""
    found = []
    for path in tree:
        module = module_of(path)
        if within(module, "siad") and module != "siad" and not within(module, *GENERATED) and _room(module) is None:
            found.append(f"{path}:1 lies on no floor: put it in one of {', '.join(FLOOR_OF)}, or add a room to FLOORS")
    for one in all_imports(tree, "siad", "services"):
        source, target = _room(module_of(one.path)), _room(one.target)
        if source is None or target is None or source == target or FLOOR_OF[target] < FLOOR_OF[source]:
            continue
        found.append(f"{one}: {source} lies below or beside {target}; move the shared part down, or this part up")
    return found


def _room(module: str) -> str | None:
    return next((room for room in FLOOR_OF if within(module, room)), None)


def stages_are_independent(tree: Tree) -> list[str]:
    """Stages talk through events only."""
    found = []
    for one in all_imports(tree, "services"):
        own, other = _stage(module_of(one.path)), _stage(one.target)
        if own and other and own != other:
            found.append(f"{one}: stages talk through events; move what both need to siad")
    return found


def _stage(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "services" and len(parts) > 1 else None


def deciding_modules_import_ports_only(tree: Tree) -> list[str]:
    """Handlers, reconcilers and routes see ports; ``app.py`` gives them the adapters."""
    found = []
    for one in all_imports(tree, "services"):
        parts, target = module_of(one.path).split("."), one.target.split(".")
        if len(parts) != 3 or parts[2] not in MAY_IMPORT or target[:2] != parts[:2]:
            continue
        if len(target) < 3 or target[2] not in MAY_IMPORT[parts[2]]:
            allowed = ", ".join(sorted(MAY_IMPORT[parts[2]]))
            found.append(f"{one}: {parts[2]}.py imports only {allowed}; declare a port and let app.py pass the adapter")
    return found


def deciding_modules_know_no_store(tree: Tree) -> list[str]:
    """Deciding modules and domains reach the store through ports only."""
    return [
        f"{one}: {STORE} is for adapters and app.py; declare a port, or take a value of siad.contracts"
        for one in all_imports(tree, "services")
        if within(one.target, STORE) and any(part in DECIDING for part in module_of(one.path).split(".")[2:3])
    ]


def generated_code_belongs_to_the_codec(tree: Tree) -> list[str]:
    """Generated messages: imported by the codec alone."""
    return [
        f"{one}: generated code is read only by {CODEC}; use the dataclasses of siad.contracts.events"
        for one in all_imports(tree, "siad", "services")
        if within(one.target, *GENERATED) and module_of(one.path) != CODEC
    ]


def consumers_reach_neither_torch_nor_ray(tree: Tree) -> list[str]:
    """Consumer processes: no import chain, however long, leads to torch or Ray.

    Only the first module of a chain is reported: the one whose next step leaves the consumers.
    """
    graph = import_graph(tree)
    light = {name for name in graph if within(name, *CONSUMERS) and not within(name, *RAY_ROOMS)}
    found = []
    for path in tree:
        module = module_of(path)
        if module not in light:
            continue
        for following in sorted(graph[module] - light):
            if chain := shortest_chain(graph, following, HEAVY):
                way = " -> ".join([module, *chain])
                found.append(f"{path}:1 loads {chain[-1]} ({way}): call the scorer or the job as a process instead")
    return found


def asserts_have_no_side_effects(tree: Tree) -> list[str]:
    """Asserts vanish under ``python -O``: they may look, not act."""
    return [
        f"{path}:{node.lineno} asserts {act}: python -O removes this; act first, then assert the result"
        for path, source in tree.items()
        for node in nodes(source)
        if isinstance(node, ast.Assert) and (act := _act(node))
    ]


def _act(statement: ast.Assert) -> str | None:
    for node in ast.walk(statement):
        match node:
            case ast.NamedExpr() | ast.Await() | ast.Yield() | ast.YieldFrom():
                return ast.unparse(node)
            case ast.Call(func=ast.Attribute(attr=name)) if name in MUTATING:
                return ast.unparse(node)
            case ast.Call(func=ast.Name(id="next" | "setattr" | "delattr" | "exec" | "open" | "print")):
                return ast.unparse(node)
            case _:
                continue
    return None


IMPORT_LAWS: Final[tuple[Law, ...]] = (
    contracts_import_only_the_standard_library,
    vision_imports_only_arrays,
    contracts_and_vision_are_pure,
    torch_stays_in_its_rooms,
    ray_stays_in_its_rooms,
    apps_are_imported_only_by_apps,
    imports_lead_down,
    stages_are_independent,
    deciding_modules_import_ports_only,
    deciding_modules_know_no_store,
    generated_code_belongs_to_the_codec,
    consumers_reach_neither_torch_nor_ray,
)
LANGUAGE_LAWS: Final[tuple[Law, ...]] = (asserts_have_no_side_effects,)
