"""A store that speaks S3, on loopback, and the Airflow connection that leads there.

moto's server: requests are signed, and judged by keys and policies where a test says so. What it
holds is gone with the process.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import boto3
import pytest
from moto import settings
from moto.server import ThreadedMotoServer

from airflow_provider_liftos.engine.staging import Staging
from airflow_provider_liftos.hooks import config

REGION = "eu-central-1"


@dataclass(frozen=True, slots=True)
class Key:
    """An access key: its name and its secret."""

    name: str
    secret: str


ANY = Key("ANYBODY-WILL-DO", "nothing-is-checked")
"""Good for everything as long as nobody is ``strict``."""


class Lake:
    """A bucket of one test, seen without the product; ``url`` is the server's."""

    def __init__(self, url: str, environment: pytest.MonkeyPatch) -> None:
        self.url = url
        self.bucket = f"lake-{uuid4().hex}"
        self._environment = environment
        self.client = self._client("s3")
        self.client.create_bucket(
            Bucket=self.bucket, CreateBucketConfiguration={"LocationConstraint": REGION}
        )

    def address(self, key: Key = ANY, *, bucket: str = "", url: str = "") -> str:
        """A ``staging_url`` by a connection that is made for it."""
        conn_id = f"lake_{uuid4().hex}"  # Airflow keeps the store of a connection while it runs
        extra = {"endpoint_url": url or self.url, "region_name": REGION}
        value = {"conn_type": "aws", "login": key.name, "password": key.secret, "extra": extra}
        self._environment.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(value))
        return f"s3://{conn_id}@{bucket or self.bucket}/liftos/staging"

    def staging(self, key: Key = ANY, *, bucket: str = "", url: str = "") -> Staging:
        """Staging as tasks are given it."""
        address = self.address(key, bucket=bucket, url=url)
        self._environment.setenv("AIRFLOW__LIFTOS__STAGING_URL", address)
        return config.staging()

    def names(self) -> list[str]:
        """Full names of what the bucket holds."""
        found = self.client.list_objects_v2(Bucket=self.bucket).get("Contents", ())
        return [f"s3://{self.bucket}/{one['Key']}" for one in found]

    def put(self, path: str, content: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=self._key(path), Body=content)

    def get(self, path: str) -> bytes:
        found = self.client.get_object(Bucket=self.bucket, Key=self._key(path))
        content: bytes = found["Body"].read()
        return content

    def lose(self, path: str) -> None:
        self.client.delete_object(Bucket=self.bucket, Key=self._key(path))

    def user(self, *actions: str) -> Key:
        """The key of somebody who may do this and nothing else."""
        name = f"user-{uuid4().hex}"
        iam = self._client("iam")
        iam.create_user(UserName=name)
        allowed = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
        iam.put_user_policy(UserName=name, PolicyName="some", PolicyDocument=policy)
        made = iam.create_access_key(UserName=name)["AccessKey"]
        return Key(made["AccessKeyId"], made["SecretAccessKey"])

    def _key(self, path: str) -> str:
        return path.removeprefix(f"s3://{self.bucket}/")

    def _client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=ANY.name,
            aws_secret_access_key=ANY.secret,
        )


@contextmanager
def serving() -> Iterator[str]:
    """The server's address."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@contextmanager
def strict() -> Iterator[None]:
    """Keys and policies count."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, "INITIAL_NO_AUTH_ACTION_COUNT", 0)
        yield


@contextmanager
def lake(url: str) -> Iterator[Lake]:
    """A new bucket, by an environment that has no other way to a store."""
    with pytest.MonkeyPatch.context() as environment:
        for name in (
            "AWS_PROFILE",
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
        ):
            environment.delenv(name, raising=False)
        environment.setenv("AWS_EC2_METADATA_DISABLED", "true")
        environment.setenv("AWS_MAX_ATTEMPTS", "1")
        environment.setenv("NO_PROXY", "127.0.0.1")
        environment.setenv("no_proxy", "127.0.0.1")
        yield Lake(url, environment)
