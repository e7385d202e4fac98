"""The words by which descriptions name a part of the body, in the languages and abbreviations of hospitals.

All are in lower case and without accents, as ``body_region`` reads a text. English, German, French, Spanish, Italian,
Dutch, Portuguese, some of their neighbours, and the values of Body Part Examined (PS3.16 Annex L).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

TRUNK = ("neck", "chest", "abdomen", "pelvis")
"""What a scan of the whole body shows for certain: many end at the base of the skull."""


@dataclass(frozen=True, slots=True)
class Words:
    """``whole`` words, ``stems`` that words begin with, and ``parts`` found anywhere, as in ``thoraxabdomen``."""

    whole: frozenset[str]
    stems: tuple[str, ...]
    parts: tuple[str, ...] = ()


def _words(*, whole: str = "", stems: str = "", parts: str = "") -> Words:
    return Words(frozenset(whole.split()), tuple(stems.split()), tuple(parts.split()))


# A stem is no part where other words hold it: "lung" stands in Darstellung, "kopf" in Kehlkopf, "abd" in abduction.
WORDS: Mapping[str, Words] = {
    "head": _words(
        whole="tete testa crane eye eyes ear ears face facial sinus sinuses sinusitis nnh pns senos seni iac cct "
        "temporal rocher rochers sella tmj oog hode hoved huvud czaszka mozg glowa glowy",
        stems="head kopf skull brain cerebr zerebr crani crane krani gehirn hirn enceph enzeph encef cervea cervell "
        "cabeza cabeca hoofd hersen schedel hjern hjarn paranas nasenneben orbit augenh maxill mandib kiefer "
        "unterkiefer oberkiefer mittelgesicht gesicht dental felsenbein petrous petros hypophys pituit stroke beyin "
        "neurocran голов мозг",
        parts="schadel schaedel",
    ),
    "neck": _words(
        whole="cou collo nek nacke kark szyja",
        stems="neck hals cuello pescoc cervic zervik laryn pharyn kehlkopf carot karot thyro thyre tiroid шеи",
    ),
    "chest": _words(
        whole="hrct ctpa chst thx borst",
        stems="thor lung pulm poumon polmon longen mediast bronch trache pleur brustkorb brostkorg klatk piersiow "
        "toraks hrudn грудн легк огк",
        parts="chest thorax torax thorac torac thorak torak",
    ),
    "heart": _words(
        whole="hart cacs",
        stems="heart cardi kardi herz coronar koronar coeur cuore corazon coracao calcium",
    ),
    "breast": _words(stems="breast mamm mama"),
    "abdomen": _words(
        whole="kub milz liver leber foie lever buk spleen kidney kidneys renal rene rins niere nieren reins batin",
        stems="hepat higado figado fegat pancrea pankrea urogr colono kolono entero buik brzuch brzusz брюшн",
        parts="abd addom bauch",
    ),
    "pelvis": _words(
        whole="pel plv bacino bacia",
        stems="prostat uterus rectum rektum rectal bladder harnblase miednic bassin",
        parts="pelv becken bekken",
    ),
    "spine": _words(
        whole="hws bws lws spinal rachis rachide ctspine",
        stems="vertebr column colonn colun lumb lomb sacr myelo kregosl",
        parts="spine wirbel wervel",
    ),
    "arm": _words(
        whole="arm arms hand hands hande mano mani maos mao pols polso codo spalla ombro hombro ulna",
        stems="shoulder schulter schouder epaule elbow ellbog ellenbog elleb coude gomit cotovel wrist handgel "
        "handwurz poignet muneca punho humer oberarm unterarm forearm scapho scapul finger thumb",
    ),
    "leg": _words(
        whole="leg legs hip hips anca heup knee knees knie genou genoux foot feet fuss fusse pied pieds pie pies piede "
        "piedi voet bein beine gamba perna runoff enkel tibia fibula",
        stems="hanche cadera quadril huft hueft kniegel rodilla ginocch joelh ankle sprunggel chevill tobill cavigl "
        "tornozel vorfuss jambe pierna femor femur oberschenkel unterschenkel thigh cuisse calcane fersenb patell "
        "achill extremi",
    ),
}  # fmt: skip
"""By region, from head to foot."""

CODES: Mapping[str, tuple[str, ...]] = {
    "wholebody": TRUNK,
    "totalbody": TRUNK,
    "wb": TRUNK,
    "helkropp": TRUNK,
    **dict.fromkeys(("cap", "tap", "tab", "ncap", "ctap"), ("chest", "abdomen", "pelvis")),
    "torso": ("chest", "abdomen", "pelvis"),
    "trunk": ("chest", "abdomen", "pelvis"),
    "rumpf": ("chest", "abdomen", "pelvis"),
    "romp": ("chest", "abdomen", "pelvis"),
    "tronc": ("chest", "abdomen", "pelvis"),
    "tronco": ("chest", "abdomen", "pelvis"),
}
"""Words for several regions at once."""

_SEPARATED = r"[ ./+&,_-]+"
_ADJECTIVE = (
    r"(?:cervic|zervik|thorac|thorak|torac(?!e(?![a-z]))|torak(?!s)|dors|lumb|lomb|sacr|sakr)\w*|[ctdls]|[ctl]{2}"
)
_AND = r"(?:and|und|et|y|e|en|ed|of|de|di|da|do|del|della|du|la|the)"
_SPINE = r"(?:\w*spine|spinal|\w*wirbel\w*|\w*wervel\w*|rachis|rachid\w*|column\w*|colonn\w*|colun\w*|vertebr\w*)"

PHRASES: tuple[tuple[re.Pattern[str], tuple[str, ...]], ...] = tuple(
    (re.compile(rf"(?<![^\W_])(?:{pattern})(?![^\W_])"), regions)
    for pattern, regions in (
        # How the patient lies, or where the arms are.
        (rf"(?:head|feet|foot){_SEPARATED}first", ()),
        (rf"(?:arms?|hands?){_SEPARATED}(?:up|down|raised|lowered|above|over|by|at|oben|unten|hoch)", ()),
        # A kernel or a window, whatever the region.
        (rf"lung(?:en)?{_SEPARATED}(?:window|win|wdw|kernel|algo\w*|filter|recon\w*|fenster|kern)|lungenfenster", ()),
        # The little of the lung that an abdomen shows.
        (rf"(?:lung|pulmonary){_SEPARATED}bas[ei]s?|bases?{_SEPARATED}pulmon\w*|lungenbas[ie]s", ()),
        # The head of a femur, the neck of one, and other parts that are called by a region.
        (rf"(?:femoral|radial|humeral|femur){_SEPARATED}(?:head|neck)|femurkopf|huftkopf|schenkelhals", ("leg",)),
        # From ... to ...
        (
            r"(?:skull|head|vertex|eyes?|orbits?|base|kopf|schadel\w*|schaedel\w*|crane|cranio|craneo|neck|hals|cou)"
            rf"(?:{_SEPARATED}\w+){{0,2}}{_SEPARATED}(?:to|thru|through|bis|au|aux|hasta|ate|tot|til|a)"
            rf"(?:{_SEPARATED}\w+){{0,3}}?{_SEPARATED}(?:thighs?|femur\w*|knees?|toes?|feet|legs?|pelvis|abdomen|"
            r"oberschenkel|becken|cuisses?|muslos?|coscia|coxas?|symphys\w*)",
            TRUNK,
        ),
        (
            rf"(?:whole|total|full|entire){_SEPARATED}body|(?:corps|cuerpo|corpo){_SEPARATED}(?:entier|entero|intero|"
            rf"inteiro|completo|total)|ganz(?:er)?{_SEPARATED}(?:korper|koerper)|polytrauma\w*|poly{_SEPARATED}trauma|"
            r"ganzk(?:o|oe)rper\w*",
            TRUNK,
        ),
        # The spine of the chest is not the chest; nouns (chest, thorax) are not taken with it.
        (rf"(?:(?:{_ADJECTIVE}){_SEPARATED}(?:{_AND}{_SEPARATED})?)+{_SPINE}", ("spine",)),
        (rf"{_SPINE}(?:{_SEPARATED}(?:{_AND}{_SEPARATED})*(?:{_ADJECTIVE}))+", ("spine",)),
        # Initials: C/A/P, T-A-P, CH/ABD/PEL, N C A P, and with a slash in between C/A.
        (rf"(?:n{_SEPARATED})?(?:c|t|ch|th|thx){_SEPARATED}a{_SEPARATED}[pb]", ("chest", "abdomen", "pelvis")),
        (r"(?:c|t|ch|th|thx) ?[/&] ?a", ("chest", "abdomen")),
        (r"(?:ch|th|c|t)abd\w*pel\w*", ("chest", "abdomen", "pelvis")),
        (rf"(?:ch|th)(?:{_SEPARATED})?abd\w*|[ct][/&]?abd\w*", ("chest", "abdomen")),
        (rf"(?:ct|tc|tac|tdm){_SEPARATED}a ?[/&+ ]? ?p", ("abdomen", "pelvis")),
        (rf"kl{_SEPARATED}piers\w*", ("chest",)),
    )
)
"""What several words mean together. The text is taken out, so that no single word of it counts again."""
