"""Types that upstream no longer has, each as the plugin that does the same today (`modern`). Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from epp.scheduling.filters import UtilizationCondition, UtilizationFilter
from epp.scheduling.handlers import AlwaysDisaggPdDecider, DisaggDeciders, DisaggProfileHandler, DisaggProfiles
from epp.scheduling.handlers import PrefixBasedPdDecider as ByPrefix
from epp.scheduling.plugin import parameter
from epp.scheduling.view import SchedulingView

BYTES_PER_TOKEN = 4
_DEFAULT_DECIDER = "prefix-based-pd-decider"


@dataclass(frozen=True, slots=True)
class PdProfileHandler:
    """Splits prefill and decode as disagg-profile-handler does, in its parameters of before."""

    decode_profile: str = parameter("decode", "chooses where tokens are generated")
    prefill_profile: str = parameter("prefill", "chooses where the prompt is computed")
    decider_plugin_name: str = parameter(
        "", "the decider; without one prefix-based-pd-decider if it is listed, else threshold", reference="decider"
    )
    threshold: int = parameter(
        0, "prefill apart from this many uncached bytes of the prompt on; 0 always", unit="bytes", minimum=0
    )
    prefix_plugin_type: str = parameter("", "ignored: one prefix index serves all", ignored=True)
    prefix_plugin_name: str = parameter("", "ignored: one prefix index serves all", ignored=True)
    prefix_match_info_producer_name: str = parameter("", "ignored: one prefix index serves all", ignored=True)
    hash_block_size: int = parameter(0, "ignored: the prefix producer knows it", ignored=True)
    primary_port: object = parameter(None, "ignored: list each rank as an endpoint of its own", ignored=True)

    def modern(self) -> DisaggProfileHandler:
        """The handler of today; a threshold in bytes becomes one in tokens."""
        tokens = max(1, self.threshold // BYTES_PER_TOKEN)
        return DisaggProfileHandler(
            profiles=DisaggProfiles(self.decode_profile, self.prefill_profile),
            deciders=DisaggDeciders(prefill=self.decider_plugin_name or _DEFAULT_DECIDER),
            prefill_decider=ByPrefix(non_cached_tokens=tokens) if self.threshold else AlwaysDisaggPdDecider(),
        )


@dataclass(frozen=True, slots=True)
class LowQueueFilter:
    """Keeps endpoints whose queue is short."""

    threshold: int = parameter(128, "the longest queue", unit="requests", minimum=0)

    def modern(self) -> UtilizationFilter:
        """The same bound as a condition."""
        return UtilizationFilter((UtilizationCondition("waiting-queue", float(self.threshold)),))


@dataclass(frozen=True, slots=True)
class ByLabelFilter:
    """Keeps endpoints whose label has one of some values."""

    label: str = parameter("", "the label's key")
    valid_values: tuple[str, ...] = parameter((), "the values to keep")
    allows_no_label: bool = parameter(False, "keep endpoints without the label, too")

    def problem(self) -> str | None:
        """A key, and something that passes."""
        if not self.label:
            return "label is missing"
        return None if self.valid_values or self.allows_no_label else "validValues is missing: nobody would be kept"

    def keep(self, view: SchedulingView) -> Sequence[bool]:
        """By the label alone."""
        values = (endpoint.labels.get(self.label) for endpoint in view.endpoints)
        return [self.allows_no_label if value is None else value in self.valid_values for value in values]
