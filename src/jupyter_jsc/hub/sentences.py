# SPDX-License-Identifier: BSD-3-Clause
"""What the events of a start say, in the request's language. Pure.

An event comes with words that its sender wrote in English; its code has a sentence in both languages, and a step of the
preparation its label in the configuration that the start was made with. Called by :mod:`.views`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from jupyter_jsc.config.base import Language, Text
from jupyter_jsc.config.model import Configuration
from jupyter_jsc.hub.records import Event, Start
from jupyter_jsc.hub.words import NOTHING, PAGE_LANGUAGE, Said, said

SENTENCES = {
    "submitted": Text(en="Submitting to {system}.", de="Der Job wird an {system} übergeben."),
    "waiting": Text(
        en="The system does not answer; the start waits and tries again.",
        de="{system} kann den Job gerade nicht annehmen; der Start wartet und versucht es weiter.",
    ),
    "accepted": Text(en="The system has accepted the job.", de="{system} hat den Job angenommen."),
    "queued": Text(en="Queued on {system}.", de="In der Warteschlange von {system}."),
    "running": Text(en="The job is running.", de="Der Job läuft."),
    "lab_starting": Text(en="JupyterLab is starting.", de="JupyterLab wird gestartet."),
    "lab_waiting": Text(
        en="The lab waited until it reached the portal.",
        de="Das Lab hat gewartet, bis es das Portal erreichte.",
    ),
    "lab_step": Text(en="The lab is being prepared.", de="Das Lab wird vorbereitet."),
    "lab_step_done": Text(en="A step of the preparation is done.", de="Ein Schritt der Vorbereitung ist fertig."),
    "lab_step_warning": Text(
        en="A step of the preparation has failed; the lab starts without it.",
        de="Ein Schritt der Vorbereitung ist gescheitert; das Lab startet ohne ihn.",
    ),
    "lab_step_failed": Text(
        en="A step of the preparation has failed.", de="Ein Schritt der Vorbereitung ist gescheitert."
    ),
    "lab_listening": Text(en="JupyterLab listens.", de="Der Server ist bereit für die Verbindung."),
    "tunnel_waiting": Text(
        en="The connection to the lab cannot be opened yet.",
        de="Die Verbindung zum Lab kommt noch nicht zustande; das Portal versucht es weiter.",
    ),
    "tunnel_open": Text(en="The connection to the lab is open.", de="Die Verbindung zum Lab steht."),
    "ready": Text(en="The lab is ready.", de="Das Lab ist bereit."),
    "lab_ending": Text(en="The lab's time is nearly over.", de="Die Zeit des Labs ist fast zu Ende."),
    "reconnecting": Text(
        en="The portal looks for the lab again.", de="Das Portal sucht das Lab wieder; es läuft inzwischen weiter."
    ),
    "failed": Text(en="The start failed.", de="Der Start ist gescheitert."),
    "cancelled": Text(en="The start was cancelled.", de="Der Start wurde abgebrochen."),
    "stopped": Text(en="The lab was stopped.", de="Das Lab wurde beendet."),
    "ended": Text(en="The job has ended.", de="Das Lab ist zu Ende."),
    # Of clusters, which tell more than a batch system does.
    "scheduled": Text(en="A node takes the lab.", de="Ein Knoten nimmt das Lab auf."),
    "scale_up": Text(
        en="The cluster is starting another node for the lab.", de="Der Cluster startet einen Knoten für das Lab."
    ),
    "volume": Text(en="The home is attached to the node.", de="Ihr Verzeichnis ist mit dem Knoten verbunden."),
    "volume_waiting": Text(
        en="A volume is not there yet.", de="Ein Datenträger ist noch nicht da; der Knoten versucht es weiter."
    ),
    "node_trouble": Text(
        en="The node could not prepare the lab yet.",
        de="Der Knoten konnte das Lab noch nicht vorbereiten; er versucht es weiter.",
    ),
    "pulling": Text(en="Loading the image.", de="Das Image wird geladen."),
    "pulled": Text(en="The image is there.", de="Das Image ist da."),
    "pull_failed": Text(
        en="The image could not be loaded.", de="Das Image konnte nicht geladen werden; der Knoten versucht es weiter."
    ),
    "created": Text(en="The lab's container is made.", de="Der Container des Labs ist angelegt."),
    "container_started": Text(en="The lab's container has started.", de="Der Container des Labs läuft."),
    "node_silent": Text(en="The lab's node does not answer.", de="Der Knoten des Labs antwortet gerade nicht."),
    "evicted": Text(en="The node has put the lab out.", de="Der Knoten hat das Lab verdrängt."),
    "preempted": Text(
        en="The lab had to make room for something more urgent.", de="Das Lab musste etwas Dringenderem weichen."
    ),
    "node_lost": Text(
        en="The lab's node is lost or was taken out of service.",
        de="Der Knoten des Labs ist verloren oder außer Betrieb.",
    ),
}
"""What the portal itself says, by code: in German always, in English where the event has no words of its own."""

_OF_STEPS = {
    "lab_step": Text(en="{step}", de="{step}"),
    "lab_step_done": Text(en="{step}: done", de="{step}: fertig"),
    "lab_step_warning": Text(
        en="{step}: failed; the lab starts without it", de="{step}: gescheitert; das Lab startet ohne diesen Schritt"
    ),
    "lab_step_failed": Text(en="{step}: failed", de="{step}: gescheitert, und damit der Start"),
}
"""The same where it is known which step it was."""
_SETTING_UP = Text(en="Setting up {name}", de="{name} wird eingerichtet")
_LOADING = Text(en="Loading {name}", de="{name} wird geladen")
_USERS_OWN = Text(en="Running your ~/{name}", de="Ihr ~/{name} wird ausgeführt")

STEPS = frozenset({"lab_step", "lab_step_done"})
"""Their details are the step's code, which is not for people."""
_BESIDE = frozenset({"queued", "lab_step_done", "failed", "ended", "scheduled", "pulling", "pulled"})
"""Their own words, the site's reason or how long a step took, stand beside the sentence in the other language."""
_FOLDED = frozenset({"waiting", "running", "lab_step_warning", "lab_step_failed", "tunnel_waiting", "reconnecting"})
"""Their own words say more than the sentence, but belong to the details."""


@dataclass(frozen=True)
class Told:
    """A sentence, and what stands beside it as a part of its own: a length of time, or a site's words."""

    text: Said = NOTHING
    more: Said = NOTHING

    def __bool__(self) -> bool:
        return bool(self.text)


def tell(event: Event, start: Start, configuration: Configuration, language: Language, *, step: str = "") -> Told:
    """Return what *event* says: in the centre's words, or else in its own, or else in the portal's.

    *configuration* is the one that *start* was made with, *step* the code of the step that ran before the event.
    """
    labels = labels_of(start, configuration)
    own = _own(
        event, labels, language, _step_label(event.details if event.code in STEPS else step, labels, configuration)
    )
    words = configuration.texts.get(event.code)
    if words is None:
        return own
    template = said(words.text, language)
    lang = template.lang or (own.text.lang if "{text}" in template.text else "")
    return replace(own, text=Said(template.text.format(text=own.text, **labels), lang))


def details_of(event: Event, told: Told) -> str:
    """Return what is folded away under *told*: last lines and facts, and the event's own words if they are not said."""
    if event.code in STEPS:
        return ""
    unsaid = event.text if event.code in _FOLDED and event.text not in told.text.text else ""
    return "\n".join(filter(None, (unsaid, event.details.strip())))


def labels_of(start: Start, configuration: Configuration) -> dict[str, str]:
    """Return what the placeholders of sentences stand for, but for ``text`` and ``step``."""
    options = start.options
    system = configuration.systems.get(start.system)
    partition = system.partitions.get(str(options.get("partition"))) if system else None
    option = configuration.options.get(str(options.get("option")))
    return {
        "system": system.label if system else start.system,
        "partition": (partition.label if partition else "") or str(options.get("partition") or ""),
        "option": option.label if option else str(options.get("option") or ""),
        "project": str(options.get("project") or ""),
    }


def _own(event: Event, labels: dict[str, str], language: Language, step: Text | None) -> Told:
    """Return what the event says where the centre has no words for it."""
    sentence = (_OF_STEPS if step else SENTENCES).get(event.code, SENTENCES.get(event.code))
    if sentence is None or (event.text and language == PAGE_LANGUAGE and event.code != "lab_step_done"):
        return Told(Said(event.text or event.code))
    spoken = Text(
        en=sentence.en.format(**labels, step=step.en if step else ""),
        de=sentence.de.format(**labels, step=step.say("de") if step else ""),
    )
    beside = event.code in _BESIDE and event.text != spoken.en
    return Told(said(spoken, language), Said(event.text if beside else ""))


def _step_label(code: str, labels: dict[str, str], configuration: Configuration) -> Text | None:
    """Return the label of the step of that code, None if the configuration has none."""
    return next((label for known, label in _steps(labels, configuration) if known == code), None)


def _steps(labels: dict[str, str], configuration: Configuration) -> Iterator[tuple[str, Text]]:
    """Yield code and label of all steps that a lab may have, as :mod:`jupyter_jsc.sites.steps` names them."""
    for place, template in configuration.jobs.items():
        for key, hook in template.hooks.items():
            yield f"hook.{place}.{key}", hook.label
    yield "setup", _named(_SETTING_UP, labels["option"])
    for place, chosen in configuration.software.items():
        for key, item in chosen.items.items():
            yield f"software.{place}.{key}", _named(_LOADING, item.label)
    yield "user_hook", _named(_USERS_OWN, configuration.lab.user_hook)


def _named(text: Text, name: str) -> Text:
    return Text(en=text.en.format(name=name), de=text.de.format(name=name))
