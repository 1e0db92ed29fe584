"""Objects of Envoy AI Gateway for the contract tests."""

import asyncio
from base64 import b64encode

from tests.contract.envoy.conftest import Answer, Bed
from tests.contract.envoy.fakes import HOST

_AI = "aigateway.envoyproxy.io/v1beta1"


def document(version: str, kind: str, name: str, spec: str) -> str:
    return f"---\napiVersion: {version}\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n"


def route(*references: str, header: str = "ai") -> str:
    """An AIGatewayRoute to these references, for requests with `x-case: ai`."""
    rules = f"[{{matches: [{{headers: [{{name: x-case, value: {header}}}]}}], backendRefs: [{', '.join(references)}]}}]"
    return document(_AI, "AIGatewayRoute", header, f"{{parentRefs: [{{name: gateway}}], rules: {rules}}}")


def backend(name: str, endpoint: str, more: str = "", tls: str = "") -> str:
    """An AIServiceBackend with one endpoint: `ip: {…}` or `fqdn: {…}`."""
    ref = f"{{group: gateway.envoyproxy.io, kind: Backend, name: {name}}}"
    return document(
        _AI, "AIServiceBackend", name, f"{{schema: {{name: OpenAI}}, backendRef: {ref}{more and f', {more}'}}}"
    ) + document(
        "gateway.envoyproxy.io/v1alpha1", "Backend", name, f"{{endpoints: [{{{endpoint}}}]{tls and f', tls: {tls}'}}}"
    )


def at(port: int) -> str:
    return f"ip: {{address: {HOST}, port: {port}}}"


def key(backend_name: str, kind: str = "APIKey", field: str = "apiKey", more: str = "") -> str:
    """A BackendSecurityPolicy whose key is in the Secret of the same name."""
    target = f"{{group: aigateway.envoyproxy.io, kind: AIServiceBackend, name: {backend_name}}}"
    written = f"type: {kind}, {field}: {{secretRef: {{name: {backend_name}}}}}, targetRefs: [{target}]"
    return document(_AI, "BackendSecurityPolicy", backend_name, f"{{{written}{more and f', {more}'}}}")


def secret(name: str, **data: bytes) -> str:
    shown = {member.replace("_", "."): b64encode(value).decode() for member, value in data.items()}
    return f"---\napiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\ndata: {shown}\n"


async def routed(bed: Bed, case: str = "ai", **options: object) -> Answer:
    """The first answer by a route that was just written."""
    headers = {"x-case": case, **options.pop("headers", {})}  # type: ignore[dict-item]
    async with asyncio.timeout(20):
        while True:
            answer = await bed.ask("m", headers=headers, **options)  # type: ignore[arg-type]
            if answer.status not in (400, 404):  # what a request gets that no rule is for yet
                return answer
            await asyncio.sleep(0.1)
