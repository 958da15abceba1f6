"""Users named in headers: by this server, and to it."""

from __future__ import annotations

import asyncio
import socket
import ssl

import aiohttp
import pytest
from yarl import URL

from apimachinery import pki
from apimachinery.kinds import CONFIG_MAP
from controlplane.apiserver.authn import authenticator, front_proxy
from controlplane.apiserver.maintained import authentication
from controlplane.apiserver.request import User
from tests.controlplane.apiserver import aggregated
from tests.controlplane.apiserver.server import credentials, run

REVIEW = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
BODY = {"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"}


@pytest.mark.parametrize(
    "user",
    [
        User("jane"),
        User("ünî:code", "7", ("a", "b"), {"plain": ("1", "2"), "example.com/a%b c": ("3",), "ü": ("4",)}),
    ],
)
def test_a_user_is_read_as_it_was_named(user):
    named = list(front_proxy.headers_of(user))
    assert all(front_proxy.is_about(name) for name, _ in named)
    assert front_proxy.user_of(named) == user


def test_whoever_is_not_named_is_nobody():
    assert front_proxy.user_of([("X-Remote-Group", "system:masters"), ("X-Remote-User", "")]) is None


async def _who(client, folder, certificate, headers):
    """(status, user name, groups) of whoever asks so."""
    context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    if certificate is not None:
        context.load_cert_chain(folder / f"{certificate}.crt", folder / f"{certificate}.key")
    asked = {"json": BODY, "headers": headers, "ssl": context}
    async with aiohttp.ClientSession() as session, session.post(client.server + REVIEW, **asked) as response:
        told = await response.json()
        info = told.get("status", {}).get("userInfo", {}) if response.status == 201 else {}
        return response.status, info.get("username"), info.get("groups")


def test_only_a_front_proxy_names_users(tmp_path):
    named = {"X-Remote-User": "jane", "X-Remote-Group": "writers"}

    async def test(client):
        folder = tmp_path
        # Another authority's certificate of that name, and the right one's of another name.
        for name, authority, common in (("false", "ca", "front-proxy-client"), ("other", "front-ca", "other")):
            pair = pki.issue(authorities[authority], common, client=True)
            (folder / f"{name}.crt").write_bytes(pair.cert_pem)
            (folder / f"{name}.key").write_bytes(pair.key_pem)
        assert await _who(client, folder, "front", named) == (201, "jane", ["writers", "system:authenticated"])
        # It vouches for nobody by itself, and its certificate is no client's.
        assert (await _who(client, folder, "front", {}))[0] == 401
        assert (await _who(client, folder, "other", named))[0] == 401
        assert (await _who(client, folder, "admin", named))[1] == "admin"
        assert (await _who(client, folder, "false", named))[1] == "front-proxy-client"
        assert (await _who(client, folder, None, named))[0] == 403

    authorities = {"ca": pki.new_ca("clients"), "front-ca": pki.new_ca("fronts")}
    front = pki.issue(authorities["front-ca"], "front-proxy-client", client=True)
    (tmp_path / "front-ca.crt").write_bytes(authorities["front-ca"].cert_pem)
    (tmp_path / "clients.crt").write_bytes(authorities["ca"].cert_pem)
    (tmp_path / "front.crt").write_bytes(front.cert_pem)
    (tmp_path / "front.key").write_bytes(front.key_pem)
    (tmp_path / "both.crt").write_bytes(credentials()["ca.crt"] + authorities["ca"].cert_pem)
    run(tmp_path, test, client_ca_file=tmp_path / "both.crt", requestheader_client_ca_file=tmp_path / "front-ca.crt")


def _resumed(server, folder, version):
    """(whether a second connection resumes the first, on which nothing was asked; the status of a front proxy's
    request on it)."""
    context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    context.load_cert_chain(folder / "front.crt", folder / "front.key")
    context.minimum_version = context.maximum_version = version
    where = (server.host, server.port)
    with context.wrap_socket(socket.create_connection(where), server_hostname=server.host) as first:
        if version == ssl.TLSVersion.TLSv1_3:
            # The tickets come with the first answer; so this one is about nobody.
            first.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
            first.recv(4096)
        session = first.session
    again = socket.create_connection(where)
    with context.wrap_socket(again, server_hostname=server.host, session=session) as second:
        second.sendall(b"GET /api HTTP/1.1\r\nHost: a\r\nX-Remote-User: jane\r\nConnection: close\r\n\r\n")
        return second.session_reused, int(second.recv(4096).split()[1])


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_front_proxy_is_known_on_a_connection_that_resumes_another(tmp_path, version, monkeypatch):
    # As if so many others had come meanwhile.
    monkeypatch.setattr(authenticator, "CACHED_CERTIFICATES", 0)

    async def test(client):
        assert await asyncio.to_thread(_resumed, URL(client.server), tmp_path, version) == (True, 200)

    run(tmp_path, test, **aggregated.settings(tmp_path))


def test_others_can_read_whom_to_believe(tmp_path):
    async def test(client):
        found = await client.get(CONFIG_MAP, "extension-apiserver-authentication", "kube-system")
        assert found["data"] == {
            "client-ca-file": (tmp_path / "ca.crt").read_text(),
            "requestheader-allowed-names": '["front-proxy-client"]',
            "requestheader-client-ca-file": (tmp_path / "front-ca.crt").read_text(),
            "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]',
            "requestheader-group-headers": '["X-Remote-Group"]',
            "requestheader-uid-headers": '["X-Remote-Uid"]',
            "requestheader-username-headers": '["X-Remote-User"]',
        }

    run(tmp_path, test, **aggregated.settings(tmp_path))


@pytest.mark.parametrize(
    ("stored", "found"), [("", '["a","b"]'), ('["c","a"]', '["c","a","b"]'), ("{}", '["a","b"]'), ("[", '["a","b"]')]
)
def test_names_of_another_server_stay_beside_ours(stored, found):
    assert authentication.listed(stored, ("a", "b")) == found
