"""The plugin types of the body-based router by name, and their parameters, read strictly. Pure.

A plugin is written `TYPE:NAME[:PARAMETERS]`, parameters as a JSON object: the reference's syntax.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from gateway.routing.classes import Classes, ClassRule, Examples
from gateway.routing.fields import BaseModelToHeader, BodyFieldToHeader
from gateway.routing.guard import CLASSIFIER, SIZE, TOKENS, Classifier, DenyRule, Guard
from gateway.routing.patterns import PatternError, Patterns
from gateway.routing.plugin import Named, Plugin
from gateway.routing.stripping import StripVolatileLines
from gateway.schema.fields import Fields, fields_of
from gateway.schema.problems import Findings, Place, Problem, ProblemsError
from gateway.schema.spelling import is_header_name
from gateway.schema.values import Value
from gateway.schema.wording import nearest
from gateway.schema.yamltext import one
from gateway.wire.protocol import BASE_MODEL_NAME, MODEL_NAME, MODEL_NAME_ALIASES
from gateway.wire.volatile_lines import problem

MOST: Final = 1000  # rules, patterns, examples: more are a mistake
LARGEST: Final = 2**40
DEFAULT_ALIASES: Final = MODEL_NAME_ALIASES[:1]
NO_TYPES: Final[Mapping[str, Callable[..., Any]]] = MappingProxyType({})
_RESERVED: Final = frozenset((SIZE, TOKENS, CLASSIFIER))


class PluginError(ProblemsError):
    """Plugins that cannot be used."""


class Reader:
    """Reads plugins; `own` makes plugins of a user's types from their parameters, `classifiers` are the guard's."""

    def __init__(
        self,
        own: Mapping[str, Callable[..., Any]] = NO_TYPES,
        classifiers: Mapping[str, Callable[[], Classifier]] = NO_TYPES,
    ) -> None:
        self._own = own
        self._classifiers = classifiers
        self._types: Mapping[str, Callable[[Fields], Plugin]] = {
            "body-field-to-header": _body_field,
            "base-model-to-header": _base_model,
            "guard": self._guard,
            "class": _classes,
            "strip-volatile-lines": _volatile_lines,
        }

    def read(self, written: Sequence[str]) -> tuple[Named, ...]:
        """The plugins of the command line, in order; raises PluginError with every problem."""
        findings, found = Findings(), []
        for text in written:
            plugin = self._read_one(text, findings)
            if plugin is not None:
                found.append(plugin)
        names = [each.name for each in found]
        for name in sorted({name for name in names if names.count(name) > 1}):
            findings.problems.append(_problem(f"two plugins are named {name!r}"))
        if findings.problems:
            raise PluginError(findings.problems)
        return tuple(found)

    def _read_one(self, text: str, findings: Findings) -> Named | None:
        type_, _, rest = text.partition(":")
        name, _, parameters = rest.partition(":")
        known = {*self._types, *self._own}
        if type_ not in known:
            findings.problems.append(_problem(f"unknown plugin type {type_!r}{nearest(type_, known)}"))
            return None
        document = one(parameters or "{}", f"--plugin {type_}:{name}", findings)
        fields = None if document is None else fields_of(document)
        if fields is None:
            return None
        if type_ in self._own:
            return self._make_own(type_, name, document, findings)
        try:
            plugin = self._types[type_](fields)
        except PatternError as error:
            findings.problems.append(_problem(f"{type_}:{name}: {error}"))
            return None
        fields.done()
        return Named(name or type_, type_, plugin)

    def _make_own(self, type_: str, name: str, document: Value | None, findings: Findings) -> Named | None:
        try:
            return Named(name or type_, type_, self._own[type_](document.data if document is not None else {}))
        except Exception as error:  # noqa: BLE001 - a plugin of the user's own may raise anything
            findings.problems.append(_problem(f"{type_}:{name} cannot be made: {error}"))
            return None

    def _guard(self, fields: Fields) -> Guard:
        rules = []
        for rule in fields.children("deny", MOST):
            found = DenyRule(rule.text("name", required=True), rule.text("pattern", required=True))
            if found.name in _RESERVED:
                rule.problem("name", f"{found.name!r} is the guard's own word")
            rule.done()
            rules.append(found)
        classifier = self._classifier(fields)
        return Guard(
            tuple(rules),
            fields.integer("maxBodyBytes", 0, LARGEST, 0) or 0,
            fields.integer("maxTokens", 0, LARGEST, 0) or 0,
            fields.boolean("shadow", default=False),
            classifier,
            _number(fields, "threshold", 0.5),
        )

    def _classifier(self, fields: Fields) -> Classifier | None:
        name = fields.text("classifier")
        if not name:
            return None
        if name not in self._classifiers:
            fields.problem("classifier", f"no package declares {name!r}{nearest(name, self._classifiers)}")
            return None
        try:
            return self._classifiers[name]()
        except Exception as error:  # noqa: BLE001 - a classifier of the user's own may raise anything
            fields.problem("classifier", f"{name!r} cannot be made: {error}")
            return None


def default_plugins(aliases: Sequence[str] = DEFAULT_ALIASES) -> tuple[Named, ...]:
    """What runs where no plugin is given: the model and its base model."""
    return (
        Named("model", "body-field-to-header", BodyFieldToHeader("model", MODEL_NAME, tuple(aliases))),
        Named("base-model", "base-model-to-header", BaseModelToHeader()),
    )


def _body_field(fields: Fields) -> BodyFieldToHeader:
    # Both pairs of words were released.
    field = fields.text("fieldName") or fields.text("field")
    header = _header(fields, "headerName") or _header(fields, "header") or ""
    aliases = tuple(name.lower() for name in fields.texts("aliases", MOST))
    if not field and not header:  # as the reference's default
        return BodyFieldToHeader("model", MODEL_NAME, aliases)
    if not field:
        fields.problem("fieldName", "required")
    if not header:
        fields.problem("headerName", "required")
    return BodyFieldToHeader(field, header, aliases)


def _base_model(fields: Fields) -> BaseModelToHeader:
    return BaseModelToHeader(fields.text("fieldName", "model"), _header(fields, "headerName") or BASE_MODEL_NAME)


def _volatile_lines(fields: Fields) -> StripVolatileLines:
    lines = tuple(fields.texts("volatileLines", MOST))
    if (wrong := problem(lines)) is not None:
        fields.problem("volatileLines", wrong)
    return StripVolatileLines(lines, frozenset(fields.texts("models", MOST)))


def _classes(fields: Fields) -> Classes:
    header = _header(fields, "headerName") or ""
    if not header:
        fields.problem("headerName", "required")
    return Classes(
        header,
        fields.one_line("default", required=True),
        tuple(_class_rule(rule) for rule in fields.children("rules", MOST)),
        _examples(fields.child("examples")),
    )


def _class_rule(rule: Fields) -> ClassRule:
    found = ClassRule(
        rule.one_line("class", required=True),
        Patterns(rule.texts("patterns", MOST)),
        Patterns(rule.texts("systemPatterns", MOST)),
        frozenset(name.lower() for name in rule.texts("scripts", MOST)),
        rule.boolean("tools", default=False) if rule.has("tools") else None,
        rule.boolean("media", default=False) if rule.has("media") else None,
        rule.integer("minCharacters", 0, LARGEST, 0) or 0,
        rule.integer("maxCharacters", 0, LARGEST, 0) or 0,
    )
    rule.done()
    return found


def _examples(fields: Fields | None) -> Examples:
    if fields is None:
        return Examples()
    texts = []
    for item in fields.children("classes", MOST):
        name = item.one_line("class", required=True)
        texts += [(name, text) for text in item.texts("texts", MOST, least=1)]
        item.done()
    examples = Examples(tuple(texts), _number(fields, "minSimilarity", 0.5))
    fields.done()
    return examples


def _header(fields: Fields, key: str) -> str | None:
    name = fields.text(key)
    if name and not is_header_name(name):
        fields.problem(key, f"not a header's name: {name!r}")
    return name.lower() or None


def _number(fields: Fields, key: str, default: float) -> float:
    written = fields.value(key)
    found = None if written is None else written.number()
    if found is None:
        return default
    if not 0 <= found <= 1:
        fields.problem(key, f"expected 0 to 1, got {found:g}")
    return found


def _problem(message: str) -> Problem:
    return Problem(Place("--plugin"), "", message)
