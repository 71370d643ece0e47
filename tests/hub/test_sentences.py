# SPDX-License-Identifier: BSD-3-Clause
"""What events say: no sentence is half one language and half another, and nothing that a site said is lost."""

from dataclasses import replace

import pytest

from jupyter_jsc.config.model import Configuration
from jupyter_jsc.hub.sentences import SENTENCES, Told, details_of, tell
from jupyter_jsc.hub.words import Said
from tests.hub import offer
from tests.hub.test_views import event, start

HOOK = {"label": {"en": "Checking your home", "de": "Prüfe Ihr Home"}, "run": ["true"]}
CONFIGURATION = Configuration.model_validate(
    offer.tree()
    | {
        "jobs": {"all.of.it": {"hooks": {"home.1": HOOK}}},
        "texts": {
            "queued": {"text": {"en": "{text}", "de": "In der Warteschlange von {partition}."}},
            "running": {"text": {"en": "{text} At last.", "de": "{text} Endlich."}},
            "accepted": {"text": "{text}"},
            "ready": {"text": "Ready"},
        },
    }
)


def told(language, code, text="", details="", step=""):
    return tell(event(code, text=text, details=details), start(), CONFIGURATION, language, step=step)


@pytest.mark.parametrize(
    ("code", "text", "english", "german"),
    [
        ("submitted", "Submitting to JUWELS.", "Submitting to JUWELS.", "Der Job wird an JUWELS übergeben."),
        ("submitted", "", "Submitting to JUWELS.", "Der Job wird an JUWELS übergeben."),
        ("queued", "Queued on JUWELS.", "Queued on JUWELS.", "In der Warteschlange von devel."),
        ("running", "Running on jwc01.", "Running on jwc01. At last.", "Der Job läuft. Endlich."),
        ("accepted", "Taken.", "Taken.", "JUWELS hat den Job angenommen."),
        ("tunnel_open", "Connected to jwc01.", "Connected to jwc01.", "Die Verbindung zum Lab steht."),
    ],
)
def test_a_sentence_is_all_in_one_language(code, text, english, german):
    """The sender's English words for who reads English; the code's sentence with the lab's labels for who reads German."""
    assert told("en", code, text) == Told(Said(english))
    assert told("de", code, text) == Told(Said(german, "de"))


@pytest.mark.parametrize("code", ["queued", "failed", "ended"])
def test_what_a_site_says_stands_beside_the_german_sentence(code):
    """A reason is a part of its own, in its own language; in English it is the sentence."""
    assert told("en", code, "The project has no budget.") == Told(Said("The project has no budget."))
    german = told("de", code, "The project has no budget.")
    assert (german.text.lang, german.more) == ("de", Said("The project has no budget."))


@pytest.mark.parametrize(
    ("code", "text"),
    [("queued", "Queued on JUWELS."), ("failed", "The start failed."), ("ended", "The job has ended.")],
)
def test_the_portals_own_words_are_not_said_twice(code, text):
    """What the hub says where the site gave no reason is the German sentence already."""
    assert told("de", code, text).more == Said()


STEPS = {
    "hook.all.of.it.home.1": ("Checking your home", "Prüfe Ihr Home"),
    "setup": ("Setting up JupyterLab 4.6", "JupyterLab 4.6 wird eingerichtet"),
    "software.kernels.julia": ("Loading Julia", "Julia wird geladen"),
    "user_hook": ("Running your ~/.jupyter/start_lab.sh", "Ihr ~/.jupyter/start_lab.sh wird ausgeführt"),
}


@pytest.mark.parametrize(("code", "labels"), STEPS.items(), ids=STEPS)
def test_a_step_is_called_by_its_label(code, labels):
    """While it runs, when it is done with the time beside it, and when it failed."""
    english, german = labels
    assert told("en", "lab_step", english, code) == Told(Said(english))
    assert told("de", "lab_step", english, code) == Told(Said(german, "de"))
    assert told("en", "lab_step_done", "0.4 s", code) == Told(Said(f"{english}: done"), Said("0.4 s"))
    assert told("de", "lab_step_done", "0.4 s", code) == Told(Said(f"{german}: fertig", "de"), Said("0.4 s"))
    words = f"{english}: failed with code 1"
    assert told("en", "lab_step_failed", words, step=code) == Told(Said(words))
    failed = told("de", "lab_step_failed", words, step=code)
    assert failed == Told(Said(f"{german}: gescheitert, und damit der Start", "de"))


@pytest.mark.parametrize("code", ["lab_step", "lab_step_done", "lab_step_warning", "lab_step_failed"])
@pytest.mark.parametrize("step", ["", "hook.gone.x"])
def test_a_step_that_is_not_known_has_a_sentence_too(code, step):
    """The configuration of the start may be gone."""
    assert told("de", code, "English", step, step).text == Said(SENTENCES[code].de, "de")


def test_labels_come_from_the_starts_own_configuration():
    juwels = CONFIGURATION.systems["juwels"].model_copy(update={"label": "OLD"})
    old = CONFIGURATION.model_copy(update={"systems": dict(CONFIGURATION.systems) | {"juwels": juwels}})
    assert "OLD" in tell(event("submitted"), start(), old, "de").text.text


@pytest.mark.parametrize(
    ("code", "text", "details", "folded"),
    [
        ("waiting", "UnicoreMgr does not answer.", "status: 503\n", "UnicoreMgr does not answer.\nstatus: 503"),
        ("running", "Running on jwc01.", "", "Running on jwc01."),
        ("lab_step_warning", "Checking: failed with code 1", "lines", "Checking: failed with code 1\nlines"),
        ("lab_step", "Checking", "setup", ""),
        ("failed", "No budget.", "lines", "lines"),
        ("submitted", "Submitting to JUWELS.", "", ""),
    ],
)
def test_own_words_that_are_not_said_are_folded_away(code, text, details, folded):
    """Who reads German finds them below; who reads English has read them."""
    happened = event(code, text=text, details=details)
    assert folded == details_of(happened, tell(happened, start(), CONFIGURATION, "de"))
    english = details_of(happened, tell(happened, start(), CONFIGURATION, "en"))
    assert english == ("" if code == "lab_step" else details.strip())


@pytest.mark.parametrize("code", SENTENCES)
@pytest.mark.parametrize("language", ["en", "de"])
def test_every_code_has_a_sentence_in_both_languages(code, language):
    """Whatever the start's options are."""
    bare = tell(event(code), replace(start(), options={}), offer.CONFIGURATION, language)
    assert bare.text.text.endswith(".")
    assert bare.text.lang == ("de" if language == "de" else "")
    assert not bare.more


def test_a_code_that_nobody_knows_says_what_it_says():
    assert told("de", "xserver", "X is up.") == Told(Said("X is up."))
    assert told("de", "xserver") == Told(Said("xserver"))
