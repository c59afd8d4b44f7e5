"""Studies without a comparison: the best configurations of one search are confirmed."""

import json
import re
import sys
from pathlib import Path

import pytest
from in_this_process import here  # noqa: F401
from toy import SPACE
from toyland import toyland  # noqa: F401

import studies
from mnist_core.errors import ConfigError
from search_spaces.space import Choice, Float, Space
from studies import catalog
from studies.analysis import stored_study
from studies.analysis.comparison import compare
from studies.core.attributes import LEARNED
from studies.planning import lookup
from studies.planning import plan as planning
from studies.spec import StudySpec

INLINE = {"engine.name": "inline", "tracking.trackers": []}
FILE = """
from studies.spec import StudySpec
from toy import SPACE

STUDY = StudySpec(name={name!r}, goal="Which toy is it?", space=SPACE, trials=8{more})
"""
DEFAULT = ', default={"optim.name": "adam", "adam.lr": 0.001}'
SPOKEN = re.compile(r"\b[Cc]hoices?\b|\b[Ss]cientific\b|\bNone\b")
CHOICE_OF = re.compile(r"the choice of the images")


def write(place, name, more=""):
    (place / "catalog" / f"{name}.py").write_text(FILE.format(name=name, more=more))
    sys.modules.pop(f"studies.catalog.{name}", None)


@pytest.fixture
def tuneland(toyland):  # noqa: F811
    (toyland / "conf.toml").write_text("confirm.seeds = 3\n")
    write(toyland, "tuneland")
    write(toyland, "beatland", DEFAULT)
    return toyland


def speaks_of_choices(text):
    return SPOKEN.findall(CHOICE_OF.sub("", text))


def test_a_name_a_goal_a_space_and_trials_are_enough(tuneland):
    ran = studies.run("tuneland", set=INLINE, plain=True)
    assert ran.phase == "finished" and len(ran.table) == 4
    found = ran.trials[ran.trials.state == "COMPLETE"].sort_values("value", ascending=False)
    wanted = {f"trial {number}" for number in found.number[:4]}
    assert set(ran.table.index) == wanted and ran.best in wanted
    assert all(ran.table["confirm.n"] == 3) if "confirm.n" in ran.table else True
    assert ran.result["scientific"] is None and ran.result["verdict"]["choices"] is None
    assert ran.result["verdict"]["against_default"] is None
    assert ran.config.seed == ran.result["winner"]["seed"]


def test_the_default_is_confirmed_beside_the_best(tuneland):
    ran = studies.run("beatland", set={**INLINE, "confirm.top": 2}, plain=True)
    assert len(ran.table) == 3 and "default" in ran.table.index
    first = ran.trials[ran.trials.number == 0].iloc[0]
    assert first["state"] == "COMPLETE" and first["param.adam.lr"] == 0.001
    assert ran.best == "default" or ran.result["verdict"]["against_default"] is not None


@pytest.mark.parametrize("name", ["tuneland", "beatland"])
def test_no_sentence_speaks_of_choices(tuneland, here, name):  # noqa: F811
    said = [here("studies", "show", name).stdout]
    done = here("studies.run", name, "--plain", "--engine", "inline")
    assert done.returncode == 0, done.stderr
    folder = f"results/{name}"
    for words in (["status"], ["report"], ["audit"], ["refine", "--out", "next.py"]):
        done = here("studies", words[0], name, *words[1:])
        assert done.returncode == 0, (words, done.stderr)
        said.append(done.stdout)
    said += [(tuneland / folder / file).read_text() for file in ("report.md", "best_config.toml")]
    for text in said:
        assert not speaks_of_choices(text), text
    page = re.sub(
        r"<style.*?</style>|<script.*?</script>",
        "",
        (tuneland / folder / "report.html").read_text(),
        flags=re.DOTALL,
    )
    assert not speaks_of_choices(re.sub(r"<[^>]*>", " ", page))


def test_a_narrower_study_has_the_best_one_as_its_default(tuneland, here):  # noqa: F811
    ran = studies.run("beatland", set=INLINE, plain=True)
    done = here(
        "studies",
        "refine",
        "beatland",
        "--out",
        str(tuneland / "catalog/again.py"),
        "--name",
        "again",
    )
    assert done.returncode == 0, done.stderr
    sys.modules.pop("studies.catalog.again", None)
    spec = catalog.get("again")
    assert not spec.compares and spec.reference == ran.result["winner"]["params"]
    assert studies.run("again", set=INLINE, plain=True).phase == "finished"


def test_only_equal_configurations_are_compared_one_by_one(tuneland):
    for name, seed in (("beatland", 0), ("tuneland", 1)):
        studies.run(name, set={**INLINE, "search.seed": seed}, plain=True)
    one, two = (stored_study.read(lookup.find(name)) for name in ("beatland", "tuneland"))
    found = compare(one, two)
    assert found.best is not None and all(row.same_params for row in found.rows)


def learned_by(name):
    found = stored_study.read(lookup.find(name))
    return json.dumps([record.attributes.get(LEARNED) for record in found.search])


def test_it_is_resumed_forked_compared_and_learned_from(tuneland, here):  # noqa: F811
    studies.run("beatland", set={**INLINE, "search.trials": 5}, plain=True)
    more = studies.run("beatland", set={**INLINE, "search.trials": 8}, plain=True)
    assert len(more.trials) == 8
    for words in (
        ["studies.run", "beatland", "--plain", "--engine", "inline", "--fork", "wide",
         "--set", "search.seed=1"],
        ["studies", "compare", "beatland", "beatland-wide"],
        ["studies.run", "tuneland", "--plain", "--engine", "inline", "--learn-from", "beatland"],
        ["studies.run", "toyland", "--plain", "--engine", "inline", "--learn-from", "tuneland",
         "--set", "confirm.seeds=2"],
        ["studies", "replay", "beatland"],
        ["studies", "list"],
    ):  # fmt: skip
        done = here(*words)
        assert done.returncode == 0, (words, done.stderr or done.stdout)
    origins = [one for one in json.loads(learned_by("tuneland")) if one]
    assert origins and origins[0]["study"] == "beatland"


SPACES = {"space": Space({"optim.name": Choice(("a", "b")), "x": Float(0.0, 1.0)})}


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"baseline": "a"}, ["baseline", "scientific"]),
        ({"trials_per_choice": 3}, ["trials_per_choice", "scientific"]),
        ({"defaults": {"a": {"x": 0.5}}}, ["defaults", "scientific"]),
        ({"default": {"x": 0.5}}, ["default", "optim.name"]),
        ({"default": {"optim.name": "a", "x": 2.0}}, ["default", "x", "2"]),
        ({"levels": 3}, ["levels", "scientific"]),
    ],
)
def test_what_does_not_fit(changes, names):
    with pytest.raises(ConfigError) as caught:
        StudySpec(name="small", goal="?", trials=4, **{**SPACES, **changes})
    message = str(caught.value)
    assert message.startswith("study small: ") and all(name in message for name in names)
    assert "\n" not in message


def test_top_is_the_study_s_the_user_s_or_four(tuneland):
    def top(**sets):
        return planning.resolve("tuneland", sets=sets).top

    assert top() == 4 and top(**{"confirm.top": 7}) == 7
    write(tuneland, "tuneland", ', fixed={"confirm.top": 3}')
    assert top() == 3
    assert catalog.get("toyland").given.get("confirm.top") is None


def test_a_comparison_without_defaults():
    spec = StudySpec(name="plain", goal="?", scientific="optim.name", trials=9, space=SPACE)
    assert spec.promised == 3 and spec.reference is None and spec.defaults == {}
    one = StudySpec(
        name="one",
        goal="?",
        scientific="optim.name",
        trials=9,
        space=SPACE,
        default={"optim.name": "adam", "adam.lr": 0.01, "sgd.lr": 0.1, "adagrad.lr": 0.1},
    )
    assert one.reference == {"optim.name": "adam", "adam.lr": 0.01}
    assert one.default_of("sgd") == {"optim.name": "sgd", "sgd.lr": 0.1}
    assert one.first_defaults == ("adam", "sgd", "adagrad")


SEARCHES = [
    {"search.sampler": "qmc"},
    {"search.sampler": "screen", "search.pruner": "none"},
    {"search.sampler": "gp", "search.pruner": "hyperband"},
    {"search.sampler": "cmaes"},
    {"search.sampler": "nsga2"},
    {"search.sampler": "grid", "search.sampler_options.points": 2},
    {"search.pruner": "freeze_thaw"},
    {"search.order": "batch", "search.batch": 4},
    {"confirm.racing": True, "confirm.seeds": 5},
    {"search.trials_complete": 4},
    {"search.trials": 1},
    {"search.objectives": {"parameters": "minimize"}},
]


@pytest.mark.parametrize("given", SEARCHES, ids=lambda given: ",".join(map(str, given.values())))
@pytest.mark.parametrize("name", ["tuneland", "beatland"])
def test_every_way_to_search(tuneland, name, given):
    ran = studies.run(name, set={**INLINE, **given}, plain=True)
    assert ran.phase == "finished" and ran.best is not None
    said = ran.result["verdict"]["sentences"] + ran.result["verdict"]["warnings"]
    assert not any(map(speaks_of_choices, said))


def test_trials_of_each_choice_cannot_be_asked_for(tuneland):
    with pytest.raises(ConfigError, match="trials_per_choice"):
        planning.resolve("tuneland", sets={"search.trials_per_choice": 5})
    (tuneland / "conf.toml").write_text("search.trials_per_choice = 2\n")  # of other studies
    assert planning.resolve("tuneland", sets={}).turns == 0


def test_enqueued_configurations_take_nothing_away(tuneland):
    Path("good.toml").write_text('"optim.name" = "sgd"\n"sgd.lr" = 0.02\n')
    given = {**INLINE, "search.enqueue": ["good.toml"]}
    for name, place in (("tuneland", 0), ("beatland", 1)):
        trials = studies.run(name, set=given, plain=True).trials
        assert len(trials) == 8 and trials.iloc[place]["param.sgd.lr"] == 0.02


def test_fewer_trials_than_choices_go_to_one_choice_each():
    kinds = len(SPACE.parameters["optim.name"].choices)
    spec = StudySpec(name="few", goal="?", scientific="optim.name", trials=kinds - 1, space=SPACE)
    assert spec.promised == 1
