"""Typed settings, loaded from flags, the environment and files."""

from telco_stream.settings.loading import LoadedSettings, ResolvedSetting, load, load_traced
from telco_stream.settings.properties import for_client, is_secret, secrets_of
from telco_stream.settings.tree import ConsumerSettings, ModelSettings, ProducerSettings, Settings, TopicSettings

__all__ = [
    "ConsumerSettings",
    "LoadedSettings",
    "ModelSettings",
    "ProducerSettings",
    "ResolvedSetting",
    "Settings",
    "TopicSettings",
    "for_client",
    "is_secret",
    "load",
    "load_traced",
    "secrets_of",
]
