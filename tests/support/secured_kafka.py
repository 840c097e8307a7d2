"""A real Kafka that lets in only whom it knows: TLS with an authority of its own, SASL, and rights by ACLs."""

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

#: Verbatim means: with all that shells, property files and `.env` files would make something of.
PASSWORD = 'it\'s=a #"$HOME" \\n ü;'
#: The one user of mechanism PLAIN; a broker's settings take no quotes.
PLAIN_USER = "telco-auditor"
PLAIN_PASSWORD = "plain=#$HOME 1"
_LOGIN = "org.apache.kafka.common.security"


class SecuredKafka(KafkaContainer):
    """Its first listener, `bootstrap`, is for the test's own hand: plain, and everything is allowed there."""

    def __init__(self, folder: Path, **settings: str) -> None:
        authority = make_authority(folder, "ours")
        #: Who has signed the broker's certificates, and somebody else.
        self.authority, self.stranger = authority.certificate, make_authority(folder, "theirs").certificate
        good, old = sign(authority, folder, "good", 2), sign(authority, folder, "old", -1)
        self._old = old
        super().__init__(**SMALL, **_settings(good, old), **settings)
        secured, expired = free_port(), free_port()
        #: Where users come in, and where a certificate has expired.
        self.secured, self.expired = f"localhost:{secured}", f"localhost:{expired}"
        self.with_bind_ports(9094, secured)
        self.with_bind_ports(9096, expired)
        addresses = {"PLAINTEXT": self.bootstrap, "BROKER": "localhost:9095", "SECURED": self.secured}
        places = {**addresses, "EXPIRED": self.expired}
        self.with_env("KAFKA_ADVERTISED_LISTENERS", ",".join(f"{name}://{place}" for name, place in places.items()))

    def let_certificate_expire(self) -> None:
        """New connections to the secured listener get an expired certificate; the broker is restarted for that."""
        entries = [
            ConfigEntry(name.replace("_", "."), text.replace("\\n", "\n"), incremental_operation=AlterConfigOpType.SET)
            for name, text in _showing("secured", self._old).items()
            if not name.endswith("type")
        ]
        resource = ConfigResource(ResourceType.BROKER, "1", incremental_configs=entries)
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        admin.incremental_alter_configs([resource])[resource].result(15)
        self.kill()
        self.start_again()

    def add_users(self, names: Iterable[str], password: str = PASSWORD) -> None:
        """They come in by SCRAM-SHA-512, and may do nothing; for users that are there, this changes the password."""
        how = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        new: list[Any] = [UserScramCredentialUpsertion(name, how, password.encode()) for name in names]
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        for made in admin.alter_user_scram_credentials(new).values():
            made.result(15)

    def environment(self, user: str, **properties: str) -> dict[str, str]:
        """The variables by which this user comes in; `properties` are librdkafka's, with `_` for `.`."""
        mine = {
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_username": user,
            "sasl_password": PASSWORD,
            "ssl_ca_location": str(self.authority),
        }
        named = {name.upper().replace("_", "__"): value for name, value in (mine | properties).items()}
        variables = {f"TELCO_STREAM_KAFKA__{name}": value for name, value in named.items()}
        return {"TELCO_STREAM_BOOTSTRAP_SERVERS": self.secured, **variables}


def _settings(good: Pair, old: Pair) -> Mapping[str, str]:
    login = {
        "scram___sha___512": f"{_LOGIN}.scram.ScramLoginModule required;",
        "plain": f'{_LOGIN}.plain.PlainLoginModule required user_{PLAIN_USER}="{PLAIN_PASSWORD}";',
        # Takes a token that nobody has signed: whoever comes is believed.
        "oauthbearer": f"{_LOGIN}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=nobody;",
    }
    plain = ",".join(f"{name}:PLAINTEXT" for name in ("PLAINTEXT", "BROKER", "CONTROLLER"))
    return {
        "listeners": "PLAINTEXT://:9092,BROKER://:9095,CONTROLLER://:9093,SECURED://:9094,EXPIRED://:9096",
        "listener_security_protocol_map": f"{plain},SECURED:SASL_SSL,EXPIRED:SASL_SSL",
        "authorizer_class_name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super_users": "User:ANONYMOUS",
        **_showing("secured", good),
        **_showing("expired", old),
        "listener_name_secured_sasl_enabled_mechanisms": "SCRAM-SHA-512,PLAIN,OAUTHBEARER",
        "listener_name_expired_sasl_enabled_mechanisms": "PLAIN",
        "listener_name_expired_plain_sasl_jaas_config": login["plain"],
        **{f"listener_name_secured_{name}_sasl_jaas_config": module for name, module in login.items()},
    }


def _showing(listener: str, pair: Pair) -> dict[str, str]:
    """The listener shows this certificate; given by value, so that nothing has to be mounted."""
    place = f"listener_name_{listener}_ssl_keystore"
    return {
        f"{place}_type": "PEM",
        f"{place}_certificate_chain": _one_line(pair.certificate),
        f"{place}_key": _one_line(pair.key),
    }


def _one_line(pem: Path) -> str:
    return pem.read_text().strip().replace("\n", "\\n")
