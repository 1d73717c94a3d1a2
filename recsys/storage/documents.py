"""JSON documents of the store as classes: read by one loader, and written with the fields that they were read with."""

from typing import Any, Self

from pydantic import ValidationError

from recsys.errors import DataError
from recsys.messages import Message, faults_of
from recsys.storage.base import Store
from recsys.storage.tables import read_json, write_json


class Document(Message):
    """A JSON document of the store. Fields with defaults are those that older documents lack."""

    @classmethod
    def load(cls, store: Store, key: str) -> Self:
        """The document under a key.

        Raises:
            NotFoundError: there is none.
            DataError: it has other fields.
        """
        return cls.of(read_json(store, key), store.uri(key))

    @classmethod
    def of(cls, document: Any, uri: str) -> Self:
        """The document that was read at an address.

        Raises:
            DataError: it has other fields.
        """
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            raise DataError(
                f"{uri} is no {cls.__name__}: {faults_of(error)}. Nothing was changed. Use the version of this "
                "program that wrote it, or restore the object."
            ) from error

    def to_json(self) -> dict[str, Any]:
        """The fields that were given: a document that is read and written again stays the same."""
        return self.model_dump(mode="json", exclude_unset=True)

    def write(self, store: Store, key: str, *, overwrite: bool = False) -> None:
        write_json(store, key, self.to_json(), overwrite=overwrite)
