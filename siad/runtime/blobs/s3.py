"""Blob store on S3 or a compatible service, through boto3."""

import functools
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final
from urllib.parse import urlencode

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from siad.contracts.errors import ConflictError, MissingError
from siad.runtime.blobs.port import Blob, BlobInfo, PutCondition, key_in
from siad.runtime.blobs.s3_errors import S3_ERRORS, code_of, status_of, translate, was_retried
from siad.runtime.blobs.settings import StoreSettings


class S3Blobs:
    """One bucket. Safe to share between threads."""

    def __init__(self, settings: StoreSettings) -> None:
        self._settings = settings
        access, secret = settings.access_key, settings.secret_key
        with self._translated("open", ""):
            self._s3 = _client(
                endpoint_url=settings.endpoint_url,
                region_name=settings.region,
                aws_access_key_id=access.get_secret_value() if access else None,
                aws_secret_access_key=secret.get_secret_value() if secret else None,
                config=Config(
                    max_pool_connections=settings.max_connections,
                    connect_timeout=settings.connect_timeout_s,
                    read_timeout=settings.read_timeout_s,
                    retries={"mode": "standard", "total_max_attempts": 2},  # the caller decides how long to wait
                    request_checksum_calculation="when_required",  # compatible stores reject the newer checksums
                    response_checksum_validation="when_required",
                    s3={"addressing_style": "path"} if settings.endpoint_url else {},
                ),
            )

    def ensure_bucket(self) -> None:
        """Create the bucket if it is missing and the settings allow it.

        Raises:
            MissingError: it is missing, and ``create_bucket`` is not set.
        """
        bucket = self._settings.bucket
        with self._translated("reach", ""):
            try:
                self._answer()
            except ClientError as error:
                if status_of(error) != 404:
                    raise
                if not self._settings.create_bucket:
                    msg = f"bucket {bucket!r} does not exist; create it, or set SIAD_STORE_CREATE_BUCKET=true"
                    raise MissingError(msg) from error
                with suppress(self._s3.exceptions.BucketAlreadyOwnedByYou, self._s3.exceptions.BucketAlreadyExists):
                    self._s3.create_bucket(Bucket=bucket, **self._location())

    def uri(self, key: str) -> str:
        """Return the address of ``key``."""
        return f"s3://{self._settings.bucket}/{key}"

    def key_of(self, uri: str) -> str:
        """Return the key of an address in this bucket."""
        return key_in(self._settings.bucket, uri)

    def get(self, key: str) -> Blob:
        """Read one object whole."""
        with self._translated("read", key):
            answer = self._s3.get_object(Bucket=self._settings.bucket, Key=key)
            return Blob(answer["Body"].read(), _bare(answer["ETag"]))

    def head(self, key: str) -> BlobInfo | None:
        """Describe one object; None where there is none."""
        try:
            with self._translated("describe", key):
                answer = self._s3.head_object(Bucket=self._settings.bucket, Key=key)
                return BlobInfo(key, answer["ContentLength"], _bare(answer["ETag"]), answer["LastModified"])
        except MissingError:
            return None

    def put(
        self,
        key: str,
        data: bytes,
        *,
        content_type: str = "application/octet-stream",
        condition: PutCondition | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> str:
        """Write one object whole and return its etag.

        A large object goes up in parts, unless there is a condition.
        SeaweedFS 4.48 lets two of four racing multipart uploads complete under one condition, and serialises single
        requests. Conditional puts therefore always use one request, up to S3's limit of 5 GB.
        """
        options: dict[str, Any] = {"ContentType": content_type}
        if tags:
            options["Tagging"] = urlencode(tags)
        if condition is not None:
            options |= {"IfNoneMatch": "*"} if condition.etag is None else {"IfMatch": f'"{condition.etag}"'}
        in_parts = len(data) > self._settings.part_bytes and condition is None
        with self._translated("write", key):
            try:
                return self._put_in_parts(key, data, options) if in_parts else self._put_whole(key, data, options)
            except ClientError as error:
                if was_retried(error) and (etag := self._etag_if_ours(key, data)) is not None:
                    return etag
                if condition is not None and code_of(error) == "NoSuchKey":  # AWS; other stores answer 412
                    msg = f"{self.uri(key)} was deleted, so no etag matches {condition.etag}; nothing was written"
                    raise ConflictError(msg) from error
                raise

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[BlobInfo]:
        """Yield every object whose key begins with ``prefix``, by key, after ``start_after``."""
        with self._translated("list", prefix):
            pages = self._s3.get_paginator("list_objects_v2").paginate(
                Bucket=self._settings.bucket, Prefix=prefix, StartAfter=start_after
            )
            for page in pages:
                for item in page.get("Contents", ()):
                    yield BlobInfo(item["Key"], item["Size"], _bare(item["ETag"]), item["LastModified"])

    def delete(self, key: str) -> None:
        """Delete one object; a missing one is no error."""
        with self._translated("delete", key):
            try:
                self._s3.delete_object(Bucket=self._settings.bucket, Key=key)
            except ClientError as error:
                if code_of(error) != "NoSuchKey":
                    raise

    def probe(self) -> None:
        """Return if the bucket responds."""
        with self._translated("reach", ""):
            self._answer()

    def _answer(self) -> None:
        """Ask for one key, which needs the right ListBucket.

        So does HeadBucket on AWS; SeaweedFS wants the right to read the whole bucket for it.
        """
        self._s3.list_objects_v2(Bucket=self._settings.bucket, MaxKeys=1)

    def _put_whole(self, key: str, data: bytes, options: Mapping[str, Any]) -> str:
        return _bare(self._s3.put_object(Bucket=self._settings.bucket, Key=key, Body=data, **options)["ETag"])

    def _put_in_parts(self, key: str, data: bytes, options: Mapping[str, Any]) -> str:
        """Upload in parts; the object appears with the last call."""
        target: Any = {"Bucket": self._settings.bucket, "Key": key}
        upload = self._s3.create_multipart_upload(**target, **options)["UploadId"]
        try:
            size, parts = self._settings.part_bytes, list[Any]()
            for number, begin in enumerate(range(0, len(data), size), start=1):
                body = data[begin : begin + size]
                answer = self._s3.upload_part(**target, UploadId=upload, PartNumber=number, Body=body)
                parts.append({"PartNumber": number, "ETag": answer["ETag"]})
            done = self._s3.complete_multipart_upload(**target, UploadId=upload, MultipartUpload={"Parts": parts})
        except S3_ERRORS:
            with suppress(*S3_ERRORS):  # otherwise the store's lifecycle rule deletes the parts
                self._s3.abort_multipart_upload(**target, UploadId=upload)
            raise
        return _bare(done["ETag"])

    def _etag_if_ours(self, key: str, data: bytes) -> str | None:
        """Return the etag of an object that holds the sent bytes.

        boto3 repeats a put whose acknowledgement was lost, and the store then refuses the repeat because of the first:
        that is no lost race. Equal bytes of another writer would pass as ours; contended objects name their writer.
        """
        try:
            found = self.get(key)
        except MissingError:
            return None
        return found.etag if found.data == data else None

    def _location(self) -> dict[str, Any]:
        """Arguments for a new bucket: AWS wants a region other than us-east-1."""
        if self._settings.endpoint_url is not None or self._settings.region == "us-east-1":
            return {}
        return {"CreateBucketConfiguration": {"LocationConstraint": self._settings.region}}

    @contextmanager
    def _translated(self, operation: str, key: str) -> Iterator[None]:
        """Raise the port's errors in place of boto3's; other exceptions are bugs."""
        try:
            yield
        except S3_ERRORS as error:
            failure = f"could not {operation} {self.uri(key)}"
            raise translate(error, failure, endpoint=self._settings.endpoint_url or "AWS") from error


@functools.cache
def _session() -> boto3.session.Session:
    return boto3.session.Session()


_CREATE_LOCK: Final = threading.Lock()  # threads may share a client, but not the session that creates it


def _client(**options: Any) -> Any:
    """Create a client, in 0.2 s the first time, then 5 ms."""
    with _CREATE_LOCK:
        return _session().client("s3", **options)


def _bare(etag: str) -> str:
    return etag.strip('"')
