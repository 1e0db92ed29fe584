"""Profile handlers: which profiles run for a request, and which result is the answer. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from epp.scheduling.containing import contained
from epp.scheduling.plugin import Decider, Decision, Profile, ProfileResult, Trace, parameter
from epp.scheduling.profile import run_profile
from epp.scheduling.view import SchedulingView
from gateway.wire.errors import ErrorCode, Rejection


def nobody_left(profile: str) -> Rejection:
    """Upstream's status for a profile whose filters kept nobody."""
    words = f"no endpoint is left after the filters of profile {profile!r}"
    return Rejection(429, ErrorCode.POOL_SATURATED, words, retry_after=1.0)


@dataclass(frozen=True, slots=True)
class SingleProfileHandler:
    """Runs the only profile."""

    def run(self, profiles: Mapping[str, Profile], view: SchedulingView, trace: Trace) -> Decision | Rejection:
        """Its result."""
        (profile,) = profiles.values()
        result = run_profile(profile, view, trace)
        return nobody_left(profile.name) if result is None else Decision(result)

    def check(self, profiles: Sequence[str]) -> str | None:
        """Exactly one."""
        return (
            None if len(profiles) == 1 else f"single-profile-handler needs exactly one profile, found {len(profiles)}"
        )


@dataclass(frozen=True, slots=True)
class HeaderProfileHandler:
    """Runs the profile that a request header names; with one profile always that."""

    header_name: str = parameter("EPP-Profile", "the header")
    default_profile: str = parameter("decode", "the profile of requests without the header")

    def run(self, profiles: Mapping[str, Profile], view: SchedulingView, trace: Trace) -> Decision | Rejection:
        """The named profile's result; an unknown name is the client's mistake."""
        name = view.request.headers.get(self.header_name.lower()) or self.default_profile
        profile = next(iter(profiles.values())) if len(profiles) == 1 else profiles.get(name)
        if profile is None:
            words = f"header {self.header_name} names no profile: {name!r}; known: {', '.join(profiles)}"
            return Rejection(400, ErrorCode.INVALID_REQUEST, words)
        result = run_profile(profile, view, trace)
        return nobody_left(profile.name) if result is None else Decision(result)

    def check(self, profiles: Sequence[str]) -> str | None:
        """The default must exist, unless there is only one."""
        if len(profiles) > 1 and self.default_profile not in profiles:
            return f"defaultProfile {self.default_profile!r} is no profile; known: {', '.join(profiles)}"
        return None


@dataclass(frozen=True, slots=True)
class DisaggProfiles:
    """Which profile is which leg."""

    decode: str = parameter("decode", "chooses where tokens are generated")
    prefill: str = parameter("prefill", "chooses where the prompt is computed")
    encode: str = parameter("encode", "chooses where media are encoded")


@dataclass(frozen=True, slots=True)
class DisaggDeciders:
    """Who says whether a leg is worth it."""

    prefill: str = parameter("", "the decider of the prefill leg; without one it never runs", reference="decider")
    encode: str = parameter("", "the decider of the encode leg; without one it never runs", reference="decider")


@dataclass(frozen=True, slots=True)
class DisaggProfileHandler:
    """Splits prefill and decode over two endpoints where a decider finds it worth while."""

    stage_order: Literal["decode-first", "prefill-first"] = parameter(
        "decode-first", "decode-first asks the decider; prefill-first prefills apart always",
        choices=("decode-first", "prefill-first"),
    )  # fmt: skip
    profiles: DisaggProfiles = parameter(DisaggProfiles(), "names of the profiles")
    deciders: DisaggDeciders = parameter(DisaggDeciders(), "names of the deciders")
    decode_profile: str = parameter("", "earlier spelling of profiles.decode")
    prefill_profile: str = parameter("", "earlier spelling of profiles.prefill")
    encode_profile: str = parameter("", "earlier spelling of profiles.encode")
    prefill_decider_plugin_name: str = parameter("", "earlier spelling of deciders.prefill", reference="decider")
    encode_decider_plugin_name: str = parameter("", "earlier spelling of deciders.encode", reference="decider")
    decider_plugin_name: str = parameter("", "earlier spelling of deciders.prefill", reference="decider")
    prefix_plugin_type: str = parameter("", "ignored: one prefix index serves all", ignored=True)
    prefix_plugin_name: str = parameter("", "ignored: one prefix index serves all", ignored=True)
    primary_port: object = parameter(None, "ignored: list each rank as an endpoint of its own", ignored=True)
    prefill_decider: Decider | None = None  # bound to `deciders` when the configuration is read
    encode_decider: Decider | None = None

    def run(self, profiles: Mapping[str, Profile], view: SchedulingView, trace: Trace) -> Decision | Rejection:
        """Decode is the primary; the other legs' absence never fails a request that decode alone can serve."""
        decode = run_profile(profiles[self.profiles.decode], view, trace)
        if decode is None:
            return nobody_left(self.profiles.decode)
        position = decode.chosen[0]
        # The proxy's retries walk the decode leg only.
        beside = replace(view, peer=decode.view.endpoints[position], fallbacks=0)
        encode = self._encode(profiles, decode, beside, trace)
        decider, name = self.prefill_decider, self.deciders.prefill
        is_apart = self.stage_order == "prefill-first" or (
            decider is not None and contained(trace, name, partial(_decides, decider, decode), otherwise=False)
        )
        profile = profiles.get(self.profiles.prefill)
        prefill = run_profile(profile, beside, trace) if is_apart and profile is not None else None
        return Decision(decode, prefill, encode)

    def _encode(
        self, profiles: Mapping[str, Profile], decode: ProfileResult, view: SchedulingView, trace: Trace
    ) -> ProfileResult | None:
        profile = profiles.get(self.profiles.encode)
        if profile is None or self.encode_decider is None:
            return None
        decides = partial(_decides, self.encode_decider, decode)
        if not contained(trace, self.deciders.encode, decides, otherwise=False):
            return None
        return run_profile(profile, view, trace)

    def check(self, profiles: Sequence[str]) -> str | None:
        """A decode profile must exist; a decider makes no sense where prefill always comes first."""
        if self.profiles.decode not in profiles:
            return f"profiles.decode {self.profiles.decode!r} is no profile; known: {', '.join(profiles)}"
        if self.stage_order == "prefill-first" and self.deciders.prefill:
            return "a prefill decider has no say with stageOrder prefill-first"
        return None

    def modern(self) -> "DisaggProfileHandler":
        """The same in today's spelling; where both are written, today's holds."""
        profiles, deciders, usual = self.profiles, self.deciders, DisaggProfiles()
        return replace(
            self,
            profiles=DisaggProfiles(
                _written(profiles.decode, usual.decode, self.decode_profile),
                _written(profiles.prefill, usual.prefill, self.prefill_profile),
                _written(profiles.encode, usual.encode, self.encode_profile),
            ),
            deciders=DisaggDeciders(
                deciders.prefill or self.prefill_decider_plugin_name or self.decider_plugin_name,
                deciders.encode or self.encode_decider_plugin_name,
            ),
        )

    def bind(self, deciders: Mapping[str, Decider]) -> "DisaggProfileHandler":
        """The same with the deciders of those names; a name that is none was reported when it was read."""
        prefill = deciders.get(self.deciders.prefill, self.prefill_decider)
        return replace(self, prefill_decider=prefill, encode_decider=deciders.get(self.deciders.encode))


def _written(name: str, usual: str, former: str) -> str:
    return former or name if name == usual else name


def _decides(decider: Decider, decode: ProfileResult) -> bool:
    return bool(decider.decides(decode.view, decode.chosen[0]))


@dataclass(frozen=True, slots=True)
class AlwaysDisaggPdDecider:
    """Prefills every request apart."""

    def decides(self, view: SchedulingView, position: int) -> bool:
        """Yes."""
        del view, position
        return True


@dataclass(frozen=True, slots=True)
class AlwaysDisaggMultimodalDecider:
    """Encodes apart whenever a prompt carries media."""

    def decides(self, view: SchedulingView, position: int) -> bool:
        """By the request alone."""
        del position
        return view.request.has_media


@dataclass(frozen=True, slots=True)
class PrefixBasedPdDecider:
    """Prefills apart when enough of the prompt is not cached at the chosen decode endpoint."""

    non_cached_tokens: int = parameter(0, "from this many uncached tokens on; 0 never", unit="tokens", minimum=0)
    prompt_tokens: int = parameter(0, "and only for prompts this long; 0 any", unit="tokens", minimum=0)

    def decides(self, view: SchedulingView, position: int) -> bool:
        """Compare what the chosen endpoint would have to compute."""
        if not self.non_cached_tokens:
            return False
        tokens = view.request.prompt_tokens
        uncached = tokens - view.matched_tokens[position]
        return uncached >= self.non_cached_tokens and tokens >= self.prompt_tokens
