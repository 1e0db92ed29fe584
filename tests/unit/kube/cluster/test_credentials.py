"""How the API server is reached, by a Pod's account or a kubeconfig."""

from pathlib import Path

import pytest

from gateway.kube.sources.cluster.credentials import CredentialsError, from_kubeconfig, in_cluster

KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: mine
clusters:
- {name: other, cluster: {server: "https://other:6443"}}
- {name: near, cluster: {server: "https://10.0.0.1:6443/", certificate-authority-data: Y2E=, tls-server-name: api}}
users:
- {name: me, user: {token: swordfish, client-certificate: me.crt, client-key-data: a2V5}}
contexts:
- {name: mine, context: {cluster: near, user: me}}
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "config"
    file.write_text(text)
    return file


def test_the_current_context_counts(tmp_path: Path) -> None:
    found = from_kubeconfig(written(tmp_path, KUBECONFIG))

    assert (found.server, found.server_name) == ("https://10.0.0.1:6443", "api")
    assert found.authority.read() == b"ca"
    assert (found.certificate.file, found.key.read()) == (tmp_path / "me.crt", b"key")
    assert found.headers() == {"Authorization": "Bearer swordfish"}


def test_a_token_is_read_for_every_request_since_it_is_renewed(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("first\n")
    found = in_cluster({"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}, tmp_path)

    assert found.server == "https://10.96.0.1:443"
    assert found.headers() == {"Authorization": "Bearer first"}
    (tmp_path / "token").write_text("second\n")
    assert found.headers() == {"Authorization": "Bearer second"}


def test_an_api_server_may_have_an_address_of_ipv6(tmp_path: Path) -> None:
    assert in_cluster({"KUBERNETES_SERVICE_HOST": "fd00::1"}, tmp_path).server == "https://[fd00::1]:443"


def test_no_secret_is_shown(tmp_path: Path) -> None:
    shown = repr(from_kubeconfig(written(tmp_path, KUBECONFIG)))

    assert "swordfish" not in shown
    assert "b'key'" not in shown


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "current-context: required"),
        (KUBECONFIG.replace("current-context: mine", "current-context: gone"), "contexts: none is called 'gone'"),
        (KUBECONFIG.replace("cluster: near, user", "cluster: far, user"), "clusters: none is called 'far'"),
        (KUBECONFIG.replace("token: swordfish", "exec: {command: login}"), "credential plugins are not run"),
        (KUBECONFIG.replace("Y2E=", "'*'"), "certificate-authority-data: not base64"),
        (KUBECONFIG.replace('"https://10.0.0.1:6443/"', "10.0.0.1"), "server: expected https://HOST:PORT"),
        ("clusters: [", ""),
    ],
)
def test_what_is_wrong_with_a_kubeconfig_is_named_with_its_place(tmp_path: Path, text: str, says: str) -> None:
    file = written(tmp_path, text)

    with pytest.raises(CredentialsError) as caught:
        from_kubeconfig(file)
    assert says in str(caught.value)
    assert str(file) in str(caught.value)


def test_a_kubeconfig_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError, match="none: No such file"):
        from_kubeconfig(tmp_path / "none")


def test_outside_of_a_cluster_there_is_no_server() -> None:
    with pytest.raises(CredentialsError, match="give --kubeconfig"):
        in_cluster({})
