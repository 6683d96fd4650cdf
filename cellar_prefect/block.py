"""Where a cellar is: a block, the name of a saved block, a URL, or else the environment's CELLAR_URL."""

from __future__ import annotations

import re
from typing import ClassVar, TypeAlias, cast

from prefect.blocks.core import Block
from prefect.filesystems import RemoteFileSystem
from prefect.types import SecretDict
from pydantic import Field, HttpUrl

from cellar_core import Cellar


class CellarBlock(Block):
    """Where a cellar is, and what is needed to reach it.

    Attributes:
        url: The cellar's root, as an fsspec URL.
        storage_options: Options of the URL's fsspec file system, such as keys; kept secret.

    Example:
        Load a saved block and look a model up:
        ```python
        from cellar_prefect import CellarBlock

        cellar_block = CellarBlock.load("BLOCK_NAME")
        record = cellar_block.cellar().resolve("vit/vit-l/projectA@latest")
        ```
    """

    # The slug is the block type's key on the server, and the order of fields is part of the saved schema:
    # neither is ever changed, and a new field is added at the end, with a default.
    # A logo has to lie on the web: it is Prefect's own of its file systems.
    _block_type_name: ClassVar[str | None] = "Cellar"
    _block_type_slug: ClassVar[str | None] = "cellar"
    _logo_url: ClassVar[HttpUrl | None] = HttpUrl(RemoteFileSystem._logo_url)  # noqa: SLF001 - see above
    _documentation_url: ClassVar[HttpUrl | None] = HttpUrl("https://docs.prefect.io/v3/concepts/blocks")
    _description: ClassVar[str | None] = "Where a cellar is, and what is needed to reach it."

    url: str = Field(description="The cellar's root, as an fsspec URL such as s3://models/cellar.")
    storage_options: SecretDict = Field(
        default_factory=lambda: SecretDict({}),
        description="Options of the URL's fsspec file system, such as key and secret.",
    )

    def cellar(self) -> Cellar:
        """The cellar itself; nothing is read until it is asked something."""
        return Cellar(self.url, self.storage_options.get_secret_value())


Where: TypeAlias = CellarBlock | str | None
"""Where a cellar is: a block, a URL or path, the name of a saved block (no slash in it), or None for CELLAR_URL."""


def is_block_name(where: str) -> bool:
    """Whether *where* is the name of a block, and no URL or path; Prefect allows such names only."""
    return bool(re.fullmatch(r"[a-z0-9-]+", where))


def open_cellar(where: Where) -> Cellar:
    """The cellar that `where` names.

    >>> open_cellar("memory://models").url
    'memory://models'

    Raises:
        ValueError: no block has that name; `prefect block ls` lists them.
    """
    if isinstance(where, str) and is_block_name(where):
        where = cast(CellarBlock, CellarBlock.load(where))
    return where.cellar() if isinstance(where, CellarBlock) else Cellar(where)
