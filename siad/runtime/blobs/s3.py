"""The store on S3 or what speaks like it, by boto3. Safe to share between threads."""

import functools
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final
from urllib.parse import urlencode

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004 - boto's own: names, refusals, TLS
    CredentialRetrievalError,
    HTTPClientError,
    IncompleteReadError,
    MetadataRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
)

from siad.contracts.errors import ConflictError, MissingError, TransientError
from siad.runtime.blobs.port import Blob, BlobInfo, key_in
from siad.runtime.blobs.settings import StoreSettings

_CONFLICT: Final = frozenset({409, 412})
_AGAIN: Final = frozenset({408, 429})
_AGAIN_CODES: Final = frozenset({"RequestTimeout", "IncompleteBody", "NoSuchUpload"})  # by code: 400 and 404 mean more
_NOT_SPOKEN: Final = 501
_AWAY: Final = (
    ConnectionError,
    HTTPClientError,  # time-outs, resets, answers cut short
    IncompleteReadError,
    CredentialRetrievalError,  # whoever lends us keys is away
    MetadataRetrievalError,
)
_NO_KEYS: Final = (NoCredentialsError, PartialCredentialsError)


class S3Blobs:
    """One bucket."""

    def __init__(self, settings: StoreSettings) -> None:
        self._settings = settings
        access, secret = settings.access_key, settings.secret_key
        self._s3 = _client(
            endpoint_url=settings.endpoint_url,
            region_name=settings.region,
            aws_access_key_id=access.get_secret_value() if access else None,
            aws_secret_access_key=secret.get_secret_value() if secret else None,
            config=Config(
                max_pool_connections=settings.max_connections,
                connect_timeout=settings.connect_timeout_s,
                read_timeout=settings.read_timeout_s,
                retries={"mode": "standard", "total_max_attempts": 2},  # whoever calls knows how long to wait
                request_checksum_calculation="when_required",  # compatible stores choke on the newer checksums
                response_checksum_validation="when_required",
                s3={"addressing_style": "path"} if settings.endpoint_url else {},
            ),
        )

    def ensure_bucket(self) -> None:
        """Make the bucket where it is missing and the settings allow it.

        Raises:
            MissingError: it is missing, and ``create_bucket`` is not set.
        """
        bucket = self._settings.bucket
        with self._told("look at", ""):
            try:
                self._s3.head_bucket(Bucket=bucket)
            except ClientError as error:
                if _status(error) != 404:
                    raise
                if not self._settings.create_bucket:
                    msg = f"bucket {bucket!r} does not exist; make it, or set SIAD_STORE_CREATE_BUCKET=true"
                    raise MissingError(msg) from error
                with suppress(self._s3.exceptions.BucketAlreadyOwnedByYou, self._s3.exceptions.BucketAlreadyExists):
                    self._s3.create_bucket(Bucket=bucket, **self._place())

    def uri(self, key: str) -> str:
        """The address of ``key``."""
        return f"s3://{self._settings.bucket}/{key}"

    def key_of(self, uri: str) -> str:
        """The key behind an address of this bucket."""
        return key_in(self._settings.bucket, uri)

    def get(self, key: str) -> Blob:
        """Read one object whole."""
        with self._told("read", key):
            answer = self._s3.get_object(Bucket=self._settings.bucket, Key=key)
            return Blob(answer["Body"].read(), _bare(answer["ETag"]))

    def head(self, key: str) -> BlobInfo | None:
        """Describe one object; None where there is none."""
        try:
            with self._told("look at", key):
                answer = self._s3.head_object(Bucket=self._settings.bucket, Key=key)
        except MissingError:
            return None
        return BlobInfo(key, answer["ContentLength"], _bare(answer["ETag"]), answer["LastModified"])

    def put(
        self,
        key: str,
        data: bytes,
        *,
        content_type: str = "application/octet-stream",
        if_match: str | None = None,
        if_absent: bool = False,
        tags: Mapping[str, str] | None = None,
    ) -> str:
        """Write one object whole and return its etag: in parts where it is large, unless there is a condition.

        SeaweedFS 4.48 lets two of four racers complete an upload in parts under one condition; a single request it
        serialises. So whatever has a condition goes up in one request, up to S3's 5 GB.
        """
        how: dict[str, Any] = {"ContentType": content_type}
        if tags:
            how["Tagging"] = urlencode(tags)
        if if_match is not None:
            how["IfMatch"] = f'"{if_match}"'
        if if_absent:
            how["IfNoneMatch"] = "*"
        in_parts = len(data) > self._settings.part_bytes and if_match is None and not if_absent
        with self._told("write", key):
            try:
                return self._put_in_parts(key, data, how) if in_parts else self._put_whole(key, data, how)
            except ClientError as error:
                if _was_sent_again(error) and (etag := self._etag_of_ours(key, data)) is not None:
                    return etag
                if if_match is not None and _code(error) == "NoSuchKey":  # AWS, where others say 412
                    msg = f"{self.uri(key)} is gone, so it has no etag {if_match}; nothing was written"
                    raise ConflictError(msg) from error
                raise

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[BlobInfo]:
        """Every object whose key begins with ``prefix``, by key, after ``start_after``."""
        with self._told("list", prefix):
            pages = self._s3.get_paginator("list_objects_v2").paginate(
                Bucket=self._settings.bucket, Prefix=prefix, StartAfter=start_after
            )
            for page in pages:
                for item in page.get("Contents", ()):
                    yield BlobInfo(item["Key"], item["Size"], _bare(item["ETag"]), item["LastModified"])

    def delete(self, key: str) -> None:
        """Remove one object; a missing one is no error."""
        with self._told("delete", key), suppress(MissingError):
            self._s3.delete_object(Bucket=self._settings.bucket, Key=key)

    def probe(self) -> None:
        """Return if the bucket answers."""
        with self._told("look at", ""):
            self._s3.head_bucket(Bucket=self._settings.bucket)

    def _put_whole(self, key: str, data: bytes, how: Mapping[str, Any]) -> str:
        return _bare(self._s3.put_object(Bucket=self._settings.bucket, Key=key, Body=data, **how)["ETag"])

    def _put_in_parts(self, key: str, data: bytes, how: Mapping[str, Any]) -> str:
        """The last call makes the object appear; before it nobody sees a thing."""
        where: Any = {"Bucket": self._settings.bucket, "Key": key}
        upload = self._s3.create_multipart_upload(**where, **how)["UploadId"]
        try:
            size, parts = self._settings.part_bytes, list[Any]()
            for number, begin in enumerate(range(0, len(data), size), start=1):
                body = data[begin : begin + size]
                answer = self._s3.upload_part(**where, UploadId=upload, PartNumber=number, Body=body)
                parts.append({"PartNumber": number, "ETag": answer["ETag"]})
            done = self._s3.complete_multipart_upload(**where, UploadId=upload, MultipartUpload={"Parts": parts})
        except (ClientError, BotoCoreError):
            with suppress(ClientError, BotoCoreError):  # what is left over the store's lifecycle rule clears
                self._s3.abort_multipart_upload(**where, UploadId=upload)
            raise
        return _bare(done["ETag"])

    def _etag_of_ours(self, key: str, data: bytes) -> str | None:
        """The etag of what lies at ``key`` if it is what we sent.

        A put whose acknowledgement was lost is sent again by boto3, and then refused because of itself: that is no
        lost race. Another's equal bytes would be taken for ours; what is raced for holds who wrote it.
        """
        try:
            found = self.get(key)
        except MissingError:
            return None
        return found.etag if found.data == data else None

    def _place(self) -> dict[str, Any]:
        """AWS wants to be told the region of a new bucket, unless it is its first."""
        if self._settings.endpoint_url is not None or self._settings.region == "us-east-1":
            return {}
        return {"CreateBucketConfiguration": {"LocationConstraint": self._settings.region}}

    @contextmanager
    def _told(self, what: str, key: str) -> Iterator[None]:
        """Turn boto3's errors into the port's; what is none of them is a bug and stays what it is."""
        failure = f"could not {what} {self.uri(key)}"
        try:
            yield
        except ClientError as error:
            if (known := _translated(error, failure)) is None:
                raise
            raise known from error
        except _NO_KEYS as error:
            msg = (
                f"{failure}: {error}; set SIAD_STORE_ACCESS_KEY and SIAD_STORE_SECRET_KEY, or give this machine a role"
            )
            raise PermissionError(msg) from error
        except _AWAY as error:
            msg = f"store at {self._settings.endpoint_url or 'AWS'} is away, {failure}: {error}"
            raise TransientError(msg) from error


@functools.cache
def _session() -> boto3.session.Session:
    return boto3.session.Session()


_MAKING: Final = threading.Lock()  # clients may be shared between threads, the session that makes them may not


def _client(**how: Any) -> Any:
    """Make a client; the first takes 0.2 s to read what S3 is, the others of this process 5 ms."""
    with _MAKING:
        return _session().client("s3", **how)


def _translated(error: ClientError, failure: str) -> Exception | None:
    status, code = _status(error), _code(error)
    words = f"{failure}: {code}, {error.response.get('Error', {}).get('Message', 'no more was said')}"
    if status == 404 and code not in _AGAIN_CODES:
        return MissingError(f"{words}; nothing lies there")
    if status in _CONFLICT:
        return ConflictError(f"{words}; somebody else wrote first, nothing was changed")
    if status == 403 and code == "RequestTimeTooSkewed":
        return PermissionError(f"{words}; set this machine's clock")
    if status in {401, 403}:
        return PermissionError(f"{words}; check SIAD_STORE_ACCESS_KEY, SIAD_STORE_SECRET_KEY and the bucket's policy")
    if status in _AGAIN or code in _AGAIN_CODES or (status >= 500 and status != _NOT_SPOKEN):
        return TransientError(words)
    return None


def _was_sent_again(error: ClientError) -> bool:
    """Whether boto3 tried before, and the first answer may have been lost; only a refusal can come of that."""
    again = int(error.response.get("ResponseMetadata", {}).get("RetryAttempts", 0)) > 0
    return again and _status(error) in {404, *_CONFLICT}


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", _status(error)))


def _bare(etag: str) -> str:
    return etag.strip('"')
