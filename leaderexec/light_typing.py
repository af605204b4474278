"""What every start needs of `typing`, without importing it: it would take a twelfth of the time
until the command runs. Type checkers see the real names; at run time they stand for nothing."""

# By its name, a type checker takes this for true.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Any, ClassVar, NoReturn, Protocol, TypeVar, dataclass_transform, overload
else:
    Any = NoReturn = object

    class Protocol:
        pass

    class ClassVar:
        def __class_getitem__(cls, _):
            return object

    def TypeVar(name, **_):
        return object

    def overload(function):
        return function

    def dataclass_transform(**_):
        return lambda decorated: decorated


__all__ = [
    "TYPE_CHECKING",
    "Any",
    "ClassVar",
    "NoReturn",
    "Protocol",
    "TypeVar",
    "dataclass_transform",
    "overload",
]
