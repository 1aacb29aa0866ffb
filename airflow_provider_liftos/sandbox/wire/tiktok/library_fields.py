"""What the fields of videos, images and audiences say."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, timedelta

from airflow_provider_liftos.sandbox.dataset import Entity
from airflow_provider_liftos.sandbox.dataset.chance import digest, number

from .view import Getter, named, stamp


def is_video(creative: Entity) -> bool:
    """Say whether a creative is a video; the others are images."""
    return creative.index % 2 == 0


def video_id(creative: Entity) -> str:
    """Return the id of a video."""
    return f"v10033g50000{digest('video', creative.id, size=10).hex()}"


def image_id(creative: Entity) -> str:
    """Return the id of an image, or of a video's cover: with slashes, as they come."""
    return f"ad-site-i18n-sg/202601{digest('image', creative.id, size=13).hex()}"


_FILE: Mapping[str, Getter] = {
    "material_id": lambda one, _: one.id,
    "file_name": named,
    "width": lambda _, __: 1080,
    "height": lambda _, __: 1920,
    "size": lambda one, _: 100_000 + number(9_000_000, one.id, "size"),
    "signature": lambda one, _: digest("file", one.id).hex(),
    "displayable": lambda _, __: True,
    "create_time": lambda one, _: one.created_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    "modify_time": lambda one, view: (
        one.updated_at(view.today).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    ),
}
VIDEO_FIELDS: Mapping[str, Getter] = {
    **_FILE,
    "video_id": lambda one, _: video_id(one),
    "format": lambda _, __: "mp4",
    "duration": lambda one, _: (50 + number(550, one.id, "duration")) / 10,
    "bit_rate": lambda _, __: 1_218_000,
    "allow_download": lambda _, __: True,
    "video_cover_url": lambda one, _: f"https://p16.example/{digest(one.id).hex()}.jpeg",
}
IMAGE_FIELDS: Mapping[str, Getter] = {
    **_FILE,
    "image_id": lambda one, _: image_id(one),
    "format": lambda _, __: "jpeg",
    "is_carousel_usable": lambda _, __: True,
    "image_url": lambda one, _: f"https://p16.example/{digest(one.id).hex()}.jpeg",
}
AUDIENCE_FIELDS: Mapping[str, Getter] = {
    "audience_id": lambda one, _: one.id,
    "name": named,
    "audience_type": lambda one, _: "Lookalike Audience" if one.index % 3 == 2 else "Customer File",
    "calculate_type": lambda _, __: "MULTIPLE_TYPES",
    "cover_num": lambda one, _: None if one.index % 5 == 4 else number(10**6, one.id, "cover"),
    "create_time": lambda one, _: stamp(one.created_at),
    "is_valid": lambda one, _: not one.paused,
    "is_expiring": lambda _, __: False,
    "expired_time": lambda one, view: stamp(one.updated_at(view.today) + timedelta(days=365)),
    "shared": lambda _, __: False,
    "is_creator": lambda _, __: True,
}
