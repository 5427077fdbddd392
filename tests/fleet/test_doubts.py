"""What a trial without its variables says of those that only an example, a complaint or a guess demands."""

import pytest
from trials import Table, made, seen

from bridge.fleet.adding import add, tries
from bridge.fleet.adding.draft import Draft
from bridge.fleet.adding.trial import doubts, findings
from bridge.fleet.adding.trial.stand_ins import host as placeholder_host

AT_ITS_CALL = 10.5
KEY, ADDRESS, PLACE = "SITE_API_KEY", "SITE_URL", "SITE_DEFAULT_PLACE"
THERE = [(AT_ITS_CALL, "site-url.placeholder.invalid:443")]
BEYOND = [(AT_ITS_CALL, "api.site.com:443")]
CUT_OFF = made("look", "fetch failed")
SHOWN = [{"name": name, "shown": True, "said": False, "needed": True} for name in (ADDRESS, PLACE)]
SHOWS = seen(CUT_OFF, reached=BEYOND, published=SHOWN)
WORKS = (made("look"), made("find"))


def variable(name, said=False, shown=True):
    return {
        "name": name,
        "needed": True,
        "said": said,
        "value": "",
        "default": "",
        "shown": shown,
        "first": shown,
        "path": "",
        "one_of": False,
    }


@pytest.mark.parametrize(
    "name, given, bare, is_needless",
    [
        (ADDRESS, seen(CUT_OFF, reached=THERE), seen(CUT_OFF, reached=BEYOND), True),  # it has one of its own
        (ADDRESS, seen(CUT_OFF, reached=THERE), seen(made("look", "Invalid URL")), False),
        (ADDRESS, seen(CUT_OFF, reached=THERE), seen(CUT_OFF, reached=[(10.5, "your-domain.site.net:443")]), False),  # nobody's
        (ADDRESS, seen(CUT_OFF, reached=THERE + BEYOND), seen(CUT_OFF, reached=BEYOND), False),  # that is somebody else
        (ADDRESS, seen(CUT_OFF, reached=THERE), seen(words=["SITE_URL is required"], started=0.0), False),
        (PLACE, seen(CUT_OFF, reached=BEYOND), seen(CUT_OFF, reached=BEYOND), True),  # a complaint had named it
        (ADDRESS, SHOWS, SHOWS, True),  # it asks somebody, and never that: its own door's, say
        (PLACE, SHOWS, SHOWS, False),
        (
            PLACE,
            seen(CUT_OFF),
            seen(made("see", "SITE_DEFAULT_PLACE is not set", ended=10.1), made("look", began=10.2), reached=BEYOND),
            False,
        ),
        (PLACE, seen(made("look", "Invalid place")), seen(made("look", "Invalid place")), False),
        (KEY, seen(CUT_OFF, reached=BEYOND), seen(CUT_OFF, reached=BEYOND), False),  # whom it asks may well want it
        (KEY, seen(*WORKS), seen(*WORKS), True),  # nobody was asked
        (KEY, seen(*WORKS), seen(made("look"), made("find", "unauthorized")), False),
        (KEY, seen(*WORKS), seen(made("look"), made("ping")), False),  # most that is left only lives
        (KEY, seen(*WORKS, made("draw", "SITE_API_KEY missing")), seen(*WORKS, made("draw", "SITE_API_KEY missing")), False),
    ],
)
def test_a_variable_is_needless_where_the_same_works_or_asks_somebody_without(name, given, bare, is_needless):
    hosts = {name: placeholder_host(name)}

    assert doubts.needless([name], given, bare, hosts) == [name] * is_needless


def test_what_a_publisher_calls_required_is_not_doubted():
    given = seen(*WORKS, published=[variable(KEY, said=True), variable(ADDRESS)])

    assert doubts.doubtful([KEY, ADDRESS, PLACE], given) == [ADDRESS, PLACE]
    assert doubts.doubtful([ADDRESS], seen(published=[variable(ADDRESS, said=True)])) == [ADDRESS]


def test_what_it_does_without_is_optional_where_its_publisher_speaks_of_it_and_else_dropped():
    given = seen(CUT_OFF, reached=THERE, published=[variable(KEY), variable(ADDRESS)])
    bare = seen(CUT_OFF, reached=BEYOND, published=[variable(KEY), variable(ADDRESS)])
    last = seen(CUT_OFF, reached=BEYOND)
    table = Table(bare, last)
    draft = Draft("it", command=("it",), secrets=(KEY,), env={ADDRESS: f"${{{ADDRESS}}}", PLACE: f"${{{PLACE}}}", "MODE": "x"})

    better, closed = tries.with_only_what_it_needs(tries.Tries(table, {}, add._checked), draft, given)

    assert (better.secrets, better.optional, better.env) == ((KEY, ADDRESS), (ADDRESS,), {"MODE": "x"})
    assert [list(one.secrets) for one in table.stanzas] == [[], [KEY, ADDRESS]]
    assert closed is last


def test_what_it_ends_without_is_kept_and_the_rest_is_tried_without():
    given = seen(CUT_OFF, reached=BEYOND)
    table = Table(seen(words=["Error: SITE_API_KEY is required"], started=0.0), seen(CUT_OFF, reached=BEYOND))
    draft = Draft("it", command=("it",), secrets=(KEY,), env={PLACE: f"${{{PLACE}}}"})

    better, _ = tries.with_only_what_it_needs(tries.Tries(table, {}, add._checked), draft, given)

    assert (better.secrets, better.env) == ((KEY,), {})


def test_nothing_is_tried_of_what_an_operator_gave():
    draft = Draft("it", command=("it",), secrets=(KEY,))
    asked = Table()
    asked.asked = frozenset({"OTHER"})

    for table, values in ((asked, {}), (Table(), {KEY: "k"})):
        assert tries.with_only_what_it_needs(tries.Tries(table, values, add._checked), draft, seen(*WORKS))[0] == draft


def test_what_its_readme_sets_and_its_code_does_not_read_is_left_out_and_told():
    refused = made("look", "Client not initialized")
    given = seen(refused, published=[variable(KEY, said=True)], misspelt=[KEY])
    table = Table(seen(refused))
    draft = Draft("it", command=("it",), secrets=(KEY,))

    better, _ = tries.with_only_what_it_needs(tries.Tries(table, {}, add._checked), draft, given)

    assert (better.secrets, better.optional) == ((), ())
    assert better.why["unread"] == "its README sets SITE_API_KEY, which its code does not read, and it does the same without"
    assert doubts.needless([KEY], given, seen(made("look", "No key")), {KEY: placeholder_host(KEY)}) == []


def answered(name, answer, **more):
    return made(name, **more) | {"answer": answer}


@pytest.mark.parametrize(
    "bare, smoke",
    [
        (answered("get_info", '{"methods": ["list"]}'), {"tool": "get_info", "build": False}),
        (answered("get_info", '{"methods": []}'), None),
        (answered("get_info", "", complaint="no key"), None),
    ],
)
def test_a_call_that_answers_alike_without_a_key_proves_it_where_there_is_none_yet(bare, smoke):
    closed = seen(
        made("look", "fetch failed", ended=10.1), answered("get_info", '{"methods": ["list"]}', began=10.6), reached=[(10.0, "a.b:1")]
    )

    assert findings.smoke_without(closed, seen(bare), False) == smoke


SHUT = (made("look", "Error executing tool look"), made("find", "Error executing tool find"))
ID, OTHER = "SITE_ACCOUNT_ID", "SITE_PASSWORD"


@pytest.mark.parametrize(
    "known, tried, demanded, told",
    [
        ((KEY, ID), [True, False, False], [KEY, ID], None),  # neither is enough alone
        ((KEY, ID), [True, True], [KEY], None),  # its account is not asked for
        ((KEY, OTHER), [True, True, True], [KEY], "instead of SITE_API_KEY it takes SITE_PASSWORD"),
        ((KEY, OTHER), [True, True, False], [KEY], None),
        ((KEY,), [False], [], None),
        ((ID,), [], [], None),  # nobody's key
    ],
)
def test_an_optional_key_without_which_no_call_asks_anybody_is_demanded(known, tried, demanded, told):
    draft = Draft("it", command=("it",), secrets=known, optional=known)
    table = Table(
        *(seen(CUT_OFF, made("find", "no key"), made("see"), reached=THERE) if one else seen(*SHUT, made("see")) for one in tried)
    )

    better, _ = tries.with_what_it_cannot_do_without(tries.Tries(table, {}, add._checked), draft, seen(*SHUT, made("see", "no key")))

    assert [name for name in known if name in better.env or name in {*better.secrets} - {*better.optional}] == demanded
    assert (better.why.get("instead"), table.seen) == (told, [])


def test_who_says_that_nobody_answered_had_asked_unless_that_was_in_its_own_container():
    here = [(AT_ITS_CALL, "127.0.0.1:8080")]

    assert doubts.gets_further(seen(*SHUT), seen(made("look", "failed to connect"), made("find", "failed to connect")))
    assert doubts.is_stuck(seen(*SHUT)) and doubts.is_stuck(seen(CUT_OFF, reached=here)) and not doubts.is_stuck(seen(CUT_OFF))


def test_who_asks_somebody_without_a_key_or_mostly_works_is_not_tried_with_it():
    draft = Draft("it", command=("it",), secrets=(KEY,), optional=(KEY,))

    for bare in (seen(CUT_OFF, reached=BEYOND), seen(*WORKS, made("draw", "no key"))):
        assert tries.with_what_it_cannot_do_without(tries.Tries(Table(), {}, add._checked), draft, bare) == (draft, bare)


def test_of_two_ways_in_that_its_own_words_name_the_first_is_demanded_and_the_other_told():
    names = ("SITE_TOKEN", "SITE_KEY", "SITE_SECRET", "SITE_PIN")
    bare = seen(CUT_OFF, reached=BEYOND, words=["Warning: set SITE_TOKEN or all of SITE_KEY, SITE_SECRET, SITE_PIN."])
    draft = Draft("it", command=("it",), secrets=names)

    better, _ = tries.with_only_what_it_needs(tries.Tries(Table(bare, bare), {}, add._checked), draft, seen(CUT_OFF, reached=BEYOND))

    assert (better.secrets, better.optional) == (names, names[1:])
    assert better.why["instead"] == "instead of SITE_TOKEN it takes SITE_KEY, SITE_SECRET and SITE_PIN"


def test_the_key_to_its_own_door_is_needless_where_all_ends_alike_without():
    names = ["MCP_BEARER_TOKEN", KEY]
    cut_off = seen(CUT_OFF, reached=BEYOND, published=[variable(names[0], shown=False) | {"needed": None}])
    draft = Draft("it", command=("it", "--stdio"), secrets=tuple(names))

    better, _ = tries.with_only_what_it_needs(tries.Tries(Table(cut_off, cut_off), {}, add._checked), draft, cut_off)

    assert better.secrets == (KEY,)
