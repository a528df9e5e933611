"""`whatwhere` itself: what it can do, and what it says to a wrong word."""

import pytest

from whatwhere import __version__
from whatwhere.commands import main, verbs


def test_help_names_every_command_and_what_it_does(capsys):
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    for verb in verbs():
        (line,) = [line for line in shown.splitlines() if line.startswith(f"  {verb} ")]
        assert len(line.split()) > 3 and '"' not in line
    assert {"segment", "train", "evaluate", "demo"} <= set(verbs())


def test_no_word_at_all_is_answered_with_help_and_a_failure(capsys):
    assert main([]) == 2
    assert "whatwhere VERB --help" in capsys.readouterr().out


def test_the_version_is_told(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"whatwhere {__version__}\n"


@pytest.mark.parametrize("verb", verbs())
def test_every_command_shows_an_example_of_itself(verb, capsys):
    with pytest.raises(SystemExit) as stop:
        main([verb, "--help"])
    shown = capsys.readouterr().out
    assert stop.value.code == 0 and f"whatwhere {verb}" in shown and "example" in shown


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["trian"], "no command is called 'trian'; did you mean train?"),
        (["fly"], "no command is called 'fly' (there are calibrate, curate, demo"),
        (["train", "scenes", "--otu", "x"], "unrecognized arguments: --otu x"),
        (["train"], "the following arguments are required: recipe"),
    ],
)
def test_a_wrong_word_is_one_line_and_exit_code_2(argv, said, capsys):
    with pytest.raises(SystemExit) as stop:
        main(argv)
    printed = capsys.readouterr()
    assert stop.value.code == 2 and printed.out == ""
    assert said in printed.err and printed.err.count("\n") == 1


def test_a_traceback_can_be_had(monkeypatch, capsys):
    assert main(["train", "scenes"]) == 2
    monkeypatch.setenv("WHATWHERE_TRACEBACK", "1")
    with pytest.raises(ValueError, match="--out DIR"):
        main(["train", "scenes"])
