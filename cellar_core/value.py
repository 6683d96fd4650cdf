"""The base of what is answered: frozen, and plain JSON for programs."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

__all__ = ["Value"]


class Value(BaseModel):
    """A frozen pydantic object; what validates it is built when it is first needed, so that importing stays cheap."""

    model_config = ConfigDict(frozen=True, defer_build=True)
