"""The store on S3 or what speaks like it, by boto3. Safe to share between threads."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final
from urllib.parse import urlencode

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from siad.core.errors import ConflictError, MissingError, TransientError
from siad.runtime.blobs.memory import key_in
from siad.runtime.blobs.port import Blob, BlobInfo
from siad.runtime.blobs.settings import StoreSettings

_CONFLICT: Final = frozenset({409, 412})
_SLOW_DOWN: Final = frozenset({408, 429})


class S3Blobs:
    """One bucket."""

    def __init__(self, settings: StoreSettings) -> None:
        self._settings = settings
        access, secret = settings.access_key, settings.secret_key
        self._s3 = boto3.session.Session().client(
            "s3",
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
                    self._s3.create_bucket(Bucket=bucket)

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
        """Write one object whole (in parts where it is large) and return its etag."""
        condition: dict[str, Any] = {}
        if if_match is not None:
            condition["IfMatch"] = f'"{if_match}"'
        if if_absent:
            condition["IfNoneMatch"] = "*"
        described: dict[str, Any] = {"ContentType": content_type}
        if tags:
            described["Tagging"] = urlencode(tags)
        with self._told("write", key):
            if len(data) > self._settings.part_bytes:
                return self._put_in_parts(key, data, described, condition)
            answer = self._s3.put_object(Bucket=self._settings.bucket, Key=key, Body=data, **described, **condition)
            return _bare(answer["ETag"])

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

    def _put_in_parts(self, key: str, data: bytes, described: Mapping[str, Any], condition: Mapping[str, Any]) -> str:
        """The condition is held with the last call, which makes the object appear; before it nobody sees a thing."""
        where: Any = {"Bucket": self._settings.bucket, "Key": key}
        upload = self._s3.create_multipart_upload(**where, **described)["UploadId"]
        try:
            size, parts = self._settings.part_bytes, list[Any]()
            for number, begin in enumerate(range(0, len(data), size), start=1):
                body = data[begin : begin + size]
                answer = self._s3.upload_part(**where, UploadId=upload, PartNumber=number, Body=body)
                parts.append({"PartNumber": number, "ETag": answer["ETag"]})
            done = self._s3.complete_multipart_upload(
                **where, UploadId=upload, MultipartUpload={"Parts": parts}, **condition
            )
        except (ClientError, BotoCoreError):
            with suppress(ClientError, BotoCoreError):  # what is left over the store's lifecycle rule clears
                self._s3.abort_multipart_upload(**where, UploadId=upload)
            raise
        return _bare(done["ETag"])

    @contextmanager
    def _told(self, what: str, key: str) -> Iterator[None]:
        """Turn boto3's errors into the port's."""
        uri = self.uri(key)
        try:
            yield
        except ClientError as error:
            raise _translated(error, f"could not {what} {uri}") from error
        except (BotoCoreError, HTTPClientError) as error:
            msg = f"store at {self._settings.endpoint_url or 'AWS'} is away, could not {what} {uri}: {error}"
            raise TransientError(msg) from error


def _translated(error: ClientError, failure: str) -> Exception:
    status = _status(error)
    words = f"{failure}: {error.response.get('Error', {}).get('Code', status)}"
    if status == 404:
        return MissingError(f"{words}; nothing lies there")
    if status in _CONFLICT:
        return ConflictError(f"{words}; somebody else wrote first, nothing was changed")
    if status == 403:
        return PermissionError(f"{words}; check SIAD_STORE_ACCESS_KEY, SIAD_STORE_SECRET_KEY and the bucket's policy")
    if status in _SLOW_DOWN or status >= 500:
        return TransientError(words)
    return error


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _bare(etag: str) -> str:
    return etag.strip('"')
