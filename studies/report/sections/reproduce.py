"""How to reproduce: commands, versions and data, the best configuration's settings."""

from collections.abc import Mapping

import tomli_w

from studies import catalog
from studies.analysis.export import FILE, best_config
from studies.planning.next_commands import train_command
from studies.report.blocks import Block, Code, Details, Facts, Material, Section
from studies.report.setup_text import commit_texts
from studies.spec import StudySpec


def section(page: Material) -> Section:
    """Return the section."""
    blocks: list[Block] = [
        Facts(_commands(page), code=True),
        Details("Versions and data", (Facts(_versions(page), code=True),)),
    ]
    if page.result.best:
        text = tomli_w.dumps(best_config(page.result))
        blocks.append(Details(FILE, (Code(text),)))
    return Section("reproduce", "How to reproduce", tuple(blocks))


def _commands(page: Material) -> tuple[tuple[str, str], ...]:
    plan = page.result.plan
    what = "The whole study" + (", or to resume it" if plan.commands.resumable else " once more")
    rows = [(what, plan.commands.run())]
    trains, file = plan.adapter.trains, plan.folder / FILE
    if page.found.phase == "finished" and (trains or _is_found(plan.spec)):
        rows.append(("The best configuration once more, compared", plan.commands.reproduce(file)))
        rows += [("Train it", train_command(file))] if trains else []
    return tuple(rows)


def _is_found(spec: StudySpec) -> bool:
    """Whether a command finds the user's own objective: it asks the study for it."""
    return spec.own is not None and spec.name in catalog.names()


def _versions(page: Material) -> tuple[tuple[str, str], ...]:
    found, environment = page.found, page.found.environment
    rows = [(name, str(value)) for name, value in environment.get("versions", {}).items()]
    rows += [(f"commit of {name}", text) for name, text in commit_texts(environment)]
    data: Mapping[str, object] = environment.get("data", {})
    named = (found.plan.adapter.data_name, str(data.get("fingerprint", "")))
    if any(named):  # an objective of the user's own may have no data
        rows.append(("data", ", ".join(filter(None, named))))
    hashes = data.get("sha256")
    if isinstance(hashes, Mapping):
        rows += [(f"sha256 {name}", str(value)) for name, value in hashes.items()]
    rows.append(("fingerprint of the study", found.fingerprint))
    return tuple(rows)
