"""Settings: flags, environment and files become one typed tree."""

from telco_stream.settings.loading import Leaf, Loaded, load, load_traced
from telco_stream.settings.properties import for_client, is_secret, secrets_of
from telco_stream.settings.tree import Consumer, Model, Producer, Settings, Topics

__all__ = [
    "Consumer",
    "Leaf",
    "Loaded",
    "Model",
    "Producer",
    "Settings",
    "Topics",
    "for_client",
    "is_secret",
    "load",
    "load_traced",
    "secrets_of",
]
