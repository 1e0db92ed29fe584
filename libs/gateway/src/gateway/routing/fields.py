"""Fields of the body, and the base model, as headers: the reference's two plugins. Pure."""

from dataclasses import dataclass

from gateway.routing.plugin import NOTHING, Note, Outcome
from gateway.routing.request import RoutedRequest
from gateway.wire.forms import MODEL
from gateway.wire.models import is_model_name
from gateway.wire.protocol import BASE_MODEL_NAME, MODEL_NAME


@dataclass(frozen=True, slots=True)
class BodyFieldToHeader:
    """A top-level field becomes a header, or several. A value that no header can carry becomes none."""

    field: str
    header: str = MODEL_NAME
    aliases: tuple[str, ...] = ()

    @property
    def sets(self) -> tuple[str, ...]:
        """The header and its other names."""
        return (self.header, *self.aliases)

    @property
    def reads_model_only(self) -> bool:
        """Nothing else of the body is needed."""
        return self.field == MODEL

    def act(self, request: RoutedRequest) -> Outcome:
        """Texts as they are, numbers and truth values as JSON writes them."""
        value = request.document.get(self.field)
        if value is None or isinstance(value, dict | list):
            return Outcome(notes=(Note("field_not_found", (self.field,)),))
        text = str(value).lower() if isinstance(value, bool) else str(value)
        if not text:
            return Outcome(notes=(Note("field_empty", (self.field,)),))
        return Outcome(tuple((name, text) for name in self.sets)) if is_model_name(text) else NOTHING


@dataclass(frozen=True, slots=True)
class BaseModelToHeader:
    """The base model of the body's model becomes a header; an unknown model leaves it away, so that routes can tell."""

    field: str = "model"
    header: str = BASE_MODEL_NAME

    @property
    def sets(self) -> tuple[str, ...]:
        """The one header."""
        return (self.header,)

    @property
    def reads_model_only(self) -> bool:
        """Nothing else of the body is needed."""
        return self.field == MODEL

    def act(self, request: RoutedRequest) -> Outcome:
        """By the labelled ConfigMaps of this moment."""
        model = request.document.get(self.field)
        base = request.base_models.get(model) if isinstance(model, str) else None
        return NOTHING if base is None else Outcome(((self.header, base),))
