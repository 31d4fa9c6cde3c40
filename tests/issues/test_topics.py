"""Topic suggestions with the shipped lists, on stories that no list was written for."""

import pytest

from mailer.config import Settings
from mailer.config_tables import TopicTable
from mailer.issues.topics import contains, tag
from tests.issues.reading import read

C, M, I = "car-t", "myeloma", "immunology"  # noqa: E741


def suggested(settings: Settings, title: str, context: str = "", key_point: str = "") -> list[str]:
    text = f"{title} [1]\nhttps://example.com/\n"
    text += f"Context: {context}\n" if context else ""
    text += f"Key point: {key_point}\n" if key_point else ""
    return list(tag(read(text), settings.topics)[1].topics)


@pytest.mark.parametrize(
    ("title", "topics"),
    [
        ("Cilta-cel label expands to earlier lines", [C]),
        ("Carvykti reaches one billion in sales", [C]),
        ("Liso-cel in follicular lymphoma", [C]),
        ("CAR T-cell therapy in glioblastoma", [C]),
        ("CART for solid tumors", [C]),
        ("CAR‑T manufacturing slots double", [C]),  # non-breaking hyphen
        ("CAR–T at home", [C]),
        ("Chimeric antigen receptor T cells after transplant", [C]),
        ("An allogeneic CAR-NK product enters phase 2", [C]),
        ("Two in vivo CAR programmes merge", [C]),
        ("Obecabtagene autoleucel approved in ALL", [C]),
        ("Smoldering myeloma: treat or wait?", [M]),
        ("Smouldering Myeloma guidance", [M]),
        ("Daratumumab under the skin", [M]),
        ("Teclistamab moves to second line", [M]),
        ("Plasma-cell leukemia gets its own trial", [M]),
        ("AL amyloidosis: organ responses at a year", [M]),
        ("MGUS screening in Iceland", [M]),
        ("NDMM: quadruplets for all?", [M]),
        ("R/R MM patients in the real world", [M]),
        ("Blenrep returns to the market", [M]),
        ("Efgartigimod self-injection cleared", [I]),
        ("gMG guideline adds a step", [I]),
        ("Warm AIHA: a new standard", [I]),
        ("wAIHA trial misses its endpoint", [I]),
        ("Immune thrombocytopenia in children", [I]),
        ("CIDP and the plasma shortage", [I]),
        ("Sjögren’s disease: a first", [I]),
        ("Sjogren disease: a second", [I]),
        ("Lupus nephritis at five years", [I]),
        ("CVID registry grows", [I]),
        ("Gene therapy for X-linked SCID", [I]),
        ("Inborn errors of immunity: 555 genes", [I]),
        ("IVIG supply tightens", [I]),
        ("Rheumatoid arthritis and the JAK debate", [I]),
        ("Pediatric Crohn's disease: biologics first", [I]),
        ("Chronic GVHD: a third agent", [I]),
        ("CAR-T in lupus: twelve months", [C, I]),
        ("CD19 CAR T cells for myasthenia gravis", [C, I]),
        ("BCMA CAR-T in RRMM", [C, M]),
        ("Anti-BCMA CAR-T in systemic sclerosis", [C, I]),
        ("CAR-T against myeloma, and secondary immunodeficiency", [C, M, I]),
        ("Teclistamab in refractory lupus", [I]),
        ("Daratumumab for ITP", [I]),
        ("BCMA×CD3 bispecific posts phase 1 data", [M]),
        ("BCMAxCD3 bispecific posts phase 1 data", [M]),
        ("BCMA/CD19 dual targeting", [C, M]),
        ("GPRC5D-directed antibody", [M]),
        ("CD19×CD3 in autoimmune cytopenias", [I]),
        ("CAR-T and GVHD risk", [C]),
        ("Ruxolitinib in myelofibrosis", []),
        ("Pirtobrutinib in CLL", []),
        ("Gene therapy for hemophilia B with an AAV vector", []),
        ("Sickle cell disease: exa-cel access", []),
        ("Venetoclax plus azacitidine in AML", []),
        ("The clot was 5 mm wide, 3 cm long", []),
        ("Pi day at the institute", []),
        ("A new car park for the clinic", []),
        ("Cars and crash carts in the yard", []),
        ("Data expected in April 2026", []),
        ("CAR-Ts on every shelf", [C]),
        ("Anti-APRIL antibody reads out", [I]),
        ("Cartilage repair and carton packaging", []),
        ("Comma use in summaries", []),
        ("ITPR1 mutations mapped", []),
        ("The lipid panel, revisited", []),
        # spellings
        ("Auto-immune haemolytic anaemia: steroids or not", [I]),
        ("Auto immune disease in pregnancy", [I]),
        ("Immuno-deficiency clinics grow", [I]),
        ("Evans syndrome in adults", [I]),
        ("Evans' syndrome in adults", [I]),
        ("Evans’s syndrome in adults", [I]),
        ("Crohn disease and Crohn's", [I]),
        ("Graves’ disease", [I]),
        ("There is still disease after transplant", []),
        ("Pernicious anaemia, an old friend", [I]),
        ("PERNICIOUS ANEMIA", [I]),
        ("Immune aplastic anaemia in the young", [I]),
        ("Haemolytic disease of the foetus and newborn", [I]),
        ("Acquired hæmophilia A", [I]),
        ("Plasma cell leukaemia", [M]),
        ("Coeliac disease", [I]),
        ("Ig replacement after rituximab", [I]),
        ("IG REPLACEMENT after rituximab", [I]),
        # products and trials
        ("Miv-cel in stiff person syndrome", [C, I]),
        ("KYV-101 keeps its pace", [C]),
        ("CARTITUDE-4 at four years", [C, M]),
        ("KarMMa-3 subgroups", [C, M]),
        ("UCART22 dosing resumes", [C]),
        ("UCART123 in AML", [C]),
        ("Revlimid generics arrive", [M]),
        ("Lenalidomide maintenance, how long?", [M]),
        ("Pomalidomide supply", [M]),
        ("Selinexor at a lower dose", [M]),
        # what only looks like a topic
        ("HAE prophylaxis by tablet", []),
        ("Hereditary angioedema: a gene edited", []),
        ("Congenital TTP: enzyme replacement", []),
        ("cTTP: enzyme replacement", []),
        ("Congenital thrombotic thrombocytopenic purpura", []),
        ("iTTP and congenital TTP compared", [I]),
        ("Human immunodeficiency virus: two shots a year", []),
        ("Human immunodeficiency virus and ITP", [I]),
        ("Acquired immunodeficiency syndrome in 1985", []),
        ("Xenografts in NOD/SCID mice", []),
        ("A NOD-SCID model of CLL", []),
        ("Newborn screening for SCID", [I]),
        ("RA Capital leads the round", []),
        ("RA Capital backs an RA programme", [I]),
        ("Metabolites by LC-MS/MS", []),
        # immunodeficiency by name is a disease, the word alone is weaker than another topic's disease
        ("Immunodeficiency: a registry", [I]),
        ("Immunodeficiency in myeloma", [M]),
        ("Secondary immunodeficiency in myeloma", [M, I]),
        ("Primary immune deficiency and infusion at home", [I]),
        ("Inborn error of immunity found late", [I]),
        ("Antibody deficiency after CAR-T", [C, I]),
    ],
)
def test_the_shipped_lists_know_the_field(settings: Settings, title: str, topics: list[str]) -> None:
    assert suggested(settings, title) == topics


def test_title_context_and_key_point_count_and_nothing_else(settings: Settings) -> None:
    assert suggested(settings, "A trial reads out", context="In RRMM.") == [M]
    assert suggested(settings, "A trial reads out", key_point="Works in ITP.") == [I]
    document = read("A trial [1]\nhttps://example.com/car-t-in-myeloma\nImplication: CAR-T for myeloma.\n")
    assert tag(document, settings.topics)[1].topics == ()


def test_a_target_counts_only_where_no_topic_has_a_stronger_word(settings: Settings) -> None:
    assert suggested(settings, "A BCMA antibody") == [M]
    assert suggested(settings, "A BCMA antibody", context="Studied in ITP.") == [I]


def topics_of(title: str, *, strong: tuple[str, ...] = (), weak: tuple[str, ...] = ()) -> tuple[str, ...]:
    table = TopicTable(name="X", keywords=strong, weak_keywords=weak)
    return tag(read(f"{title} [1]\n"), {"x": table})[1].topics


@pytest.mark.parametrize(
    ("text", "keyword", "found"),
    [
        ("D-Domain", "d domain", True),
        ("DDomain", "D-Domain", True),
        ("D domain", "D-Domain", True),
        ("D‑Domain", "D-Domain", True),
        ("D – Domain", "D-Domain", True),
        ("D\u00a0Domain", "D-Domain", True),
        ("D.Domain", "D-Domain", False),
        ("D-Domains", "D-Domain", False),
        ("ID-Domain", "D-Domain", False),
        ("x MM×CD3 y", "MM", True),
        ("MM/AL", "MM", True),
        ("pre-MM-risk", "MM", True),
        ("(MM)", "MM", True),
        ("mm", "MM", False),
        ("Mm", "MM", False),
        ("RRMM", "MM", False),
        ("MM2", "MM", False),
        ("_MM_", "MM", True),
        ("car-t", "CAR-T", False),
        ("Car T", "CAR-T", False),
        ("CAR T", "CAR-T", True),
        ("CART", "CAR-T", True),
        ("nmosd", "NMOSD", True),
        ("Nmosd", "NMOSD", True),
        ("gmg", "gMG", True),
        ("myeloma’s", "myeloma", True),
        ("Myeloma.", "myeloma", True),
        ("myelomatous", "myeloma", False),
        ("Behcet disease", "Behçet", True),
        ("BEHÇET", "Behçet", True),
        ("C++ x", "C++", True),
        ("Xavers' syndrome", "Xavers syndrome", True),
        ("Xaver’s syndrome", "Xaver syndrome", True),
        ("Xavers syndrome", "Xaver's syndrome", False),
        ("Haemolytic anaemias", "hemolytic anemias", True),
        ("hemolytic", "HAEMOLYTIC", True),
        ("oedema", "edema", True),
        ("hæmolytic œdema", "hemolytic edema", True),
        ("SAE", "SE", False),
    ],
)
def test_a_keyword_is_found_as_whole_words(text: str, keyword: str, found: bool) -> None:
    assert contains(f"w {text} w", keyword) is found
    assert (topics_of(f"w {text} w", strong=(keyword,)) == ("x",)) is found


def test_a_name_that_holds_a_keyword_and_means_something_else_is_passed_over() -> None:
    table = TopicTable(
        name="X", keywords=("XY",), weak_keywords=("zeta",), passed_over=("XY Capital", "N/XY", "zeta virus")
    )
    other = TopicTable(name="Y", keywords=("Capital",))

    def topics(title: str) -> tuple[str, ...]:
        return tag(read(f"{title} [1]\n"), {"x": table, "y": other})[1].topics

    assert topics("XY Capital buys") == ("y",)
    assert topics("The N/XY, a zeta-virus model") == ()
    assert topics("XY Capital buys an XY maker") == ("x", "y")
    assert topics("XY capitalises") == ("x",)
    assert topics("Zeta at last") == ("x",)


def test_an_empty_keyword_finds_nothing() -> None:
    assert topics_of("Anything at all", strong=("", " ", "-")) == ()


def test_the_editor_decides_and_everyone_is_a_decision(settings: Settings) -> None:
    text = "One on CAR-T [1]\nTwo on CAR-T [2]\nThree on CAR-T [3]\nFour on nothing [4]\n"
    front = "---\ntopics: {1: everyone, 2: [immunology, myeloma]}\n---\n"
    tagged = tag(read(front + text), settings.topics)
    assert (tagged[1].topics, tagged[1].suggested, tagged[1].is_undecided) == ((), False, False)
    assert (tagged[2].topics, tagged[2].suggested) == ((I, M), False)
    assert (tagged[3].topics, tagged[3].suggested) == ((C,), True)
    assert (tagged[4].topics, tagged[4].suggested, tagged[4].is_undecided) == ((), True, True)


def test_a_topic_that_is_no_longer_declared_leaves_its_story_undecided(settings: Settings) -> None:
    document = read("---\ntopics: {1: [gone], 2: [gone, car-t]}\n---\nOne [1]\nTwo [2]\n")
    tagged = tag(document, settings.topics)
    assert tagged[1].is_undecided
    assert (tagged[2].topics, tagged[2].suggested) == ((C,), False)


@pytest.mark.parametrize(
    ("names", "topic"),
    [
        (
            "EMM; PCL; pPCL; Smouldering disease; high-risk smoldering disease; DVd; IRd; Isa-Pd; SVd; BPd;"
            "D-Rd; Waldenström macroglobulinaemia;"
            "Waldenström; MajesTEC-3; Tal-Dara; Dara-VMP; Bence Jones; elotuzumab",
            M,
        ),
        (
            "PsA; SSc; EoE; PMR; NMO; GPP; FMF; PSC; TED; adult-onset Still disease; Hashimoto's; Myasthenia;"
            "Stiff-person; Coeliac; Celiac; Axial SpA; Antiphospholipid antibodies; Omenn syndrome; GvHD;"
            "Chronic mucocutaneous candidiasis; IgG subclass deficiency; Hyperimmunoglobulin E syndrome;"
            "Immune-mediated necrotising myopathy; Polyarteritis nodosa; XIAP deficiency;"
            "Cold haemolysis in PRCA; Paroxysmal cold haemoglobinuria;"
            " STAT3 GOF; tocilizumab; Entyvio; romiplostim; Crohn’s; MIS-C",
            I,
        ),
        (
            "Lisocabtagene; zeva-cel; anbal-cel; prizlon-cel; satri-cel; AlloCAR T; TCR therapy; GC012F;"
            "TCR-engineered cells; P-BCMA-ALLO1; CABA-201; JCAR017; Armoured CAR; azer-cel; CT041",
            C,
        ),
    ],
)
def test_the_shipped_lists_know_short_and_older_names(settings: Settings, names: str, topic: str) -> None:
    known = {
        name.strip(): suggested(settings, f"{name.strip()}: what a trial shows") for name in names.split(";")
    }
    assert known == {name: [topic] for name in known}


@pytest.mark.parametrize(
    "title",
    [
        "Avatrombopag before procedures in chronic liver disease",
        "Hydroxychloroquine and outcomes of a viral infection",
        "Benralizumab for hypereosinophilic leukemia",
        "Azathioprine and the risk of acute leukemia",
        "ADAMTS13 activity in sepsis",
    ],
)
def test_a_drug_or_marker_of_many_fields_decides_no_topic(settings: Settings, title: str) -> None:
    assert suggested(settings, title) == []


@pytest.mark.parametrize(
    "title",
    [
        "A TED talk on drug prices",
        "PSA levels after treatment",
        "Smoldering systemic mastocytosis",
        "ICD-10 codes",
    ],
)
def test_names_with_another_meaning_suggest_nothing(settings: Settings, title: str) -> None:
    assert suggested(settings, title) == []
