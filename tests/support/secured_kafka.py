"""A real Kafka with TLS, SASL authentication and ACLs."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from tests.support.certificates import Pair, make_authority, sign
from tests.support.kafka_container import SMALL, KafkaContainer
from tests.support.ports import free_port

#: Contains the characters that shells, property files and `.env` files interpret.
PASSWORD = 'it\'s=a #"$HOME" \\n ü;'
#: The only user of mechanism PLAIN; broker settings allow no quotes in the password.
PLAIN_USER = "telco-auditor"
PLAIN_PASSWORD = "plain=#$HOME 1"
_LOGIN = "org.apache.kafka.common.security"


class SecuredKafka(KafkaContainer):
    """A secured Kafka; its plain listener `bootstrap` is for the tests and allows everything."""

    def __init__(self, folder: Path, **settings: str) -> None:
        authority = make_authority(folder, "ours")
        #: The authority of the broker's certificates, and another one.
        self.authority, self.stranger = authority.certificate, make_authority(folder, "theirs").certificate
        good, old = sign(authority, folder, "good", 2), sign(authority, folder, "old", -1)
        self._old = old
        super().__init__(**SMALL, **_settings(good, old), **settings)
        secured, expired = free_port(), free_port()
        #: Listeners for users: with a valid and with an expired certificate.
        self.secured, self.expired = f"localhost:{secured}", f"localhost:{expired}"
        self.with_bind_ports(9094, secured)
        self.with_bind_ports(9096, expired)
        addresses = {"PLAINTEXT": self.bootstrap, "BROKER": "localhost:9095", "SECURED": self.secured}
        addresses["EXPIRED"] = self.expired
        self.with_env("KAFKA_ADVERTISED_LISTENERS", ",".join(f"{name}://{at}" for name, at in addresses.items()))

    def let_certificate_expire(self) -> None:
        """Give the secured listener an expired certificate and restart the broker."""
        entries = [
            ConfigEntry(name.replace("_", "."), text.replace("\\n", "\n"), incremental_operation=AlterConfigOpType.SET)
            for name, text in _keystore("secured", self._old).items()
            if not name.endswith("type")
        ]
        resource = ConfigResource(ResourceType.BROKER, "1", incremental_configs=entries)
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        admin.incremental_alter_configs([resource])[resource].result(15)
        self.kill()
        self.start_again()

    def add_users(self, names: Iterable[str], password: str = PASSWORD) -> None:
        """Add SCRAM-SHA-512 users without permissions, or change the password of existing users."""
        credential = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        new: list[Any] = [UserScramCredentialUpsertion(name, credential, password.encode()) for name in names]
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        for future in admin.alter_user_scram_credentials(new).values():
            future.result(15)

    def environment(self, user: str, **properties: str) -> dict[str, str]:
        """Return the environment that logs in this user; `properties` are librdkafka's with `_` for `.`."""
        login = {
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_username": user,
            "sasl_password": PASSWORD,
            "ssl_ca_location": str(self.authority),
        }
        named = {name.upper().replace("_", "__"): value for name, value in (login | properties).items()}
        variables = {f"TELCO_STREAM_KAFKA__{name}": value for name, value in named.items()}
        return {"TELCO_STREAM_BOOTSTRAP_SERVERS": self.secured, **variables}


def _settings(good: Pair, old: Pair) -> Mapping[str, str]:
    login = {
        "scram___sha___512": f"{_LOGIN}.scram.ScramLoginModule required;",
        "plain": f'{_LOGIN}.plain.PlainLoginModule required user_{PLAIN_USER}="{PLAIN_PASSWORD}";',
        # Accepts unsigned tokens.
        "oauthbearer": f"{_LOGIN}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=unused;",
    }
    plain = ",".join(f"{name}:PLAINTEXT" for name in ("PLAINTEXT", "BROKER", "CONTROLLER"))
    return {
        "listeners": "PLAINTEXT://:9092,BROKER://:9095,CONTROLLER://:9093,SECURED://:9094,EXPIRED://:9096",
        "listener_security_protocol_map": f"{plain},SECURED:SASL_SSL,EXPIRED:SASL_SSL",
        "authorizer_class_name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super_users": "User:ANONYMOUS",
        **_keystore("secured", good),
        **_keystore("expired", old),
        "listener_name_secured_sasl_enabled_mechanisms": "SCRAM-SHA-512,PLAIN,OAUTHBEARER",
        "listener_name_expired_sasl_enabled_mechanisms": "PLAIN",
        "listener_name_expired_plain_sasl_jaas_config": login["plain"],
        **{f"listener_name_secured_{name}_sasl_jaas_config": module for name, module in login.items()},
    }


def _keystore(listener: str, pair: Pair) -> dict[str, str]:
    """Return the settings for a listener's certificate, passed by value so that nothing is mounted."""
    prefix = f"listener_name_{listener}_ssl_keystore"
    return {
        f"{prefix}_type": "PEM",
        f"{prefix}_certificate_chain": _one_line(pair.certificate),
        f"{prefix}_key": _one_line(pair.key),
    }


def _one_line(pem: Path) -> str:
    return pem.read_text().strip().replace("\n", "\\n")
