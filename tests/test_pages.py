"""The documentation site: pages that are made are current, and what pages say is there."""

import ast
import importlib.util
import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import typer.main
import yaml
from packaging.requirements import Requirement

from mnist_core import __main__ as trainer
from studies import __main__ as studies

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(page for page in DOCS.rglob("*.md") if "outputs" not in page.parts)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)#\s]+)?(?:#([^)\s]+))?\)|!\[[^\]]*\]\(([^)\s]+)\)")


def script(name):
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def make_pages():
    return script("make_pages")


@pytest.mark.parametrize("name", ["commands.md", "settings.md"])
def test_made_pages_are_current(make_pages, name):
    made = make_pages.PAGES[name]()
    assert (DOCS / name).read_text() == made, "run `python docs/make_pages.py`"


def test_every_command_is_on_its_page(make_pages):
    names = [name for name, _ in make_pages.every_command()]
    assert len(names) > 25
    assert names == re.findall(r"^### (.+)$", (DOCS / "commands.md").read_text(), re.MULTILINE)


def test_the_examples_are_run(make_pages):
    kept = {file.name for file in (DOCS / "outputs").iterdir()}
    assert kept == {make_pages.output_file(example).name for example in make_pages.EXAMPLES}


def shape(text):
    """Return the words of ``text``, without numbers, which differ from run to run."""
    return set(re.findall(r"[A-Za-z_]{4,}", text))


@pytest.mark.long
def test_the_examples_print_what_is_kept(make_pages, tmp_path):
    for command, said in make_pages.run_examples(tmp_path):
        kept = shape(make_pages.output_file(command).read_text())
        common = len(kept & shape(said)) / len(kept | shape(said))
        assert common > 0.6, f"{command}: run `python docs/make_pages.py --run`\n{said}"


def test_every_setting_is_on_its_page():
    table = ""
    page = (DOCS / "settings.md").read_text()
    told = (ROOT / "conf.toml").read_text().partition("\n# Overrides for one study")[0]
    for line in told.splitlines():
        if heading := re.match(r"\[([\w.]+)\]", line):
            table = heading[1]
        elif table and (entry := re.match(r"(?:# )?([\w.]+) = ", line)):
            section = page.partition(f"## {table}\n")[2].partition("\n## ")[0]
            assert f"| `{entry[1]}` |" in section, f"{table}.{entry[1]}"


def test_the_picture_of_the_report_is_current():
    made_from = json.loads((DOCS / "pictures/made_from.json").read_text())
    pictures = script("make_pictures")
    assert made_from[pictures.LOOK] == pictures.look(), "run `python docs/make_pictures.py`"
    assert (DOCS / "pictures/report.png").stat().st_size < 200_000


def slug(heading):
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    """`make docs` says it, too, and of anchors; this needs no Sphinx and reads README."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target, anchor, image in LINK.findall(text):
        where = target or image
        if "://" in where or where.startswith("mailto:"):
            continue
        file = (page.parent / where).resolve() if where else page
        assert file.exists(), f"{page.name}: {where}"
        if anchor and file.suffix == ".md":
            headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
            assert anchor in map(slug, headings), f"{page.name}: {where}#{anchor}"


def known(command, words):
    """Return the option names of the command that ``words`` start; None if there is none."""
    inner = getattr(command, "commands", None)
    if inner is None:
        return {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
    return known(inner[words[0]], words[1:]) if words and words[0] in inner else None


COMMAND = re.compile(
    r"(?:^|`|\$ |python -m )(studies|mnist[-_]core)(?:\.(run))? ([a-z][\w-]*[^`\n]*)", re.MULTILINE
)
APPS = {"studies": typer.main.get_command(studies.app)}
APPS["mnist-core"] = APPS["mnist_core"] = typer.main.get_command(trainer.app)


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: page.name)
def test_commands_and_options_exist(page):
    """Each command on a page is one that the programs have, with the options that it is given."""
    text = page.read_text().replace("\\\n", " ")
    for program, run, rest in COMMAND.findall(text):
        words = [*([run] if run else []), *rest.split("#")[0].split()]
        options = known(APPS[program], words)
        if page.name in ("log.md", "commands.md") or "best" in words[:1]:
            continue  # of earlier versions; made; a command that extend.md adds
        assert options is not None or words[0] in ("STUDY", "data", "presets"), (program, rest)
        for word in words:
            if re.fullmatch(r"--[a-z][a-z-]*", word) and options is not None:
                assert word in options | {"--help"}, f"{program} {rest}"


def messages():
    """Return the strings of the packages in one text, with `…` for what is filled in."""
    found = []
    for package in ("studies", "mnist_core", "objectives", "search_spaces"):
        for file in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.append(node.value)
                elif isinstance(node, ast.JoinedStr):
                    parts = (p.value if isinstance(p, ast.Constant) else "…" for p in node.values)
                    found.append("".join(map(str, parts)))
    return "\n".join(found) + (ROOT / "Makefile").read_text()


def test_troubleshooting_quotes_messages_of_the_program():
    said = messages()
    page = (DOCS / "troubleshooting.md").read_text()
    symptoms = [row.split("|")[1] for row in page.splitlines() if row.startswith("| `")]
    assert len(symptoms) >= 30
    for symptom in symptoms:
        for quoted in re.findall(r"`([^`]+)`", symptom):
            for part in re.split(r"…|'", quoted):
                words = part.strip(" ;:,()")
                assert len(words) < 8 or words in said, f"{symptom}: {words!r}"


def test_the_workflow_is_one_that_builds_the_site():
    workflow = yaml.safe_load((ROOT / ".github/workflows/docs.yml").read_text())
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    assert any(step.get("run", "").strip() == "make docs" for step in steps)


def block(page, heading, language):
    """Return the first block of code in ``language`` below a heading of a page."""
    text = (DOCS / page).read_text().partition(f"\n## {heading}")[2]
    return re.search(rf"```{language}\n(.*?)```", text, re.DOTALL)[1]


@pytest.mark.parametrize("page", ["scaling.md", "ray.md"])
def test_the_script_for_slurm_is_one_for_bash(page):
    """What it does was tried by hand, with SLURM on one node."""
    script = block(page, "SLURM", "sh")
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    first, options, *_ = script.splitlines()
    assert first == "#!/bin/bash" and "set -euo pipefail" in script
    words = options.removeprefix("#SBATCH ").split()
    told = {"--job-name", "--nodes", "--array", "--ntasks-per-node", "--cpus-per-task", "--time"}
    assert {word.partition("=")[0] for word in words} <= told


def test_the_manifest_has_what_a_ray_job_needs():
    """KubeRay's own schema is 1.4 MB; against it the manifest was checked by hand."""
    job = yaml.safe_load(block("ray.md", "Kubernetes", "yaml"))
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", job["metadata"]["name"])
    cluster = job["spec"]["rayClusterSpec"]
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    (ray,) = (Requirement(one) for one in wanted if one.startswith("ray["))
    assert ray.specifier.contains(cluster["rayVersion"])
    head, *workers = cluster["headGroupSpec"], *cluster["workerGroupSpecs"]
    for group in workers:
        assert group["groupName"]
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    for group in (head, *workers):
        assert isinstance(group["rayStartParams"], dict)
        pod = group["template"]["spec"]
        volumes = {one["name"] for one in pod["volumes"]}
        for container in pod["containers"]:
            assert container["name"] and container["image"]
            assert {"cpu", "memory"} <= container["resources"]["limits"].keys()
            assert {one["name"] for one in container["volumeMounts"]} <= volumes
    paths = [one["mountPath"] for one in head["template"]["spec"]["containers"][0]["volumeMounts"]]
    assert any(f"results.folder={path}" in job["spec"]["entrypoint"] for path in paths)


def test_the_version_is_the_one_of_the_changes():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"## {version} " in (DOCS / "CHANGELOG.md").read_text()
    assert yaml.safe_load((DOCS / "CITATION.cff").read_text())["version"] == version


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120
