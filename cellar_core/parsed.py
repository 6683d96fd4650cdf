"""What the value types of this package share: each is made from its text, and is that text for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema

__all__ = ["Parsed"]


class Parsed:
    """An immutable, hashable, picklable value whose constructor is its parser; ``str()`` gives the text back.

    A subclass implements ``_parse``, which turns text into the tuple that the value is compared by, and
    ``__str__``. Pydantic models take such a type as a field: strings go in, strings come out.
    """

    __slots__ = ("_hash", "_key")
    _key: tuple[Any, ...]
    _hash: int
    _example: ClassVar[str]

    def __init__(self, text: str | Self) -> None:
        if not isinstance(text, (str, type(self))):
            message = f"{type(self).__name__} is made from text such as {self._example!r}, not from {text!r}"
            raise TypeError(message)
        object.__setattr__(self, "_key", self._parse(text) if isinstance(text, str) else text._key)  # noqa: SLF001

    @classmethod
    def _parse(cls, text: str) -> tuple[Any, ...]:
        raise NotImplementedError

    @classmethod
    def from_key(cls, *key: object) -> Self:
        """A value from the parts that its text has; nothing is checked, so they must be parsed ones."""
        value = cls.__new__(cls)
        object.__setattr__(value, "_key", key)
        return value

    def __setattr__(self, name: str, value: object) -> None:
        message = f"{type(self).__name__} is immutable"
        raise AttributeError(message)

    def __delattr__(self, name: str) -> None:
        self.__setattr__(name, None)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __reduce__(self) -> tuple[type[Self], tuple[str]]:
        return type(self), (str(self),)

    def __hash__(self) -> int:
        try:
            return self._hash
        except AttributeError:  # not yet: most values are never asked
            object.__setattr__(self, "_hash", hash((type(self), self._key)))
            return self._hash

    def __eq__(self, other: object) -> bool:
        return self._key == other._key if type(other) is type(self) else NotImplemented

    def __lt__(self, other: Self) -> bool:
        return self._key < other._key if type(other) is type(self) else NotImplemented

    def __le__(self, other: Self) -> bool:
        return self._key <= other._key if type(other) is type(self) else NotImplemented

    def __gt__(self, other: Self) -> bool:
        return self._key > other._key if type(other) is type(self) else NotImplemented

    def __ge__(self, other: Self) -> bool:
        return self._key >= other._key if type(other) is type(self) else NotImplemented

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        def parse(value: Any) -> Parsed:
            try:
                return value if type(value) is cls else cls(value)
            except TypeError as error:  # which pydantic would not take for a wrong value
                raise ValueError(str(error)) from None

        return core_schema.no_info_plain_validator_function(
            parse,
            json_schema_input_schema=core_schema.str_schema(),
            serialization=core_schema.to_string_ser_schema(),
            metadata={"pydantic_js_updates": {"format": cls.__name__}},
        )
