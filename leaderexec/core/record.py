"""Immutable records that cost almost nothing to define.

A frozen dataclass takes half a millisecond of start-up each, most of it to compile generated
methods. A record means the same to a type checker, and shares its methods with all others.
"""

from leaderexec.light_typing import Any, TypeVar, dataclass_transform


@dataclass_transform(frozen_default=True)
class Record:
    """Fields are a subclass's annotations, in order; a class attribute is the default."""

    __match_args__: tuple[str, ...] = ()

    def __init_subclass__(cls) -> None:
        cls.__match_args__ = tuple(cls.__annotations__)  # type: ignore[misc]

    def __init__(self, *values: Any, **named: Any) -> None:
        fields = self.__match_args__
        if len(values) > len(fields):
            raise TypeError(f"{type(self).__name__} has {len(fields)} fields, not {len(values)}")
        own = self.__dict__
        own.update(zip(fields, values, strict=False))
        for name, value in named.items():
            if name in own or name not in fields:
                raise TypeError(f"{type(self).__name__} has no field {name!r}, or has it already")
            own[name] = value
        if len(own) < len(fields):
            for name in fields:
                if name not in own:
                    # Raises AttributeError if there is no default.
                    own[name] = getattr(type(self), name)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__}.{name} can't be set: records never change")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.__dict__ == self.__dict__

    def __hash__(self) -> int:
        return hash((type(self), *[self.__dict__[name] for name in self.__match_args__]))

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__match_args__)
        return f"{type(self).__name__}({fields})"


_R = TypeVar("_R", bound=Record)


def replace(record: _R, **changes: Any) -> _R:
    """Return the record with some fields changed; raise TypeError for an unknown field."""
    before = record.__dict__
    after = before | changes
    if len(after) != len(before):
        unknown = ", ".join(changes.keys() - before.keys())
        raise TypeError(f"{type(record).__name__} has no field {unknown}")
    changed = object.__new__(type(record))
    # Not item by item, which takes twice as long.
    object.__setattr__(changed, "__dict__", after)
    return changed
