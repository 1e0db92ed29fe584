"""Who asks decides: key or client id to tenant, models, objective, fairness id, and what of a client's word goes on."""

import pytest

from gateway.tenancy.identity import ANYBODY, Access, Caller, caller
from gateway.tenancy.keys import Keys, client, read
from gateway.tenancy.salting import Salter
from gateway.tenancy.tenants import Isolation, Models, Tenant, TenantList, Tenants, tenants_of
from gateway.wire.errors import Rejection
from gateway.wire.protocol import (
    ALLOWED_MODELS,
    CLIENT_ID,
    FAIRNESS_ID,
    MODEL_NAME_REWRITE,
    OBJECTIVE,
    OVERFLOW,
    PRIORITY_CEILING,
    TENANT,
)

BASES = {"lora": "base", "base": "base", "phi-4": "phi-4"}
SAID = {FAIRNESS_ID: "mine", OBJECTIVE: "urgent", "x-llm-d-inference-fairness-id": "mine", MODEL_NAME_REWRITE: "other"}
A = Tenant(
    "a", ("alice",), models=Models(frozenset({"m x"}), ("phi-",), frozenset({"base"})), objectives=("low", "mid")
)
B = Tenant("b", ("bob",), fairness_id="shared", is_trusted=True)


def keys(**tenants: str) -> Keys:
    return read("".join(client(name, tenant, f"key-{name}").line for name, tenant in tenants.items()), "f")


def access(*tenants: Tenant, keys: Keys | None = None, isolation: Isolation = Isolation.TENANT) -> Access:
    return Access(keys, tenants_of([TenantList(isolation, tenants)]), Salter(b"secret"))


def known(headers: dict[str, str], given: Access) -> Caller:
    found = caller(headers, given, BASES)
    assert isinstance(found, Caller)
    return found


def refusal(headers: dict[str, str], given: Access) -> tuple[int, str]:
    found = caller(headers, given, BASES)
    assert isinstance(found, Rejection)
    return found.status, str(found.code)


def test_without_keys_and_tenants_everything_goes_on() -> None:
    assert caller(SAID, Access(salter=Salter(b"s")), BASES) is ANYBODY


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "key-alice"},
        {"authorization": "Basic key-alice"},
        {"authorization": "Bearer  key-alice"},
        {"authorization": "Bearer Key-alice"},
        {"authorization": "Bearer key-alice,Bearer key-alice"},
        {"x-api-key": "key-alice,key-bob"},
        {"x-api-key": "key-bob", "authorization": "Bearer key-alice"},
        {"x-api-key": "key-alic"},
    ],
)
def test_no_key_two_keys_and_other_keys_are_refused(headers: dict[str, str]) -> None:
    assert refusal(headers, access(keys=keys(alice="a", bob="b"))) == (401, "invalid_api_key")


@pytest.mark.parametrize(
    "headers",
    [{"authorization": "Bearer key-alice"}, {"authorization": "bearer key-alice"}, {"x-api-key": "key-alice"}],
)
def test_both_apis_ways_name_the_client_and_the_key_goes_no_further(headers: dict[str, str]) -> None:
    found = known(headers, access(A, keys=keys(alice="a")))

    assert dict(found.set_headers)[CLIENT_ID] == "alice"
    assert dict(found.set_headers)[TENANT] == "a"
    assert set(found.removed) == headers.keys()


def test_what_a_client_says_of_itself_counts_where_its_tenant_is_trusted_alone() -> None:
    given = access(A, B)
    strange, trusted = known({CLIENT_ID: "alice", **SAID}, given), known({CLIENT_ID: "bob", **SAID}, given)

    written = dict(strange.set_headers)
    assert (written[FAIRNESS_ID], written[OBJECTIVE]) == ("a", "low")
    assert set(strange.removed) == {MODEL_NAME_REWRITE, "x-llm-d-inference-fairness-id"}
    assert (FAIRNESS_ID in dict(trusted.set_headers), trusted.removed) == (False, ())


def test_what_a_tenant_may_not_is_written_for_proxy_and_picker_also_of_one_that_is_trusted() -> None:
    bound = Tenant("t", ("eve",), is_trusted=True, priority_ceiling=-3, may_overflow=False)
    found = dict(known({CLIENT_ID: "eve", **SAID}, access(bound)).set_headers)

    assert (found[PRIORITY_CEILING], found[OVERFLOW]) == ("-3", "forbidden")
    assert not {PRIORITY_CEILING, OVERFLOW} & dict(known({CLIENT_ID: "alice"}, access(A)).set_headers).keys()


def test_the_scope_of_caches_may_differ_by_model() -> None:
    scopes = {"m": Isolation.NONE, "phi-*": Isolation.USER, "phi-4*": Isolation.GROUP, "base": Isolation.NONE}
    listed = TenantList(Isolation.TENANT, (Tenant("a", ("alice", "anna"), "g"),), isolation_of=scopes)
    found = [known({CLIENT_ID: name}, Access(None, tenants_of([listed]), Salter(b"s"))) for name in ("alice", "anna")]
    alice, anna = (each.salting for each in found)
    assert alice is not None
    assert anna is not None

    assert [alice.salt(model, BASES) for model in ("m", "base", "lora")] == [None] * 3
    assert alice.salt("phi-3", BASES) != anna.salt("phi-3", BASES)
    assert alice.salt("phi-4-mini", BASES) == anna.salt("phi-4-mini", BASES) != alice.salt("other", BASES)
    assert alice.salt("other", BASES) == anna.salt("other", BASES)


def test_a_client_may_name_an_objective_of_its_tenant() -> None:
    assert dict(known({CLIENT_ID: "alice", OBJECTIVE: "mid"}, access(A)).set_headers)[OBJECTIVE] == "mid"


def test_a_trusted_tenant_cannot_be_led_around_its_models() -> None:
    trusted = Tenant("t", ("eve",), models=Models(frozenset({"m"})), is_trusted=True)

    assert known({CLIENT_ID: "eve", **SAID}, access(trusted)).removed == (MODEL_NAME_REWRITE,)


def test_the_models_of_a_tenant_are_names_beginnings_and_adapters() -> None:
    found = known({CLIENT_ID: "alice", ":path": "/v1/models?x"}, access(A))

    assert [found.models.allow(model, BASES) for model in ("m x", "phi-4", "lora", "base", "m", "other")] == [
        True, True, True, True, False, False,
    ]  # fmt: skip
    assert dict(found.set_headers)[ALLOWED_MODELS] == "base,lora,m%20x,phi-*"
    assert ALLOWED_MODELS not in dict(known({CLIENT_ID: "alice", ":path": "/v1/completions"}, access(A)).set_headers)


def test_a_client_of_no_tenant_is_denied_and_nobody_shares_one_budget() -> None:
    assert refusal({CLIENT_ID: "carol"}, access(A)) == (403, "access_denied")
    assert dict(known({CLIENT_ID: "carol"}, access(A, Tenant("rest", ("*",)))).set_headers)[TENANT] == "rest"
    found = [known({FAIRNESS_ID: str(number)}, access(A)) for number in range(1000)]
    assert {dict(each.set_headers)[FAIRNESS_ID] for each in found} == {"anonymous"}
    assert len({each.salting.salt("m", BASES) for each in found if each.salting}) == 1


def test_a_list_of_tenants_that_cannot_be_read_lets_nobody_pass() -> None:
    unread = Access(None, tenants_of([TenantList(is_sound=False)]), Salter(b"s"))

    assert refusal({CLIENT_ID: "alice"}, unread) == (500, "internal_error")


def test_nobody_passes_before_tenants_were_read() -> None:
    for given in (Access(tenants=None), Access(keys(alice="a"), tenants=None)):
        assert refusal({"x-api-key": "key-alice"}, given) == (503, "picker_unavailable")


def test_the_strictest_isolation_and_the_first_tenant_of_a_client_count() -> None:
    found = tenants_of([TenantList(Isolation.NONE, (A,)), TenantList(Isolation.USER, (Tenant("z", ("alice",)),))])

    assert (found.isolation, found.by_client["alice"].name) == (Isolation.USER, "a")
    assert Tenants().isolation is Isolation.TENANT
