"""The keys and certificates of a control plane on one machine."""

import base64
import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFETIME = datetime.timedelta(days=30)
_CLOCK_SKEW = datetime.timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class Certificates:
    """The certificate and key files, in PEM."""

    authority: Path
    server: Path
    server_key: Path
    admin: Path
    admin_key: Path
    service_account_key: Path
    service_account_public_key: Path


def write_certificates(folder: Path) -> Certificates:
    """Write a certificate authority, the API server's and the administrator's certificates, and a key for tokens."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    authority_key = _new_key()
    authority_name = _name("rehearsal-ca")
    authority = (
        _unsigned(authority_name, authority_name, authority_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )

    def issue(subject: x509.Name, key: ec.EllipticCurvePrivateKey, *extensions: x509.ExtensionType) -> x509.Certificate:
        builder = _unsigned(subject, authority_name, key.public_key())
        issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
        for extension in (issuer_key, *extensions):
            builder = builder.add_extension(extension, critical=False)
        return builder.add_extension(_key_usage(signs_certificates=False), critical=True).sign(
            authority_key, hashes.SHA256()
        )

    server_key, admin_key, service_account_key = _new_key(), _new_key(), _new_key()
    addresses = x509.SubjectAlternativeName(
        [
            x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
            x509.DNSName("localhost"),
            x509.DNSName("kubernetes.default.svc"),
        ]
    )
    server = issue(
        _name("kube-apiserver"), server_key, addresses, x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    )
    admin = issue(
        _name("rehearsal-admin", group="system:masters"),
        admin_key,
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]),
    )
    return Certificates(
        authority=_write(folder / "ca.crt", _certificate_pem(authority)),
        server=_write(folder / "apiserver.crt", _certificate_pem(server)),
        server_key=_write(folder / "apiserver.key", _key_pem(server_key)),
        admin=_write(folder / "admin.crt", _certificate_pem(admin)),
        admin_key=_write(folder / "admin.key", _key_pem(admin_key)),
        service_account_key=_write(folder / "service-account.key", _key_pem(service_account_key)),
        service_account_public_key=_write(folder / "service-account.pub", _public_pem(service_account_key)),
    )


def write_kubeconfig(path: Path, server: str, certificates: Certificates) -> Path:
    """Write a self-contained kubeconfig for the administrator."""

    def encoded(file: Path) -> str:
        return base64.b64encode(file.read_bytes()).decode()

    user = {
        "client-certificate-data": encoded(certificates.admin),
        "client-key-data": encoded(certificates.admin_key),
    }
    cluster = {"server": server, "certificate-authority-data": encoded(certificates.authority)}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "rehearsal",
        "contexts": [{"name": "rehearsal", "context": {"cluster": "rehearsal", "user": "admin"}}],
        "clusters": [{"name": "rehearsal", "cluster": cluster}],
        "users": [{"name": "admin", "user": user}],
    }
    return _write(path, yaml.safe_dump(document, sort_keys=False).encode())


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _name(common_name: str, group: str | None = None) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if group:  # Kubernetes takes the organisation as the user's group.
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, group))
    return x509.Name(attributes)


def _unsigned(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + _LIFETIME)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _certificate_pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )


def _public_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def _write(path: Path, content: bytes) -> Path:
    path.touch(mode=0o600)
    path.write_bytes(content)
    return path
