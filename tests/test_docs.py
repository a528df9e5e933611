"""What documents point to is there: files behind links, commands, recipes and their options."""

import argparse
import importlib
import re
from pathlib import Path

import pytest

from whatwhere import recipes
from whatwhere.commands import Parser, verbs

ROOT = Path(__file__).parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file(page):
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
    local = [link for link in links if "://" not in link and not link.startswith("mailto:")]
    assert [link for link in local if not (page.parent / link).exists()] == []


def typed(page):
    """Commands in the code blocks of a page, in words, continued lines joined."""
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [line.partition("whatwhere ")[2].split() for line in lines if "whatwhere " in line]


def known(parser, words):
    """The options of a verb, or of the step of it that is named."""
    steps = [a.choices for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    return set((steps[0][words[0]] if steps else parser)._option_string_actions)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_has_the_options_that_it_is_shown_with(page):
    for verb, *words in filter(None, typed(page)):
        assert verb in verbs(), f"{page.name} shows `whatwhere {verb}`"
        parser = Parser(verb, formatter_class=argparse.RawDescriptionHelpFormatter)
        importlib.import_module(f"whatwhere.commands.{verb}").arguments(parser)
        options = {word.partition("=")[0] for word in words if word.startswith("--")}
        unknown = options - known(parser, words)
        assert not unknown, f"{page.name}: whatwhere {verb} takes no {', '.join(unknown)}"
        if verb == "train" and words and ":" not in words[0]:
            assert words[0] in {*recipes.names(), "list", "RECIPE"}
