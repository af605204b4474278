"""All targets. Each process loads only the module of its own."""

from importlib import import_module

from fuzz.targets.target import Target

_MODULES = {
    "elector": ("elector-events", "elector-announcement", "elector-response", "elector-url"),
    "kubernetes": ("lease", "lease-response", "lease-watch"),
    "local": ("lock-file", "output-prefix", "output-json", "own-log", "notification", "setting"),
    "served": ("http-request", "control-request", "control-answer", "peer"),
    "stores": ("etcd", "postgres", "redis"),
}
NAMES = tuple(sorted(name for names in _MODULES.values() for name in names))


def target(name: str) -> Target:
    """Return the target of this name."""
    (module,) = (module for module, names in _MODULES.items() if name in names)
    found: Target = import_module(f"fuzz.targets.{module}").TARGETS[name]
    return found
