"""A server of a test's own, that ends with the test."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self


class Runner(ABC):
    """What `with` starts, by `start` until it serves, and kills, by `close`."""

    @abstractmethod
    def start(self) -> None: ...

    @abstractmethod
    def close(self) -> None: ...

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
